"""The two networks that a rank sees: the domain it shares with near ranks, and the cluster beyond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from simtool.machine.correction import grid_of
from simtool.machine.grid import Grid
from simtool.profiles.schema import Accelerator, Network, Node
from simtool.stepgraph import Number

RAMP_EXPONENT = 0.28
"""How slowly a link's rate rises to its limit with the message: libraries add channels and larger pieces as
messages grow. One fit over NCCL's tables of five GPUs (`calibrate.collective_links`)."""

LOCAL_FRAC = 0.35
"""Work on a rank's own shard, in shards that cross the wire: it is read, and copied or added, in the same
kernel, which makes groups of 2 slower than the wire alone. From the same fit."""

STANDS_ALONE = "point-to-point"
"""Topology of a domain of one accelerator."""


class NetworkLibrary(Protocol):
    """Where network profiles come from."""

    def get(self, kind: Literal["network"], name: str) -> Network:
        """The profile of that name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One accelerator's way into a network."""

    name: str
    bandwidth_bytes_per_s: float
    """Per accelerator and direction."""
    efficiency_frac: float
    """Share of the bandwidth that very large messages reach on the wire."""
    latency_s: float
    """One step of a collective to a neighbour."""
    startup_s: float
    """Once a collective."""
    ramp_time_s: float = 0.0
    """Transfers shorter than this fall off from the full rate."""
    relay_latency_s: float = 0.0
    """Between domains: what one more rank in the same domain adds to a ring's step."""
    topology: str = "switch"
    in_switch_gain: float | None = None
    """Bus-bandwidth gain of reductions inside the switch at 8 ranks; None where the switch cannot."""
    in_switch_startup_s: float = 0.0
    ramp_exponent: float = RAMP_EXPONENT
    local_frac: float = LOCAL_FRAC
    correction: Mapping[str, Grid] = field(default_factory=dict, compare=False)
    """Log of measured over modelled time by kind of collective, over ranks and size [byte]; in one domain."""

    @property
    def rate_bytes_per_s(self) -> float:
        """What very large messages reach."""
        return self.bandwidth_bytes_per_s * self.efficiency_frac


@dataclass(frozen=True, slots=True, kw_only=True)
class Fabric:
    """The networks of one accelerator.

    A group with r ranks in every domain sends r times the scale-out bandwidth of one accelerator out of
    each: its siblings, the other groups of its kind in the domain, use the rest. So a tensor group that
    fills its domains has their whole network cards, and each of the 8 data-parallel groups of a node of 8
    has an eighth.
    """

    scale_up: Link
    scale_out: Link
    accelerators_per_domain: int
    notes: tuple[str, ...] = ()
    """What is transferred or assumed."""


HOST_BUS_SHARE = 0.5
"""Of its slot's bandwidth that a board has towards the others of its server, all at once: two boards share the port
of a switch, or of a socket (the usual layout of servers for eight boards; assumed)."""
HOST_BUSES = ("pcie3x16", "pcie4x16", "pcie5x16", "pcie6x16")


def _host_bus(host_link_bytes_per_s: float, library: NetworkLibrary) -> Network:
    """The generation of the bus whose rate is next to a board's own."""
    buses = [library.get("network", name) for name in HOST_BUSES]
    return min(buses, key=lambda bus: abs(float(np.log(float(bus.bandwidth) / host_link_bytes_per_s))))


