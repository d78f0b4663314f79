"""Every rank sends straight to the rank that needs the bytes: all-to-all and one to one."""

from __future__ import annotations

from dataclasses import replace

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
    startup_s,
)
from simtool.machine.network import Fabric
from simtool.stepgraph import Number


class Direct:
    """All messages at once: n - 1 parts of n leave each rank, those to other domains by its own card.

    One message to one neighbour in the domain has the full rate from the start: there is no ring to fill
    (measured on A100 and H100, Vidur's tables).
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """All-to-all and point-to-point."""
        return kind in ("all_to_all", "point_to_point")

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + one step + max(inside, outside)``."""
        near, far = _wire_bytes(kind, size_bytes, group)
        pairs = kind == "all_to_all"
        if not pairs:
            fabric = replace(fabric, scale_up=replace(fabric.scale_up, ramp_time_s=0.0))
        own = np.asarray(size_bytes) / group.size if pairs else 0.0
        inside = inside_time_s(near, group, fabric, own_bytes=own, pairs=pairs)
        step = np.where(spans(group), fabric.scale_out.latency_s, fabric.scale_up.latency_s)
        return startup_s(group, fabric) + step + np.maximum(inside, outside_time_s(far, group, fabric))

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """The larger of both shares over its bandwidth."""
        near, far = _wire_bytes(kind, size_bytes, group)
        inside = inside_bound_s(near, group, fabric, pairs=kind == "all_to_all")
        return np.maximum(inside, outside_bound_s(far, group, fabric))


def _wire_bytes(kind: str, size_bytes: Number, group: Group) -> tuple[Number, Number]:
    """What a rank sends within its domain; what all ranks of a domain send out of it."""
    whole = np.asarray(size_bytes, dtype=float)
    if kind == "point_to_point":
        crosses = spans(group)
        return np.where(crosses, 0.0, whole), np.where(crosses, whole, 0.0)
    near = (group.per_domain - 1.0) / group.size * whole
    return near, (group.size - group.per_domain) / group.size * whole * group.per_domain


ALGORITHMS.register("direct")(Direct())
