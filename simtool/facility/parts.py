"""Parts that several kinds of cooling share: fans and pumps, chillers, water that is sprayed or evaporated.

Each is a section of a facility profile that knows how it works. Sizes are shares of the heat that the plant
is built for, so a part serves a site of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.config.fields import Fraction, Quantity, Ratio
from simtool.config.refusals import Complaint
from simtool.profiles.section import Section
from simtool.provenance import Sourced
from simtool.units import KELVIN_AT_ZERO_CELSIUS

FloatArray = NDArray[np.float64]
Celsius = Annotated[Sourced, Quantity("degC", minimum=-100.0, maximum=150.0)]
Kelvin = Annotated[Sourced, Quantity("K", above=0, maximum=100.0)]

LATENT_HEAT_J_PER_KG = 2.43e6
"""Of the evaporation of water at 30 degC: 2,429.8 kJ/kg, IAPWS-95 steam tables. 1.48 kg a kWh."""
WATER_HEAT_CAPACITY_J_PER_KG_K = 4180.0
"""Of liquid water between 10 and 50 degC, within 0.2 %: IAPWS-95."""


class Mover(Section):
    """A fan or a pump whose speed follows the flow: power goes with its cube, down to a least flow."""

    rated: Fraction
    """Power at full flow, as a share of the heat that the plant is built for."""
    least_flow: Fraction
    """Below this share of the full flow it does not slow down further."""

    def power_frac(self, flow_frac: ArrayLike) -> FloatArray:
        """Power as a share of the plant's heat, at a share of the full flow: the affinity law.

        Source: affinity laws of fans and pumps, ASHRAE Handbook HVAC Systems and Equipment.
        """
        return np.asarray(float(self.rated) * np.maximum(flow_frac, float(self.least_flow)) ** 3)


class Chiller(Section):
    """A compression chiller: a fixed share of the Carnot efficiency, and its own losses at part load."""

    carnot_frac: Fraction
    """Coefficient of performance over that of a Carnot cycle between the two saturation temperatures."""
    evaporator_approach: Kelvin
    """Refrigerant evaporates so much below the water or air that it cools."""
    condenser_approach: Kelvin
    """Refrigerant condenses so much above what takes its heat: air or tower water, warm-up included."""
    least_condensing: Celsius
    """Head-pressure control keeps the condensing temperature at least here."""
    most_condensing: Celsius
    """High-pressure cut-out: beyond it the chiller stops."""
    part_load_fixed: Fraction
    part_load_linear: Fraction
    part_load_quadratic: Fraction
    """Power over that at full load is ``fixed + linear x + quadratic x^2`` at load share x; they sum to 1."""
    least_load: Annotated[Sourced, Quantity("", above=0, maximum=1.0)]
    """Below this share machines are switched off one by one or cycle: power is proportional to load."""

    def complaints(self) -> Iterator[Complaint]:
        """Part-load shares that do not sum to 1, a condenser that cannot reach its range."""
        yield from super().complaints()
        total = float(self.part_load_fixed) + float(self.part_load_linear) + float(self.part_load_quadratic)
        if abs(total - 1.0) > 0.01:
            yield Complaint(
                member="part_load_fixed",
                found=f"found part-load shares that sum to {total:g}",
                allowed="fixed, linear and quadratic sum to 1 within 0.01, as power at full load is 1",
                mend="check the three",
            )
        if float(self.carnot_frac) <= 0.0:
            yield Complaint(member="carnot_frac", found="found 0", allowed="allowed: above 0", mend="")
        if float(self.least_condensing) >= float(self.most_condensing):
            yield Complaint(
                member="least_condensing",
                found="found it at or above most_condensing",
                allowed="least_condensing is below most_condensing",
                mend="check both",
            )

    def evaporating_c(self, cooled_c: float) -> float:
        """Saturation temperature of the refrigerant that cools something to `cooled_c`."""
        return cooled_c - float(self.evaporator_approach)

    def condensing_c(self, sink_c: ArrayLike) -> FloatArray:
        """Saturation temperature against a sink at `sink_c`; never falls with it."""
        return np.maximum(np.asarray(sink_c) + float(self.condenser_approach), float(self.least_condensing))

    def cop(self, cooled_c: float, sink_c: ArrayLike) -> FloatArray:
        """Heat over power at full load: ``share x T_evaporating / (T_condensing - T_evaporating)``.

        Args:
            cooled_c: temperature of the water or air that leaves [degC].
            sink_c: temperature of what takes the heat [degC]. Broadcasts.
        """
        evaporating_c = self.evaporating_c(cooled_c)
        lift_k = self.condensing_c(sink_c) - evaporating_c
        return np.asarray(float(self.carnot_frac) * (evaporating_c + KELVIN_AT_ZERO_CELSIUS) / lift_k)

    def part_load(self, load_frac: ArrayLike) -> FloatArray:
        """Power over that at full load and the same temperatures; rises from 0 without a step."""
        load = np.asarray(load_frac, dtype=np.float64)
        least = float(self.least_load)
        return np.where(load >= least, self._curve(load), load * (self._curve(np.asarray(least)) / least))

    def power_w(
        self, heat_w: ArrayLike, rated_w: ArrayLike, cooled_c: float, sink_c: ArrayLike
    ) -> FloatArray:
        """Electric power of the compressors [W].

        Args:
            heat_w: heat taken from what is cooled [W].
            rated_w: heat that the machines take at full load [W].
            cooled_c: see `cop`.
            sink_c: see `cop`.
        """
        rated = np.asarray(rated_w, dtype=np.float64)
        return np.asarray(rated / self.cop(cooled_c, sink_c) * self.part_load(np.asarray(heat_w) / rated))

    def hottest_sink_c(self) -> float:
        """Sink at which the high-pressure cut-out acts [degC]."""
        return float(self.most_condensing) - float(self.condenser_approach)

    def _curve(self, load: FloatArray) -> FloatArray:
        squares = float(self.part_load_quadratic) * load**2
        return np.asarray(float(self.part_load_fixed) + float(self.part_load_linear) * load + squares)


def misfit(chiller: Chiller, cooled_c: float, member: str) -> Iterator[Complaint]:
    """A chiller that would lift heat downwards."""
    if chiller.evaporating_c(cooled_c) >= float(chiller.least_condensing):
        yield Complaint(
            member=member,
            found=f"found least_condensing {float(chiller.least_condensing):g} degC where the refrigerant "
            f"evaporates at {chiller.evaporating_c(cooled_c):g} degC",
            allowed="heat is lifted upwards",
            mend="raise least_condensing, or cool to a lower temperature",
        )


def unheld(
    chiller: Chiller | None, supply_limit: Sourced | None, set_point: Sourced, member: str
) -> Iterator[Complaint]:
    """A set point that neither a chiller holds nor a limit lets float, or that a limit below it forbids.

    Args:
        chiller: holds the set point; without one the supply floats up to the limit.
        supply_limit: warmest supply to the servers [degC].
        set_point: of the supply [degC].
        member: the file's name for the set point.
    """
    if chiller is not None:
        yield from misfit(chiller, float(set_point), "chiller")
    if (supply_limit is None) == (chiller is None):
        yield Complaint(
            member="supply_limit",
            found="found neither chiller nor supply_limit" if chiller is None else "found both",
            allowed="a chiller holds the set point, or the supply floats up to supply_limit",
            mend="give one of the two",
        )
    elif supply_limit is not None and float(supply_limit) < float(set_point):
        found, mend = "found a limit below the set point", f"raise supply_limit or lower {member}"
        yield Complaint(member="supply_limit", found=found, allowed=f"at least {member}", mend=mend)


class Water(Section):
    """Water of an evaporative process: what leaves beside the vapour."""

    cycles: Annotated[Sourced, Quantity("", above=1.0)]
    """Cycles of concentration: salt content of the blowdown over that of the water supplied."""
    drift: Ratio
    """Droplets carried away, as a share of the water that circulates."""

    def blowdown_kg_per_s(self, evaporation_kg_per_s: ArrayLike) -> FloatArray:
        """Water drained to hold the concentration: ``evaporation / (cycles - 1)``; drift counts as drained."""
        return np.asarray(np.asarray(evaporation_kg_per_s) / (float(self.cycles) - 1.0))


class Adiabatic(Section):
    """Water evaporated into the air before it is used, only as far as it is needed."""

    effectiveness: Fraction
    """Share of the way from dry bulb to wet bulb that the air is cooled at most."""
    water: Water

    def cooled_by_k(self, needed_k: ArrayLike, dry_bulb_c: ArrayLike, wet_bulb_c: ArrayLike) -> FloatArray:
        """How far the air is cooled [K]: as needed, at most ``effectiveness x (dry bulb - wet bulb)``."""
        depression_k = np.maximum(np.asarray(dry_bulb_c) - np.asarray(wet_bulb_c), 0.0)
        return np.asarray(np.clip(needed_k, 0.0, float(self.effectiveness) * depression_k))


def by_range(sink_c: ArrayLike, supply_c: float, return_c: float) -> FloatArray:
    """Share of the heat that a sink takes without a compressor: the part of the loop's range that it covers.

    All of it at the supply temperature of the loop, nothing at its return temperature.

    >>> float(by_range(15.0, 12.0, 24.0))
    0.75
    """
    return np.asarray(np.clip((return_c - np.asarray(sink_c)) / (return_c - supply_c), 0.0, 1.0))
