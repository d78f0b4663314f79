"""Times between failures that are lognormal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from simtool.sim.hazards import HAZARDS, Spell, Streams
from simtool.sim.hazards.durations import Duration, sampler
from simtool.sim.hazards.kinds.checks import check_rate, refuse
from simtool.sim.hazards.renewals import ordered_firsts, renewed


@HAZARDS.register("lognormal")
@dataclass(frozen=True, slots=True, kw_only=True)
class Lognormal:
    """Life exp(mu + sigma Z) of mean 1 / rate, begun anew at the end of each repair.

    `start` says what is known of time 0. ``stationary``: units have run for long, so the time to the first
    failure is a uniform share of a life drawn with probability proportional to its length (mu + sigma^2 in
    place of mu), and failures come at 1 / mean from the start where repairs are short (D. R. Cox, "Renewal theory",
    1962). ``new``: all lives begin at 0.
    """

    rate_per_unit_s: float
    sigma: float
    start: Literal["stationary", "new"] = "stationary"

    def __post_init__(self) -> None:
        check_rate(self.rate_per_unit_s)
        if not 0.0 < self.sigma <= 10.0:
            refuse("sigma", self.sigma, "a number above 0 and at most 10")

    def arrivals(
        self, num_units: int, pace: float, streams: Streams, spell: Callable[[], Spell]
    ) -> Iterator[tuple[float, int, Spell]]:
        """As `Arrivals.arrivals`. A stationary start draws a number for every unit."""
        if self.rate_per_unit_s * pace == 0.0:
            return
        mean_s = 1.0 / (self.rate_per_unit_s * pace)
        life = Duration(mean_s=mean_s, distribution="lognormal", sigma=self.sigma)
        gaps = streams("time-to-failure")
        firsts = (
            self._stationary(num_units, mean_s, gaps)
            if self.start == "stationary"
            else ordered_firsts(num_units, 0.0, self._time_of(mean_s), gaps, streams("failed-unit"))
        )
        yield from renewed(firsts, sampler(life, streams("life")), spell)

    def _stationary(
        self, num_units: int, mean_s: float, random: np.random.Generator
    ) -> Iterator[tuple[float, int]]:
        lives_s = mean_s * np.exp(self.sigma * random.standard_normal(num_units) + self.sigma**2 / 2.0)
        first_s = lives_s * random.random(num_units)
        order = np.argsort(first_s, kind="stable")
        return zip(first_s[order].tolist(), order.tolist(), strict=True)

    def _time_of(self, mean_s: float) -> Callable[[float], float]:
        from scipy.special import ndtri_exp  # scipy is slow to import

        mu = math.log(mean_s) - self.sigma**2 / 2.0
        # The share that is left is exp(-hazard): by symmetry, Z is minus the quantile of it.
        return lambda hazard: math.exp(mu - self.sigma * float(ndtri_exp(-hazard)))
