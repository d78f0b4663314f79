"""Where a site's power came from over time, what became of the rest, and how full its battery was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.facility.battery_run import BatteryRun
from simtool.facility.site_balance import SiteBalance
from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.figures.site_time import WEEK_S, calendar, day, length_words, moments, stretches
from simtool.report.table import Cell, Table
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps
from simtool.units import SECONDS_PER_DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALE_GREEN = "#8FD3BF"
SOURCES: dict[str, tuple[str, str]] = {
    "import": ("grid", style.LIGHT_GREY),
    "generator": ("generator", style.VERMILION),
    "wind": ("wind", style.SKY),
    "solar": ("sun", style.YELLOW),
    "discharge": ("battery", style.GREEN),
    "unserved": ("missing", style.WINE),
}
"""Stacked above zero, in this order."""
USES: dict[str, tuple[str, str]] = {
    "charge": ("into the battery", PALE_GREEN),
    "export": ("into the grid", style.PURPLE),
    "curtailed": ("not used", style.ORANGE),
}
"""Beside the load; stacked below zero."""
LEAST = 1e-6
"""Of the highest power: less is rounding, and no part of the key."""
LOWEST, HIGHEST = "battery_stored_lowest_j", "battery_stored_highest_j"


def lacks(result: DatacenterResult) -> str:
    """Why there is nothing to draw; empty if there is."""
    return "" if any(one.balance is not None for one in result.sites) else "the grid alone gives all power"


def table(result: DatacenterResult) -> Table:
    """Mean powers of every source and use of each site with a supply of its own [W], and what its battery held [J].

    Over equal stretches of the run, then of the week in which battery and own plants gave most. Sources sum to load,
    battery electronics and uses.
    """
    end_s = result.outcome.end_s
    columns: dict[str, list[Cell]] = {}
    for one in result.sites:
        if one.balance is None:
            continue
        pieces = [("run", stretches(0.0, end_s))]
        if end_s > 1.5 * WEEK_S:
            begin_s = _busiest_week(one.balance, end_s)
            pieces.append(("week", stretches(begin_s, begin_s + WEEK_S)))
        for piece, edges in pieces:
            num = len(edges) - 1
            found: dict[str, list[Cell]] = {
                "site": [one.name] * num,
                "piece": [piece] * num,
                "start_utc": [result.datacenter.start.isoformat()] * num,
                "begin_s": edges[:-1].tolist(),
                "end_s": edges[1:].tolist(),
                **_powers(one.balance, edges),
                **_stored(one, one.balance, edges),
            }
            for name, cells in found.items():
                columns.setdefault(name, []).extend(cells)
    return Table(columns)


def _busiest_week(balance: SiteBalance, end_s: float) -> float:
    """Begin of the week in which plants and battery gave most, to a day [s]."""
    own_w = np.sum([getattr(balance, f"{name}_w") for name in SOURCES if name != "import"], axis=0)
    begins_s = np.append(np.arange(0.0, end_s - WEEK_S, SECONDS_PER_DAY), end_s - WEEK_S)
    own = Steps(balance.breakpoints_s, own_w)
    given_j = own.cumulative(begins_s + WEEK_S) - own.cumulative(begins_s)
    return float(begins_s[int(np.argmax(given_j))])


def _powers(balance: SiteBalance, edges_s: FloatArray) -> dict[str, list[Cell]]:
    return {
        f"power_{name}_mean_w": Steps(balance.breakpoints_s, getattr(balance, f"{name}_w"))
        .mean(edges_s)
        .tolist()
        for name in ("load", "standby", *SOURCES, *USES)
    }


def _stored(site: SiteAccounts, balance: SiteBalance, edges_s: FloatArray) -> dict[str, list[Cell]]:
    """Capacity of the battery, lowest and highest energy in it in every stretch; nothing without one."""
    num = len(edges_s) - 1
    supply = site.place.terms.supply
    if balance.battery is None or supply is None or supply.battery is None:
        return {name: [None] * num for name in ("battery_capacity_j", LOWEST, HIGHEST)}
    low, high = held(balance.battery, edges_s)
    return {
        "battery_capacity_j": [float(supply.battery.energy)] * num,
        LOWEST: low.tolist(),
        HIGHEST: high.tolist(),
    }


def held(battery: BatteryRun, edges_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest energy in a battery in every stretch between two edges [J]."""
    times = np.union1d(battery.breakpoints_s, edges_s)
    stored = np.interp(times, battery.breakpoints_s, battery.stored_j)
    place = np.searchsorted(times, edges_s)
    last = stored[place[1:]]
    low = np.minimum(np.minimum.reduceat(stored[: place[-1]], place[:-1]), last)
    high = np.maximum(np.maximum.reduceat(stored[: place[-1]], place[:-1]), last)
    return np.asarray(low), np.asarray(high)


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    shown = [
        numbers.where("site", site).where("piece", piece)
        for site in numbers.unique("site")
        for piece in numbers.where("site", site).unique("piece")
    ]
    heights = [part for rows in shown for part in ((2.2, 0.9) if _has_battery(rows) else (2.2,))]
    drawing = style.new_figure(sum(heights) + 0.35 * len(heights) + 0.4)
    places = iter(drawing.subplots(len(heights), 1, squeeze=False, height_ratios=heights)[:, 0])
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    for rows in shown:
        edges = np.append(rows.numbers("begin_s"), rows.numbers("end_s")[-1])
        start = str(rows.columns["start_utc"][0])
        times = moments(start, edges)
        axes = next(places)
        _balance(axes, rows, times)
        whose = f"{rows.columns['site'][0]}, " if rows.columns["site"][0] else ""
        is_run = rows.columns["piece"][0] == "run"
        when = (
            "the whole run"
            if is_run
            else f"the week with most from battery and own plants, from {day(start, float(edges[0]))}"
        )
        parts = f"; {_shares(rows)}" if is_run else ""
        style.panel(axes, next(letters, ""), f"{whose}{when}{parts} (means over {length_words(edges)})")
        if _has_battery(rows):
            axes.tick_params(axis="x", labelbottom=False)
            axes.set_xlabel("")
            axes = next(places)
            _charge(axes, rows, times)
    style.headline(drawing, "Where the power came from")
    style.footer(
        drawing,
        "Above zero: sources, one on another; they cover the load and what is below zero. Charge: lowest and "
        f"highest within each stretch.\n{source}",
    )
    return drawing


