"""Each rank passes pieces to the next: the choice for large messages, and for all but all-reduce."""

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
    startup_s,
    steps_latency_s,
)
from simtool.machine.network import Fabric
from simtool.stepgraph import Number

ROUNDS = {"all_reduce": 2.0, "reduce_scatter": 1.0, "all_gather": 1.0, "broadcast": 1.0}
"""Times that the buffer passes through the ring."""


class Ring:
    """One ring through all ranks: n - 1 steps a round, a share (n - 1)/n of the buffer on each wire.

    Across domains each ring leaves a domain through one card, and there are as many rings as the group
    has ranks in a domain; the slower of the two networks sets the pace. A broadcast is a chain that
    passes the whole buffer on. Across many domains the steps are those of the protocol for large messages,
    so that buffers of less than about 16 KiB a rank come out too slow (tables begin there).
    Source of the counts: the Rabenseifner and bucket algorithms (Thakur et al. 2005; Patarasuk, Yuan 2009).
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """All kinds that go through every rank."""
        return kind in ROUNDS

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + steps + max(inside, outside)``."""
        wire = _wire_bytes(kind, size_bytes, group)
        own = 0.0 if kind == "broadcast" else np.asarray(size_bytes) / group.size
        inside = inside_time_s(wire, group, fabric, own_bytes=own)
        slower = np.maximum(inside, outside_time_s(wire, group, fabric))
        return startup_s(group, fabric) + steps_latency_s(ROUNDS[kind], group, fabric) + slower

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """2 (n-1)/n S/B for an all-reduce, half of it for its halves, S/B for a broadcast."""
        wire = _wire_bytes(kind, size_bytes, group)
        return np.maximum(inside_bound_s(wire, group, fabric), outside_bound_s(wire, group, fabric))


def _wire_bytes(kind: str, size_bytes: Number, group: Group) -> Number:
    whole = np.asarray(size_bytes, dtype=float)
    if kind == "broadcast":
        return np.asarray(whole * np.ones_like(group.size))
    return np.asarray(ROUNDS[kind] * (group.size - 1.0) / group.size * whole)


ALGORITHMS.register("ring")(Ring())
