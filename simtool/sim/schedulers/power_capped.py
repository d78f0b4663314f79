"""As much as the power limit allows."""

from __future__ import annotations

from collections.abc import Mapping

from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueueView, SignalView
from simtool.sim.schedulers.easy import backfilled


@SCHEDULERS.register("power-capped")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill that fills gaps by power: of the jobs that may, the one that draws most comes first.

    Every scheduler starts only what the power limit still allows. In gaps of watts, small consumers leave pieces
    that no one can use; taking the large ones first leaves smaller pieces. The first job keeps its reservation,
    in devices and in watts. Source of the idea: M. Etinski et al., "Optimizing job performance under a given
    power constraint in HPC centers", IGCC 2010; the order is that of first fit decreasing.

    >>> from simtool.sim.schedulers import Devices, QueuedJob, RunningJob, Waiting
    >>> running = [RunningJob(100.0, 0.0, 9, 4, power_w=1000.0)]
    >>> queue = [QueuedJob(0, 4, 0.0, 50.0, power_w=1500.0),
    ...          QueuedJob(1, 1, 0.0, 50.0, power_w=300.0), QueuedJob(2, 2, 0.0, 50.0, power_w=600.0)]
    >>> cluster = Devices(num_devices=12, num_free_devices=8, running=running, spare_power_w=700.0)
    >>> select(Waiting(queue), cluster, {}, 0.0).start  # 0 waits for watts; 2 ends in time, and 1 has no room beside it
    [2]
    """
    chosen = backfilled(
        queue, cluster, now_s, gap_order=lambda job: (-job.power_w, -job.num_devices, job.job)
    )
    return Choice(start=chosen)
