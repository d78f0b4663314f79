"""Priority, with preemption of those that are worth less."""

from __future__ import annotations

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
    in_order,
)


@SCHEDULERS.register("priority")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], _now_s: float
) -> Choice:
    """Higher priority first, ties in order of submission; preempts lower ones if that makes room.

    The first job that does not fit blocks those behind it. Running jobs of lower priority that allow it leave
    for it if their devices and watts, with what is free and what others on their way out give back, are enough:
    as few as can be, of these the lowest in priority, then the youngest. A job that can run on several pools
    preempts only where it is fastest. A preempted job cannot come back before the one that it made room for.

    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> running = [RunningJob(90.0, 0.0, 0, 2, preemptible=True), RunningJob(90.0, 5.0, 1, 2, preemptible=True)]
    >>> cluster = Devices(num_devices=4, num_free_devices=0, running=running)
    >>> select(Waiting([QueuedJob(2, 2, 9.0, priority=1)]), cluster, {}, 9.0).preempt  # the younger one
    [1]
    """
    ordered = sorted(queue, key=lambda job: (-job.priority, job.job))
    start = in_order(ordered, cluster)
    if len(start) == len(ordered):
        return Choice(start=start)
    first = ordered[len(start)]
    if first.speeds and first.speeds.index(max(first.speeds)) != cluster.pool:
        return Choice(start=start)
    begun = ordered[: len(start)]
    coming = [job for job in cluster.running if job.leaving]
    num_devices = first.num_devices - cluster.num_free_devices
    num_devices += sum(job.num_devices for job in begun) - sum(job.num_devices for job in coming)
    power_w = first.power_w - cluster.spare_power_w if cluster.spare_power_w < math.inf else 0.0
    power_w += sum(job.power_w for job in begun) - sum(job.power_w for job in coming)
    return Choice(start=start, preempt=[job.job for job in _victims(first, cluster, num_devices, power_w)])


def _victims(
    first: QueuedJob, cluster: ClusterView, num_devices: int, power_w: float
) -> Sequence[RunningJob]:
    """The fewest jobs that hold so many devices and watts; none if all together do not, or nothing is missing."""
    lower = [
        job
        for job in cluster.running
        if job.preemptible and not job.leaving and job.priority < first.priority
    ]
    lower.sort(key=lambda job: (job.priority, -job.start_s, -job.job))
    if num_devices <= 0 and power_w <= 0.0:
        return ()
    for many in range(1, len(lower) + 1):
        found = _chosen(lower, many, num_devices, power_w)
        if found:
            return found
    return ()


def _chosen(lower: Sequence[RunningJob], many: int, num_devices: int, power_w: float) -> list[RunningJob]:
    """So many jobs that are enough, early ones preferred; none if there are no such."""
    found: list[RunningJob] = []
    for place, job in enumerate(lower):
        rest = lower[place + 1 :]
        others = many - len(found) - 1
        devices = job.num_devices + _largest([other.num_devices for other in rest], others)
        watts = job.power_w + _largest([other.power_w for other in rest], others)
        if devices >= num_devices and watts >= power_w:
            found.append(job)
            num_devices -= job.num_devices
            power_w -= job.power_w
            if len(found) == many:
                return found if num_devices <= 0 and power_w <= 0.0 else []
    return []


def _largest(values: Sequence[float], many: int) -> float:
    return sum(sorted(values, reverse=True)[:many])
