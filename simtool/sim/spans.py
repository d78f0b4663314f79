"""The pieces of a course: stretches of one activity, and equal periods of work and stop."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from simtool.ledger import Pattern
from simtool.ledger.sums import FloatArray


class Stretch(NamedTuple):
    """One interval in which a job followed one pattern."""

    t0_s: float
    t1_s: float
    pattern: Pattern


class Series(NamedTuple):
    """Many such intervals, in order."""

    t0_s: FloatArray
    t1_s: FloatArray
    pattern: Pattern


class Span(NamedTuple):
    """Equal periods one after the other: `stride` steps of one phase, then a stop of `stop_s`.

    Period i, from 0, begins at t0_s + i x (work_s + stop_s).
    """

    t0_s: float
    first_step: int
    stride: int
    num_periods: int
    phase: int
    work_s: float
    """Of one period."""
    stop_s: float
    durable_after_s: float
    """From the begin of a period until the state at the end of its work is durable; inf: never."""

    @property
    def period_s(self) -> float:
        """Work and stop."""
        return self.work_s + self.stop_s

    @property
    def end_s(self) -> float:
        """Of the last period."""
        return self.t0_s + self.num_periods * self.period_s

    def num_whole_by(self, time_s: float) -> int:
        """Number of periods that have ended by `time_s`."""
        if time_s == math.inf:
            return self.num_periods
        num = min(max(math.floor((time_s - self.t0_s) / self.period_s), 0), self.num_periods)
        while num < self.num_periods and self.t0_s + (num + 1) * self.period_s <= time_s:
            num += 1
        while num > 0 and self.t0_s + num * self.period_s > time_s:
            num -= 1
        return num

    def num_durable_by(self, time_s: float) -> int:
        """Number of periods whose work is saved by `time_s`."""
        if self.durable_after_s == math.inf:
            return 0
        whole = self.num_whole_by(time_s)
        while whole > 0 and self.t0_s + (whole - 1) * self.period_s + self._drained_after_s > time_s:
            whole -= 1
        return whole

    def num_copied_by(self, time_s: float) -> int:
        """Number of periods whose work was done, and the stop for it begun, by `time_s`."""
        whole = self.num_whole_by(time_s)
        copied_s = self.t0_s + whole * self.period_s + self.work_s
        return whole + 1 if whole < self.num_periods and copied_s <= time_s else whole

    @property
    def _drained_after_s(self) -> float:
        """As `durable_after_s`, minus infinity where a state is durable as soon as its period ends."""
        return self.durable_after_s if self.durable_after_s > self.period_s else -math.inf


def written_copies(
    spans: Sequence[Span], copies_per_write: int, begun_by_s: float
) -> Iterator[tuple[float, int]]:
    """The last copy of each span that goes to the store: its time and its steps, of those begun by a time."""
    num_before = 0
    for span in spans:
        if span.durable_after_s == math.inf:
            continue
        num = span.num_copied_by(begun_by_s)
        num -= (num_before + num) % copies_per_write
        if num > 0:
            yield span.t0_s + (num - 1) * span.period_s + span.work_s, span.first_step + num * span.stride
        num_before += span.num_periods
