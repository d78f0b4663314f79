"""The power chain: what conversion and distribution lose between the grid and the servers.

A stage loses a fixed power whenever it is on and a share of what passes through, so its efficiency falls at
low load, as measured on rectifiers and uninterruptible supplies. Stages are ordered from the servers outwards.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InfeasibleError, InputError, Problem

FloatArray = NDArray[np.float64]
RATING_TOLERANCE = 1e-9
"""Relative: a load computed as exactly the rating is not above it by rounding."""


class Stage(Protocol):
    """One conversion of power. Implementations are frozen and pure."""

    @property
    def name(self) -> str:
        """What errors and tables call it."""
        ...

    def input_w(self, output_w: ArrayLike) -> FloatArray:
        """Power that it takes to give `output_w`, both of all its units together [W]."""
        ...

    def marginal(self, output_w: ArrayLike) -> FloatArray:
        """Further input for one further watt of output."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AffineStage:
    """Equal converters side by side: each takes ``(fixed + output) / efficiency``.

    They share the load evenly, so n of them take ``(n x fixed + joined + output) / efficiency``.

    Source of the form: component model of the Frontier power chain in RAPS (Brewer et al. 2024,
    arXiv 2410.05133).

    >>> node = AffineStage(name="node", efficiency_frac=0.98, fixed_w=13.0, num_units=2)
    >>> float(node.input_w(954.0))  # (2 x 13 + 954) / 0.98
    1000.0
    """

    name: str
    efficiency_frac: float
    """Of the marginal watt, above 0 and at most 1."""
    fixed_w: float = 0.0
    """Lost by one unit that is switched on, before the efficiency [W]."""
    num_units: float = 1.0
    joined_w: float = 0.0
    """Constant load that hangs on the output of this stage beside the servers, e.g. switches [W]."""

    def __post_init__(self) -> None:
        _refuse(
            self.name,
            "efficiency_frac",
            self.efficiency_frac,
            0.0 < self.efficiency_frac <= 1.0,
            "above 0, to 1",
        )
        for field in ("fixed_w", "joined_w", "num_units"):
            number = getattr(self, field)
            _refuse(self.name, field, number, 0.0 <= number < np.inf, "a number of at least 0")

    def input_w(self, output_w: ArrayLike) -> FloatArray:
        """See `Stage`."""
        constant_w = self.num_units * self.fixed_w + self.joined_w
        return np.asarray((constant_w + np.asarray(output_w)) / self.efficiency_frac)

    def marginal(self, output_w: ArrayLike) -> FloatArray:
        """See `Stage`."""
        return np.full(np.shape(output_w), 1.0 / self.efficiency_frac)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpsStage:
    """Equal uninterruptible supplies side by side: each loses ``rating x (a + b L + c L^2)`` at load share L.

    The constant part is magnetisation and control, the linear one switching, the quadratic one conduction.

    >>> ups = UpsStage(name="ups", rating_w=1000.0, constant_frac=0.02, linear_frac=0.01, quadratic_frac=0.02)
    >>> float(ups.input_w(500.0))  # 1,000 x (0.02 + 0.005 + 0.005) lost
    530.0
    """

    name: str
    rating_w: float
    """Output of one unit at full load [W]."""
    constant_frac: float
    linear_frac: float
    quadratic_frac: float
    num_units: float = 1.0

    def __post_init__(self) -> None:
        for field in ("constant_frac", "linear_frac", "quadratic_frac"):
            number = getattr(self, field)
            _refuse(self.name, field, number, 0.0 <= number < 1.0, "from 0 to below 1")
        for field in ("rating_w", "num_units"):
            number = getattr(self, field)
            _refuse(self.name, field, number, 0.0 < number < np.inf, "a number above 0")

    def input_w(self, output_w: ArrayLike) -> FloatArray:
        """See `Stage`.

        Raises:
            InfeasibleError: the output is above the rating.
        """
        output = np.asarray(output_w, dtype=np.float64)
        load = output / (self.rating_w * self.num_units)
        if np.any(load > 1.0 + RATING_TOLERANCE):
            peak, most = float(output.max()), self.rating_w * self.num_units
            raise InfeasibleError(
                f"rating of {self.name}",
                f"{peak:,.0f} W pass through {self.num_units:g} units of {self.rating_w:,.0f} W",
                [f"a load of at most {most:,.0f} W", f"{np.ceil(peak / self.rating_w):.0f} units"],
            )
        loss = self.constant_frac + self.linear_frac * load + self.quadratic_frac * load**2
        return np.asarray(output + self.rating_w * self.num_units * loss)

    def marginal(self, output_w: ArrayLike) -> FloatArray:
        """See `Stage`."""
        load = np.asarray(output_w, dtype=np.float64) / (self.rating_w * self.num_units)
        return np.asarray(1.0 + self.linear_frac + 2.0 * self.quadratic_frac * load)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerChain:
    """Stages one behind the other, from the servers outwards.

    >>> psu = AffineStage(name="psu", efficiency_frac=0.96, fixed_w=4.0, num_units=10)
    >>> chain = PowerChain(stages=(psu, AffineStage(name="busbar", efficiency_frac=0.99)))
    >>> float(chain.loss_w(9464.0))  # (40 + 9,464) / 0.96 = 9,900, / 0.99 = 10,000
    536.0
    """

    stages: tuple[Stage, ...] = ()

    def input_w(self, it_w: ArrayLike) -> FloatArray:
        """Power that the outermost stage takes from the grid for servers that draw `it_w` [W]. Broadcasts.

        Raises:
            InfeasibleError: a stage is loaded above its rating.
        """
        power_w = np.asarray(it_w, dtype=np.float64)
        for stage in self.stages:
            power_w = stage.input_w(power_w)
        return power_w

    def loss_w(self, it_w: ArrayLike) -> FloatArray:
        """What the chain takes beyond the servers: losses and the loads that join on the way [W]."""
        return np.asarray(self.input_w(it_w) - np.asarray(it_w))

    def marginal(self, it_w: ArrayLike) -> FloatArray:
        """Further power from the grid for one further watt of the servers."""
        power_w = np.asarray(it_w, dtype=np.float64)
        factor = np.ones(power_w.shape)
        for stage in self.stages:
            factor = factor * stage.marginal(power_w)
            power_w = stage.input_w(power_w)
        return factor

    def by_stage_w(self, it_w: ArrayLike) -> dict[str, FloatArray]:
        """Loss of every stage [W]; they sum to `loss_w`."""
        power_w = np.asarray(it_w, dtype=np.float64)
        losses = {}
        for stage in self.stages:
            taken_w = stage.input_w(power_w)
            losses[stage.name] = np.asarray(taken_w - power_w)
            power_w = taken_w
        return losses


def scaled(stage: AffineStage | UpsStage, num_units_ratio: float) -> AffineStage | UpsStage:
    """The same converters, `num_units_ratio` times as many, with as much more of what joins them.

    >>> scaled(AffineStage(name="psu", efficiency_frac=1.0, fixed_w=5.0, joined_w=2.0), 3.0).joined_w
    6.0
    """
    units = stage.num_units * num_units_ratio
    if isinstance(stage, AffineStage):
        return replace(stage, num_units=units, joined_w=stage.joined_w * num_units_ratio)
    return replace(stage, num_units=units)


def _refuse(name: str, field: str, found: float, is_right: bool, allowed: str) -> None:
    if not is_right:
        raise InputError(Problem(f"stage {name!r}", field, f"found {found:g}", f"allowed: {allowed}", ""))
