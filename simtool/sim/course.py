"""What a job would do if nothing failed: steps and checkpoints, as arithmetic instead of events.

A `Course` belongs to a job: where its checkpoints lie. An `Attempt` is the course from one durable state
and one moment on, to be cut at the moment at which a failure ends it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from simtool.ledger import Pattern, lost
from simtool.sim.plan import CheckpointPlan, JobPlan
from simtool.sim.spans import Series, Span, Stretch, written_copies

ROUNDING_STEPS = 1e-9
"""A write that ends this fraction of a step after a step ends with it."""


class Cut(NamedTuple):
    """What came of an attempt until it was cut."""

    stretches: tuple[Stretch, ...]
    series: tuple[Series, ...]
    """Regular work and stops; with `stretches`, all that was done, in no order of time."""
    durable_step: int
    """Steps whose work is saved."""
    num_checkpoints: int
    """Checkpoints of this attempt that became durable."""


class Course:
    """The steps of a job and where its checkpoints lie, from any durable state on."""

    def __init__(self, job: JobPlan, checkpoint: CheckpointPlan, restart_pattern: Pattern) -> None:
        self.checkpoint, self.restart_pattern = checkpoint, restart_pattern
        self.patterns = tuple(phase.pattern for phase in job.phases)
        self.lost_patterns = tuple(lost(pattern) for pattern in self.patterns)
        self.step_times_s = tuple(phase.step_time_s for phase in job.phases)
        self._ends: list[int] = []
        self._begins: list[int] = []
        self._begin_work_s: list[float] = []
        step = 0
        lengths_s: list[float] = []
        for phase in job.phases:
            self._begins.append(step)
            self._begin_work_s.append(math.fsum(lengths_s))
            step += phase.num_steps
            self._ends.append(step)
            lengths_s.append(phase.work_s)
        self.num_steps = step
        self.total_work_s = math.fsum(lengths_s)
        self.strides = tuple(self._stride(step_time_s) for step_time_s in self.step_times_s)
        self.copies_per_write = self._copies_per_write()

    def _stride(self, step_time_s: float) -> int:
        """Whole steps between two checkpoints inside a phase."""
        if self.checkpoint.interval_s is None:
            return self.num_steps
        nearest = math.floor(min(self.checkpoint.interval_s, self.total_work_s) / step_time_s + 0.5)
        writing = math.ceil(min(self._drain_s, self.total_work_s) / step_time_s - ROUNDING_STEPS)
        return min(max(1, nearest, writing), self.num_steps)

    def _copies_per_write(self) -> int:
        """Every how many copies in memory one is written to the store; 1 for other kinds."""
        plan = self.checkpoint
        if plan.kind != "in-memory" or plan.interval_s is None:
            return 1
        works_s = [stride * step_s for stride, step_s in zip(self.strides, self.step_times_s, strict=True)]
        nearest = math.floor(plan.persistent_interval_s / min(works_s) + 0.5)
        writing = math.ceil(plan.write_s / (min(works_s) + plan.stop_s) - ROUNDING_STEPS)
        return max(1, nearest, writing)

    @property
    def _drain_s(self) -> float:
        """Time that a write goes on while training goes on."""
        return self.checkpoint.durable_s - self.checkpoint.stop_s

    def work_s(self, step: int) -> float:
        """Time of the steps before `step`, without any interruption."""
        phase = self._phase(step)
        return self._begin_work_s[phase] + (step - self._begins[phase]) * self.step_times_s[phase]

    def _phase(self, step: int) -> int:
        """The phase in which `step` lies; the last one for the end."""
        return min(bisect_right(self._ends, step), len(self._ends) - 1)

    def _position(self, work_s: float) -> float:
        """Steps, as a real number, that take `work_s`."""
        phase = bisect_right(self._begin_work_s, work_s) - 1
        return self._begins[phase] + (work_s - self._begin_work_s[phase]) / self.step_times_s[phase]

    def _due(self, step: int) -> int:
        """Where the checkpoint after one at `step` lies, if phases change in between."""
        interval_s = min(self.checkpoint.interval_s or 0.0, self.total_work_s)
        drain_s = min(self._drain_s, self.total_work_s)
        nearest = math.floor(self._position(self.work_s(step) + interval_s) + 0.5)
        written = math.ceil(self._position(self.work_s(step) + drain_s) - ROUNDING_STEPS)
        return min(max(step + 1, nearest, written), self.num_steps)

    def attempt(self, step: int, start_s: float, restart_s: float) -> Attempt:
        """The course from the durable state `step`, begun at `start_s` with a restart of `restart_s`."""
        spans: list[Span] = []
        work_from_s, first_step = start_s + restart_s, step
        now_s, previous = work_from_s, None
        while step < self.num_steps:
            phase = self._phase(step)
            stride = self.strides[phase]
            end = self._ends[phase]
            room = end - 1 - step  # a checkpoint at a phase's end depends on the steps behind it
            if self.checkpoint.interval_s is None:
                spans.append(self._span(now_s, step, end - step, 1, phase, None))
                step = end
            elif room >= stride:
                spans.append(self._span(now_s, step, stride, room // stride, phase, self.checkpoint.stop_s))
                step += room // stride * stride
                previous = step
            else:
                due = self._due(step)
                spans += self._across(now_s, step, due, previous, self._written_by_s(spans))
                step = previous = due
            now_s = spans[-1].end_s
        return Attempt(self, start_s, work_from_s, first_step, tuple(spans))

    def _written_by_s(self, spans: list[Span]) -> float:
        if self.checkpoint.kind != "in-memory":
            return -math.inf
        copied_s = [time_s for time_s, _ in written_copies(spans, self.copies_per_write, math.inf)]
        return max(copied_s, default=-math.inf) + self.checkpoint.write_s

    def _across(
        self, now_s: float, step: int, due: int, previous: int | None, written_by_s: float
    ) -> list[Span]:
        """Work up to the next checkpoint at `due`, phase by phase, and that checkpoint.

        `previous`: where the one before lies, if there is one; `written_by_s`: when the latest copy of memory
        will be in the store.
        """
        stop_s = self.checkpoint.stop_s
        if due == self.num_steps:
            # The job waits for its last checkpoint, which waits for a write that is still under way.
            written_s = 0.0 if previous is None else self.work_s(due) - self.work_s(previous)
            under_way_s = 0.0 if previous is None else max(0.0, self._drain_s - written_s)
            stop_s = self.checkpoint.durable_s + under_way_s
            if self.checkpoint.kind == "in-memory":
                ends_s = now_s + self.work_s(due) - self.work_s(step)
                stop_s = max(stop_s, self.checkpoint.write_s + max(0.0, written_by_s - ends_s))
        spans = []
        while step < due:
            phase = self._phase(step)
            upto = min(self._ends[phase], due)
            spans.append(self._span(now_s, step, upto - step, 1, phase, stop_s if upto == due else None))
            now_s, step = spans[-1].end_s, upto
        return spans

    def _span(
        self, t0_s: float, step: int, stride: int, count: int, phase: int, stop_s: float | None
    ) -> Span:
        """Periods with a stop of `stop_s` for a checkpoint each, or without a checkpoint (None)."""
        work_s = stride * self.step_times_s[phase]
        if stop_s is None:
            return Span(t0_s, step, stride, count, phase, work_s, 0.0, math.inf)
        durable_after_s = work_s + max(stop_s, self.checkpoint.durable_s)
        return Span(t0_s, step, stride, count, phase, work_s, stop_s, durable_after_s)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A course with its times: a restart, then spans."""

    course: Course
    start_s: float
    work_from_s: float
    first_step: int
    """The durable state from which it begins."""
    spans: tuple[Span, ...]
    """None where all was done before, and a restart is all that is left."""

    @property
    def end_s(self) -> float:
        """When all is done, if nothing fails."""
        return self.spans[-1].end_s if self.spans else self.work_from_s

    def steps_by(self, time_s: float) -> int:
        """Steps that are done by `time_s`, saved or not."""
        done = self.first_step
        for span in self.spans:
            if span.t0_s > time_s:
                break
            whole = span.num_whole_by(time_s)
            done = span.first_step + whole * span.stride
            if whole < span.num_periods:
                worked_s = min(time_s - (span.t0_s + whole * span.period_s), span.work_s)
                step_s = self.course.step_times_s[span.phase]
                done += min(math.floor(worked_s / step_s + ROUNDING_STEPS), span.stride)
        return done

    def copied_step(self, time_s: float) -> int:
        """Steps whose state was copied or began to be saved by `time_s`, whatever became of the copy."""
        step = self.first_step
        for span in self.spans:
            if span.durable_after_s < math.inf:
                num = span.num_copied_by(time_s)
                step = span.first_step + num * span.stride if num else step
        return step

    def written_step(self, time_s: float, before_step: int) -> int:
        """In-memory checkpoints: steps whose state is in the store by `time_s`; `before_step` were before."""
        plan = self.course.checkpoint
        if time_s >= self.end_s:
            return self.course.num_steps
        copies = written_copies(self.spans, self.course.copies_per_write, time_s - plan.write_s)
        return max((step for _, step in copies), default=before_step)

    def cut(self, time_s: float, kept_step: int | None = None) -> Cut:
        """What had come of the attempt by `time_s`: work that is saved, work that is lost, stops.

        Args:
            time_s: when it ended.
            kept_step: what is kept of it in the end, if not what was saved by then: less where that is undone
                later, more where the job saved its state after it stopped.
        """
        restart = Stretch(self.start_s, min(self.work_from_s, time_s), self.course.restart_pattern)
        stretches, series = [restart], list[Series]()
        begun = [span for span in self.spans if span.t0_s < time_s]
        durable_step, num_checkpoints = self.first_step, 0
        for span in begun:
            num = span.num_durable_by(time_s)
            num_checkpoints += num
            if num:
                durable_step = span.first_step + num * span.stride
        if time_s >= self.end_s:
            durable_step = self.course.num_steps
        if kept_step is not None:
            durable_step = max(kept_step, self.first_step)
        for span in begun:
            whole = span.num_whole_by(time_s)
            useful = min(max((durable_step - span.first_step) // span.stride, 0), whole)
            if span.stop_s == 0.0:
                stretches += self._merged(span, useful, whole)
            elif whole:
                series += self._periods(span, useful, whole)
            if whole < span.num_periods:
                stretches += self._unfinished(span, whole, time_s, durable_step)
        return Cut(
            stretches=tuple([stretch for stretch in stretches if stretch.t1_s > stretch.t0_s]),
            series=tuple([_real(intervals) for intervals in series if len(intervals.t0_s)]),
            durable_step=durable_step,
            num_checkpoints=num_checkpoints,
        )

    def activity(self, time_s: float) -> Pattern:
        """What goes on at `time_s`; at the border of two, the first."""
        if not self.spans or (time_s <= self.work_from_s and self.work_from_s > self.start_s):
            return self.course.restart_pattern
        span = self.spans[max(bisect_right(self.spans, time_s, key=lambda span: span.t0_s) - 1, 0)]
        into_period_s = time_s - (span.t0_s + span.num_whole_by(time_s) * span.period_s)
        if into_period_s > span.work_s:
            return self.course.checkpoint.pattern
        return self.course.patterns[span.phase]

    def _merged(self, span: Span, useful: int, whole: int) -> tuple[Stretch, Stretch]:
        """Whole periods without stops: the useful ones, the lost ones."""
        useful_until_s = span.t0_s + useful * span.period_s
        return (
            Stretch(span.t0_s, useful_until_s, self.course.patterns[span.phase]),
            Stretch(useful_until_s, span.t0_s + whole * span.period_s, self.course.lost_patterns[span.phase]),
        )

    def _periods(self, span: Span, useful: int, whole: int) -> tuple[Series, Series, Series]:
        """Whole periods with stops: useful work, lost work, stops."""
        edges_s = span.t0_s + np.arange(whole + 1, dtype=np.float64) * span.period_s
        stops_s = np.minimum(edges_s[:-1] + span.work_s, edges_s[1:])
        return (
            Series(edges_s[:useful], stops_s[:useful], self.course.patterns[span.phase]),
            Series(edges_s[useful:-1], stops_s[useful:], self.course.lost_patterns[span.phase]),
            Series(stops_s, edges_s[1:], self.course.checkpoint.pattern),
        )

    def _unfinished(
        self, span: Span, whole: int, time_s: float, durable_step: int
    ) -> tuple[Stretch, Stretch, Stretch]:
        """The period that was cut: work that was saved after all, lost work, a stop in vain."""
        begin_s = span.t0_s + whole * span.period_s
        stop_s = min(begin_s + span.work_s, time_s)
        num_kept = max(0, durable_step - span.first_step - whole * span.stride)
        kept_s = min(begin_s + num_kept * self.course.step_times_s[span.phase], stop_s)
        return (
            Stretch(begin_s, kept_s, self.course.patterns[span.phase]),
            Stretch(kept_s, stop_s, self.course.lost_patterns[span.phase]),
            Stretch(stop_s, time_s, self.course.checkpoint.pattern),
        )


def _real(intervals: Series) -> Series:
    """Without intervals that rounding left without length."""
    keep = intervals.t1_s > intervals.t0_s
    if keep.all():
        return intervals
    return Series(intervals.t0_s[keep], intervals.t1_s[keep], intervals.pattern)
