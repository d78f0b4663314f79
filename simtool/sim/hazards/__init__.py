"""What goes wrong in a cluster, and when: streams of events that do not depend on what the cluster does.

A `HazardPlan` lists causes. Each has an arrival process (one file each in ``hazards/kinds``, registered by
name), an effect, and distributions of the time until it is noticed and of the repair. `hazard_events` merges
them by time::

    for event in hazard_events(plan, num_nodes=2048, seed=1, run=0):
        ...  # never ends while something can fail: stop reading when the simulation does

Events name nodes, not jobs: who holds a node, whether it is down already, and what an event costs is up to the
reader. Cost is proportional to the events that are read, whatever the number of nodes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

import numpy as np

from simtool.registry import Registry

Effect = Literal["failure", "software", "corruption", "straggler", "maintenance"]
"""``failure``: the nodes are down. ``software``: the job on a node restarts, no node is down. ``corruption``: what
is computed is silently wrong from then on, and found out later. ``straggler``: the node slows its job down.
``maintenance``: the nodes are taken, as was announced: a job saves its state before."""

EFFECTS: tuple[Effect, ...] = ("failure", "software", "corruption", "straggler", "maintenance")


class HazardEvent(NamedTuple):
    """Something that happens to nodes, or (without nodes) to one job."""

    time_s: float
    """Since the start; of a corruption: when it happens, not when it is found."""
    nodes: tuple[tuple[int, int], ...]
    """Ranges (first, one past the last)."""
    cause: str
    effect: Effect
    detection_s: float
    """Until it is noticed: a job goes on in vain. Of a straggler: how long it is slow."""
    repair_s: float
    """Until the nodes are back, since the event (of a corruption or a straggler: since it was noticed)."""
    slowdown: float = 1.0
    """Of a straggler: its time over that of other nodes."""

    @property
    def num_nodes(self) -> int:
        """Nodes in all ranges."""
        return sum(stop - start for start, stop in self.nodes)


class Spell(NamedTuple):
    """How long one event lasts."""

    detection_s: float
    repair_s: float

    @property
    def down_s(self) -> float:
        """Until what failed works again: at least until it was noticed."""
        return max(self.detection_s, self.repair_s)


Streams = Callable[[str], np.random.Generator]
"""The random numbers of one cause, by what they are for."""


class Arrivals(Protocol):
    """When which of equal units (nodes, or groups of nodes) is hit."""

    @property
    def rate_per_unit_s(self) -> float:
        """Mean rate in the long run, down times left out [1/s]."""

    def arrivals(
        self, num_units: int, pace: float, streams: Streams, spell: Callable[[], Spell]
    ) -> Iterator[tuple[float, int, Spell]]:
        """Time [s], unit and duration of every event, in order of time.

        Args:
            num_units: how many there are; they are counted from 0.
            pace: failures come this many times as often as the process itself says.
            streams: random numbers by purpose.
            spell: draws the duration of the next event.
        """


HAZARDS: Registry[type[Arrivals]] = Registry(
    "hazard", package="simtool.sim.hazards.kinds", group="simtool.hazards"
)
"""Arrival processes by name."""
