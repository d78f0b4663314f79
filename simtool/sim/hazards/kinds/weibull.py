"""Failures that depend on age: infant mortality or wear."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from simtool.sim.hazards import HAZARDS, Spell, Streams
from simtool.sim.hazards.kinds.checks import check_rate, refuse
from simtool.sim.hazards.renewals import exponentials, ordered_firsts, renewed


@HAZARDS.register("weibull")
@dataclass(frozen=True, slots=True, kw_only=True)
class Weibull:
    """Life of shape k: P(life > t) = exp(-(t / scale)^k); k below 1 is infant mortality, above it wear.

    scale = mean / Gamma(1 + 1/k) with mean = 1 / rate. With `renews`, a unit is as new after each repair and
    its next life begins at the end of the repair: the long-run rate is 1 / (mean + down time). Without, a repair
    leaves its age as it was (minimal repair): failures of n units are a Poisson process of mean
    n ((age + t) / scale)^k, and the rate changes with age for good. Shapes of 0.7 to 0.8 fit node failures of
    supercomputers: B. Schroeder and G. A. Gibson, IEEE Transactions on Dependable and Secure Computing 7(4), 2010.
    """

    rate_per_unit_s: float
    """Over the mean of a life."""
    shape: float
    age_s: float = 0.0
    """Of all units, at time 0."""
    renews: bool = True

    def __post_init__(self) -> None:
        check_rate(self.rate_per_unit_s)
        if not 0.1 <= self.shape <= 100.0:
            refuse("shape", self.shape, "a number from 0.1 to 100")
        if not 0.0 <= self.age_s < math.inf:
            refuse("age_s", self.age_s, "a finite time of at least 0 s")

    def scale_s(self, pace: float = 1.0) -> float:
        """Time by which 1 - 1/e of new units have failed [s]."""
        return 1.0 / (self.rate_per_unit_s * pace * math.gamma(1.0 + 1.0 / self.shape))

    def arrivals(
        self, num_units: int, pace: float, streams: Streams, spell: Callable[[], Spell]
    ) -> Iterator[tuple[float, int, Spell]]:
        """As `Arrivals.arrivals`."""
        if self.rate_per_unit_s * pace == 0.0:
            return
        scale_s = self.scale_s(pace)
        begin = (self.age_s / scale_s) ** self.shape

        def time_of(hazard: float) -> float:
            # Where the hazard has grown by next to nothing, rounding may not lead back before the start.
            return max(0.0, scale_s * math.pow(hazard, 1.0 / self.shape) - self.age_s)

        if self.renews:
            lives = exponentials(streams("life"))
            firsts = ordered_firsts(
                num_units, begin, time_of, streams("time-to-failure"), streams("failed-unit")
            )
            yield from renewed(firsts, lambda: scale_s * next(lives) ** (1.0 / self.shape), spell)
            return
        which, hazard = streams("failed-unit"), begin
        for draw in exponentials(streams("time-to-failure")):
            hazard += draw / num_units
            yield time_of(hazard), int(which.integers(num_units)), spell()
