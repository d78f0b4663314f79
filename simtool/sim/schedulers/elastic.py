"""Elastic jobs start smaller where that ends them sooner."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simtool.sim.schedulers import (
    SCHEDULERS,
    Choice,
    ClusterView,
    QueuedJob,
    QueueView,
    RunningJob,
    SignalView,
    power_allows,
)
from simtool.sim.schedulers.easy import Room, as_running, gap_filling, reservation

ROUNDING = 1e-12


@SCHEDULERS.register("elastic")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill; an elastic job that does not fit starts on what is free if it then ends sooner than by waiting.

    On `n` of the `num` devices that it would like it takes ``limit x num / n``; waiting, it ends at its
    reservation plus its limit. Of two equal ends it starts. One without a limit cannot compare and starts. It keeps the
    devices with which it started; in gaps behind a blocked job it starts at full size only. Source of the idea: S.
    Srinivasan et al., "Effective selection of partition sizes for moldable scheduling of parallel jobs", HiPC 2002.

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
        if free == 0:
            break
    if first is not None and free:
        start += gap_filling(queue, first, {*start}, Room(free, spare_w, cluster.running, lately), now_s)
    return Choice(start=start, num_devices=sizes)


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
