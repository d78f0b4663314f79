"""A link between each pair of accelerators."""

from __future__ import annotations

import numpy as np

from simtool.machine.topologies import TOPOLOGIES
from simtool.stepgraph import Number


class FullMesh:
    """A link between each pair: a group of n among d uses n - 1 of every member's d - 1 links."""

    def ring_frac(self, group_size: Number, domain: Number) -> Number:
        """(n - 1) / (d - 1); n - 1 rings run side by side, each over other links.

        >>> round(float(FullMesh().ring_frac(2, 8)), 3), float(FullMesh().ring_frac(8, 8))
        (0.143, 1.0)
        """
        peers = np.maximum(np.asarray(group_size, dtype=float) - 1.0, 1.0)
        return np.minimum(peers / np.maximum(np.asarray(domain, dtype=float) - 1.0, 1.0), 1.0)

    def pairs_frac(self, group_size: Number, domain: Number) -> Number:
        """The same: what goes to a peer takes the link to that peer."""
        return self.ring_frac(group_size, domain)


TOPOLOGIES.register("full-mesh")(FullMesh())
