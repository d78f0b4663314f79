"""What can go wrong: causes with their arrivals, effect and durations; lemons; when a node is given up."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from simtool.errors import InputError, Problem
from simtool.sim.hazards import EFFECTS, Arrivals, Effect
from simtool.sim.hazards.durations import NO_TIME, AnyDuration


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One thing that can go wrong, of nodes or of groups of consecutive nodes."""

    name: str
    effect: Effect
    arrivals: Arrivals
    """Per unit: a node, or a group of `group_nodes`."""
    group_nodes: int | None = 1
    """Nodes that one event hits at once (of a switch, rack, feed or cooling loop); None: all of the cluster."""
    detection: AnyDuration = NO_TIME
    repair: AnyDuration = NO_TIME
    slowdown: float = 1.0
    """Of a straggler: its time over that of the other nodes."""

    def __post_init__(self) -> None:
        if not self.name:
            _refuse("causes", self.name, "a name")
        if self.effect not in EFFECTS:
            _refuse(f"{self.name}.effect", self.effect, f"one of {', '.join(EFFECTS)}")
        if self.group_nodes is not None and self.group_nodes < 1:
            _refuse(f"{self.name}.group_nodes", self.group_nodes, "at least 1 node")
        is_slow = 1.0 < self.slowdown < math.inf
        if is_slow != (self.effect == "straggler") or self.slowdown < 1.0:
            _refuse(f"{self.name}.slowdown", self.slowdown, "above 1 for a straggler, 1 otherwise")
        if self.effect in ("corruption", "straggler") and self.group_nodes != 1:
            _refuse(f"{self.name}.group_nodes", self.group_nodes, f"1: a {self.effect} is of one node")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCause:
    """Software that fails once in a while, however many nodes a job has."""

    name: str
    rate_per_job_s: float
    detection: AnyDuration = NO_TIME

    def __post_init__(self) -> None:
        if not self.name:
            _refuse("job_causes", self.name, "a name")
        if not 0.0 <= self.rate_per_job_s < math.inf:
            _refuse(f"{self.name}.rate_per_job_s", self.rate_per_job_s, "a finite rate of at least 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lemons:
    """Nodes that fail more often than the others. Rates of causes stay the mean over all nodes.

    Each node is one with probability `share_frac`. Failures of single nodes are of lemons `factor` times as
    often as of the others: at 1 of 100 nodes and a factor of 25, 25 of 124 failures.
    """

    share_frac: float
    factor: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.share_frac <= 1.0:
            _refuse("lemons.share_frac", self.share_frac, "a fraction from 0 to 1")
        if not 1.0 <= self.factor < math.inf:
            _refuse("lemons.factor", self.factor, "a finite number of at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordon:
    """A node that fails `num_failures` times within `window_s` is replaced; the new one is no lemon."""

    num_failures: int
    window_s: float
    repair: AnyDuration
    """In place of the repair of that failure."""

    def __post_init__(self) -> None:
        if self.num_failures < 1:
            _refuse("cordon.num_failures", self.num_failures, "at least 1")
        if not 0.0 < self.window_s < math.inf:
            _refuse("cordon.window_s", self.window_s, "a finite time above 0 s")


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardPlan:
    """All that can go wrong in a cluster; causes are independent of each other."""

    causes: tuple[Cause, ...] = ()
    job_causes: tuple[JobCause, ...] = ()
    lemons: Lemons | None = None
    cordon: Cordon | None = None

    def __post_init__(self) -> None:
        if twice := _twice(self.names):
            _refuse("causes", twice, "different names")

    @property
    def names(self) -> tuple[str, ...]:
        """Of all causes."""
        return (*(cause.name for cause in self.causes), *(cause.name for cause in self.job_causes))


def _twice(names: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def _refuse(field: str, found: object, allowed: str) -> None:
    raise InputError(Problem("hazards", field, f"found {found!r}", allowed))
