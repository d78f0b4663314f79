"""When which node fails: a stream of absolute times, independent of what the cluster does."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import numpy as np
import simpy

from simtool.errors import InputError, Problem
from simtool.rng import stream
from simtool.sim.clock import LAST, Clock
from simtool.sim.cluster import Cluster
from simtool.sim.plan import ClusterPlan, FailurePlan

BLOCK = 256
"""Random numbers drawn at a time."""


def failure_times(
    cluster: ClusterPlan, failures: FailurePlan, seed: int, run: int
) -> Iterator[tuple[float, int]]:
    """Time and node of every failure, in order of time.

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
                allowed = f"0 to {cluster.total_nodes - 1}"
                raise InputError(Problem("simulation", "failures.scripted", f"found node {node}", allowed))
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


def fail_nodes(
    clock: Clock, cluster: Cluster, times: Iterator[tuple[float, int]]
) -> Generator[simpy.Event, None, None]:
    """The process that makes nodes fail."""
    for time_s, node in times:
        if math.isinf(time_s):
            return
        yield clock.until(time_s, LAST)
        cluster.fail(node)