def build_fabric(
    accelerator: Accelerator,
    node: Node,
    network: Network,
    library: NetworkLibrary,
    *,
    num_nodes: int,
    scale_out_bandwidth_bytes_per_s: float | None = None,
) -> Fabric:
    """The fabric of `num_nodes` nodes joined by `network`.

    Args:
        accelerator: its `scale_up` names the network of the fast domain and gives the bandwidth; its
            `host_link` is the way to the network cards.
        node: its `scale_out_bandwidth` is shared evenly by its accelerators.
        network: the cluster network: latencies and efficiency. A single server does not use it: boards that
            bridges join in pairs or fours meet the others on the host's bus. Where it is another one than the node's
            usual, the node keeps its number of endpoints and each has the bandwidth of `network`.
        library: finds the profiles of the scale-up network and of the node's usual network.
        num_nodes: nodes in the cluster; limits a domain that goes on through the nodes.
        scale_out_bandwidth_bytes_per_s: of the whole node, in place of what the profiles say.

    Raises:
        InputError: a network that no profile describes.
    """
    inside, domain = _scale_up(accelerator, node, library, num_nodes)
    node_bandwidth = scale_out_bandwidth_bytes_per_s or _node_bandwidth(node, network, library)
    card = node_bandwidth / node.num_accelerators
    host_link = np.inf if accelerator.host_link is None else float(accelerator.host_link)
    outside = _link(network, min(card, host_link))
    if num_nodes == 1 and domain < node.num_accelerators and accelerator.host_link is not None:
        network = _host_bus(float(accelerator.host_link), library)
        outside = _link(network, HOST_BUS_SHARE * float(accelerator.host_link))
    notes = tuple(
        f"collectives over {one.name}: latencies and ramp {_ORIGIN[one.basis]}"
        for one in (inside[1], network)
        if one is not None and one.basis != "measured"
    )
    if host_link < card:
        notes += (f"the host link of {accelerator.name} limits its share of the cards of {node.name}",)
    return Fabric(scale_up=inside[0], scale_out=outside, accelerators_per_domain=domain, notes=notes)


_ORIGIN = {"transferred": "are those of a like network", "analytic": "are prior constants"}


def _scale_up(
    accelerator: Accelerator, node: Node, library: NetworkLibrary, num_nodes: int
) -> tuple[tuple[Link, Network | None], int]:
    """Link and profile of the fast domain, and its size.

    Switches, meshes and buses end at the node (a rack that acts as one is a node); a torus goes on
    through all nodes. A host bus joins whatever stands in the node.
    """
    scale_up = accelerator.scale_up
    if scale_up is None:
        alone = Link(
            name="none",
            bandwidth_bytes_per_s=np.inf,
            efficiency_frac=1.0,
            latency_s=0.0,
            startup_s=0.0,
            topology=STANDS_ALONE,
        )
        return (alone, None), 1
    profile = library.get("network", scale_up.network)
    if profile.layer == "host":
        domain = node.num_accelerators
    elif profile.topology.startswith("torus"):
        domain = min(scale_up.domain, num_nodes * node.num_accelerators)
    else:
        domain = min(scale_up.domain, node.num_accelerators)
    return (_link(profile, float(scale_up.bandwidth)), profile), domain


def _node_bandwidth(node: Node, network: Network, library: NetworkLibrary) -> float:
    whole = float(node.scale_out_bandwidth)
    if node.network is None or node.network == network.name:
        return whole
    usual = library.get("network", node.network)
    return whole * float(network.bandwidth) / float(usual.bandwidth)


def _link(profile: Network, bandwidth_bytes_per_s: float) -> Link:
    def value(name: str) -> float:
        number = getattr(profile, name)
        return 0.0 if number is None else float(number)

    tables = profile.correction
    return Link(
        name=profile.name,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        efficiency_frac=float(profile.efficiency),
        latency_s=float(profile.latency),
        startup_s=float(profile.collective_latency),
        ramp_time_s=value("ramp_time"),
        relay_latency_s=value("relay_latency"),
        topology=profile.topology,
        in_switch_gain=None if profile.in_switch_reduction is None else float(profile.in_switch_reduction),
        in_switch_startup_s=value("in_switch_latency"),
        correction={} if tables is None else {kind: grid_of(table) for kind, table in tables.kinds.items()},
    )


def ranks_per_domain(group_size: Number, stride: Number, accelerators_per_domain: int) -> Number:
    """How many ranks of a group sit in one domain, if its neighbours are `stride` accelerators apart.

    With ranks placed tensor-parallel first, then data-parallel, then by stage: stride 1 for tensor
    groups, tp for data groups, tp x dp for pipeline neighbours.

    >>> [int(ranks_per_domain(n, stride, 8)) for n, stride in ((8, 1), (16, 1), (64, 8), (64, 2), (2, 4))]
    [8, 8, 1, 4, 2]
    """
    near = np.floor_divide(accelerators_per_domain, np.asarray(stride, dtype=float))
    return np.asarray(np.clip(near, 1.0, np.asarray(group_size, dtype=float)))
