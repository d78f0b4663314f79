"""Windows at times that are fixed in advance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count

from simtool.sim.hazards import HAZARDS, Spell, Streams
from simtool.sim.hazards.kinds.checks import refuse


@HAZARDS.register("periodic")
@dataclass(frozen=True, slots=True, kw_only=True)
class Periodic:
    """One round over all units at `first_s`, and again every `period_s`.

    Unit i of a round follows at i x `stagger_s`: 0 takes all at once, the length of a window rolls through the
    cluster one unit after the other. Nothing is random.
    """

    first_s: float
    period_s: float | None = None
    """None: once."""
    stagger_s: float = 0.0

    def __post_init__(self) -> None:
        for field, value in (("first_s", self.first_s), ("stagger_s", self.stagger_s)):
            if not 0.0 <= value < math.inf:
                refuse(field, value, "a finite time of at least 0 s")
        if self.period_s is not None and not 0.0 < self.period_s < math.inf:
            refuse("period_s", self.period_s, "a finite time above 0 s, or none")

    @property
    def rate_per_unit_s(self) -> float:
        """Rounds over time [1/s]."""
        return 0.0 if self.period_s is None else 1.0 / self.period_s

    def arrivals(
        self, num_units: int, pace: float, streams: Streams, spell: Callable[[], Spell]
    ) -> Iterator[tuple[float, int, Spell]]:
        """As `Arrivals.arrivals`; `pace` changes nothing.

        Raises:
            InputError: a round is not over when the next begins.
        """
        if self.period_s is not None and (num_units - 1) * self.stagger_s >= self.period_s:
            allowed = f"above {(num_units - 1) * self.stagger_s:g} s, in which one round takes all {num_units} units"
            refuse("period_s", self.period_s, allowed)
        for turn in count() if self.period_s is not None else range(1):
            begin_s = self.first_s + turn * (self.period_s or 0.0)
            for unit in range(num_units):
                yield begin_s + unit * self.stagger_s, unit, spell()
