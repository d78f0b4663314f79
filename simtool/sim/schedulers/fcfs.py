"""First come, first served."""

from __future__ import annotations

from collections.abc import Mapping

from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueueView, SignalView, in_order


@SCHEDULERS.register("fcfs")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """First come, first served: jobs start in order of submission, and none overtakes."""
    return Choice(start=in_order(queue, cluster))
