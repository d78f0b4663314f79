"""The eight V100 of a DGX-1: six links each, doubled between some pairs, absent between others."""

from __future__ import annotations

import numpy as np

from simtool.machine.topologies import TOPOLOGIES
from simtool.stepgraph import Number

LINKS_IN_RINGS = (0.0, 0.0, 1.0, 2.0, 4.0, 5.0 / 3.0, 2.0, 4.0, 6.0)
"""Links of each member that rings through the first n of eight accelerators use, by n: NCCL's bus bandwidth
in groups of 2 to 8 V100, divided by that of one link (vTrain's all-reduce tables, MIT)."""
LINKS = 6.0


class HybridCubeMesh:
    """Eight accelerators, six links each: rings through 2, 4 and 8 of them use 1, 4 and all 6 links."""

    def ring_frac(self, group_size: Number, domain: Number) -> Number:
        """Links in use over links present.

        >>> float(HybridCubeMesh().ring_frac(8, 8)), round(float(HybridCubeMesh().ring_frac(2, 8)), 3)
        (1.0, 0.167)
        """
        sizes = np.clip(np.asarray(group_size), 2, 8).astype(int)
        fracs = np.asarray(LINKS_IN_RINGS)[sizes] / LINKS
        return np.broadcast_to(fracs, np.broadcast_shapes(fracs.shape, np.shape(domain))).copy()

    def pairs_frac(self, group_size: Number, domain: Number) -> Number:
        """As rings: pairs without a link go through a neighbour."""
        return self.ring_frac(group_size, domain)


TOPOLOGIES.register("hybrid-cube-mesh")(HybridCubeMesh())
