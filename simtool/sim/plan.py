"""What is simulated: jobs, cluster, checkpoints and failures, as frozen numbers in seconds and watts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from simtool.errors import InputError, Problem
from simtool.ledger import WORK_STATES, Pattern
from simtool.sim.hazards import HazardEvent
from simtool.sim.hazards.plan import HazardPlan

FLEETING_S = 1e-6
"""Steps shorter than a microsecond would drown in the rounding of a time of months."""

NOTHING = HazardPlan()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkPhase:
    """A stretch of equal training steps."""

    num_steps: int
    step_time_s: float
    pattern: Pattern
    """What the devices do in a step: shares over compute, exposed communication and bubble."""

    def __post_init__(self) -> None:
        _count("num_steps", self.num_steps, 0)
        if not FLEETING_S <= self.step_time_s < math.inf:
            _refuse("step_time_s", self.step_time_s, f"at least {FLEETING_S:g} s")
        _only("pattern", self.pattern, WORK_STATES)

    @property
    def work_s(self) -> float:
        """Time of all its steps, without any interruption."""
        return self.num_steps * self.step_time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """One training run; it holds all its nodes from its start to its end."""

    name: str
    phases: tuple[WorkPhase, ...]
    """In order; a method whose effect changes with progress has several."""
    num_nodes: int
    submit_s: float = 0.0
    """When it joins the queue."""

    def __post_init__(self) -> None:
        if not self.name:
            _refuse("name", self.name, "a name; the empty one stands for devices that no job holds")
        _count(f"{self.name}.num_nodes", self.num_nodes, 1)
        _seconds(f"{self.name}.submit_s", self.submit_s)
        if not any(phase.num_steps for phase in self.phases):
            _refuse(f"{self.name}.phases", "no step", "at least one step")

    @property
    def work_s(self) -> float:
        """Time of all its steps, without any interruption."""
        return math.fsum(phase.work_s for phase in self.phases)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterPlan:
    """Equal nodes, of which `spare_nodes` are kept to replace failed ones.

    Jobs hold at most `num_nodes` nodes at any time. Which nodes are spare changes: a repaired node
    becomes a spare, and spares fail as the others do.
    """

    num_nodes: int
    spare_nodes: int
    devices_per_node: int
    idle: Pattern
    """Of nodes that no job holds, and of a job's nodes while it waits for another node."""
    down: Pattern
    """Of failed nodes, until they are back."""

    def __post_init__(self) -> None:
        _count("num_nodes", self.num_nodes, 1)
        _count("spare_nodes", self.spare_nodes, 0)
        _count("devices_per_node", self.devices_per_node, 1)
        _only("idle", self.idle, ("idle",))
        _only("down", self.down, ("down",))

    @property
    def total_nodes(self) -> int:
        """Nodes and spare nodes."""
        return self.num_nodes + self.spare_nodes

    @property
    def num_devices(self) -> int:
        """Devices of all nodes, spares included."""
        return self.total_nodes * self.devices_per_node


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointPlan:
    """How a job saves its state.

    Synchronous: training stops for `write_s`, then the state is durable. Asynchronous: training stops for
    `stall_s`, and the state is durable once both `stall_s` and `write_s` have passed since the stop began.
    One write at a time: a checkpoint that falls due during a write is put off to the end of the first step
    after it. In-memory: training stops for `stall_s`, in which the state is copied to a peer's memory; a copy
    every `persistent_interval_s` of work is written to the store too, which takes `write_s` beside training.
    A restart goes on from memory unless a node and the peer that holds its copy were both lost since the
    job last ran: then from the store. Intervals are whole steps: the number nearest to `interval_s` of work,
    halves upwards, at least one. A job ends with a checkpoint of its last state, for which it waits in either kind; a
    checkpoint that would fall due there is that one.
    """

    kind: Literal["synchronous", "asynchronous", "in-memory"]
    write_s: float
    stall_s: float
    """Not synchronous."""
    interval_s: float | None
    """Work between two checkpoints; None: nothing is ever saved, not even at the end."""
    pattern: Pattern
    """While training stops for a checkpoint."""
    persistent_interval_s: float = 0.0
    """In-memory only; the nearest whole number of intervals, at least one and as many as a write takes."""
    memory_restart_s: float | None = None
    """In-memory only: a restart from memory; None: as from the store."""

    def __post_init__(self) -> None:
        _seconds("checkpoint.write_s", self.write_s)
        _seconds("checkpoint.stall_s", self.stall_s)
        _seconds("checkpoint.persistent_interval_s", self.persistent_interval_s)
        if self.memory_restart_s is not None:
            _seconds("checkpoint.memory_restart_s", self.memory_restart_s)
        if self.interval_s is not None:
            _seconds("checkpoint.interval_s", self.interval_s)
        _only("checkpoint.pattern", self.pattern, ("checkpoint",))

    @property
    def stop_s(self) -> float:
        """Time that training stops for one checkpoint."""
        return self.write_s if self.kind == "synchronous" else self.stall_s

    @property
    def durable_s(self) -> float:
        """Time from the begin of the stop until the state survives the failure of a node."""
        return self.stop_s if self.kind == "in-memory" else max(self.stop_s, self.write_s)

    @property
    def announced_s(self) -> float:
        """How long before maintenance a job stops to save its state."""
        return 0.0 if self.interval_s is None else self.stored_s

    @property
    def stored_s(self) -> float:
        """Time from the begin of the stop until the state survives whatever happens to the nodes."""
        return max(self.stop_s, self.write_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailurePlan:
    """What breaks, and how long it takes to go on.

    Every node that is up fails at `rate_per_node_s`, whether a job holds it or not. A failed node is
    down for `repair_s` since its failure, at least until the failure was noticed. A job notices after
    `detection_s`: until then its other devices go on in vain (``lost_work``). Further failures in that
    time are noticed with the first. It then takes free nodes in place of the failed ones, or waits for
    them with its other nodes idle, and restarts from the last durable state; restarts fail as well. A
    job's first start needs no restart. Nodes that wait or that no job holds are noticed at once. What
    events of other effects do is told by `simtool.sim.cluster.Cluster.strike`.
    """

    rate_per_node_s: float
    repair_s: float
    detection_s: float
    restart_s: float
    """Loading the checkpoint and warming up."""
    restart_pattern: Pattern
    scripted: tuple[tuple[float, int], ...] | None = None
    """Failures as (time [s], node) in place of random ones; a node that is down already is left alone."""
    detection_pattern: Pattern | None = None
    """Power of devices until a failure is noticed; None: as in the activity that was interrupted."""
    hazards: HazardPlan = NOTHING
    """What goes wrong besides, with durations of its own."""
    events: tuple[HazardEvent, ...] = ()
    """Scripted ones besides, of any effect."""

    @property
    def is_random(self) -> bool:
        """Whether anything but a script makes nodes fail."""
        return bool((self.scripted is None and self.rate_per_node_s) or self.hazards.names)

    @property
    def has_maintenance(self) -> bool:
        """Whether anything is announced."""
        effects = [cause.effect for cause in self.hazards.causes] + [event.effect for event in self.events]
        return "maintenance" in effects

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate_per_node_s < math.inf:
            _refuse("failures.rate_per_node_s", self.rate_per_node_s, "a finite rate of at least 0")
        _seconds("failures.repair_s", self.repair_s)
        _seconds("failures.detection_s", self.detection_s)
        _seconds("failures.restart_s", self.restart_s)
        _only("failures.restart_pattern", self.restart_pattern, ("restart",))
        if self.detection_pattern is not None:
            _only("failures.detection_pattern", self.detection_pattern, ("lost_work",))
        for time_s, node in self.scripted or ():
            _seconds("failures.scripted", time_s)
            _count("failures.scripted", node, 0)


def _refuse(field: str, found: object, allowed: str) -> None:
    raise InputError(Problem("simulation", field, f"found {found!r}", allowed))


def _seconds(field: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        _refuse(field, value, "a finite time of at least 0 s")


def _count(field: str, value: int, minimum: int) -> None:
    if value < minimum:
        _refuse(field, value, f"at least {minimum}")


def _only(field: str, pattern: Pattern, states: tuple[str, ...]) -> None:
    if strange := [state for state in pattern.states if state not in states]:
        _refuse(field, strange[0], f"only the state {' or '.join(states)}")
