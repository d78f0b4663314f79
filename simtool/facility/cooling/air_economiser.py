"""Outdoor air through the hall, cooled by evaporation when it is warm, helped by a chiller if one is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np

from simtool.config.refusals import Complaint
from simtool.facility.cooling import COOLING, CoolingKind, Operation, operation
from simtool.facility.parts import (
    LATENT_HEAT_J_PER_KG,
    Adiabatic,
    Celsius,
    Chiller,
    FloatArray,
    Kelvin,
    Mover,
    by_range,
    misfit,
)


@COOLING.register("air-economiser")
class AirEconomiser(CoolingKind):
    """Outdoor air as the sink, with adiabatic cooling and a chiller where they are given.

    Below the supply set point outdoor air is mixed with return air and takes all heat. Between set point and
    return temperature it takes the part of the range that it covers, and a chiller the rest; near the return
    temperature the hall goes over to recirculation. Only sensible heat counts: neither humidification in
    winter nor moisture that condenses on a coil.
    """

    kind: Literal["air-economiser"]
    supply: Celsius
    """Set point of the air to the servers."""
    air_rise: Kelvin
    """Through the servers."""
    fan: Mover
    """Supply and exhaust fans together; their power is heat in the hall."""
    adiabatic: Adiabatic | None = None
    chiller: Chiller | None = None
    """Rejects to outdoor air. Without one the supply floats up to `supply_limit`."""
    coil_approach: Kelvin | None = None
    """Water from the chiller is so much colder than the supply air; needed with a chiller."""
    supply_limit: Celsius | None = None
    """Warmest air that the servers may get; needed without a chiller."""
    recirculation_band: Kelvin
    """Below the return temperature, over which outdoor air fades out; needed with a chiller only."""

    def complaints(self) -> Iterator[Complaint]:
        """Parts that are missing for what was chosen."""
        yield from super().complaints()
        if self.chiller is not None and self.coil_approach is not None:
            yield from misfit(self.chiller, self._water_c(), "chiller")
        needed, other = ("supply_limit", "coil_approach")[:: 1 if self.chiller is None else -1]
        if getattr(self, needed) is None or getattr(self, other) is not None:
            what = "without" if self.chiller is None else "with"
            yield Complaint(
                member=needed,
                found=f"found {what} chiller: {needed} {'missing' if getattr(self, needed) is None else 'given'}, "
                f"{other} {'missing' if getattr(self, other) is None else 'given'}",
                allowed=f"{what} a chiller, {needed} and not {other}",
                mend=f"give {needed} alone",
            )
        elif self.supply_limit is not None and float(self.supply_limit) < float(self.supply):
            found, mend = "found a limit below the set point", "raise supply_limit or lower supply"
            yield Complaint(member="supply_limit", found=found, allowed="at least supply", mend=mend)

    def available_w(self, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        """All of it while the supply, or the chiller's condenser, stays within its limit; nothing beyond."""
        dry_bulb, wet_bulb = np.broadcast_arrays(dry_bulb_c, wet_bulb_c)
        if self.chiller is not None:
            works = dry_bulb <= self.chiller.hottest_sink_c()
        else:
            limit_c = float(self.supply_limit or self.supply)
            works = dry_bulb - self._cooled_by_k(dry_bulb, wet_bulb) <= limit_c
        return np.asarray(np.where(works, capacity_w, 0.0))

    def operate(
        self, heat_w: FloatArray, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> Operation:
        """See `CoolingKind`."""
        fan_w = capacity_w * self.fan.power_frac(heat_w / capacity_w)
        taken_w = heat_w + fan_w
        supply_c, rise_k = float(self.supply), float(self.air_rise)
        cooled_by_k = self._cooled_by_k(dry_bulb_c, wet_bulb_c)
        sink_c = dry_bulb_c - cooled_by_k
        power_w, free, outdoor, excursion_k = (
            fan_w,
            np.ones(()),
            np.ones(()),
            np.maximum(sink_c - supply_c, 0.0),
        )
        if self.chiller is not None:
            outdoor = np.clip((supply_c + rise_k - sink_c) / float(self.recirculation_band), 0.0, 1.0)
            free = outdoor * by_range(sink_c, supply_c, supply_c + rise_k)
            rated_w = capacity_w * (1.0 + float(self.fan.rated))
            excursion_k = np.zeros(())
            power_w = fan_w + self.chiller.power_w(
                (1.0 - free) * taken_w, rated_w, self._water_c(), dry_bulb_c
            )
        # The air that carries the heat at the servers' rise is the air that is cooled by evaporation.
        evaporated = outdoor * taken_w * cooled_by_k / (rise_k * LATENT_HEAT_J_PER_KG)
        drained = 0.0 if self.adiabatic is None else self.adiabatic.water.blowdown_kg_per_s(evaporated)
        return operation(
            power_w,
            evaporation_kg_per_s=evaporated,
            blowdown_kg_per_s=drained,
            free_frac=free,
            excursion_k=excursion_k,
        )

    def _cooled_by_k(self, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        if self.adiabatic is None:
            return np.zeros(np.broadcast_shapes(np.shape(dry_bulb_c), np.shape(wet_bulb_c)))
        return self.adiabatic.cooled_by_k(dry_bulb_c - float(self.supply), dry_bulb_c, wet_bulb_c)

    def _water_c(self) -> float:
        return float(self.supply) - float(self.coil_approach or self.air_rise)
