"""Kinds of cooling: each takes heat and weather and answers with power and water.

A kind is one file: a section of a facility profile that knows how the plant works. For any kind, power never
falls with heat nor with the temperature of its sink, and no branch begins with a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.config.fields import Fraction, Ratio
from simtool.facility.parts import FloatArray
from simtool.profiles.section import Section
from simtool.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """How a plant runs in every interval. All arrays have one shape."""

    power_w: FloatArray
    evaporation_kg_per_s: FloatArray
    blowdown_kg_per_s: FloatArray
    drift_kg_per_s: FloatArray
    free_frac: FloatArray
    """Share of the heat that leaves without a compressor."""
    excursion_k: FloatArray
    """How far the supply is above its set point, where the plant lets it float."""


class CoolingKind(Section):
    """What all kinds share. Subclasses add ``kind: Literal[...]`` and their parts."""

    share: Fraction
    """Of the servers' heat that this plant takes."""
    margin: Ratio
    """Heat that the plant is built for, over that at the servers' full load."""

    def available_w(self, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray) -> FloatArray:
        """Most heat that the plant can take in this weather [W].

        Args:
            capacity_w: heat that the plant is built for [W].
            dry_bulb_c: of the outdoor air [degC].
            wet_bulb_c: of the outdoor air [degC]; broadcasts with the dry bulb.
        """
        raise NotImplementedError

    def operate(
        self, heat_w: FloatArray, capacity_w: float, dry_bulb_c: FloatArray, wet_bulb_c: FloatArray
    ) -> Operation:
        """Power and water while the plant takes `heat_w`, which is at most `available_w`. Broadcasts."""
        raise NotImplementedError


COOLING: Registry[type[CoolingKind]] = Registry(
    "kind of cooling", "simtool.facility.cooling", "simtool.cooling"
)
"""By the ``kind`` that stands in a facility profile."""


def operation(
    power_w: FloatArray,
    *,
    evaporation_kg_per_s: FloatArray | float = 0.0,
    blowdown_kg_per_s: FloatArray | float = 0.0,
    drift_kg_per_s: FloatArray | float = 0.0,
    free_frac: FloatArray | float = 0.0,
    excursion_k: FloatArray | float = 0.0,
) -> Operation:
    """An `Operation` with every array in the shape of all of them together."""
    given = (power_w, evaporation_kg_per_s, blowdown_kg_per_s, drift_kg_per_s, free_frac, excursion_k)
    power, evaporation, blowdown, drift, free, excursion = np.broadcast_arrays(*given)
    return Operation(
        power_w=np.asarray(power, dtype=np.float64),
        evaporation_kg_per_s=np.asarray(evaporation, dtype=np.float64),
        blowdown_kg_per_s=np.asarray(blowdown, dtype=np.float64),
        drift_kg_per_s=np.asarray(drift, dtype=np.float64),
        free_frac=np.asarray(free, dtype=np.float64),
        excursion_k=np.asarray(excursion, dtype=np.float64),
    )
