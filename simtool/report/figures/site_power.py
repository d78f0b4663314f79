"""Power of a site over time: devices by state, losses and cooling on top, and the week with the highest power."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.figures.site_time import WEEK_S, calendar, day, moments
from simtool.report.table import Cell, Table
from simtool.result.datacenter.history import GROUPS, power
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUM_STRETCHES = 420
"""That a page can tell apart."""
PARTS: dict[str, tuple[str, str]] = {
    "compute": ("computing", style.BLUE),
    "waiting": ("waiting inside jobs", style.SKY),
    "saving": ("saving, restarting", style.GREEN),
    "lost_work": ("work undone", style.VERMILION),
    "idle": ("without work", style.LIGHT_GREY),
    "down": ("failed nodes", style.BLACK),
    "loss": ("conversion losses", style.YELLOW),
    "cooling": ("cooling", style.PURPLE),
    "other": ("rest of the building", "#8C6D46"),
}


def table(result: DatacenterResult) -> Table:
    """Mean power of every part over equal stretches of the run, then of its highest week; and the highest [W]."""
    series, end_s = result.series, result.outcome.end_s
    site = Steps(series.breakpoints_s, series.total_w)
    grid = [Steps(*one.grid) for one in result.sites if one.balance is not None]
    pools = list(result.outcome.ledgers)
    parts = {name: power(result.outcome, pools, states) for name, states in GROUPS.items()}
    parts |= {
        name: Steps(series.breakpoints_s, getattr(series, column))
        for name, column in (("loss", "chain_loss_w"), ("cooling", "cooling_w"), ("other", "other_w"))
    }
    pieces = [("run", np.linspace(0.0, end_s, NUM_STRETCHES + 1))]
    if end_s > 1.5 * WEEK_S:
        begin_s = _highest_week(site, end_s)
        pieces.append(("week", np.linspace(begin_s, begin_s + WEEK_S, NUM_STRETCHES + 1)))
    columns: dict[str, list[Cell]] = {}
    for piece, edges in pieces:
        found: dict[str, list[Cell]] = {
            "piece": [piece] * NUM_STRETCHES,
            "start_utc": [result.datacenter.start.isoformat()] * NUM_STRETCHES,
            "begin_s": edges[:-1].tolist(),
            "end_s": edges[1:].tolist(),
            **{f"power_{name}_mean_w": steps.mean(edges).tolist() for name, steps in parts.items()},
            "power_facility_mean_w": site.mean(edges).tolist(),
            "power_facility_max_w": site.highest(edges).tolist(),
        }
        if grid:
            rest = sum(Steps(*one.grid).mean(edges) for one in result.sites)
            found["power_grid_mean_w"] = np.asarray(rest).tolist()
        for name, cells in found.items():
            columns.setdefault(name, []).extend(cells)
    return Table(columns)


def _highest_week(site: Steps, end_s: float) -> float:
    """Begin of the week around the highest power [s]."""
    place = int(np.argmax(site.values))
    middle_s = 0.5 * float(site.times_s[place] + site.times_s[place + 1])
    return float(np.clip(middle_s - 0.5 * WEEK_S, 0.0, end_s - WEEK_S))


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    pieces = [str(piece) for piece in numbers.unique("piece")]
    drawing = style.new_figure(2.6 * len(pieces) + 0.4)
    places = drawing.subplots(len(pieces), 1, squeeze=False, sharey=True)[:, 0]
    highest = float(numbers.numbers("power_facility_max_w").max())
    scale, unit = style.axis_unit(highest, style.POWER)
    start = str(numbers.columns["start_utc"][0])
    for axes, piece, letter in zip(places, pieces, "ab", strict=False):
        rows = numbers.where("piece", piece)
        _areas(axes, rows, start, scale)
        axes.set_ylabel(f"power ({unit})")
        axes.set_ylim(0.0, 1.06 * highest / scale)
        if len(pieces) > 1:
            begin = day(start, float(rows.numbers("begin_s")[0]))
            style.panel(
                axes,
                letter,
                "the whole run" if piece == "run" else f"the week of the highest power, from {begin}",
            )
    places[-1].set_xlabel("UTC")
    handles, labels = places[0].get_legend_handles_labels()
    drawing.legend(handles[::-1], labels[::-1], loc="outside right upper")
    style.headline(drawing, f"Power of the site, at most {highest / scale:,.4g} {unit}")
    style.footer(
        drawing,
        f"Areas: means over {NUM_STRETCHES} equal stretches, one part on another. "
        f"Line: highest within a stretch.\n{source}",
    )
    return drawing


def _areas(axes: Axes, rows: Table, start: str, scale: float) -> None:
    times = moments(start, np.append(rows.numbers("begin_s"), rows.numbers("end_s")[-1]))
    base: FloatArray = np.zeros(rows.num_rows)
    for name, (words, colour) in PARTS.items():
        watts = rows.numbers(f"power_{name}_mean_w") / scale
        if not watts.any():
            continue
        axes.stairs(base + watts, times, baseline=base, fill=True, color=colour, label=words)
        base = base + watts
    highest = rows.numbers("power_facility_max_w") / scale
    axes.stairs(highest, times, baseline=None, color=style.BLACK, linewidth=0.6, label="highest")
    if "power_grid_mean_w" in rows.columns:
        grid = rows.numbers("power_grid_mean_w") / scale
        axes.stairs(
            grid,
            times,
            baseline=None,
            color=style.VERMILION,
            linewidth=0.9,
            linestyle=(0, (3, 1)),
            label="from the grid",
        )
    axes.set_xlim(times[0], times[-1])
    calendar(axes)
    style.rule(axes, "y")
