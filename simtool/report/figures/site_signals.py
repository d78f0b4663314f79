"""Price and carbon intensity beside the power of the site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.figures.site_time import calendar, length_words, moments
from simtool.report.table import Cell, Table
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 1500
"""Stretches that a page can tell apart."""


def lacks(result: DatacenterResult) -> str:
    """Why there is nothing to draw; empty if there is."""
    for one in result.sites:
        if any(not signal.is_constant for signal in one.signals.carbon.values()):
            return ""
        prices = _price(one.bill.energy_usd, one.bill.energy_j)
        known = prices[np.isfinite(prices)]
        if known.size and float(np.ptp(known)) > 1e-9 * float(np.abs(known).max()):
            return ""
    return "price and carbon intensity are constant"


def _price(usd: FloatArray, joules: FloatArray) -> FloatArray:
    """In USD/kWh; not a number where nothing was drawn."""
    return np.asarray(
        np.divide(usd * JOULES_PER_KWH, joules, out=np.full_like(joules, np.nan), where=joules > 0.0)
    )


def table(result: DatacenterResult) -> Table:
    """Means over hours, or longer stretches of a long run, of every site."""
    end_s = result.outcome.end_s
    num = max(1, min(MOST, int(np.ceil(end_s / SECONDS_PER_HOUR))))
    edges = np.linspace(0.0, end_s, num + 1)
    columns: dict[str, list[Cell]] = {
        "start_utc": [result.datacenter.start.isoformat()] * num,
        "begin_s": edges[:-1].tolist(),
        "end_s": edges[1:].tolist(),
    }
    for one in result.sites:
        site = f"{one.name}:" if one.name else ""
        columns[f"{site}power_grid_w"] = Steps(*one.grid).mean(edges).tolist()
        if one.bill.edges_s.size:
            lengths = np.diff(one.bill.edges_s)
            usd = Steps(one.bill.edges_s, one.bill.energy_usd / lengths).integral(edges)
            joules = Steps(one.bill.edges_s, one.bill.energy_j / lengths).integral(edges)
            columns[f"{site}price_usd_per_kwh"] = [
                None if not np.isfinite(value) else float(value) for value in _price(usd, joules)
            ]
        for question, signal in one.signals.carbon.items():
            word = question.replace("-", "_")
            columns[f"{site}carbon_{word}_kgco2e_per_kwh"] = signal.mean(edges[:-1], edges[1:]).tolist()
    return Table(columns)


PANELS = (
    ("power_grid_w", "power from the grid", ""),
    ("price_usd_per_kwh", "price of energy", "USD/kWh"),
    ("_kgco2e_per_kwh", "carbon intensity", "kgCO2e/kWh"),
)

LINES = {"marginal": (0, (3, 1)), "market": (0, (1, 1))}
"""Accounts of carbon that are not the average."""


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    start = str(numbers.columns["start_utc"][0])
    edges = np.append(numbers.numbers("begin_s"), numbers.numbers("end_s")[-1])
    times = moments(start, edges)
    shown = [panel for panel in PANELS if any(name.endswith(panel[0]) for name in numbers.columns)]
    drawing = style.new_figure(1.35 * len(shown) + 0.7)
    places = drawing.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (ending, title, unit), letter in zip(places, shown, "abc", strict=False):
        names = [name for name in numbers.columns if name.endswith(ending)]
        highest = max(float(np.nanmax(numbers.numbers(name))) for name in names)
        scale, shown_unit = (1.0, unit) if unit else style.axis_unit(highest, style.POWER)
        lowest = 0.0
        sites = list(dict.fromkeys(name.rpartition(":")[0] for name in names))
        for name in names:
            values = numbers.numbers(name) / scale
            how = {
                "color": style.CYCLE[sites.index(name.rpartition(":")[0]) % len(style.CYCLE)],
                "linestyle": next((line for word, line in LINES.items() if word in name), "-"),
            }
            axes.stairs(values, times, baseline=None, linewidth=0.8, label=_label(name, ending), **how)
            lowest = min(lowest, float(np.nanmin(values)))
        axes.set_ylim(1.08 * lowest, 1.08 * max(highest / scale, 1e-12))
        axes.set_ylabel(shown_unit)
        axes.set_xlim(times[0], times[-1])
        style.panel(axes, letter, title)
        style.rule(axes, "y")
        if len(names) > 1 or _label(names[0], ending):
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    calendar(places[-1])
    style.headline(drawing, "What the grid gave, at which price and with how much carbon")
    style.footer(
        drawing,
        f"Means over {length_words(edges)}. Price: energy lines of the bill over energy, demand and fixed lines apart."
        f"\n{source}",
    )
    return drawing


def _label(name: str, ending: str) -> str:
    site, _, quantity = name.rpartition(":")
    if ending.startswith("_kgco2e"):
        question = quantity.removeprefix("carbon_").removesuffix(ending).replace("_", "-")
        return f"{site}, {question}" if site else question
    return site
