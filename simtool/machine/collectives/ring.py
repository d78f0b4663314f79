"""Each rank passes pieces to the next: the choice for large messages, and for all but all-reduce."""

from __future__ import annotations

import numpy as np

from simtool.machine.collectives import (
    ALGORITHMS,
    LOCAL_FRAC,
    Group,
    inside_time_s,
    outside_time_s,
    spans,
    startup_s,
    steps_latency_s,
    usable_frac,
)
from simtool.machine.network import Fabric
from simtool.stepgraph import Number

ROUNDS = {"all_reduce": 2.0, "reduce_scatter": 1.0, "all_gather": 1.0, "broadcast": 1.0}
"""Times that the buffer passes through the ring."""


class Ring:
    """One ring through all ranks: n - 1 steps a round, a share (n - 1)/n of the buffer on each wire.

    Across domains each ring leaves a domain through one card, and there are as many rings as the group
    has ranks in a domain; the slower of the two networks sets the pace. A broadcast is a chain that
    passes the whole buffer on.
    Source of the counts: the Rabenseifner and bucket algorithms (Thakur et al. 2005; Patarasuk, Yuan 2009).
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Number:
        """All kinds that go through every rank."""
        return np.asarray(kind in ROUNDS)

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + steps + max(inside, outside)``."""
        wire = _wire_bytes(kind, size_bytes, group)
        own = 0.0 if kind == "broadcast" else LOCAL_FRAC * np.asarray(size_bytes) / group.size
        inside = np.where(group.per_domain > 1, inside_time_s(wire + own, group, fabric), 0.0)
        outside = np.where(spans(group), outside_time_s(wire, group, fabric), 0.0)
        latency = startup_s(group, fabric) + steps_latency_s(ROUNDS[kind], group, fabric)
        return latency + np.maximum(inside, outside)

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """2 (n-1)/n S/B for an all-reduce, half of it for its halves, S/B for a broadcast."""
        wire = _wire_bytes(kind, size_bytes, group)
        near = wire / (fabric.scale_up.bandwidth_bytes_per_s * usable_frac(group, fabric))
        far = wire / (fabric.scale_out.bandwidth_bytes_per_s * group.per_domain)
        return np.maximum(np.where(group.per_domain > 1, near, 0.0), np.where(spans(group), far, 0.0))


def _wire_bytes(kind: str, size_bytes: Number, group: Group) -> Number:
    whole = np.asarray(size_bytes, dtype=float)
    if kind == "broadcast":
        return whole * np.ones_like(group.size)
    return ROUNDS[kind] * (group.size - 1.0) / group.size * whole


ALGORITHMS.register("ring")(Ring())
