"""What a part of a suite is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol

from simtool.engine.suites.bench import Bench
from simtool.engine.suites.point import Point

Row = dict[str, Any]


class Part(Protocol):
    """Points of one kind, in the order in which they are worth most.

    A run that is cut short has measured the first points of every part, so the order goes from coarse
    to fine and depends on the seed alone.
    """

    name: ClassVar[str]
    share: ClassVar[float]
    """Of the time of the suite."""

    def points(self, bench: Bench) -> Sequence[Point]:
        """All points; nothing is measured yet."""

    def measure(self, bench: Bench, point: Point) -> Row:
        """The row of one point.

        Raises:
            Unmeasurable: the device cannot do it; the suite goes on with the next point.
        """


class Unmeasurable(Exception):  # noqa: N818 - a finding, not a failure
    """A point that this device cannot do, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
