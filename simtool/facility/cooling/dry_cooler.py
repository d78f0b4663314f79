"""A liquid loop, direct to the chips or to tanks, that dry coolers bring down to the dry bulb."""

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
    unheld,
)
from simtool.facility.rejection import Rejection


class Precooling(Adiabatic):
    """Evaporation into the air before the dry coolers, when they alone cannot hold the set point."""

    air_rise: Kelvin
    """Of the air through the coolers at full load and full flow: it gives the air flow that is wetted."""


@COOLING.register("dry-cooler")
class DryCooler(CoolingKind):
    """A liquid loop with dry coolers, adiabatic precooling and a trim chiller where they are given.

    Fans slow down in cold weather. In hot weather the air is precooled, then a trim chiller takes the part
    of the range that is missing; without one the supply floats up to its limit.
    """

    kind: Literal["dry-cooler"]
    supply: Celsius
    """Set point of the liquid to the servers."""
    rise: Kelvin
    """Of the liquid through the servers."""
    pump: Mover
    """All pumps, those of the distribution units in the hall included."""
    cooler: Rejection
    precooling: Precooling | None = None
    chiller: Chiller | None = None
    supply_limit: Celsius | None = None
    """Warmest liquid that the servers may get; needed without a chiller, and not with one."""

    def complaints(self) -> Iterator[Complaint]:
        """A limit that is missing, below the set point or beside a chiller."""
        yield from super().complaints()
        yield from unheld(self.chiller, self.supply_limit, self.supply, "supply")

    def available_w(self, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        """Heat at which the supply reaches its limit, or all while the chiller stays below its cut-out."""
        dry_bulb, wet_bulb = np.broadcast_arrays(dry_bulb_c, wet_bulb_c)
        if self.chiller is not None:
            return np.where(dry_bulb <= self.chiller.hottest_sink_c(), capacity_w, 0.0)
        limit_c = float(self.supply_limit or self.supply)
        difference_k = limit_c - (
            dry_bulb - self._cooled_by_k(np.full(dry_bulb.shape, np.inf), dry_bulb, wet_bulb)
        )
        return np.asarray(capacity_w * self.cooler.unbacked_frac(difference_k))

    def operate(
        self, heat_w: FloatArray, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> Operation:
        """See `CoolingKind`."""
        load, supply_c = heat_w / capacity_w, float(self.supply)
        backed = self.chiller is not None
        missing_k = self.cooler.at_best_c(load, dry_bulb_c, backed=backed) - supply_c
        cooled_by_k = self._cooled_by_k(missing_k, dry_bulb_c, wet_bulb_c)
        flow = self.cooler.flow_frac(load, dry_bulb_c - cooled_by_k, supply_c, backed=backed)
        reached_c = self.cooler.at_best_c(load, dry_bulb_c - cooled_by_k, backed=backed)
        power_w = capacity_w * (self.cooler.fan.power_frac(flow) + self.pump.power_frac(load))
        free, excursion_k = np.ones(()), np.maximum(reached_c - supply_c, 0.0)
        if self.chiller is not None:
            free, excursion_k = by_range(reached_c, supply_c, supply_c + float(self.rise)), np.zeros(())
            power_w = power_w + self.chiller.power_w((1.0 - free) * heat_w, capacity_w, supply_c, dry_bulb_c)
        evaporated = drained = np.zeros(())
        if self.precooling is not None:
            carried_w_per_k = flow * capacity_w / float(self.precooling.air_rise)
            evaporated = carried_w_per_k * cooled_by_k / LATENT_HEAT_J_PER_KG
            drained = self.precooling.water.blowdown_kg_per_s(evaporated)
        return operation(
            power_w,
            evaporation_kg_per_s=evaporated,
            blowdown_kg_per_s=drained,
            free_frac=free,
            excursion_k=excursion_k,
        )

    def _cooled_by_k(
        self, needed_k: FloatArray, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> FloatArray:
        if self.precooling is None:
            return np.zeros(
                np.broadcast_shapes(np.shape(needed_k), np.shape(dry_bulb_c), np.shape(wet_bulb_c))
            )
        return self.precooling.cooled_by_k(needed_k, dry_bulb_c, wet_bulb_c)
