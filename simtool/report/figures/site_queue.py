"""Accelerators in use and jobs in the queue over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.figures.site_time import calendar, length_words, moments, stretches
from simtool.report.table import Table
from simtool.result.datacenter.history import Holdings, devices, running, waiting
from simtool.result.datacenter.result import DatacenterResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(result: DatacenterResult, held: Holdings) -> Table:
    """Means over equal stretches: devices held and down, jobs waiting and running; highest number waiting."""
    outcome = result.outcome
    edges = stretches(0.0, outcome.end_s)
    num = len(edges) - 1
    pools = list(outcome.ledgers)
    queue = waiting(outcome, held)
    return Table(
        {
            "start_utc": [result.datacenter.start.isoformat()] * num,
            "begin_s": edges[:-1].tolist(),
            "end_s": edges[1:].tolist(),
            "accelerators": [sum(outcome.num_devices.values())] * num,
            "accelerators_held_mean": devices(outcome, pools, held=True).mean(edges).tolist(),
            "accelerators_down_mean": devices(outcome, pools, state="down").mean(edges).tolist(),
            "jobs_running_mean": running(outcome, held).mean(edges).tolist(),
            "jobs_waiting_mean": queue.mean(edges).tolist(),
            "jobs_waiting_max": queue.highest(edges).tolist(),
        }
    )


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says that it is of several sites."""
    start = str(numbers.columns["start_utc"][0])
    begin, end = numbers.numbers("begin_s"), numbers.numbers("end_s")
    edges = np.append(begin, end[-1])
    times = moments(start, edges)
    everything = float(numbers.numbers("accelerators")[0])
    held, down = (numbers.numbers(f"accelerators_{name}_mean") for name in ("held", "down"))
    drawing = style.new_figure(4.4)
    above, below = drawing.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    above.stairs(held, times, fill=True, color=style.BLUE, label="held by jobs")
    if down.any():
        above.stairs(held + down, times, baseline=held, fill=True, color=style.WINE, label="failed nodes")
    above.axhline(
        everything, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)), label="all, with spares"
    )
    above.set_ylim(0.0, 1.08 * everything)
    above.set_ylabel("accelerators")
    use = float((held * (end - begin)).sum() / ((end[-1] - begin[0]) * everything))
    style.panel(above, "a", f"accelerators in use, {style.percent(use)} of all on average")
    for name, words, how in (
        ("jobs_waiting_mean", "waiting, mean", {"fill": True, "color": style.ORANGE}),
        ("jobs_waiting_max", "waiting, most", {"baseline": None, "color": style.BLACK, "linewidth": 0.6}),
        ("jobs_running_mean", "running, mean", {"baseline": None, "color": style.BLUE, "linewidth": 0.9}),
    ):
        below.stairs(numbers.numbers(name), times, label=words, **how)
    below.set_ylim(0.0, None)
    below.margins(y=0.08)
    below.set_ylabel("jobs")
    style.panel(below, "b", "jobs in the queue")
    for axes in (above, below):
        axes.set_xlim(times[0], times[-1])
        style.plain_ticks(axes.yaxis)
        style.rule(axes, "y")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    calendar(below)
    style.headline(drawing, f"Use and queue{which}")
    style.footer(drawing, f"Means over {length_words(edges)}; most: within each stretch.\n{source}")
    return drawing
