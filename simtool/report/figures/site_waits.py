"""How long jobs of each size waited for their first start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Cell, Table, from_rows
from simtool.result.datacenter.overview import SIZES, size_words
from simtool.result.datacenter.result import DatacenterResult
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = np.concatenate((np.arange(0.0, 99.0, 0.5), np.arange(99.0, 100.01, 0.1)))
"""Per cent of the jobs of a class."""
FEWEST = 5
"""Jobs of a class of which a distribution says anything."""
LOWEST_S = 1.0
"""Shorter waits stand at the left edge."""
TICKS = {
    LOWEST_S: "at once",
    SECONDS_PER_MINUTE: "1 min",
    10 * SECONDS_PER_MINUTE: "10 min",
    SECONDS_PER_HOUR: "1 h",
    10 * SECONDS_PER_HOUR: "10 h",
    SECONDS_PER_DAY: "1 d",
    10 * SECONDS_PER_DAY: "10 d",
    100 * SECONDS_PER_DAY: "100 d",
}


def lacks(result: DatacenterResult) -> str:
    """Why there is no distribution; empty if there is."""
    started = ~np.isnan(result.outcome.start_s)
    sizes = np.searchsorted(SIZES, result.jobs.table.num_devices[started])
    return (
        "" if np.bincount(sizes, minlength=1).max() >= FEWEST else f"no size has {FEWEST} jobs that started"
    )


def table(result: DatacenterResult) -> Table:
    """Wait at every level of the distribution, by class of size [s]."""
    outcome = result.outcome
    started = ~np.isnan(outcome.start_s)
    waited_s = (outcome.start_s - outcome.submit_s)[started]
    sizes = np.searchsorted(SIZES, result.jobs.table.num_devices[started])
    rows: list[dict[str, Cell]] = []
    for index in range(len(SIZES) + 1):
        mine = waited_s[sizes == index]
        if len(mine) < FEWEST:
            continue
        for level, value in zip(LEVELS.tolist(), np.percentile(mine, LEVELS).tolist(), strict=True):
            rows.append(
                {
                    "accelerators": size_words(index),
                    "num_jobs": len(mine),
                    "jobs_percent": level,
                    "wait_s": value,
                }
            )
    return from_rows(rows)


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    drawing = style.new_figure(2.9)
    axes = drawing.subplots()
    longest = max(float(numbers.numbers("wait_s").max()), SECONDS_PER_MINUTE)
    for name, colour in zip(numbers.unique("accelerators"), style.CYCLE, strict=False):
        rows = numbers.where("accelerators", name)
        waits, levels = np.maximum(rows.numbers("wait_s"), LOWEST_S), rows.numbers("jobs_percent")
        label = f"{name} ({int(rows.numbers('num_jobs')[0]):,} jobs)"
        axes.step(
            np.append(waits, longest * 2.0), np.append(levels, 100.0), where="post", color=colour, label=label
        )
    axes.set_xscale("log")
    axes.set_xlim(LOWEST_S, longest * 1.3)
    ticks = {value: words for value, words in TICKS.items() if value <= longest * 1.3}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_ylim(min(float(_least(numbers)) - 3.0, 97.0), 100.6)
    axes.set_xlabel("waited for the first start no longer than")
    axes.set_ylabel("jobs that started (%)")
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="accelerators", alignment="left")
    style.headline(drawing, "Waits by size of the job")
    style.footer(drawing, source)
    return drawing


def _least(numbers: Table) -> float:
    """Smallest share of jobs of any class that started at once [%]."""
    shares = []
    for name in numbers.unique("accelerators"):
        rows = numbers.where("accelerators", name)
        at_once = rows.numbers("jobs_percent")[rows.numbers("wait_s") <= LOWEST_S]
        shares.append(float(at_once.max()) if at_once.size else 0.0)
    return min(shares)
