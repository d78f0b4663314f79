"""Which queued jobs start now: pure functions, one file each, registered by name.

A scheduler never sees how long a job will really run. To add one, write ``schedulers/<name>.py``::

    @SCHEDULERS.register("name")
    def select(queue, cluster, signals, now_s): ...
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simtool.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedJob:
    """What a scheduler may know of a job that waits."""

    index: int
    """Its place among all jobs, by which a scheduler names it."""
    name: str
    num_nodes: int
    submit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """What a scheduler may know of the cluster."""

    num_nodes: int
    """Nodes that jobs may hold, spares not counted."""
    num_free_nodes: int
    """Nodes that can be given to jobs now: up, held by none, and none of the spares."""


class SignalView(Protocol):
    """A value over time, without a name for what it is."""

    def at(self, t_s: float) -> float:
        """Value at a time."""


class Scheduler(Protocol):
    """Picks the jobs that start now."""

    def __call__(
        self,
        queue: Collection[QueuedJob],
        cluster: ClusterView,
        signals: Mapping[str, SignalView],
        now_s: float,
        /,
    ) -> Sequence[int]:
        """Indices of the jobs to start, in order; together they need no more than the free nodes.

        Args:
            queue: waiting jobs, in order of submission.
            cluster: what is free.
            signals: e.g. price or carbon intensity, by name.
            now_s: the time.
        """


SCHEDULERS: Registry[Scheduler] = Registry(
    "scheduler", package="simtool.sim.schedulers", group="simtool.schedulers"
)
