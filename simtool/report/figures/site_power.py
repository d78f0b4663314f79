"""Power of a site over time: devices by state, losses and cooling on top, and the week with the highest power."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.figures.site_time import WEEK_S, calendar, day, length_words, moments, stretches
from simtool.report.table import Cell, Table
from simtool.result.datacenter.history import GROUPS, power
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps, total

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PARTS: dict[str, tuple[str, str]] = {
    "compute": ("computing", style.BLUE),
    "waiting": ("waiting inside jobs", style.SKY),
    "saving": ("saving, restarting", style.GREEN),
    "lost_work": ("work undone", style.VERMILION),
    "idle": ("without work", style.LIGHT_GREY),
    "down": ("failed nodes", style.WINE),
    "loss": ("conversion losses", style.YELLOW),
    "cooling": ("cooling", style.PURPLE),
    "other": ("rest of the building", "#8C6D46"),
}


LINES: dict[str, tuple[str, Any]] = {
    "facility": ("load, highest", (0, ())),
    "grid": ("from the grid, highest", (0, (3.0, 1.2))),
}
"""Lines over the areas: black with a white edge, so that they are no area's colour."""


def table(result: DatacenterResult) -> Table:
    """Mean power of every part over equal stretches of the run, then of its highest week; and the highest [W]."""
    series, end_s = result.series, result.outcome.end_s
    site = Steps(series.breakpoints_s, series.total_w)
    has_supply = any(one.balance is not None for one in result.sites)
    grid = total([Steps(*one.grid) for one in result.sites], 0.0, end_s)
    pools = list(result.outcome.ledgers)
    parts = {name: power(result.outcome, pools, states) for name, states in GROUPS.items()}
    parts |= {
        name: Steps(series.breakpoints_s, getattr(series, column))
        for name, column in (("loss", "chain_loss_w"), ("cooling", "cooling_w"), ("other", "other_w"))
    }
    pieces = [("run", stretches(0.0, end_s))]
    if end_s > 1.5 * WEEK_S:
        begin_s = highest_week(site, end_s)
        pieces.append(("week", stretches(begin_s, begin_s + WEEK_S)))
    columns: dict[str, list[Cell]] = {}
    for piece, edges in pieces:
        num = len(edges) - 1
        found: dict[str, list[Cell]] = {
            "piece": [piece] * num,
            "start_utc": [result.datacenter.start.isoformat()] * num,
            "begin_s": edges[:-1].tolist(),
            "end_s": edges[1:].tolist(),
            **{f"power_{name}_mean_w": steps.mean(edges).tolist() for name, steps in parts.items()},
            "power_facility_mean_w": site.mean(edges).tolist(),
            "power_facility_max_w": site.highest(edges).tolist(),
        }
        if has_supply:
            found["power_grid_mean_w"] = grid.mean(edges).tolist()
            found["power_grid_max_w"] = grid.highest(edges).tolist()
        for name, cells in found.items():
            columns.setdefault(name, []).extend(cells)
    return Table(columns)


def highest_week(site: Steps, end_s: float) -> float:
    """Begin of the week around the highest power [s]."""
    place = int(np.argmax(site.values))
    middle_s = 0.5 * float(site.times_s[place] + site.times_s[place + 1])
    return float(np.clip(middle_s - 0.5 * WEEK_S, 0.0, end_s - WEEK_S))


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says that it is of several sites."""
    pieces = [str(piece) for piece in numbers.unique("piece")]
    drawing = style.new_figure(2.6 * len(pieces) + 0.5)
    places = drawing.subplots(len(pieces), 1, squeeze=False, sharey=True)[:, 0]
    highest = {
        name: float(numbers.numbers(f"power_{name}_max_w").max())
        for name in LINES
        if f"power_{name}_max_w" in numbers.columns
    }
    top = max(highest.values())
    scale, unit = style.axis_unit(top, style.POWER)
    start = str(numbers.columns["start_utc"][0])
    lengths = []
    for axes, piece, letter in zip(places, pieces, "ab", strict=False):
        rows = numbers.where("piece", piece)
        edges = np.append(rows.numbers("begin_s"), rows.numbers("end_s")[-1])
        lengths.append(length_words(edges) + (f" in {letter}" if len(pieces) > 1 else ""))
        _areas(axes, rows, moments(start, edges), scale)
        axes.set_ylabel(f"power ({unit})")
        axes.set_ylim(0.0, 1.06 * top / scale)
        if len(pieces) > 1:
            week = f"the week of the highest load, from {day(start, float(edges[0]))}"
            style.panel(axes, letter, "the whole run" if piece == "run" else week)
    handles, labels = places[0].get_legend_handles_labels()
    drawing.legend(handles[::-1], labels[::-1], loc="outside right center")
    found = f"Power{which}: load at most {highest['facility'] / scale:,.4g} {unit}"
    if "grid" in highest:
        found += f", from the grid at most {highest['grid'] / scale:,.4g} {unit}"
    style.headline(drawing, found)
    style.footer(
        drawing,
        f"Areas: means over {' and '.join(lengths)}, one part on another. "
        f"Lines: highest within each stretch.\n{source}",
    )
    return drawing


def _areas(axes: Axes, rows: Table, times: Any, scale: float) -> None:
    base: FloatArray = np.zeros(rows.num_rows)
    for name, (words, colour) in PARTS.items():
        watts = rows.numbers(f"power_{name}_mean_w") / scale
        if not watts.any():
            continue
        axes.stairs(base + watts, times, baseline=base, fill=True, color=colour, label=words)
        base = base + watts
    for name, (words, dashes) in LINES.items():
        if f"power_{name}_max_w" not in rows.columns:
            continue
        width = 0.6 if name == "facility" else 0.9
        axes.stairs(
            rows.numbers(f"power_{name}_max_w") / scale,
            times,
            baseline=None,
            color=style.BLACK,
            linewidth=width,
            linestyle=dashes,
            path_effects=style.cased(width),
            label=words,
        )
    axes.set_xlim(times[0], times[-1])
    calendar(axes)
    style.rule(axes, "y")
