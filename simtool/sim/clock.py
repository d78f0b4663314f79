"""SimPy's environment with absolute times: what shall happen at a time happens at exactly that float."""

from __future__ import annotations

from heapq import heappush

import simpy
from simpy.events import EventPriority

from simtool.errors import SimtoolError

FIRST = EventPriority(0)
"""Repairs, before everything else of their moment: a node that returns can be used at once."""
NORMAL = EventPriority(1)
"""Ends, submissions, detections."""
LAST = EventPriority(2)
"""Failures: what is complete at the moment of a failure is complete."""


class Moment(simpy.Event):
    """Happens at one absolute time, at which no delay was rounded."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._ok = True
        self._value = None


class Clock(simpy.Environment):
    """Simulated time. Ties are resolved by (time, priority, insertion).

    SimPy's own timeouts are delays: ten of 0.1 s end at 0.9999999999999999 s.

    >>> clock = Clock()
    >>> def wait():
    ...     for tenth in range(1, 11):
    ...         yield clock.until(tenth / 10)
    >>> _ = clock.process(wait())
    >>> clock.run()
    >>> clock.now
    1.0
    """

    def until(self, time_s: float, priority: EventPriority = NORMAL) -> Moment:
        """An event that happens at `time_s`.

        Raises:
            SimtoolError: that is in the past.
        """
        if not time_s >= self.now:
            raise SimtoolError(f"simulation: asked for {time_s} s at {self.now} s")
        moment = Moment(self)
        heappush(self._queue, (time_s, priority, next(self._eid), moment))
        return moment
