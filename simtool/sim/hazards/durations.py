"""How long something takes: constant, exponential, lognormal, or one of several."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

Distribution = Literal["constant", "exponential", "lognormal"]

BLOCK = 64
"""Random numbers drawn at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A time of one of the distributions, given by its mean.

    Lognormal: exp(mu + sigma Z) with mu = ln(mean) - sigma^2 / 2. Repair times of computers are closest to it:
    B. Schroeder and G. A. Gibson, "A large-scale study of failures in high-performance computing systems",
    IEEE Transactions on Dependable and Secure Computing 7(4), 2010.

    Raises:
        InputError: a mean or sigma that is negative or not finite.

    >>> Duration(mean_s=600.0).draw_s(np.random.Generator(np.random.PCG64(1)), 2).tolist()
    [600.0, 600.0]
    """

    mean_s: float
    distribution: Distribution = "constant"
    sigma: float = 0.0
    """Lognormal only: standard deviation of the logarithm."""

    def __post_init__(self) -> None:
        for field, value in (("mean_s", self.mean_s), ("sigma", self.sigma)):
            if not 0.0 <= value < math.inf:
                allowed = "a finite number of at least 0"
                raise InputError(Problem("hazards", f"duration.{field}", f"found {value!r}", allowed))
        if self.sigma and self.distribution != "lognormal":
            found = f"found {self.sigma:g} with the {self.distribution} distribution"
            raise InputError(Problem("hazards", "duration.sigma", found, "only lognormal has one"))

    def draw_s(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """`size` independent draws [s]."""
        if self.distribution == "exponential":
            return self.mean_s * random.standard_exponential(size)
        if self.distribution == "lognormal":
            return self.mean_s * np.exp(self.sigma * random.standard_normal(size) - self.sigma**2 / 2.0)
        return np.full(size, self.mean_s)


NO_TIME = Duration(mean_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """`rare` with probability `rare_frac`, else `usual`: a node is restarted, or its hardware replaced.

    >>> reset = Either(usual=Duration(mean_s=3600.0), rare=Duration(mean_s=90_000.0), rare_frac=0.25)
    >>> reset.mean_s
    25200.0
    """

    usual: Duration
    rare: Duration
    rare_frac: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.rare_frac <= 1.0:
            found = f"found {self.rare_frac!r}"
            raise InputError(Problem("hazards", "duration.rare_frac", found, "a fraction from 0 to 1"))

    @property
    def mean_s(self) -> float:
        """Expected time [s]."""
        return (1.0 - self.rare_frac) * self.usual.mean_s + self.rare_frac * self.rare.mean_s

    def draw_s(self, random: np.random.Generator, size: int) -> NDArray[np.float64]:
        """`size` independent draws [s]."""
        usual_s, rare_s = self.usual.draw_s(random, size), self.rare.draw_s(random, size)
        return np.where(random.random(size) < self.rare_frac, rare_s, usual_s)


AnyDuration = Duration | Either


def sampler(duration: AnyDuration, random: np.random.Generator) -> Callable[[], float]:
    """A function that gives the next draw of `duration` [s]."""
    if isinstance(duration, Duration) and duration.distribution == "constant":
        return lambda: duration.mean_s
    drawn: list[float] = []

    def draw() -> float:
        if not drawn:
            drawn.extend(duration.draw_s(random, BLOCK)[::-1].tolist())
        return drawn.pop()

    return draw
