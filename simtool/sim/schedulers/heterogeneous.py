"""Jobs run where they gain most from the devices."""

from __future__ import annotations

from collections.abc import Mapping

from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueuedJob, QueueView, SignalView
from simtool.sim.schedulers.pools import shared_out


@SCHEDULERS.register("heterogeneous")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """Comparative advantage: where several kinds of devices are free, jobs go where they lose least by leaving others.

    Who gains most device-speed by its best pool over its second best chooses first, among the jobs that can start
    now first come first served; a job does not wait for a fast pool while a slower one is free. EASY backfill
    behind. With one pool this is EASY. Source of the problem: D. Narayanan et al., "Heterogeneity-aware
    cluster scheduling policies for deep learning workloads", OSDI 2020; of the rule: see `shared_out`.

    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> queue = Waiting([QueuedJob(0, 1, 0.0, speeds=(1.0, 0.9)), QueuedJob(1, 1, 0.0, speeds=(1.0, 0.2))])
    >>> fast = Devices(num_devices=1, num_free_devices=1, pool=0, free_by_pool=(1, 1))
    >>> slow = Devices(num_devices=1, num_free_devices=1, pool=1, free_by_pool=(1, 1))
    >>> select(queue, fast, {}, 0.0).start, select(queue, slow, {}, 0.0).start  # 0 loses 0.1, 1 would lose 0.8
    ([1], [0])
    """
    return Choice(start=shared_out(queue, cluster, _speed, now_s))


def _speed(job: QueuedJob, pool: int) -> float:
    return job.num_devices * (job.speeds[pool] if job.speeds else 1.0)
