"""Every rank sends straight to the rank that needs the bytes: all-to-all and one to one."""

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
    usable_frac,
)
from simtool.machine.network import Fabric
from simtool.stepgraph import Number


class Direct:
    """All messages at once: n - 1 parts of n leave each rank, those to other domains by its own card."""

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Number:
        """All-to-all and point-to-point."""
        return np.asarray(kind in ("all_to_all", "point_to_point"))

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """``start-up + one step + max(inside, outside)``."""
        near, far = _wire_bytes(kind, size_bytes, group)
        pairs = kind == "all_to_all"
        own = LOCAL_FRAC * np.asarray(size_bytes) / group.size if pairs else 0.0
        inside = np.where(group.per_domain > 1, inside_time_s(near + own, group, fabric, pairs=pairs), 0.0)
        outside = np.where(spans(group), outside_time_s(far, group, fabric), 0.0)
        step = np.where(spans(group), fabric.scale_out.latency_s, fabric.scale_up.latency_s)
        return startup_s(group, fabric) + step + np.maximum(inside, outside)

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """The larger of both shares over its bandwidth."""
        near, far = _wire_bytes(kind, size_bytes, group)
        share = usable_frac(group, fabric, pairs=kind == "all_to_all")
        inside = near / (fabric.scale_up.bandwidth_bytes_per_s * share)
        return np.maximum(inside, far / (fabric.scale_out.bandwidth_bytes_per_s * group.per_domain))


def _wire_bytes(kind: str, size_bytes: Number, group: Group) -> tuple[Number, Number]:
    """What a rank sends within its domain; what all ranks of a domain send out of it."""
    whole = np.asarray(size_bytes, dtype=float)
    if kind == "point_to_point":
        crosses = spans(group)
        return np.where(crosses, 0.0, whole), np.where(crosses, whole, 0.0)
    near = (group.per_domain - 1.0) / group.size * whole
    return near, (group.size - group.per_domain) / group.size * whole * group.per_domain


ALGORITHMS.register("direct")(Direct())
