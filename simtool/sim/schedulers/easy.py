"""EASY backfill: small jobs slip through gaps, as long as the first in the queue does not start later."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence

from simtool.sim.schedulers import (
    SCHEDULERS,
    Choice,
    ClusterView,
    QueuedJob,
    QueueView,
    RunningJob,
    SignalView,
)


@SCHEDULERS.register("easy")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill: first come, first served, but a later job may fill a gap that the first leaves.

    The first job that does not fit has a reservation: the moment at which, by their limits, enough running
    jobs have ended. A later job starts now if it fits and either ends by then, by its limit, or needs no
    more than the devices that the first will leave over then. Source: D. Lifka, "The ANL/IBM SP scheduling
    system", JSSPP 1995; D. Feitelson and A. Weil, IPPS 1998.

    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> running = [RunningJob(expected_end_s=100.0, job=9, num_devices=6, start_s=0.0)]
    >>> queue = [QueuedJob(0, 8, 0.0, limit_s=50.0), QueuedJob(1, 2, 0.0, limit_s=99.0), QueuedJob(2, 2, 0.0)]
    >>> cluster = Devices(num_devices=10, num_free_devices=4, running=running)
    >>> select(Waiting(queue), cluster, {}, 0.0).start  # 1 ends in time; 2 fits beside 0
    [1, 2]
    """
    return Choice(start=backfilled(queue, cluster, now_s))


def backfilled(queue: QueueView, cluster: ClusterView, now_s: float) -> list[int]:
    """Jobs that start now, first come first served with EASY backfill."""
    chosen: list[int] = []
    free, power_w = cluster.num_free_devices, cluster.spare_power_w
    first: QueuedJob | None = None
    for job in queue:
        if job.num_devices > free or job.power_w > power_w:
            first = job
            break
        chosen.append(job.job)
        free -= job.num_devices
        power_w -= job.power_w
    if first is None or free == 0:
        return chosen
    started = set(chosen)
    shadow_s = extra = None
    for job in queue.fitting(free):
        if job.job <= first.job and (job.job == first.job or job.job in started):
            continue
        if job.num_devices > free or job.power_w > power_w:
            continue
        if shadow_s is None or extra is None:
            lately = [*_just_started(queue, started, now_s)]
            shadow_s, extra = reservation(first.num_devices, free, cluster.running, lately, now_s)
        in_time = now_s + job.limit_s <= shadow_s
        if not in_time and job.num_devices > extra:
            continue
        chosen.append(job.job)
        free -= job.num_devices
        power_w -= job.power_w
        if not in_time:
            extra -= job.num_devices
        if free == 0:
            break
    return chosen


def _just_started(queue: QueueView, started: set[int], now_s: float) -> list[RunningJob]:
    if not started:
        return []
    found = []
    for job in queue:
        if job.job not in started:
            break
        found.append(RunningJob(now_s + job.limit_s, job.job, job.num_devices, now_s))
    return found


def reservation(
    num_devices: int,
    free: int,
    running: Sequence[RunningJob],
    just_started: Sequence[RunningJob],
    now_s: float,
) -> tuple[float, int]:
    """When a job can start at the latest, by the limits of those that run, and what it then leaves over.

    Running jobs free their devices at their expected ends, those that outlived them at once.

    Returns:
        Time [s], infinite if devices are missing for another reason than running jobs; devices left over.
    """
    ends = running if not just_started else heapq.merge(running, sorted(just_started))
    shadow_s = now_s
    for job in ends:
        end_s = max(job.expected_end_s, now_s)
        if free >= num_devices and end_s > shadow_s:
            break
        free += job.num_devices
        shadow_s = end_s
    if free < num_devices:
        return math.inf, 0
    return shadow_s, free - num_devices
