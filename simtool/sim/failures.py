"""When what goes wrong: a stream of events, independent of what the cluster does."""

from __future__ import annotations

import heapq
import math
from collections.abc import Generator, Iterator
from itertools import count
from typing import NamedTuple

import numpy as np
import simpy

from simtool.errors import InputError, Problem
from simtool.rng import stream
from simtool.sim.clock import LAST, Clock
from simtool.sim.cluster import NODE_CAUSE, Cluster
from simtool.sim.hazards import HazardEvent
from simtool.sim.hazards.events import hazard_events
from simtool.sim.plan import ClusterPlan, FailurePlan

BLOCK = 256
"""Random numbers drawn at a time."""


class Notice(NamedTuple):
    """Something to tell the cluster: an event, or that maintenance is near."""

    time_s: float
    event: HazardEvent
    is_near: bool


def events(cluster: ClusterPlan, failures: FailurePlan, seed: int, run: int) -> Iterator[HazardEvent]:
    """Everything that goes wrong, in order of time.

    Raises:
        InputError: a scripted event of a node that the cluster does not have.
    """
    nodes = (
        HazardEvent(
            time_s, ((node, node + 1),), NODE_CAUSE, "failure", failures.detection_s, failures.repair_s
        )
        for time_s, node in failure_times(cluster, failures, seed, run)
    )
    if not failures.hazards.causes and not failures.events:
        return nodes
    return heapq.merge(
        nodes,
        _scripted(cluster, failures),
        hazard_events(failures.hazards, cluster.total_nodes, seed, run),
        key=lambda event: event.time_s,
    )


def failure_times(
    cluster: ClusterPlan, failures: FailurePlan, seed: int, run: int
) -> Iterator[tuple[float, int]]:
    """Time and node of every failure of a single node, in order of time.

    Random failures come at the rate of all nodes, to a node drawn uniformly; the cluster ignores those of
    nodes that are down. That thinning leaves each node that is up with exponential times of its own, and
    the stream is the same whatever the jobs do: plans are compared under the same failures, and at twice
    the rate the same failures come in half the time.

    Raises:
        InputError: a scripted failure of a node that the cluster does not have.
    """
    if failures.scripted is not None:
        for time_s, node in sorted(failures.scripted, key=lambda failure: failure[0]):
            if node >= cluster.total_nodes:
                raise _no_such_node("failures.scripted", node, cluster)
            yield time_s, node
        return
    rate = failures.rate_per_node_s * cluster.total_nodes
    if rate == 0.0:
        return
    gaps = stream(seed, "cluster", "time-to-failure", run)
    nodes_drawn = stream(seed, "cluster", "failed-node", run)
    passed = 0.0
    while True:
        sums = passed + np.cumsum(gaps.standard_exponential(BLOCK))
        passed = float(sums[-1])
        nodes = nodes_drawn.integers(cluster.total_nodes, size=BLOCK)
        with np.errstate(over="ignore"):  # at rates next to nothing the time is infinite: no failure
            times_s = sums / rate
        yield from zip(times_s.tolist(), nodes.tolist(), strict=True)


def _scripted(cluster: ClusterPlan, failures: FailurePlan) -> Iterator[HazardEvent]:
    for event in sorted(failures.events, key=lambda event: event.time_s):
        for _, stop in event.nodes:
            if stop > cluster.total_nodes:
                raise _no_such_node("failures.events", stop - 1, cluster)
        yield event


def _no_such_node(field: str, node: int, cluster: ClusterPlan) -> InputError:
    allowed = f"0 to {cluster.total_nodes - 1}"
    return InputError(Problem("simulation", field, f"found node {node}", allowed))


def with_notices(happenings: Iterator[HazardEvent], ahead_s: float) -> Iterator[Notice]:
    """Events in order of time, and those of maintenance `ahead_s` before they happen as well."""
    waiting: list[tuple[float, int, Notice]] = []
    turn = count()
    coming = next(happenings, None)
    while coming is not None or waiting:
        while coming is not None and (not waiting or coming.time_s - ahead_s <= waiting[0][0]):
            if coming.effect == "maintenance":
                near_s = max(0.0, coming.time_s - ahead_s)
                heapq.heappush(waiting, (near_s, next(turn), Notice(near_s, coming, True)))
            heapq.heappush(waiting, (coming.time_s, next(turn), Notice(coming.time_s, coming, False)))
            coming = next(happenings, None)
        yield heapq.heappop(waiting)[2]


def _now(event: HazardEvent) -> Notice:
    return Notice(event.time_s, event, False)


def strike(
    clock: Clock, cluster: Cluster, happenings: Iterator[HazardEvent], ahead_s: float
) -> Generator[simpy.Event, None, None]:
    """The process that makes things go wrong.

    Args:
        clock: the time.
        cluster: what is struck.
        happenings: the events, by time.
        ahead_s: how long before maintenance jobs begin to save their state; 0 where there is none.
    """
    for notice in with_notices(happenings, ahead_s) if ahead_s else map(_now, happenings):
        if math.isinf(notice.time_s):
            return
        yield clock.until(notice.time_s, LAST)
        if notice.is_near:
            cluster.warn(notice.event)
        else:
            cluster.strike(notice.event)
