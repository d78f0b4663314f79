"""One optimizer step, part by part, in the order of the critical path."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simtool.report import style
from simtool.report.table import Cell, Table, from_rows
from simtool.result.result import Result
from simtool.step.estimate import STEP_STATES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ORDER = (
    "data",
    "forward",
    "recompute",
    "backward_input",
    "backward_weight",
    "launch",
    "tensor_communication",
    "context_communication",
    "expert_communication",
    "pipeline_communication",
    "bubble",
    "straggler",
    "data_communication",
    "optimizer",
    "host",
)
"""Parts as a step passes through them; what happens many times in a step is drawn as its sum."""
NAMES = {
    "data": "data loading",
    "forward": "forward",
    "recompute": "recomputation",
    "backward_input": "backward, inputs",
    "backward_weight": "backward, weights",
    "launch": "waiting for launches",
    "tensor_communication": "exposed tensor-parallel communication",
    "context_communication": "exposed context-parallel communication",
    "expert_communication": "exposed exchange between experts",
    "pipeline_communication": "exposed pipeline communication",
    "data_communication": "exposed data-parallel communication",
    "bubble": "pipeline bubble",
    "straggler": "waiting for the slowest rank",
    "optimizer": "optimizer",
    "host": "host work",
}
STATE_OF = {part: state for state, parts in STEP_STATES.items() for part in parts}
GROUPS = {"compute": "compute", "exposed_communication": "exposed communication", "bubble": "waiting"}


def table(result: Result) -> Table:
    """Begin and duration of every part of the mean step, without and with the method [s]."""
    runs = [("run", result)] if result.reference is None else [("without method", result.reference)]
    if result.reference is not None:
        runs.append(("with method", result))
    rows: list[dict[str, Cell]] = []
    for name, run in runs:
        begin_s = 0.0
        for part in ORDER:
            duration_s = mean_seconds(run, part)
            rows.append(
                {
                    "run": name,
                    "part": part,
                    "state": STATE_OF[part],
                    "begin_s": begin_s,
                    "duration_s": duration_s,
                }
            )
            begin_s += duration_s
    return from_rows(rows)


def mean_seconds(result: Result, part: str) -> float:
    """Duration of one part, averaged over the steps of all phases of training [s]."""
    steps = sum(phase.num_steps for phase in result.phases)
    return sum(phase.num_steps * float(phase.estimate.seconds[part]) for phase in result.phases) / steps


def figure(result: Result) -> Figure:
    """Each part of the step as a bar that begins where the one before ended."""
    return draw(table(result), source="")


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    runs = [str(run) for run in numbers.unique("run")]
    totals = {run: float(numbers.where("run", run).numbers("duration_s").sum()) for run in runs}
    longest = max(totals.values())
    kept = [
        part
        for part in ORDER
        if any(
            float(numbers.where("part", part).where("run", run).numbers("duration_s")[0]) > 1e-4 * longest
            for run in runs
        )
    ]
    scale, unit = style.axis_unit(longest, style.SHORT_TIME)
    drawing = style.new_figure(0.75 + len(runs) * (0.35 + 0.185 * len(kept)))
    axes = drawing.subplots(len(runs), 1, sharex=True, squeeze=False)[:, 0]
    for place, run, letter in zip(axes, runs, "abcd", strict=False):
        of_run = numbers.where("run", run)
        _bars(place, of_run, kept, scale, totals[run])
        if len(runs) > 1:
            style.panel(place, letter, f"{run}: {totals[run] / scale:.4g} {unit}")
    axes[-1].set_xlabel(f"time since the step began ({unit}); each part is the sum over the step")
    axes[0].set_xlim(0, longest / scale * 1.13)
    style.key(axes[0], {name: style.STATE_COLOURS[state] for state, name in GROUPS.items()}, loc="lower left")
    length = f", {totals[runs[0]] / scale:.4g} {unit}" if len(runs) == 1 else ""
    style.headline(drawing, f"One training step part by part{length}")
    style.footer(drawing, source)
    return drawing


def _bars(axes: Axes, numbers: Table, kept: list[str], scale: float, total_s: float) -> None:
    for row, part in enumerate(kept):
        of_part = numbers.where("part", part)
        begin, length = (float(of_part.numbers(name)[0]) / scale for name in ("begin_s", "duration_s"))
        axes.barh(row, length, left=begin, height=0.74, color=style.STATE_COLOURS[STATE_OF[part]])
        if length > 0:
            axes.annotate(
                style.percent(length * scale / total_s),
                (begin + length, row),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
            )
    axes.set_yticks(range(len(kept)), [NAMES[part] for part in kept])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(kept) - 0.45, -0.55)
    style.rule(axes, "x")
