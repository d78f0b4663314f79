"""The hardware and software that a step runs on, put together from profiles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simtool.machine.device import Device
from simtool.machine.network import Fabric
from simtool.machine.power import MEMORY_STATIC, op_power_w
from simtool.profiles.schema import Accelerator, Network, Node, Software
from simtool.stepgraph import Number

Doing = Literal["compute", "memory", "communication", "waiting", "idle"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatePower:
    """Mean power per accelerator while it is in one state, by component [W]."""

    accelerator_w: Number
    host_w: Number
    """The node without its accelerators, divided by their number."""
    network_w: Number
    """Endpoint, optics and share of the switches outside the node, per accelerator."""

    @property
    def total_w(self) -> Number:
        """All components."""
        return self.accelerator_w + self.host_w + self.network_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One accelerator with its share of node and network, and the software that drives it."""

    accelerator: Accelerator
    node: Node
    network: Network
    software: Software
    device: Device
    fabric: Fabric
    power_limit_w: float | None
    """Sustained board power; None where nobody states or assumes one."""
    power_cap_w: float | None
    release_ratio: float = 1.0
    """Step time of the software's release over that of its releases together."""
    release_expert_ratio: float = 1.0
    """What is more of it for models with experts."""
    notes: tuple[str, ...] = ()

    @property
    def accelerators_per_node(self) -> int:
        """Accelerators in one node."""
        return self.node.num_accelerators

    @property
    def memory_bytes(self) -> float:
        """Device memory of one accelerator."""
        return float(self.accelerator.memory.size)

    @property
    def workspace_bytes(self) -> float:
        """Device memory that tensors cannot use."""
        return float(self.software.workspace)

    @property
    def knows_power(self) -> bool:
        """Whether energy can be computed."""
        return self.power_limit_w is not None

    def power_w(self, doing: Doing) -> float:
        """Board power of one accelerator, under the cap; 0 where no power is known.

        A board at its lowest clock may draw more than a deep cap.
        """
        if self.power_limit_w is None:
            return 0.0
        power = self.accelerator.power
        if doing == "idle":
            return float(power.idle) if power.idle is not None else self.power_limit_w * IDLE_FRAC
        watts = self.power_limit_w * float(getattr(power.by_phase, doing))
        law, device = self.device.cap_law, self.device
        if law is None or self.power_cap_w is None:
            return watts
        if doing == "compute":
            return op_power_w(law, watts, clock=device.clock, static_w=float(law.static) * self.power_limit_w)
        if doing == "memory":
            return op_power_w(law, watts, clock=device.memory_clock, static_w=MEMORY_STATIC * watts)
        return min(watts, self.power_cap_w)

    def state_power(self, accelerator_w: Number, *, loaded: bool = True) -> StatePower:
        """Power with the host's and the network's share; the network draws the same at any load."""
        host = self.node.host_load if loaded else self.node.host_idle or self.node.host_load
        share = float(host) if host is not None else 0.0
        return StatePower(
            accelerator_w=accelerator_w,
            host_w=share / self.accelerators_per_node,
            network_w=self.network_power_w,
        )

    @property
    def network_power_w(self) -> float:
        """Power of the cluster network per accelerator."""
        if self.network.port_power is None:
            return 0.0
        endpoints = float(self.node.scale_out_bandwidth) / float(self.network.bandwidth)
        return endpoints * float(self.network.port_power) / self.accelerators_per_node


IDLE_FRAC = 0.12
"""Idle over limit where a profile states no idle power: data-centre GPUs idle at 10-15 % of it
(70-110 W of 700 W on H100 SXM, 46 W of 400 W on A100 in Cloud Carbon Footprint's table)."""
