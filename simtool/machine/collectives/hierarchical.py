"""Reduce within each domain, between domains, and gather again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simtool.machine.collectives import ALGORITHMS, Group, Mask, spans
from simtool.machine.collectives.ring import Ring
from simtool.machine.collectives.tree import Tree
from simtool.machine.network import Fabric
from simtool.stepgraph import Number


class Hierarchical:
    """Reduce-scatter in the domain, all-reduce of the shards between domains, all-gather in the domain.

    Between domains each rank reduces its own shard S/r with its like in the other domains, all cards at
    once: the group sends 2 (D-1)/D S out of each domain, less than a flat ring's 2 (n-1)/n, in 2 (D-1)
    steps instead of 2 (n-1). In return the three parts follow each other.
    """

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """All-reduce of a group with several ranks in each of several domains that can reduce in their switches.

        NCCL does so (NVLSTree) where the switches of a domain add up; elsewhere it has rings and trees over all
        ranks.
        """
        able = np.bool_(kind == "all_reduce" and fabric.scale_up.in_switch_gain is not None)
        return spans(group) & np.asarray(np.asarray(group.per_domain) > 1) & able

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """Sum of the three, the middle one by ring or tree."""
        inside, between, shard = _parts(size_bytes, group)
        ring = Ring()
        far = np.minimum(
            ring.time_s("all_reduce", shard, between, fabric),
            Tree().time_s("all_reduce", shard, between, fabric),
        )
        near = ring.time_s("reduce_scatter", size_bytes, inside, fabric)
        return near + far + ring.time_s("all_gather", size_bytes, inside, fabric)

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """Sum of the three bounds."""
        inside, between, shard = _parts(size_bytes, group)
        ring = Ring()
        near = 2.0 * ring.bound_s("all_gather", size_bytes, inside, fabric)
        return near + ring.bound_s("all_reduce", shard, between, fabric)


def _parts(size_bytes: Number, group: Group) -> tuple[Group, Group, Number]:
    near = np.maximum(group.per_domain, 2.0)
    inside = replace(group, size=near, per_domain=near)
    between = replace(group, size=np.maximum(group.num_domains, 2.0), per_domain=np.ones_like(near))
    return inside, between, np.asarray(size_bytes, dtype=float) / near


ALGORITHMS.register("hierarchical")(Hierarchical())
