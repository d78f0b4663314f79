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
    for it if it could then be placed, with what is free and what others on their way out give back, and if its watts
    are enough: as few as can be, of these the lowest in priority, then the youngest; where devices would lie wrongly
    for it, more of them in that order, without those that it can do without. A job that can run on several pools
    preempts on one of those where it is fastest, and on none while one has room or makes it. A preempted job cannot
    come back before the one that it made room for.

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
    if not _is_its_pool(first, cluster):
        return Choice(start=start)
    begun = ordered[: len(start)]
    coming = [job for job in cluster.running if job.leaving]
    taken = sum(job.num_devices for job in begun)
    num_devices = _needed(first) + taken - cluster.num_free_devices - sum(job.num_devices for job in coming)
    power_w = first.power_w - cluster.spare_power_w if cluster.spare_power_w < math.inf else 0.0
    power_w += sum(job.power_w for job in begun) - sum(job.power_w for job in coming)
    victims = _victims(first, cluster, num_devices, power_w, taken)
    return Choice(start=start, preempt=[job.job for job in victims])


def _needed(job: QueuedJob) -> int:
    return job.needed_devices or job.num_devices


def _is_its_pool(job: QueuedJob, cluster: ClusterView) -> bool:
    """Whether a job is fastest here, and no other pool has room for it or will have."""
    if not job.speeds:
        return True
    elsewhere = (
        free + leaving >= _needed(job)
        for pool, (free, leaving) in enumerate(
            zip(cluster.free_by_pool, cluster.leaving_by_pool, strict=True)
        )
        if pool != cluster.pool
        and job.speeds[pool] > 0.0
        and (leaving or pool > cluster.pool)  # those before were asked already, and could not place it
    )
    return job.speeds[cluster.pool] == max(job.speeds) and not any(elsewhere)


def _victims(
    first: QueuedJob, cluster: ClusterView, num_devices: int, power_w: float, taken: int
) -> Sequence[RunningJob]:
    """The fewest jobs that hold so many devices and watts, and make room; none if all together do not."""
    lower = [
        job
        for job in cluster.running
        if job.preemptible and not job.leaving and job.priority < first.priority
    ]
    lower.sort(key=lambda job: (job.priority, -job.start_s, -job.job))

    def suffice(jobs: Sequence[RunningJob]) -> bool:
        return (
            sum(job.num_devices for job in jobs) >= num_devices
            and sum(job.power_w for job in jobs) >= power_w
            and cluster.could_place(_needed(first) + taken, {job.job for job in jobs})
        )

    if suffice(()) or not suffice(lower):
        return ()
    found = next(
        (found for many in range(1, len(lower) + 1) if (found := _chosen(lower, many, num_devices, power_w))),
        [],
    )
    for job in lower:
        if suffice(found):
            break
        found = found if job in found else [*found, job]
    for job in reversed(found):
        rest = [other for other in found if other is not job]
        found = rest if suffice(rest) else found
    return found


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
