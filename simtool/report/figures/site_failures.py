"""What stopped jobs, and the accelerator-hours that it cost, by cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Table, from_rows
from simtool.result.datacenter.overview import by_cause
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.tables import interruption_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_CAUSES = 14


def lacks(result: DatacenterResult) -> str:
    """Why there is nothing to draw; empty if there is."""
    return "" if result.outcome.interruptions else "nothing stopped a job"


def table(result: DatacenterResult) -> Table:
    """Events, jobs stopped, and accelerator-hours of work undone and of restarts, by cause."""
    return from_rows(by_cause(interruption_columns(result)))


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says that it is of several sites."""
    num = min(numbers.num_rows, MAX_CAUSES)
    names = [name.replace("_", " ") for name in numbers.texts("cause")[:num]]
    drawing = style.new_figure(1.2 + 0.26 * num)
    left, right = drawing.subplots(1, 2, sharey=True)
    events = numbers.numbers("num_events")[:num]
    left.barh(range(num), events, height=0.68, color=style.ORANGE)
    for row, count in enumerate(events):
        left.annotate(
            f"{count:,.0f}",
            (count, row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.8,
        )
    left.set_xlim(0.0, 1.2 * float(events.max()))
    left.set_xlabel("events that stopped jobs")
    style.panel(left, "a", f"{numbers.numbers('num_events').sum():,.0f} interruptions")
    base = np.zeros(num)
    for name, label, colour in (
        ("lost_work_accelerator_hours", "work undone", style.VERMILION),
        ("restart_accelerator_hours", "restarting", style.SKY),
    ):
        hours = numbers.numbers(name)[:num]
        right.barh(range(num), hours, left=base, height=0.68, color=colour, label=label)
        base += hours
    right.set_xlim(0.0, 1.1 * max(float(base.max()), 1e-9))
    right.set_xlabel("accelerator-hours lost")
    total = sum(float(numbers.numbers(name).sum()) for name in LOST)
    style.panel(right, "b", f"{total:,.0f} accelerator-hours")
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    left.set_yticks(range(num), names)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(num - 0.4, -0.6)
        style.plain_ticks(axes.xaxis, 4)
        style.rule(axes, "x")
    style.headline(drawing, f"What stopped jobs, by cause{which}")
    style.footer(drawing, source)
    return drawing


LOST = ("lost_work_accelerator_hours", "restart_accelerator_hours")
