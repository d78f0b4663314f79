"""Elastic jobs start smaller where that ends them sooner, and grow where nobody else wants the devices."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simtool.sim.schedulers import (
    SCHEDULERS,
    Choice,
    ClusterView,
    Move,
    QueuedJob,
    QueueView,
    RunningJob,
    SignalView,
    asked_always,
    power_allows,
)
from simtool.sim.schedulers.easy import Room, as_running, gap_filling, reservation

ROUNDING = 1e-12


@SCHEDULERS.register("elastic")
@asked_always
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill; elastic jobs start smaller if they then end sooner than by waiting, and grow while nobody waits.

    On `n` of the `num` devices that it asked for a job takes ``limit x num / n``; waiting, it ends at its
    reservation plus its limit. Of two equal ends it starts. One without a limit cannot compare and starts. In gaps
    behind a blocked job it starts at full size only. Source of the idea: S. Srinivasan et al., "Effective selection of
    partition sizes for moldable scheduling of parallel jobs", HiPC 2002.

    While no job waits, free devices go to jobs that start now, then to running ones in order of their start, up to
    their `max_devices`. A running job saves its state and restarts to grow, so it does if that gains more of its limit
    than it would cost to shrink again. For the first job that does not fit, jobs give back what they have beyond what
    they asked for, the youngest first, if that is enough.

    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> running = [RunningJob(100.0, 0.0, 9, 4)]
    >>> queue = Waiting([QueuedJob(0, 8, 0.0, limit_s=90.0, min_devices=2)])
    >>> choice = select(queue, Devices(num_devices=8, num_free_devices=4, running=running), {}, 0.0)
    >>> choice.start, choice.num_devices  # on 4 it ends at 180 s, by waiting at 190 s
    ([0], {0: 4})
    """
    start: list[int] = []
    sizes: dict[int, int] = {}
    lately: list[RunningJob] = []
    free, spare_w = cluster.num_free_devices, cluster.spare_power_w
    first: QueuedJob | None = None
    for waiting in queue:
        job = waiting
        if job.num_devices > free or not power_allows(job, spare_w, cluster, start):
            smaller = _smaller(job, free, spare_w)
            if smaller is None or not _sooner(
                job, smaller, Room(free, spare_w, cluster.running, lately), now_s
            ):
                first = job
                break
            job = smaller
            sizes[job.job] = job.num_devices
        start.append(job.job)
        lately.append(as_running(job, now_s))
        free -= job.num_devices
        spare_w -= job.power_w
    if first is not None:
        if free:
            start += gap_filling(queue, first, {*start}, Room(free, spare_w, cluster.running, lately), now_s)
        return Choice(start=start, num_devices=sizes, move=_shrinking(first, free, spare_w, cluster))
    if len(start) < len(queue):
        return Choice(start=start, num_devices=sizes)
    for job in queue:
        num = sizes.get(job.job, job.num_devices)
        more = _more(num, job.max_devices, free, job.power_w / job.num_devices, spare_w)
        if more:
            sizes[job.job] = num + more
            free -= more
            spare_w -= more * job.power_w / job.num_devices
    return Choice(start=start, num_devices=sizes, move=_growing(free, spare_w, cluster, now_s))


def _more(num: int, most: int, free: int, device_w: float, spare_w: float) -> int:
    """Devices that a job on `num` can have besides."""
    more = min(most - num, free)
    if device_w > 0.0 and spare_w < math.inf:
        more = min(more, math.floor(max(spare_w, 0.0) / device_w * (1.0 - ROUNDING)))
    return max(more, 0)


def _growing(free: int, spare_w: float, cluster: ClusterView, now_s: float) -> dict[int, Move]:
    move = {}
    for job in sorted(cluster.running, key=lambda job: (job.start_s, job.job)):
        rest_s, device_w = job.expected_end_s - now_s, job.power_w / job.num_devices
        more = 0 if job.leaving else _more(job.num_devices, job.max_devices, free, device_w, spare_w)
        if not more or job.pause_s == math.inf:
            continue
        gain_s = rest_s * more / (job.num_devices + more) - job.pause_s
        if gain_s > job.pause_s:
            move[job.job] = Move(cluster.pool, job.num_devices + more)
            free -= more
            spare_w -= more * device_w
    return move


def _shrinking(first: QueuedJob, free: int, spare_w: float, cluster: ClusterView) -> dict[int, Move]:
    """Who gives back what it has beyond what it asked for, if that makes room for a job."""
    missing, missing_w = (first.min_devices or first.num_devices) - free, first.least_power_w - spare_w
    move, extras = {}, []
    for job in sorted(cluster.running, key=lambda job: (-job.start_s, -job.job)):
        extra = max(job.num_devices - job.asked_devices, 0) if job.asked_devices else 0
        if job.leaving:
            missing -= extra or job.num_devices
            missing_w -= job.power_w * (extra or job.num_devices) / job.num_devices
        elif extra and job.pause_s < math.inf:
            extras.append((job, extra))
    for job, extra in extras:
        if missing <= 0 and missing_w <= 0.0:
            break
        move[job.job] = Move(cluster.pool, job.asked_devices)
        missing -= extra
        missing_w -= job.power_w * extra / job.num_devices
    return move if missing <= 0 and missing_w <= 0.0 else {}


def _smaller(job: QueuedJob, free: int, spare_w: float) -> QueuedJob | None:
    """An elastic job on as many devices as there are, and as may draw; None if that is too few."""
    num = min(free, job.num_devices)
    if job.power_w > 0.0 and spare_w < math.inf:
        num = min(num, math.floor(max(spare_w, 0.0) / job.power_w * job.num_devices * (1.0 - ROUNDING)))
    if not job.min_devices or num < job.min_devices:
        return None
    part = num / job.num_devices
    return job._replace(num_devices=num, limit_s=job.limit_s / part, power_w=job.power_w * part)


def _sooner(job: QueuedJob, smaller: QueuedJob, room: Room, now_s: float) -> bool:
    shadow_s, _, _ = reservation(job, *room, now_s)
    return now_s + smaller.limit_s <= shadow_s + job.limit_s
