"""Time of one collective: every algorithm that fits the group is priced, the fastest is taken.

That is what the tuner of a collective library does. A library has no algorithm that it does not use,
so each plug-in says for which kinds it stands in the choice (`Algorithm.applies`):

========================  =================================================================
in one domain             ring, or inside the switch (all-reduce, where the hardware can)
across domains            ring, tree or hierarchical (all-reduce); ring (reduce-scatter,
                          all-gather, broadcast: libraries have nothing else)
all-to-all, one to one    direct
========================  =================================================================

All share one formula for the time of bytes on a wire, `transfer_time_s`. In one domain, where a link's table
shows what the formula misses (a library switches between protocols as messages grow), the time of the fastest is
multiplied by that, and still undercuts no wire.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem, did_you_mean
from simtool.machine.network import Fabric, Link
from simtool.machine.topologies import TOPOLOGIES
from simtool.registry import Registry
from simtool.stepgraph import Number

KINDS = ("all_reduce", "reduce_scatter", "all_gather", "all_to_all", "broadcast", "point_to_point")
"""What can be asked for."""


Mask = bool | NDArray[np.bool_]
"""Yes or no, for one group or for many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The ranks of one collective."""

    size: Number
    """Ranks, at least 2."""
    per_domain: Number
    """Of them in one domain."""

    @property
    def num_domains(self) -> Number:
        """Domains that the group reaches."""
        return np.ceil(np.asarray(self.size) / self.per_domain)


class Algorithm(Protocol):
    """One way of doing a collective."""

    def applies(self, kind: str, group: Group, fabric: Fabric) -> Mask:
        """Where this algorithm stands in the choice."""
        ...

    def time_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """Seconds of one collective."""
        ...

    def bound_s(self, kind: str, size_bytes: Number, group: Group, fabric: Fabric) -> Number:
        """Bytes that this algorithm puts on the busiest wire, at nominal bandwidth [s]."""
        ...


ALGORITHMS: Registry[Algorithm] = Registry("collective algorithm", package="simtool.machine.collectives")
"""By name."""


def collective_time_s(
    kind: str,
    size_bytes: Number,
    group_size: Number,
    ranks_per_node: Number,
    fabric: Fabric,
    algorithm: str | None = None,
) -> Number:
    """Seconds of one collective. Numbers broadcast against each other.

    Args:
        kind: one of `KINDS`.
        size_bytes: the full buffer [byte]: what is reduced; what is gathered or scattered, put together;
            what one rank sends in all (all-to-all, one of `group_size` parts stays); the message.
        group_size: ranks; a group of one takes no time. Point-to-point: 2.
        ranks_per_node: of them in one domain, at most as many as there are and as fit.
        fabric: the networks.
        algorithm: a name of `ALGORITHMS`, in place of the fastest.

    >>> nvlink = Link(name="a", bandwidth_bytes_per_s=4e11, efficiency_frac=0.8, latency_s=1e-6, startup_s=5e-6)
    >>> cards = Link(name="b", bandwidth_bytes_per_s=5e10, efficiency_frac=0.9, latency_s=1e-5, startup_s=5e-6)
    >>> fabric = Fabric(scale_up=nvlink, scale_out=cards, accelerators_per_domain=8)
    >>> times = collective_time_s("all_gather", 64e6, np.array([1, 8, 16]), 8, fabric)
    >>> [round(1e6 * float(time)) for time in times]
    [0, 196, 207]
    """
    if kind not in KINDS:
        raise InputError(
            Problem("", "collective", f"unknown collective {kind!r}", "", did_you_mean(kind, KINDS))
        )
    alone = np.asarray(group_size) <= 1
    size = np.maximum(np.asarray(group_size, dtype=float), 2.0)
    near = np.minimum(
        np.asarray(ranks_per_node, dtype=float), np.minimum(size, fabric.accelerators_per_domain)
    )
    group = Group(size=size, per_domain=near)
    correction = fabric.scale_up.correction.get(kind) if algorithm is None else None
    best: Number = np.inf
    least: Number = np.inf
    for name in (algorithm,) if algorithm is not None else ALGORITHMS:
        way = ALGORITHMS[name]
        possible = np.asarray(way.applies(kind, group, fabric))
        if np.any(possible):
            best = np.minimum(best, np.where(possible, way.time_s(kind, size_bytes, group, fabric), np.inf))
            if correction is not None:
                bound = way.bound_s(kind, size_bytes, group, fabric)
                least = np.minimum(least, np.where(possible, bound, np.inf))
    if correction is not None:
        factor = np.exp(correction.at(group.size, np.maximum(size_bytes, 1.0)))
        best = np.where(spans(group), best, np.maximum(best * factor, least))
    return np.where(alone, 0.0, best)


def transfer_time_s(wire_bytes: Number, rate_bytes_per_s: Number, link: Link) -> Number:
    """Time of bytes on a wire whose rate rises with the message [s].

    ``t = y (1 + ramp/y)^g``, ``y = wire/rate``, with the link's ramp time and exponent: the limit `rate`
    is reached by transfers far longer than the ramp, never exceeded, and the time rises with every byte
    since g < 1.

    >>> link = Link(name="a", bandwidth_bytes_per_s=1e11, efficiency_frac=1.0, latency_s=0.0, startup_s=0.0)
    >>> float(transfer_time_s(1e9, link.rate_bytes_per_s, link))
    0.01
    """
    full = np.asarray(wire_bytes, dtype=float) / rate_bytes_per_s
    seconds: Number = full ** (1.0 - link.ramp_exponent) * (full + link.ramp_time_s) ** link.ramp_exponent
    return seconds


def inside_time_s(
    wire_bytes: Number, group: Group, fabric: Fabric, *, own_bytes: Number = 0.0, pairs: bool = False
) -> Number:
    """Time of bytes that each rank sends within its domain [s]; none where it is alone there.

    Its own part of the buffer, `own_bytes`, takes `Link.local_frac` of what a full link would need.
    """
    link = fabric.scale_up
    share = usable_frac(group, fabric, pairs=pairs)
    handled = wire_bytes + link.local_frac * own_bytes * share
    seconds = transfer_time_s(handled, link.rate_bytes_per_s * share, link)
    return np.where(group.per_domain > 1, seconds, 0.0)


def outside_time_s(wire_bytes: Number, group: Group, fabric: Fabric) -> Number:
    """Time of bytes that a group sends out of each of its domains, over the cards of its ranks there [s]."""
    link = fabric.scale_out
    seconds = transfer_time_s(wire_bytes, link.rate_bytes_per_s * group.per_domain, link)
    return np.where(spans(group), seconds, 0.0)


def inside_bound_s(wire_bytes: Number, group: Group, fabric: Fabric, *, pairs: bool = False) -> Number:
    """The least that `inside_time_s` can be: nominal bandwidth [s]."""
    nominal = wire_bytes / (fabric.scale_up.bandwidth_bytes_per_s * usable_frac(group, fabric, pairs=pairs))
    return np.where(group.per_domain > 1, nominal, 0.0)


def outside_bound_s(wire_bytes: Number, group: Group, fabric: Fabric) -> Number:
    """The least that `outside_time_s` can be: nominal bandwidth [s]."""
    nominal = wire_bytes / (fabric.scale_out.bandwidth_bytes_per_s * group.per_domain)
    return np.where(spans(group), nominal, 0.0)


def usable_frac(group: Group, fabric: Fabric, *, pairs: bool = False) -> Number:
    """Share of the scale-up bandwidth that the ranks of a group in one domain can use."""
    topology = TOPOLOGIES[fabric.scale_up.topology]
    share = topology.pairs_frac if pairs else topology.ring_frac
    return share(np.maximum(group.per_domain, 2.0), fabric.accelerators_per_domain)


def spans(group: Group) -> NDArray[np.bool_]:
    """Where a group reaches more than one domain."""
    return np.asarray(np.asarray(group.num_domains) > 1)


def startup_s(group: Group, fabric: Fabric) -> Number:
    """Start-up of the outermost network that a group uses [s]."""
    return np.where(spans(group), fabric.scale_out.startup_s, fabric.scale_up.startup_s)


def steps_latency_s(num_rounds: Number, group: Group, fabric: Fabric) -> Number:
    """Latency of `num_rounds` rounds through all ranks of a chain or ring [s].

    ``rounds x ((n - 1) x latency)`` in one domain. Across D domains D - 1 steps a round leave a
    domain and the others pass through the ranks of one:
    ``rounds x ((D - 1) x latency + (n - D) x relay_latency)``.
    """
    crossing = np.asarray(group.num_domains) - 1.0
    relays = group.size - 1.0 - crossing
    across = crossing * fabric.scale_out.latency_s + relays * fabric.scale_out.relay_latency_s
    within = (group.size - 1.0) * fabric.scale_up.latency_s
    seconds: Number = num_rounds * np.where(spans(group), across, within)
    return seconds
