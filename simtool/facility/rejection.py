"""Coolers and towers in the open: how near to the air they bring the water, and what their fans take for it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from simtool.facility.parts import FloatArray, Kelvin, Mover
from simtool.profiles.section import Section


class Rejection(Section):
    """A dry cooler (sink: dry bulb) or a cooling tower (sink: wet bulb) with fans of variable speed.

    Water leaves ``approach x load / flow`` above the sink, at shares of full load and full air flow: what a
    cooler takes is proportional to its air flow and to its temperature difference. Fans run as fast as the
    wanted temperature needs, at most at full speed.
    """

    approach: Kelvin
    """Of the leaving water above the sink, at full load and full air flow."""
    fan: Mover

    def flow_frac(self, load_frac: ArrayLike, sink_c: ArrayLike, wanted_c: float) -> FloatArray:
        """Air flow that brings the water to `wanted_c`, as a share of the full flow."""
        difference_k = wanted_c - np.asarray(sink_c, dtype=np.float64)
        need_k = float(self.approach) * np.asarray(load_frac, dtype=np.float64)
        reachable = difference_k > need_k
        flow = need_k / np.where(reachable, difference_k, 1.0)
        return np.where(reachable, np.maximum(flow, float(self.fan.least_flow)), 1.0)

    def at_best_c(self, load_frac: ArrayLike, sink_c: ArrayLike) -> FloatArray:
        """Temperature of the leaving water at full air flow [degC]."""
        return np.asarray(np.asarray(sink_c) + float(self.approach) * np.asarray(load_frac))
