"""What a job would do from a moment on if nothing happened to it: arithmetic instead of events.

Work is a time, at full speed on the reference pool. A job without checkpoints works straight on; one with
checkpoints works an interval, stops to save, and so on, and ends with its last state saved.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from simtool.ledger import Pattern, lost
from simtool.ledger.sums import FloatArray
from simtool.sim.fleet.plan import PoolUse

ROUNDING = 1e-9
"""A checkpoint due within this fraction of an interval before the end is the last one."""


class Position(NamedTuple):
    """Where a course is at a moment."""

    done_s: float
    """Work done."""
    durable_s: float
    """Work that no failure can undo."""
    activity: Pattern
    lead_left_s: float
    """What is left of a stop: a restart, or a checkpoint's."""
    in_flight: tuple[float, float] | None
    """A save that is not durable yet: when it will be, and the work in it."""


class Piece(NamedTuple):
    """One interval of one activity."""

    t0_s: float
    t1_s: float
    pattern: Pattern
    done_s: float
    """Work done at its end; not a number where it is no work."""


class Course:
    """A job from `start_s` on."""

    __slots__ = (
        "_drained_s",
        "_end_s",
        "_first_s",
        "_gap_s",
        "_in_flight",
        "_lead",
        "_num",
        "_stop_s",
        "_stopping",
        "begin_s",
        "done_s",
        "durable_s",
        "lead_s",
        "pattern",
        "speed",
        "start_s",
        "total_s",
    )

    def __init__(
        self,
        use: PoolUse,
        total_s: float,
        start_s: float,
        *,
        point: int = 0,
        slowed: float = 1.0,
        done_s: float = 0.0,
        durable_s: float = 0.0,
        saved_at_s: float | None = None,
        lead_s: float = 0.0,
        lead: Pattern | None = None,
        in_flight: tuple[float, float] | None = None,
    ) -> None:
        """Begin, or go on.

        Args:
            use: how the job runs on its pool.
            total_s: all its work [s].
            start_s: now [s].
            point: at which of the use's operating points.
            slowed: further factor on its speed.
            done_s: work already done [s].
            durable_s: of it, what is saved [s].
            saved_at_s: work at which the last save began; `done_s` if None [s].
            lead_s: time before work goes on [s].
            lead: what devices do in that time; None: as when working, in vain.
            in_flight: a save that is not durable yet.
        """
        self.start_s, self.lead_s = start_s, lead_s
        self.done_s, self.durable_s, self.total_s, self._in_flight = done_s, durable_s, total_s, in_flight
        speed, self.pattern = use.points[point]
        self._lead = lead or lost(self.pattern)
        self.speed = speed = speed * slowed
        self.begin_s = begin_s = start_s + lead_s
        left_s = total_s - done_s
        self._num = 0
        saving = use.checkpoint
        if saving is None or saving.interval_s is None:
            self._stop_s = self._gap_s = 0.0
            self._drained_s, self._first_s, self._stopping = math.inf, left_s, None
            self._end_s = begin_s + left_s / speed
            return
        self._stopping, self._stop_s, self._drained_s = saving.pattern, saving.stop_s, saving.durable_s
        gap_s = max(saving.interval_s, (saving.durable_s - saving.stop_s) * speed)
        self._gap_s = gap_s = min(gap_s, total_s) if total_s > 0 else gap_s
        since_s = done_s - (done_s if saved_at_s is None else saved_at_s)
        self._first_s = first_s = max(gap_s - since_s, 0.0)
        if left_s > first_s:
            self._num = max(math.ceil((left_s - first_s) / gap_s - ROUNDING), 0)
        self._end_s = begin_s + left_s / speed + self._num * self._stop_s + self._drained_s

    @property
    def end_s(self) -> float:
        """When the job is done and, with checkpoints, its last state is safe."""
        return self._end_s

    def _whole(self, since_s: float) -> tuple[int, float]:
        """Stops that are over after `since_s` of work and stops, and the time since the last of them."""
        head_s = self._first_s / self.speed + self._stop_s
        if self._num == 0 or since_s < head_s:
            return 0, since_s
        period_s = self._gap_s / self.speed + self._stop_s
        num = min(1 + math.floor((since_s - head_s) / period_s), self._num)
        return num, since_s - head_s - (num - 1) * period_s

    def _segment_s(self, index: int) -> float:
        """Work between two stops."""
        if index < self._num:
            return self._gap_s if index else self._first_s
        before_s = self._first_s + (self._num - 1) * self._gap_s if self._num else 0.0
        return self.total_s - self.done_s - before_s

    def num_durable(self, time_s: float) -> int:
        """Checkpoints of this course, the last state's not counted, that are safe by a time."""
        since_s = time_s - self.begin_s - self._first_s / self.speed - self._drained_s
        if self._num == 0 or since_s < 0.0:
            return 0
        return min(1 + math.floor(since_s / (self._gap_s / self.speed + self._stop_s)), self._num)

    def at(self, time_s: float) -> Position:
        """Where it is, from its start up to its end."""
        in_flight = self._in_flight
        durable_s = self.durable_s
        if in_flight is not None and in_flight[0] <= time_s:
            durable_s, in_flight = in_flight[1], None
        since_s = time_s - self.begin_s
        if since_s < 0.0:
            return Position(self.done_s, durable_s, self._lead, -since_s, in_flight)
        num, rest_s = self._whole(since_s)
        segment_s = self._segment_s(num)
        before_s = self._first_s + (num - 1) * self._gap_s if num else 0.0
        worked_s = min(rest_s * self.speed, segment_s)
        done_s = self.done_s + before_s + worked_s
        safe = self.num_durable(time_s)
        if safe:
            durable_s = self.done_s + self._first_s + (safe - 1) * self._gap_s
            in_flight = None
        stopped_s = rest_s - segment_s / self.speed
        begun = num + (self._stopping is not None and stopped_s >= 0.0)
        if begun > safe and self._stopping is not None:
            work_s = self.done_s + self._first_s + (begun - 1) * self._gap_s
            in_flight = (self._end_of(begun - 1) + self._drained_s, min(work_s, self.total_s))
        if self._stopping is not None and stopped_s >= 0.0:
            stop_s = self._drained_s if num == self._num else self._stop_s
            return Position(done_s, durable_s, self._stopping, max(stop_s - stopped_s, 0.0), in_flight)
        return Position(done_s, durable_s, self.pattern, 0.0, in_flight)

    def saved_at_s(self, time_s: float) -> float:
        """Work at which the last save began, before a time; `durable_s` if none did."""
        num, rest_s = self._whole(max(time_s - self.begin_s, 0.0))
        begun = num + (self._num > num and rest_s * self.speed >= self._segment_s(num))
        if begun:
            return self.done_s + self._first_s + (begun - 1) * self._gap_s
        gap_s = max(self._gap_s - self._first_s, 0.0)
        return self.done_s - gap_s

    def pieces(self, time_s: float, skip: int = 0) -> list[Piece]:
        """All it did until a time, in order, without the first `skip` stretches of work and their stops."""
        if self._stopping is None and self.lead_s == 0.0:
            until_s = min(self._end_of(0), time_s)
            worked_s = min(self.total_s - self.done_s, (time_s - self.begin_s) * self.speed)
            done_s = self.done_s + worked_s
            return [Piece(self.begin_s, until_s, self.pattern, done_s)] if until_s > self.begin_s else []
        found: list[Piece] = []

        def add(t0_s: float, t1_s: float, pattern: Pattern | None, done_s: float) -> None:
            if min(t1_s, time_s) > t0_s and pattern is not None:
                found.append(Piece(t0_s, min(t1_s, time_s), pattern, done_s))

        add(self.start_s, self.begin_s, self._lead, math.nan)
        num, rest_s = self._whole(max(time_s - self.begin_s, 0.0))
        at_s, done_s = self.begin_s, self.done_s
        if skip:
            at_s = self._end_of(skip - 1) + self._stop_s
            done_s += self._first_s + (skip - 1) * self._gap_s
        for index in range(skip, num + 1):
            segment_s = self._segment_s(index)
            worked_s = segment_s if index < num else min(segment_s, rest_s * self.speed)
            done_s += worked_s
            until_s = self._end_of(index)
            add(at_s, until_s, self.pattern, done_s)
            stop_s = self._stop_s if index < self._num else self._drained_s
            add(until_s, until_s + stop_s, self._stopping, math.nan)
            at_s = until_s + stop_s
        return found

    def _end_of(self, index: int) -> float:
        """When the work between two stops ends."""
        work_s = self.total_s - self.done_s if index >= self._num else self._first_s + index * self._gap_s
        return self.begin_s + work_s / self.speed + index * self._stop_s

    def regular(self, num: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Begins and ends of the first `num` (at least one) stretches of work, and the ends of the stops after."""
        index = np.arange(num)
        ends = self.begin_s + (self._first_s + index * self._gap_s) / self.speed + index * self._stop_s
        begins = np.concatenate([[self.begin_s], ends[:-1] + self._stop_s])
        return begins, ends, ends + self._stop_s
