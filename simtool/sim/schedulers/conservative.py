"""Conservative backfill: every waiting job has a reservation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simtool.sim.schedulers import SCHEDULERS, Choice, ClusterView, QueueView, SignalView
from simtool.sim.schedulers.profile import Profile

DEPTH = 500
"""Jobs that get a reservation in one decision, as Slurm's default of ``bf_max_job_test`` does; others wait."""


@SCHEDULERS.register("conservative")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """Conservative backfill: a later job fills a gap if it delays none of those before it, by their limits.

    Jobs are planned in order of submission, each at the first moment from which it finds room until its limit;
    those planned for now start. Plans are made anew at every event, so an early end moves all forwards. Costs
    grow with waiting times running jobs. Source: A. Mu'alem and D. Feitelson, IEEE TPDS 12(6), 2001.

    >>> from simtool.sim.schedulers import Devices, QueuedJob, RunningJob, Waiting
    >>> running = [RunningJob(expected_end_s=100.0, start_s=0.0, job=9, num_devices=3)]
    >>> queue = [QueuedJob(0, 4, 0.0, limit_s=50.0), QueuedJob(1, 1, 0.0, limit_s=101.0), QueuedJob(2, 1, 0.0, 99.0)]
    >>> select(Waiting(queue), Devices(num_devices=4, num_free_devices=1, running=running), {}, 0.0).start
    [2]
    """
    profile = Profile(cluster, now_s)
    chosen: list[int] = []
    for _, job in zip(range(DEPTH), queue, strict=False):
        if profile.num_free_now <= 0:
            break
        start_s = profile.earliest(job)
        if start_s < math.inf:
            profile.reserve(job, start_s)
        if start_s == now_s:
            chosen.append(job.job)
    return Choice(start=chosen)
