"""Up and down a double binary tree of domains: few steps, so the choice for small messages far apart."""

from __future__ import annotations

import numpy as np

from simtool.machine.collectives import (
    ALGORITHMS,
    Group,
    Mask,
    inside_bound_s,
    inside_time_s,
    outside_bound_s,
    outside_time_s,
    spans,
)
from simtool.machine.network import Fabric
from simtool.stepgraph import Number

RATE_FRAC = 0.8
"""Bus bandwidth over that of a ring. Measured by users of NCCL on large messages, same machines, tree over ring:
0.79 (5 nodes of 8 H100, github.com/NVIDIA/nccl issue 1368) and 0.85 (8 nodes, issue 319)."""


class Tree:
    """A chain in each domain, a double binary tree between domains: 2 log2(D) steps far apart.

    Each domain sends 2 (D-1)/D of the buffer out. On few domains that is less than a ring sends, but libraries
    do not turn it into time: what was measured is four fifths of a ring's bus bandwidth, and that is what is priced.
    Source: Sanders, Speck, Traeff 2009; NCCL uses it for all-reduce across nodes.
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """All-reduce across domains."""
        return spans(group) & np.bool_(kind == "all_reduce")

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + 2 (ceil(log2 D) latency + (r-1) relay) + max(inside, outside) / 0.8``.

        Inside and outside carry 2 (n-1)/n of the buffer, as a ring's wires.
        """
        link = fabric.scale_out
        near = far = 2.0 * (group.size - 1.0) / group.size * np.asarray(size_bytes, dtype=float)
        depth = np.ceil(np.log2(group.num_domains))
        latency = 2.0 * (depth * link.latency_s + (group.per_domain - 1.0) * link.relay_latency_s)
        slower = np.maximum(inside_time_s(near, group, fabric), outside_time_s(far, group, fabric))
        return link.startup_s + latency + slower / RATE_FRAC

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """The larger of 2 (r-1)/r S inside and 2 (D-1)/D S outside, over its bandwidth."""
        near, far = _wire_bytes(size_bytes, group)
        return np.maximum(inside_bound_s(near, group, fabric), outside_bound_s(far, group, fabric))


def _wire_bytes(size_bytes: Number, group: Group) -> tuple[Number, Number]:
    domains = group.num_domains
    whole = 2.0 * np.asarray(size_bytes, dtype=float)
    return (group.per_domain - 1.0) / group.per_domain * whole, (domains - 1.0) / domains * whole


ALGORITHMS.register("tree")(Tree())
