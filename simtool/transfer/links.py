"""Collectives and copies to the host: what the networks and the host links of two devices make of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil

from simtool.machine.collectives import KINDS, collective_time_s
from simtool.machine.network import Fabric, build_fabric
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.schema import Accelerator
from simtool.transfer.traced import TracedOp

HOST_COPIES = ("host_to_device", "device_to_host")
_SENDS = {"send_recv": "point_to_point", "reduce": "all_reduce"}
"""A reduction to one rank moves no more than one to all."""


@dataclass(frozen=True)
class Links:
    """The networks of one accelerator in its usual server.

    Args:
        accelerator: its profile.
        library: finds its server and the networks.
    """

    accelerator: Accelerator
    library: ProfileLibrary

    @cached_property
    def _near(self) -> int:
        return self.library.get("node", self.accelerator.node).num_accelerators

    def collective_s(self, op: TracedOp) -> float | None:
        """Time of a collective over neighbouring ranks [s]; None where trace or profiles do not tell."""
        kind = _SENDS.get(op.variant, op.variant)
        if kind not in KINDS or not op.size_bytes or not op.group_size or op.group_size < 2:
            return None
        fabric = self._fabric(ceil(op.group_size / self._near))
        if fabric is None:
            return None
        ranks = float(op.group_size) if kind != "point_to_point" else 2.0
        # What is gathered is the whole, what a rank gives its part of it.
        size_bytes = op.size_bytes * (ranks if kind == "all_gather" else 1.0)
        return float(collective_time_s(kind, size_bytes, ranks, float(self._near), fabric))

    def _fabric(self, num_nodes: int) -> Fabric | None:
        node = self.library.get("node", self.accelerator.node)
        if node.network is None or (num_nodes == 1 and self.accelerator.scale_up is None):
            return None
        network = self.library.get("network", node.network)
        return build_fabric(self.accelerator, node, network, self.library, num_nodes=num_nodes)

    @property
    def network_bytes_per_s(self) -> float | None:
        """Bandwidth to the other accelerators of a server."""
        scale_up = self.accelerator.scale_up
        return None if scale_up is None else float(scale_up.bandwidth)

    @property
    def host_bytes_per_s(self) -> float | None:
        """Bandwidth to the host's memory."""
        link = self.accelerator.host_link
        return None if link is None else float(link)
