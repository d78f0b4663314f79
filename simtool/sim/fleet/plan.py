"""What a fleet is: its pools of devices, and what jobs of one kind do on each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from simtool.errors import InputError, Problem
from simtool.ledger import Pattern
from simtool.sim.plan import CheckpointPlan


class OperatingPoint(NamedTuple):
    """How a job may run: its speed relative to full speed on the reference pool, and what devices do."""

    speed: float
    pattern: Pattern


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolUse:
    """Jobs of one kind on the devices of one pool."""

    points: tuple[OperatingPoint, ...]
    """Full speed first, then ever lower speed and power: where a power limit may push it."""
    checkpoint: CheckpointPlan | None = None
    """None: nothing is ever saved, and an interrupted job begins anew."""
    restart_s: float = 0.0
    """After an interruption, before the first new work; a job's first start needs none."""
    restart_pattern: Pattern | None = None
    """During the restart; None: as when working, in vain."""

    @property
    def pause_s(self) -> float:
        """Time without work if a job saves its state and goes on from it; infinite if it saves nothing [s]."""
        if self.checkpoint is None or self.checkpoint.interval_s is None:
            return math.inf
        return self.checkpoint.durable_s + self.restart_s

    def __post_init__(self) -> None:
        if not self.points:
            raise InputError(Problem("fleet", "points", "found none", "at least one operating point"))
        if self.checkpoint is not None and self.checkpoint.kind == "in-memory":
            found, mend = "found the kind in-memory", "use synchronous or asynchronous ones"
            raise InputError(Problem("fleet", "checkpoint", found, "what a fleet can follow", mend))
        speeds = [point.speed for point in self.points]
        if not all(0.0 < speed < math.inf for speed in speeds) or speeds != sorted(speeds, reverse=True):
            raise InputError(Problem("fleet", "points", f"found speeds {speeds}", "falling speeds above 0"))


@dataclass(frozen=True, slots=True, kw_only=True)
class JobKind:
    """Jobs that behave alike."""

    name: str
    uses: tuple[PoolUse | None, ...]
    """By pool; None where it cannot run."""
    holds_nodes: bool = False
    """After a failure it keeps its other devices and takes free ones, spares included, in place of
    those it lost; otherwise it goes back into the queue, to its old place."""
    speed_across_racks: float = 1.0
    """Relative speed of a job that no single rack holds."""
    state_bytes: float = 0.0
    """Of a saved state, which moves to another site before the job can go on there."""

    def __post_init__(self) -> None:
        if not any(self.uses):
            raise InputError(Problem("fleet", f"kind {self.name}", "found no pool it can run on", "one"))
        if not 0.0 < self.speed_across_racks <= 1.0:
            found = f"found {self.speed_across_racks}"
            raise InputError(Problem("fleet", f"kind {self.name}.speed_across_racks", found, "0 to 1"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Equal nodes of one site, of which `spare_nodes` only replace failed ones."""

    name: str
    num_nodes: int
    devices_per_node: int
    idle: Pattern
    """Of devices that no job holds, and of a job's devices while it waits for another node."""
    down: Pattern
    """Of devices of failed nodes, until they are back."""
    spare_nodes: int = 0
    nodes_per_rack: int = 1
    site: str = ""
    """Where it stands."""

    def __post_init__(self) -> None:
        for field, minimum in (
            ("num_nodes", 1),
            ("devices_per_node", 1),
            ("nodes_per_rack", 1),
            ("spare_nodes", 0),
        ):
            if getattr(self, field) < minimum:
                found = f"found {getattr(self, field)}"
                raise InputError(Problem("fleet", f"{self.name}.{field}", found, f"at least {minimum}"))

    @property
    def num_devices(self) -> int:
        """Devices that jobs may hold at once."""
        return self.num_nodes * self.devices_per_node

    @property
    def total_devices(self) -> int:
        """Devices, those of spare nodes included."""
        return (self.num_nodes + self.spare_nodes) * self.devices_per_node


class NodeEvent(Protocol):
    """Something that happens to nodes of a pool; see `simtool.sim.hazards`.

    A fleet takes ``maintenance`` as: jobs on the nodes save their state when it begins, and queue again; the
    nodes are down from then on, until its end. Where it states a `detection_s`, that is how long it waits: if a job
    cannot save its state in it, the nodes fail at once. A ``software`` failure and a ``corruption`` are of the job that
    holds the first device of the first node.
    """

    @property
    def time_s(self) -> float:
        """When it happens."""
        ...

    @property
    def nodes(self) -> Sequence[tuple[int, int]]:
        """Ranges of nodes, each from its first up to, not including, its last."""
        ...

    @property
    def cause(self) -> str:
        """What it is called in results."""
        ...

    @property
    def effect(self) -> str:
        """What it does."""
        ...

    @property
    def detection_s(self) -> float:
        """From the event until jobs notice."""
        ...

    @property
    def repair_s(self) -> float:
        """Until the nodes work again."""
        ...

    @property
    def slowdown(self) -> float:
        """Of a straggler."""
        ...


class Found(NamedTuple):
    """A node that was found to be slow or to compute nonsense fails now, as everybody knows."""

    nodes: Sequence[tuple[int, int]]
    cause: str
    repair_s: float
    time_s: float = 0.0
    effect: str = "failure"
    detection_s: float = 0.0
    slowdown: float = 1.0


class PowerLimit(NamedTuple):
    """From this time on, all devices of the pools together draw at most so much."""

    time_s: float
    power_w: float
    """IT power; infinite: no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetPlan:
    """The fleet and its rules."""

    pools: tuple[Pool, ...]
    kinds: tuple[JobKind, ...]
    scheduler: str = "easy"
    placement: str = "lowest"
    kill_at_limit: bool = True
    """Whether a job that outlives its requested limit is ended there."""
    limits: tuple[PowerLimit, ...] = ()
    """In order of time."""
    move_bytes_per_s: float | None = math.inf
    """Of saved states between two sites, for one job; None: a job that has saved some goes on at its site."""

    def __post_init__(self) -> None:
        names = [pool.name for pool in self.pools]
        if not names or len(set(names)) < len(names):
            raise InputError(Problem("fleet", "pools", f"found {names}", "at least one, of different names"))
        for kind in self.kinds:
            if len(kind.uses) != len(self.pools):
                found = f"found {len(kind.uses)} uses for {len(self.pools)} pools"
                raise InputError(Problem("fleet", f"kind {kind.name}", found, "one for every pool"))
        times = [limit.time_s for limit in self.limits]
        if times != sorted(set(times)):
            raise InputError(Problem("fleet", "limits", "found times that do not rise", "rising times"))
