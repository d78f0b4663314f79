"""Rings along two or three dimensions, as in TPU slices."""

from __future__ import annotations

import numpy as np

from simtool.machine.topologies import TOPOLOGIES
from simtool.stepgraph import Number


class Torus:
    """Neighbours along k dimensions: a group that fills j of them uses 2 j of its members' 2 k links."""

    def __init__(self, num_dimensions: int) -> None:
        self.num_dimensions = num_dimensions

    def _filled(self, group_size: Number, domain: Number) -> Number:
        side = np.maximum(np.asarray(domain, dtype=float) ** (1.0 / self.num_dimensions), 2.0)
        size = np.maximum(np.asarray(group_size, dtype=float), 2.0)
        filled = np.ceil(np.log(size) / np.log(side) - 1e-9)
        return np.asarray(np.clip(filled, 1.0, self.num_dimensions))

    def ring_frac(self, group_size: Number, domain: Number) -> Number:
        """j / k, with j dimensions filled one after the other, each ``domain^(1/k)`` long.

        >>> float(Torus(2).ring_frac(16, 256)), float(Torus(2).ring_frac(256, 256))
        (0.5, 1.0)
        """
        return self._filled(group_size, domain) / self.num_dimensions

    def pairs_frac(self, group_size: Number, domain: Number) -> Number:
        """``ring_frac`` over the mean number of hops, ``j g / 4`` in rings of ``g = n^(1/j)``, at least 1."""
        filled = self._filled(group_size, domain)
        ring_length = np.maximum(np.asarray(group_size, dtype=float), 2.0) ** (1.0 / filled)
        return np.asarray(filled / self.num_dimensions / np.maximum(filled * ring_length / 4.0, 1.0))


TOPOLOGIES.register("torus-2d")(Torus(2))
TOPOLOGIES.register("torus-3d")(Torus(3))
