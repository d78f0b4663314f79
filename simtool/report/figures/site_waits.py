"""How long jobs of each size waited for their first start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.table import Cell, Table, from_rows
from simtool.result.datacenter.overview import SIZES, size_words
from simtool.result.datacenter.result import DatacenterResult
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 2000
"""Jobs of a class that are drawn; of more, that many of even rank, and all of the longest hundredth."""
FEWEST = 5
"""Classes of fewer jobs do not decide where the axis begins; their first jump may come from below it."""
LOWEST_S = 1.0
"""Shorter waits stand at the left edge."""
DOT = 3.4
"""Size of the dot at the longest wait of a class; dots that fall together are rings of one another."""
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
    return "no job started" if bool(np.isnan(result.outcome.start_s).all()) else ""


def table(result: DatacenterResult) -> Table:
    """Waits that jobs had [s], and the share of the started jobs of the class that waited no longer.

    A class of which no job started has one row, without a wait.
    """
    outcome = result.outcome
    waited_s = outcome.start_s - outcome.submit_s
    sizes = np.searchsorted(SIZES, result.jobs.table.num_devices)
    rows: list[dict[str, Cell]] = []
    for index in np.unique(sizes).tolist():
        mine = waited_s[sizes == index]
        waits_s, percent = distribution(mine[~np.isnan(mine)])
        about: dict[str, Cell] = {
            "accelerators": size_words(index),
            "num_jobs": len(mine),
            "num_started": int((~np.isnan(mine)).sum()),
        }
        if not len(waits_s):
            rows.append({**about, "wait_s": None, "jobs_percent": None})
        for wait_s, share in zip(waits_s.tolist(), percent.tolist(), strict=True):
            rows.append({**about, "wait_s": wait_s, "jobs_percent": share})
    return from_rows(rows)


def distribution(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Values that occurred, each once and rising, and how many per cent of all are no larger.

    >>> [part.tolist() for part in distribution(np.array([5.0, 0.0, 0.0, 7.0]))]
    [[0.0, 5.0, 7.0], [50.0, 75.0, 100.0]]
    """
    found, counts = np.unique(values, return_counts=True)
    share = 100.0 * np.cumsum(counts) / max(len(values), 1)
    if len(found) <= MOST:
        return found, share
    levels = np.concatenate((np.linspace(0.0, 99.0, MOST), share[share >= 99.0][-MOST:]))
    keep = np.unique(np.clip(np.searchsorted(share, levels), 0, len(found) - 1))
    return found[keep], share[keep]


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says that it is of several sites."""
    drawing = style.new_figure(2.9)
    axes = drawing.subplots()
    longest = max(float(np.nanmax(numbers.numbers("wait_s"))), SECONDS_PER_MINUTE)
    missing, ends = [], [(0.0, 0.0)]
    lowest = 100.0 if bool((numbers.numbers("num_started") >= FEWEST).any()) else 0.0
    for name, colour in zip(numbers.unique("accelerators"), style.CYCLE, strict=False):
        rows = numbers.where("accelerators", name)
        asked, started = (int(rows.numbers(column)[0]) for column in ("num_jobs", "num_started"))
        if not started:
            missing.append(f" None of {asked:,} jobs of {name} accelerators started.")
            continue
        waits, shares = np.maximum(rows.numbers("wait_s"), LOWEST_S), rows.numbers("jobs_percent")
        waits, shares = _one_at_the_edge(waits, shares)
        at_once = float(shares[0]) if waits[0] <= LOWEST_S else 0.0
        lowest = min(lowest, at_once) if started >= FEWEST else lowest
        ends.append((float(waits[-1]), float(shares[-1])))
        size = DOT + 2.6 * (ends.count(ends[-1]) - 1)
        _line(
            axes, waits, shares, colour, size, f"{name}  ({_jobs(started, asked)}, {_share(at_once)} at once)"
        )
    axes.set_xscale("log")
    axes.set_xlim(0.75 * LOWEST_S, longest * 1.4)
    ticks = {value: words for value, words in TICKS.items() if value <= longest * 1.4}
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xticks([], minor=True)
    axes.set_ylim(*_limits(lowest))
    axes.set_xlabel("waited for the first start no longer than")
    axes.set_ylabel("jobs that started (%)")
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), title="accelerators of a job", alignment="left")
    style.headline(drawing, f"Waits by size of the job{which}")
    note = "Each step is a wait that a job had, the dot the longest one. At once: within a second."
    style.footer(drawing, f"{note}{''.join(missing)}\n{source}")
    return drawing


def _one_at_the_edge(waits: FloatArray, shares: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Of the waits at the left edge only the highest share; without one the line rises from zero."""
    first = max(int((waits <= LOWEST_S).sum()) - 1, 0)
    if waits[0] > LOWEST_S:
        return np.append(waits[0], waits), np.append(0.0, shares)
    return waits[first:], shares[first:]


def _line(axes: Axes, waits: FloatArray, shares: FloatArray, colour: str, size: float, words: str) -> None:
    axes.step(waits, shares, where="post", color=colour, label=words)
    axes.plot(
        waits[-1:],
        shares[-1:],
        marker="o",
        markersize=size,
        markerfacecolor=colour if size == DOT else "none",
        markeredgecolor=colour,
        markeredgewidth=1.1,
        clip_on=False,
        zorder=5,
    )


def _limits(lowest: float) -> tuple[float, float]:
    """Of the shares: from zero where that is near, else from a little below the lowest one."""
    bottom = lowest - 0.15 * (100.0 - lowest) - 0.5
    return (0.0 if lowest < 30.0 else bottom), 100.0 + 0.03 * (100.0 - max(bottom, 0.0))


def _jobs(started: int, asked: int) -> str:
    words = f"{started:,} job{'' if started == 1 else 's'}"
    return words if started == asked else f"{started:,} of {asked:,} jobs"


def _share(percent: float) -> str:
    """A share of which 100 % means all.

    >>> _share(100.0), _share(99.97), _share(66.6667), _share(0.0)
    ('all', '99.97 %', '66.7 %', 'none')
    """
    if percent in (0.0, 100.0):
        return "all" if percent else "none"
    return f"{percent:.2f} %" if percent >= 99.0 else f"{percent:.1f} %"
