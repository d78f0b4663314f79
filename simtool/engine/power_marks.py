"""Power by phase: the meter is read at the borders of phases, now and then, and the readings are summed up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from simtool.engine.power.meter import EnergyReport

MARK_EVERY_S = 0.25
"""Between two steps whose phases are marked: long steps all are, of short ones a few, so that reading a counter a
dozen times in a step costs next to nothing."""
BETWEEN = ""
"""Label of what lies between phases."""
Mark = Callable[[str], Any]


class PhaseMarks:
    """Hands out the meter's `mark` for steps whose phases are to be told apart.

    Args:
        meter: None or a modelled one gives no marks: its energy follows from time alone.
        clock: seconds on the wall.
    """

    def __init__(self, meter: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._meter, self._clock = meter, clock
        self._due_s = -math.inf

    def for_step(self) -> Mark | None:
        """The mark for the step that begins, or None if its phases are not told apart."""
        mark: Mark | None = getattr(self._meter, "mark", None)
        if mark is None or self._meter.kind != "measured" or (now_s := self._clock()) < self._due_s:
            return None
        self._due_s = now_s + MARK_EVERY_S
        return mark


def power_by_phase(report: EnergyReport) -> dict[str, tuple[float, float]]:
    """Mean power of every phase over the marked steps, and its standard error [W].

    Errors of single intervals come from where a mark falls between two ticks of the counter, so they are
    independent and add in squares. What was not measured is left out.
    """
    sums: dict[str, list[float]] = {}
    for one in report.intervals:
        if one.label == BETWEEN or one.kind != "measured" or not math.isfinite(one.energy_j):
            continue
        held = sums.setdefault(one.label, [0.0, 0.0, 0.0])
        held[0] += one.energy_j
        held[1] += one.error_j**2
        held[2] += one.duration_s
    return {
        label: (energy_j / duration_s, math.sqrt(square_j) / duration_s)
        for label, (energy_j, square_j, duration_s) in sums.items()
        if duration_s > 0.0
    }
