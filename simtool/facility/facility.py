"""The facility: watts of the servers and weather become watts at the meter, and water."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.facility.chain import AffineStage, PowerChain, Stage, UpsStage
from simtool.facility.cooling import CoolingKind, Operation
from simtool.facility.profile import AffineLoss, FacilityProfile
from simtool.facility.series import FacilitySeries, FloatArray, checked_breakpoints, spread, union
from simtool.signals import Signal
from simtool.units import JOULES_PER_KWH, display

CAPACITY_TOLERANCE = 1e-9
"""Relative: heat computed as exactly the capacity is not above it by rounding."""
NUM_BISECTIONS = 60
"""Halvings of an interval until it is as short as the numbers allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedPlant:
    """A plant of a profile, built for a certain heat."""

    name: str
    kind: CoolingKind
    capacity_w: float
    """Heat that it is built for [W]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """A building for servers of a certain power; made by `build_facility`."""

    name: str
    it_capacity_w: float
    chain: PowerChain
    plants: tuple[SizedPlant, ...]
    losses_cooled_frac: float
    """Share of the chain's losses that become heat in cooled rooms."""
    other_w: float

    def heat_w(self, it_w: ArrayLike) -> FloatArray:
        """Heat in cooled rooms without that of fans: servers and their share of the chain's losses [W]."""
        return np.asarray(np.asarray(it_w) + self.losses_cooled_frac * self.chain.loss_w(it_w))

    def over(
        self, breakpoints_s: ArrayLike, it_power_w: ArrayLike, dry_bulb: Signal, wet_bulb: Signal
    ) -> FacilitySeries:
        """The site over time, exactly: nothing changes between two breakpoints of the union.

        Args:
            breakpoints_s: n + 1 rising times [s].
            it_power_w: power of the servers in the n intervals [W].
            dry_bulb: outdoor air [degC].
            wet_bulb: the same [degC].

        Raises:
            InfeasibleError: a plant or a stage cannot take the load; which, when, and what would do.
            InputError: power that is negative or above what the site is built for, or weather that does not
                cover the time.
        """
        edges, it_w = _checked_power(breakpoints_s, it_power_w, self.it_capacity_w)
        finer = union(edges, (dry_bulb, wet_bulb))
        moments = finer[:-1]
        return self.at(spread(edges, it_w, finer), dry_bulb.at(moments), wet_bulb.at(moments), finer)

    def at(
        self, it_w: ArrayLike, dry_bulb_c: ArrayLike, wet_bulb_c: ArrayLike, breakpoints_s: FloatArray
    ) -> FacilitySeries:
        """The site for given power and weather in every interval between `breakpoints_s`; see `over`.

        Raises:
            InfeasibleError: see `over`.
        """
        shape = (breakpoints_s.size - 1,)
        power, dry, wet = (
            np.broadcast_to(np.asarray(values, dtype=np.float64), shape)
            for values in (it_w, dry_bulb_c, wet_bulb_c)
        )
        wet = np.minimum(wet, dry)  # a wet bulb above the dry bulb is rounding of the station
        loss_w = self.chain.loss_w(power)
        heat_w = power + self.losses_cooled_frac * loss_w
        operations = [(plant, self._operate(plant, heat_w, dry, wet, breakpoints_s)) for plant in self.plants]
        free = sum(float(plant.kind.share) * run.free_frac for plant, run in operations)
        return FacilitySeries(
            breakpoints_s=breakpoints_s,
            it_w=power,
            chain_loss_w=loss_w,
            cooling_w=np.sum([run.power_w for _, run in operations], axis=0),
            other_w=np.full(shape, self.other_w),
            evaporation_kg_per_s=np.sum([run.evaporation_kg_per_s for _, run in operations], axis=0),
            blowdown_kg_per_s=np.sum([run.blowdown_kg_per_s for _, run in operations], axis=0),
            drift_kg_per_s=np.sum([run.drift_kg_per_s for _, run in operations], axis=0),
            free_frac=np.minimum(np.asarray(free), 1.0),
            excursion_k=np.max([run.excursion_k for _, run in operations], axis=0),
        )

    def it_limit_w(self, total_w: ArrayLike, dry_bulb_c: ArrayLike, wet_bulb_c: ArrayLike) -> FloatArray:
        """Most power of the servers at which the site takes at most `total_w` and every plant can cope [W].

        Power at the meter rises strictly with that of the servers, so halving finds it. 0 where even idle
        plants take more. Broadcasts.
        """
        limit, dry, wet = np.broadcast_arrays(
            *(np.asarray(v, dtype=np.float64) for v in (total_w, dry_bulb_c, wet_bulb_c))
        )
        wet = np.minimum(wet, dry)
        low, high = np.zeros(limit.shape), np.full(limit.shape, self.it_capacity_w)
        whole = self._fits(high, dry, wet, limit)
        for _ in range(NUM_BISECTIONS):
            middle = 0.5 * (low + high)
            fits = self._fits(middle, dry, wet, limit)
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        return np.where(whole, self.it_capacity_w, low)

    def _fits(self, it_w: FloatArray, dry: FloatArray, wet: FloatArray, limit_w: FloatArray) -> FloatArray:
        heat_w = self.heat_w(it_w)
        total_w = self.chain.input_w(it_w) + self.other_w
        fits = np.ones(np.shape(it_w), dtype=bool)
        for plant in self.plants:
            share_w = float(plant.kind.share) * heat_w
            fits &= share_w <= plant.kind.available_w(plant.capacity_w, dry, wet) * (1.0 + CAPACITY_TOLERANCE)
            total_w = total_w + plant.kind.operate(share_w, plant.capacity_w, dry, wet).power_w
        return np.asarray(fits & (total_w <= limit_w))

    def _operate(
        self,
        plant: SizedPlant,
        heat_w: FloatArray,
        dry: FloatArray,
        wet: FloatArray,
        breakpoints_s: FloatArray,
    ) -> Operation:
        share_w = float(plant.kind.share) * heat_w
        available_w = plant.kind.available_w(plant.capacity_w, dry, wet)
        if np.any(over := share_w > available_w * (1.0 + CAPACITY_TOLERANCE)):
            raise self._overloaded(plant, share_w, available_w, dry, wet, breakpoints_s, int(np.argmax(over)))
        return plant.kind.operate(share_w, plant.capacity_w, dry, wet)

    def _overloaded(
        self,
        plant: SizedPlant,
        heat_w: FloatArray,
        available_w: FloatArray,
        dry: FloatArray,
        wet: FloatArray,
        breakpoints_s: FloatArray,
        index: int,
    ) -> InfeasibleError:
        num_over = int(np.sum(heat_w > available_w * (1.0 + CAPACITY_TOLERANCE)))
        weather = f"{dry[index]:.1f} degC dry bulb and {wet[index]:.1f} degC wet bulb"
        most_w = float(self.it_limit_w(np.inf, dry[index], wet[index]))
        return InfeasibleError(
            f"cooling plant {plant.name!r} of facility {self.name!r}",
            f"from {display(float(breakpoints_s[index]), 's')} on it has {display(float(heat_w[index]), 'W')} to take "
            f"and can take {display(float(available_w[index]), 'W')} at {weather} ({num_over:,} intervals in all)",
            [
                f"servers of at most {display(most_w, 'W')} in that weather"
                if most_w
                else "no load in that weather",
                "a plant with a greater margin, a chiller, or a higher supply limit",
            ],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantPue:
    """A facility of which only the ratio of its energy to the servers' is known.

    >>> weather = Signal.constant(20.0, "degC")
    >>> ConstantPue(pue=1.2).over([0.0, 10.0], [100.0], weather, weather).integral("total_w")
    1200.0
    """

    pue: float
    wue_kg_per_kwh: float = 0.0
    it_capacity_w: float = field(default=np.inf)

    def __post_init__(self) -> None:
        if not 1.0 <= self.pue < np.inf:
            raise InputError(Problem("", "pue", f"found {self.pue:g}", "allowed: a number of at least 1", ""))
        if not 0.0 <= self.wue_kg_per_kwh < np.inf:
            found = f"found {self.wue_kg_per_kwh:g}"
            raise InputError(Problem("", "wue", found, "allowed: litres per kWh, at least 0", ""))

    def over(
        self, breakpoints_s: ArrayLike, it_power_w: ArrayLike, dry_bulb: Signal, wet_bulb: Signal
    ) -> FacilitySeries:
        """As `Facility.over`; weather changes nothing. What exceeds the servers counts as cooling."""
        edges, it_w = _checked_power(breakpoints_s, it_power_w, self.it_capacity_w)
        none = np.zeros(it_w.shape)
        return FacilitySeries(
            breakpoints_s=edges,
            it_w=it_w,
            chain_loss_w=none,
            cooling_w=(self.pue - 1.0) * it_w,
            other_w=none,
            evaporation_kg_per_s=self.wue_kg_per_kwh * it_w / JOULES_PER_KWH,
            blowdown_kg_per_s=none,
            drift_kg_per_s=none,
            free_frac=none,
            excursion_k=none,
        )

    def it_limit_w(self, total_w: ArrayLike, dry_bulb_c: ArrayLike, wet_bulb_c: ArrayLike) -> FloatArray:
        """As `Facility.it_limit_w`."""
        limit = np.broadcast_arrays(
            *(np.asarray(v, dtype=np.float64) for v in (total_w, dry_bulb_c, wet_bulb_c))
        )[0]
        return np.asarray(np.clip(limit / self.pue, 0.0, self.it_capacity_w))


def build_facility(profile: FacilityProfile, it_capacity_w: float) -> Facility:
    """A facility of a profile for servers of a certain power.

    Every stage and plant is sized for the servers' full load: fixed losses are shares of the power that
    passes at full load, plants take their share of the heat at full load times their margin.

    Args:
        profile: from `ProfileLibrary.get("facility", name)`.
        it_capacity_w: power of the servers at full load [W].

    Raises:
        InputError: a capacity that is not above 0.
    """
    if not 0.0 < it_capacity_w < np.inf:
        found = f"found {it_capacity_w:g} W"
        raise InputError(
            Problem("", "it_capacity_w", found, "allowed: a power above 0", "give the servers' full load")
        )
    stages: list[Stage] = []
    power_w = it_capacity_w
    for name, loss in profile.chain.items():
        stage: Stage
        if isinstance(loss, AffineLoss):
            fixed, joined = (0.0 if share is None else float(share) for share in (loss.fixed, loss.joined))
            stage = AffineStage(
                name=name,
                efficiency_frac=float(loss.efficiency),
                fixed_w=fixed * power_w,
                joined_w=joined * power_w,
            )
        else:
            stage = UpsStage(
                name=name,
                rating_w=float(loss.sizing) * power_w,
                constant_frac=float(loss.constant),
                linear_frac=float(loss.linear),
                quadratic_frac=float(loss.quadratic),
            )
        stages.append(stage)
        power_w = float(stage.input_w(power_w))
    chain = PowerChain(stages=tuple(stages))
    heat_w = it_capacity_w + float(profile.losses_cooled) * float(chain.loss_w(it_capacity_w))
    plants = tuple(
        SizedPlant(name=name, kind=kind, capacity_w=heat_w * float(kind.share) * float(kind.margin))
        for name, kind in profile.cooling.items()
    )
    return Facility(
        name=profile.name,
        it_capacity_w=it_capacity_w,
        chain=chain,
        plants=plants,
        losses_cooled_frac=float(profile.losses_cooled),
        other_w=float(profile.other) * it_capacity_w,
    )


def _checked_power(
    breakpoints_s: ArrayLike, it_power_w: ArrayLike, capacity_w: float
) -> tuple[FloatArray, FloatArray]:
    edges = checked_breakpoints(breakpoints_s)
    it_w = np.asarray(it_power_w, dtype=np.float64)
    if it_w.shape != (edges.size - 1,):
        raise ValueError(f"{edges.size} breakpoints need {edges.size - 1} powers, not {it_w.shape}")
    wrong = ~((it_w >= 0.0) & (it_w <= capacity_w * (1.0 + CAPACITY_TOLERANCE)))
    if wrong.any():
        index = int(np.argmax(wrong))
        raise InputError(
            Problem(
                "",
                "facility",
                f"the servers draw {it_w[index]:,.0f} W from {edges[index]:,.0f} s on",
                f"allowed: 0 to {capacity_w:,.0f} W, for which the facility is built",
                "build it for the servers' full load",
            )
        )
    return edges, it_w
