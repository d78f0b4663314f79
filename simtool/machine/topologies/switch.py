"""Switched fabrics without a bottleneck inside."""

from __future__ import annotations

import numpy as np

from simtool.machine.topologies import TOPOLOGIES
from simtool.stepgraph import Number


class Switch:
    """Every endpoint reaches every other at its whole bandwidth: NVSwitch, fat tree, two endpoints."""

    def ring_frac(self, group_size: Number, domain: Number) -> Number:
        """1.

        >>> float(Switch().ring_frac(4, 8))
        1.0
        """
        return np.ones(np.broadcast_shapes(np.shape(group_size), np.shape(domain)))

    def pairs_frac(self, group_size: Number, domain: Number) -> Number:
        """1."""
        return self.ring_frac(group_size, domain)


for _name in ("switch", "fat-tree", "dragonfly", "point-to-point"):
    TOPOLOGIES.register(_name)(Switch())
