"""How the accelerators of one domain are joined: which share of its bandwidth a group can use.

A switch gives every accelerator its whole bandwidth towards any other. Where links join fixed pairs, a
group that leaves some neighbours out leaves their links idle, and traffic between all pairs may have to
pass through others.
"""

from __future__ import annotations

from typing import Protocol

from simtool.registry import Registry
from simtool.stepgraph import Number


class Topology(Protocol):
    """Usable share of an accelerator's bandwidth, above 0 and at most 1.

    For a group of `group_size` ranks that stand close together among `domain` accelerators.
    """

    def ring_frac(self, group_size: Number, domain: Number) -> Number:
        """Where every rank sends to neighbours of its choice (rings, trees, chains)."""
        ...

    def pairs_frac(self, group_size: Number, domain: Number) -> Number:
        """Where every rank sends to every other at once (all-to-all)."""
        ...


TOPOLOGIES: Registry[Topology] = Registry("topology", package="simtool.machine.topologies")
"""By the name that stands in a network profile."""
