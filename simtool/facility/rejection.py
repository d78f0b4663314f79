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
    wanted temperature needs. Where a chiller stands behind them they stop at the approach of full load, since
    a smaller one costs more in fans than it saves; else they go up to full speed, but never for less than
    the approach of full load times the least flow: nearer to the air the water does not come.
    """

    approach: Kelvin
    """Of the leaving water above the sink, at full load and full air flow."""
    fan: Mover

    def flow_frac(
        self, load_frac: ArrayLike, sink_c: ArrayLike, wanted_c: float, *, backed: bool
    ) -> FloatArray:
        """Air flow towards the wanted temperature, as a share of the full flow.

        Args:
            load_frac: heat over that at full load. Broadcasts.
            sink_c: dry bulb or wet bulb [degC].
            wanted_c: of the leaving water [degC].
            backed: whether a chiller stands behind it.
        """
        load = np.asarray(load_frac, dtype=np.float64)
        difference_k = wanted_c - np.asarray(sink_c, dtype=np.float64)
        need_k = float(self.approach) * load
        flow = need_k / np.maximum(difference_k, self._least_k(load, backed=backed))
        return np.clip(flow, float(self.fan.least_flow), 1.0)

    def at_best_c(self, load_frac: ArrayLike, sink_c: ArrayLike, *, backed: bool) -> FloatArray:
        """Temperature of the leaving water at the greatest air flow that `flow_frac` gives [degC]."""
        load = np.asarray(load_frac, dtype=np.float64)
        return np.asarray(np.asarray(sink_c) + self._least_k(load, backed=backed))

    def unbacked_frac(self, room_k: ArrayLike) -> FloatArray:
        """Most load without a chiller, where the water may leave `room_k` above the sink, as a share."""
        room = np.asarray(room_k, dtype=np.float64)
        nearest_k = float(self.approach) * float(self.fan.least_flow)
        return np.where(room >= nearest_k, np.clip(room / float(self.approach), 0.0, 1.0), 0.0)

    def _least_k(self, load: FloatArray, *, backed: bool) -> FloatArray:
        share = np.ones(load.shape) if backed else np.maximum(load, float(self.fan.least_flow))
        return np.asarray(float(self.approach) * share)
