"""How fast a job gets on while some of its nodes are slow: its own time against simulated time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple


class Piece(NamedTuple):
    """A stretch at one pace."""

    t0_s: float
    t1_s: float
    """Simulated time."""
    own_s: float
    """How far the job got."""
    slowdown: float


class Pace:
    """A map between simulated time and the time that a course counts.

    All ranks wait for the slowest, in steps, saving and restarting alike: `slowdown` seconds pass for each of
    the course's. Without a slow node both are the same number, not merely close.

    >>> pace = Pace(0.0, 1.0)
    >>> pace.change(100.0, 2.0)  # a straggler from here on: half as fast
    >>> pace.change(120.0, 1.0)
    >>> pace.own_s(130.0), pace.real_s(120.0), pace.real_s(105.0)
    (120.0, 130.0, 110.0)
    """

    __slots__ = ("_own_s", "_real_s", "_slowdown")

    def __init__(self, start_s: float, slowdown: float) -> None:
        self._real_s, self._own_s, self._slowdown = [start_s], [start_s], [slowdown]

    @property
    def is_even(self) -> bool:
        """Whether no node was slow."""
        return self._slowdown == [1.0]

    def change(self, time_s: float, slowdown: float) -> None:
        """From `time_s` on, the latest so far, the slowest node takes `slowdown` times as long."""
        if time_s == self._real_s[-1]:
            self._slowdown[-1] = slowdown
        elif not (self.is_even and slowdown == 1.0):
            own_s = self.own_s(time_s)
            self._real_s.append(time_s)
            self._own_s.append(own_s)
            self._slowdown.append(slowdown)

    def mark(self, time_s: float) -> None:
        """Let the way there and back lead to exactly `time_s`, at which the course is cut."""
        self.change(time_s, self._slowdown[-1])

    def own_s(self, time_s: float) -> float:
        """The course's time at a simulated time [s]."""
        if self.is_even:
            return time_s
        at = max(bisect_right(self._real_s, time_s) - 1, 0)
        return self._own_s[at] + (time_s - self._real_s[at]) / self._slowdown[at]

    def real_s(self, own_s: float) -> float:
        """The simulated time at a time of the course [s]."""
        if self.is_even:
            return own_s
        at = max(bisect_right(self._own_s, own_s) - 1, 0)
        return self._real_s[at] + (own_s - self._own_s[at]) * self._slowdown[at]

    def pieces(self, t0_s: float, t1_s: float) -> Iterator[Piece]:
        """A stretch of the course, cut where the pace changes; `t0_s` and `t1_s` are the course's [s]."""
        inside = [edge for edge in self._own_s if t0_s < edge < t1_s]
        edges = [t0_s, *inside, t1_s]
        for begin_s, end_s in pairwise(edges):
            at = max(bisect_right(self._own_s, begin_s) - 1, 0)
            yield Piece(self.real_s(begin_s), self.real_s(end_s), end_s - begin_s, self._slowdown[at])
