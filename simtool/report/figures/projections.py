"""What a run would cost with more tokens, on more accelerators, or in another year."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Table
from simtool.units import GIGA, MEGA, TERA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Panel = tuple[str, str, Sequence[tuple[float, str]]]
"""Quantity, what its axis says, and the units it may be shown in."""

NEWEST, SAME = "newest accelerators", "same accelerators"
HARDWARE_COLOURS = {SAME: style.BLUE, NEWEST: style.ORANGE}
HARDWARE_MARKERS = {SAME: "o", NEWEST: "s"}
HARDWARE_WIDTHS = {SAME: 2.6, NEWEST: 1.0}
"""Unlike, so that both are seen where they coincide: the second is drawn over the first."""
DASHED = (0, (4, 2))
LINEAR_RATIO = 6.0
"""Largest over smallest value up to which an axis that begins at zero reads better than a logarithmic one."""


def _panels(numbers: Table, money: str) -> list[Panel]:
    """The panels for which the table has numbers."""
    panels: list[Panel] = [
        ("cost_usd", f"cost ({{}}, {money.replace(' USD of', '')})", style.MONEY),
        ("energy_facility_j", "energy of the facility ({})", style.ENERGY),
        ("carbon_kgco2e", "carbon ({})", style.CARBON),
        ("carbon_marginal_kgco2e", "carbon ({})", style.CARBON),
        ("duration_s", "duration ({})", style.DURATION),
    ]
    known = [
        one for one in panels if one[0] in numbers.columns and np.isfinite(numbers.numbers(one[0])).any()
    ]
    has_average = any(one[0] == "carbon_kgco2e" for one in known)
    return [one for one in known if not (has_average and one[0] == "carbon_marginal_kgco2e")]


def draw_tokens(numbers: Table, *, money: str, source: str, num_parameters: float) -> Figure:
    """Cost, energy, carbon and duration against tokens, with tokens per parameter on top."""
    panels = _panels(numbers, money)
    drawing, places = _grid(len(panels), source)
    scale, unit = _token_unit(float(numbers.numbers("tokens").max()))
    for place, one, letter in zip(places, panels, "abcd", strict=False):
        _lines(place, numbers, "tokens", scale, one, letter)
        _log_axis(place, f"training tokens ({unit})")
        above = place.secondary_xaxis(
            "top",
            functions=(
                lambda tokens: np.asarray(tokens) * scale / num_parameters,
                lambda ratio: np.asarray(ratio) * num_parameters / scale,
            ),
        )
        above.set_xlabel("tokens per parameter", color=style.GREY, fontsize=6.8, labelpad=2)
        above.tick_params(colors=style.GREY, labelsize=6.5)
        above.xaxis.set_major_formatter(style.plain_number)
        above.spines["top"].set_color(style.LIGHT_GREY)
        place.set_title(letter, pad=24)
    _key(places, numbers)
    style.headline(drawing, "What more or fewer training tokens would cost")
    style.footer(
        drawing,
        f"{source}\nDot: the scenario. In proportion to tokens: same model, layout and prices.{_account(panels)}",
    )
    return drawing


def draw_devices(numbers: Table, *, money: str, source: str) -> Figure:
    """Cost, energy, carbon and duration against the number of accelerators."""
    panels = _panels(numbers, money)
    drawing, places = _grid(len(panels), source)
    for place, one, letter in zip(places, panels, "abcd", strict=False):
        _lines(place, numbers, "num_devices", 1.0, one, letter)
        _log_axis(place, "accelerators")
        place.set_title(letter)
    _key(places, numbers)
    style.headline(drawing, "The same training on fewer or more accelerators")
    style.footer(
        drawing,
        f"{source}\nDot: the scenario as simulated; elsewhere the step model with the same global batch, "
        "failures in their expected number, at this run's cost of an accelerator-hour and a kilowatt-hour."
        f"{_account(panels)}",
    )
    return drawing


def draw_start_years(numbers: Table, *, money: str, source: str) -> Figure:
    """Cost, energy and carbon against the start year, for the same and for each year's newest accelerators."""
    from matplotlib.ticker import MaxNLocator

    panels = [one for one in _panels(numbers, money) if one[0] != "duration_s"]
    below = (
        f"{source}\nBand: 10th to 90th percentile of the trends, not of the run itself.{_account(panels)}"
        f"{_coincidence(numbers, panels)} Newest accelerators: one trend, hardware efficiency, scales every "
        "line, also what owned hardware costs; it is no forecast of prices."
    )
    drawing, places = _grid(len(panels), below)
    runs = [str(run) for run in numbers.unique("run")]
    for place, (quantity, words, units), letter in zip(places, panels, "abc", strict=False):
        scale, unit = style.axis_unit(float(np.nanmax(numbers.numbers(quantity))), units)
        for hardware in numbers.unique("hardware"):
            colour = HARDWARE_COLOURS[str(hardware)]
            for run in runs:
                rows = numbers.where("hardware", hardware).where("run", run)
                years = rows.numbers("start_year")
                is_base = run == "without method" and len(runs) > 1
                place.plot(
                    years,
                    rows.numbers(quantity) / scale,
                    color=colour,
                    linestyle=DASHED if is_base else "-",
                    linewidth=HARDWARE_WIDTHS[str(hardware)] * (0.7 if is_base else 1.0),
                    marker=HARDWARE_MARKERS[str(hardware)],
                    markersize=6.0 if hardware == SAME else 2.4,
                    markerfacecolor="white" if hardware == SAME else colour,
                    label=f"{hardware}, {run}" if len(runs) > 1 else str(hardware),
                )
                if not is_base:
                    low, high = (rows.numbers(f"{quantity}_{end}") / scale for end in ("p10", "p90"))
                    place.fill_between(years, low, high, color=colour, alpha=0.18, linewidth=0)
        place.set_ylim(0, None)
        place.set_xlabel("start of the run (year)")
        place.set_ylabel(words.format(unit))
        place.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=7))
        style.rule(place, "y")
        place.set_title(letter)
    if len(panels) == 3:
        lines, names = places[0].get_legend_handles_labels()
        places[3].legend(lines, names, loc="center left")
    else:
        places[len(panels) - 1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    style.headline(drawing, "The same work started in another year")
    style.footer(drawing, below)
    return drawing


def _coincidence(numbers: Table, panels: Sequence[Panel]) -> str:
    """Which panels show two lines as one, in words."""
    same, newest = (numbers.where("hardware", hardware) for hardware in (SAME, NEWEST))
    alike = [
        letter
        for (quantity, _, _), letter in zip(panels, "abc", strict=False)
        if np.allclose(same.numbers(quantity), newest.numbers(quantity), rtol=0.01)
    ]
    if not alike:
        return ""
    return f" In {' and '.join(alike)} the lines of both kinds of hardware coincide: their trends are alike."


def _account(panels: Sequence[Panel]) -> str:
    """Which carbon is shown, for the footer."""
    shown = {quantity for quantity, _, _ in panels}
    if "carbon_kgco2e" in shown:
        return " Carbon: average intensity of the grid, and the making of the hardware."
    return " Carbon: marginal intensity of the grid." if "carbon_marginal_kgco2e" in shown else ""


def _grid(num_panels: int, source: str) -> tuple[Figure, list[Axes]]:
    """Up to two panels beside each other, more in rows of two; a place without a panel stays blank."""
    num_rows, num_columns = (1, num_panels) if num_panels < 3 else (math.ceil(num_panels / 2), 2)
    width_in = style.WIDTH_IN if num_panels > 1 else 4.2
    drawing = style.new_figure(0.45 + 2.3 * num_rows + style.footer_height_in(source, width_in), width_in)
    places = list(drawing.subplots(num_rows, num_columns, squeeze=False).flat)
    for place in places[num_panels:]:
        place.set_axis_off()
    return drawing, places


def _lines(place: Axes, numbers: Table, along: str, scale: float, one: Panel, letter: str) -> None:  # noqa: ARG001
    quantity, words, units = one
    height, unit = style.axis_unit(float(np.nanmax(_scenario(numbers).numbers(quantity))), units)
    runs = [str(run) for run in numbers.unique("run")]
    for run in runs:
        rows = numbers.where("run", run)
        at, values = rows.numbers(along) / scale, rows.numbers(quantity) / height
        is_base = run == "without method"
        colour = style.WITHOUT if is_base else style.WITH
        place.plot(at, values, color=colour, linestyle=DASHED if is_base else "-", label=run)
        if f"{quantity}_p10" in numbers.columns:
            low, high = (rows.numbers(f"{quantity}_{end}") / height for end in ("p10", "p90"))
            place.fill_between(at, low, high, color=colour, alpha=0.2, linewidth=0)
        own = _scenario(rows)
        place.plot(
            own.numbers(along) / scale,
            own.numbers(quantity) / height,
            "o",
            color=colour,
            markeredgecolor="white",
            markeredgewidth=0.6,
            markersize=5,
        )
    place.set_ylabel(words.format(unit))


def _scenario(numbers: Table) -> Table:
    return numbers.where("is_scenario", 1)


def _log_axis(place: Axes, words: str) -> None:
    """Logarithmic along the horizontal, and up the side where the values span most of a decade."""
    place.set_xscale("log")
    low, high = place.dataLim.intervaly
    if low > 0 and high / low > LINEAR_RATIO:
        place.set_yscale("log")
        axes = [place.xaxis, place.yaxis]
    else:
        place.set_ylim(0, 1.08 * high)
        axes = [place.xaxis]
    for axis in axes:
        style.log_ticks(axis, style.plain_number)
    place.set_xlabel(words)
    place.grid(visible=True, which="major")


def _key(places: list[Axes], numbers: Table) -> None:
    if len(numbers.unique("run")) > 1:
        places[0].legend(loc="best")


def _token_unit(largest: float) -> tuple[float, str]:
    scales = ((TERA, "trillion"), (GIGA, "billion"), (MEGA, "million"), (1.0, ""))
    return next((pair for pair in scales if largest >= pair[0]), scales[-1])