def _has_battery(rows: Table) -> bool:
    return rows.columns["battery_capacity_j"][0] is not None


def _shares(rows: Table) -> str:
    """What each source gave of all the energy that was given."""
    length = rows.numbers("end_s") - rows.numbers("begin_s")
    energy = {name: float((rows.numbers(f"power_{name}_mean_w") * length).sum()) for name in SOURCES}
    total = sum(energy.values())
    return ", ".join(
        f"{SOURCES[name][0]} {_percent(one / total)}" for name, one in energy.items() if one > 0.0
    )


def _percent(share: float) -> str:
    """A share; what is nearly all is not called all of it.

    >>> _percent(0.9953), _percent(0.83), _percent(1.0)
    ('99.5 %', '83 %', '100 %')
    """
    return f"{min(100.0 * share, 99.9):.1f} %" if 0.99 <= share < 1.0 - 1e-9 else style.percent(share)


def _balance(axes: Axes, rows: Table, times: Any) -> None:
    load = rows.numbers("power_load_mean_w")
    watts = {name: rows.numbers(f"power_{name}_mean_w") for name in (*SOURCES, *USES)}
    top = np.sum([watts[name] for name in SOURCES], axis=0)
    bottom = np.sum([watts[name] for name in USES], axis=0)
    scale, unit = style.axis_unit(float(top.max()), style.POWER)
    for parts, sign in ((SOURCES, 1.0), (USES, -1.0)):
        base: FloatArray = np.zeros(rows.num_rows)
        for name, (words, colour) in parts.items():
            if not (watts[name] > LEAST * top.max()).any():
                continue
            end = base + sign * watts[name] / scale
            axes.stairs(end, times, baseline=base, fill=True, color=colour, label=words)
            base = end
    axes.stairs(
        load / scale,
        times,
        baseline=None,
        color=style.BLACK,
        linewidth=0.8,
        path_effects=style.cased(0.8),
        label="load",
    )
    axes.axhline(0.0, color=style.GREY, linewidth=0.6)
    axes.set_ylim(-1.1 * float(bottom.max()) / scale, 1.06 * float(top.max()) / scale)
    axes.set_ylabel(f"power ({unit})")
    axes.set_xlim(times[0], times[-1])
    calendar(axes)
    style.rule(axes, "y")
    handles, labels = axes.get_legend_handles_labels()
    num = sum(words in {name for name, _ in USES.values()} for words in labels)
    cut = len(labels) - 1 - num
    order = [len(labels) - 1, *range(cut - 1, -1, -1), *range(cut, len(labels) - 1)]
    axes.legend(
        [handles[one] for one in order],
        [labels[one] for one in order],
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
    )


def _charge(axes: Axes, rows: Table, times: Any) -> None:
    capacity = rows.numbers("battery_capacity_j")[0]
    low, high = (100.0 * rows.numbers(name) / capacity for name in (LOWEST, HIGHEST))
    axes.stairs(high, times, fill=True, color=PALE_GREEN, label="highest")
    axes.stairs(low, times, fill=True, color=style.GREEN, label="lowest")
    scale, unit = style.axis_unit(float(capacity), style.ENERGY)
    axes.set_ylim(0.0, 100.0)
    axes.set_ylabel(f"charge (%\nof {capacity / scale:,.4g} {unit})")
    axes.set_xlim(times[0], times[-1])
    calendar(axes)
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
