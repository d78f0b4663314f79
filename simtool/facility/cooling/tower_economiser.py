"""Air handlers or liquid loops on chilled water, from a tower directly or from water-cooled chillers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from simtool.config.fields import Quantity
from simtool.config.refusals import Complaint
from simtool.facility.cooling import COOLING, CoolingKind, Operation, operation
from simtool.facility.parts import (
    LATENT_HEAT_J_PER_KG,
    WATER_HEAT_CAPACITY_J_PER_KG_K,
    Celsius,
    Chiller,
    FloatArray,
    Kelvin,
    Mover,
    Water,
    by_range,
    unheld,
)
from simtool.facility.rejection import Rejection
from simtool.provenance import Sourced


@COOLING.register("tower-economiser")
class TowerEconomiser(CoolingKind):
    """Chilled water from a cooling tower through a heat exchanger, and from water-cooled chillers in series.

    The exchanger takes the part of the water's range that the tower reaches, the chillers the rest. All heat,
    that of the compressors too, leaves by the tower.
    """

    kind: Literal["tower-economiser"]
    chilled_water: Celsius
    """Temperature at which it goes to the hall."""
    rise: Kelvin
    """Of the chilled water through the hall."""
    hall_fan: Mover
    """Its power is heat in the hall; rated 0 for liquid cooling."""
    pump: Mover
    """Chilled and tower water together."""
    exchanger_approach: Kelvin
    tower: Rejection
    """Over the wet bulb. Full load is the heat of the hall; the compressors' share is in the approach."""
    tower_range: Kelvin
    """Of the tower water at full load, for drift and for the condenser."""
    evaporative: Annotated[Sourced, Quantity("", above=0, maximum=1.0)]
    """Share of the rejected heat that leaves as vapour; the rest warms the air."""
    water: Water
    chiller: Chiller | None = None
    """Its condenser approach counts from the water that comes from the tower. Without one the water to the hall
    floats up to `supply_limit`."""
    supply_limit: Celsius | None = None
    """Warmest water that the hall may get; needed without a chiller, and not with one."""

    def complaints(self) -> Iterator[Complaint]:
        """A limit that is missing, below the set point or beside a chiller."""
        yield from super().complaints()
        yield from unheld(self.chiller, self.supply_limit, self.chilled_water, "chilled_water")

    def available_w(self, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        """Heat at which the supply reaches its limit, or all while the chiller stays below its cut-out."""
        wet_bulb = np.broadcast_arrays(dry_bulb_c, wet_bulb_c)[1]
        if self.chiller is not None:
            tower_c = self.tower.at_best_c(1.0, wet_bulb, backed=True)
            return np.where(tower_c <= self.chiller.hottest_sink_c(), capacity_w, 0.0)
        room_k = float(self.supply_limit or self.chilled_water) - float(self.exchanger_approach) - wet_bulb
        return np.asarray(capacity_w * self.tower.unbacked_frac(room_k))

    def operate(
        self, heat_w: FloatArray, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> Operation:
        """See `CoolingKind`."""
        load, set_c = heat_w / capacity_w, float(self.chilled_water)
        fan_w = capacity_w * self.hall_fan.power_frac(load)
        taken_w = heat_w + fan_w
        wanted_c = set_c - float(self.exchanger_approach)
        backed = self.chiller is not None
        flow = self.tower.flow_frac(load, wet_bulb_c, wanted_c, backed=backed)
        tower_c = self.tower.at_best_c(load, wet_bulb_c, backed=backed)
        reached_c = tower_c + float(self.exchanger_approach)
        free, excursion_k, chiller_w = np.ones(()), np.maximum(reached_c - set_c, 0.0), np.zeros(())
        if self.chiller is not None:
            free, excursion_k = by_range(reached_c, set_c, set_c + float(self.rise)), np.zeros(())
            rated_w = capacity_w * (1.0 + float(self.hall_fan.rated))
            chiller_w = self.chiller.power_w((1.0 - free) * taken_w, rated_w, set_c, tower_c)
        rejected_w = taken_w + chiller_w
        evaporated = float(self.evaporative) * rejected_w / LATENT_HEAT_J_PER_KG
        circulating = rejected_w / (WATER_HEAT_CAPACITY_J_PER_KG_K * float(self.tower_range))
        drift = float(self.water.drift) * circulating
        power_w = (
            fan_w + chiller_w + capacity_w * (self.tower.fan.power_frac(flow) + self.pump.power_frac(load))
        )
        return operation(
            power_w + 0.0 * dry_bulb_c,
            evaporation_kg_per_s=evaporated,
            blowdown_kg_per_s=np.maximum(self.water.blowdown_kg_per_s(evaporated) - drift, 0.0),
            drift_kg_per_s=drift,
            free_frac=free,
            excursion_k=excursion_k,
        )
