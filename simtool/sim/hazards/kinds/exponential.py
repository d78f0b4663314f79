"""Failures without memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from simtool.sim.hazards import HAZARDS, Spell, Streams
from simtool.sim.hazards.kinds.checks import check_rate
from simtool.sim.hazards.renewals import BLOCK


@HAZARDS.register("exponential")
@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential:
    """At a constant rate, whatever the age: a Poisson process.

    All units together fail at the sum of their rates, each time one drawn uniformly: that is the same
    process as one of each unit. What reads the events leaves out those of units that are down.
    """

    rate_per_unit_s: float

    def __post_init__(self) -> None:
        check_rate(self.rate_per_unit_s)

    def arrivals(
        self, num_units: int, pace: float, streams: Streams, spell: Callable[[], Spell]
    ) -> Iterator[tuple[float, int, Spell]]:
        """As `Arrivals.arrivals`."""
        rate = self.rate_per_unit_s * pace * num_units
        if rate == 0.0:
            return
        gaps, which = streams("time-to-failure"), streams("failed-unit")
        passed = 0.0
        while True:
            sums = passed + np.cumsum(gaps.standard_exponential(BLOCK))
            passed = float(sums[-1])
            units = which.integers(num_units, size=BLOCK)
            with np.errstate(over="ignore"):  # at rates next to nothing the time is infinite: no failure
                times_s = sums / rate
            for time_s, unit in zip(times_s.tolist(), units.tolist(), strict=True):
                if math.isinf(time_s):
                    return
                yield time_s, unit, spell()
