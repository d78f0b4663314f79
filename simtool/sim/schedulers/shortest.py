"""Shortest job first."""

from __future__ import annotations

from collections.abc import Mapping

from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueueView, SignalView, in_order


@SCHEDULERS.register("shortest")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """Shortest job first: by requested limit, ties in order of submission; none overtakes in that order.

    Of all orders of jobs on one device it has the least mean wait, if limits are run times; long jobs may wait
    for ever. Source: W. E. Smith, "Various optimizers for single-stage production", Naval Research
    Logistics Quarterly 3, 1956.

    >>> from simtool.sim.schedulers import Devices, QueuedJob, Waiting
    >>> queue = [QueuedJob(0, 1, 0.0, limit_s=60.0), QueuedJob(1, 1, 1.0, limit_s=5.0)]
    >>> select(Waiting(queue), Devices(num_devices=1, num_free_devices=1), {}, 1.0).start
    [1]
    """
    return Choice(start=in_order(sorted(queue, key=lambda job: (job.limit_s, job.job)), cluster))
