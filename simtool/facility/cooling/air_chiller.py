"""Air handlers in the hall, chilled water, chillers that reject to outdoor air: no economiser, no water."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np

from simtool.config.fields import Quantity
from simtool.config.refusals import Complaint
from simtool.facility.cooling import COOLING, CoolingKind, Operation, operation
from simtool.facility.parts import Celsius, Chiller, FloatArray, Mover, misfit
from simtool.provenance import Sourced


@COOLING.register("air-chiller")
class AirChiller(CoolingKind):
    """Air handlers, chilled water and air-cooled chillers, without free cooling.

    Power is that of the hall fans, the pumps, the compressors against the dry bulb, and the condenser fans.
    """

    kind: Literal["air-chiller"]
    chilled_water: Celsius
    """Temperature at which it leaves the chiller."""
    hall_fan: Mover
    """Its power is heat in the hall, and the chiller takes it too."""
    pump: Mover
    chiller: Chiller
    condenser_fan: Mover
    design: Celsius
    """Dry bulb up to which the whole capacity is there."""
    derating: Annotated[Sourced, Quantity("1/K", maximum=1.0)]
    """Share of the capacity that is lost for each kelvin above it."""

    def complaints(self) -> Iterator[Complaint]:
        """A chiller that would lift heat downwards."""
        yield from super().complaints()
        yield from misfit(self.chiller, float(self.chilled_water), "chiller")

    def available_w(self, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        """Falls above the design temperature; nothing beyond the high-pressure cut-out."""
        dry_bulb = np.broadcast_arrays(dry_bulb_c, wet_bulb_c)[0]
        lost = float(self.derating) * np.maximum(dry_bulb - float(self.design), 0.0)
        works = dry_bulb <= self.chiller.hottest_sink_c()
        return np.asarray(np.where(works, capacity_w * np.maximum(1.0 - lost, 0.0), 0.0))

    def operate(
        self, heat_w: FloatArray, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> Operation:
        """See `CoolingKind`."""
        flow = heat_w / capacity_w
        fan_w = capacity_w * self.hall_fan.power_frac(flow)
        rated_w = capacity_w * (1.0 + float(self.hall_fan.rated))
        taken_w = heat_w + fan_w
        chiller_w = self.chiller.power_w(taken_w, rated_w, float(self.chilled_water), dry_bulb_c)
        others = self.pump.power_frac(flow) + self.condenser_fan.power_frac(taken_w / rated_w)
        return operation(fan_w + chiller_w + capacity_w * others + 0.0 * wet_bulb_c)
