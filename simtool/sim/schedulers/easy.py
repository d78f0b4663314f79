"""EASY backfill: small jobs slip through gaps, as long as the first in the queue does not start later."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

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


@SCHEDULERS.register("easy")
def select(
    queue: QueueView, cluster: ClusterView, _signals: Mapping[str, SignalView], now_s: float
) -> Choice:
    """EASY backfill: first come, first served, but a later job may fill a gap that the first leaves.

    The first job that does not fit has a reservation: the moment at which, by their limits, enough running
    jobs have ended. A later job starts now if it fits and either ends by then, by its limit, or needs no
    more than the devices that the first will leave over then. Under a power limit the same holds for watts.
    Jobs without a limit count as if all had the same, endless one: those that started first end first, and
    a later one only ever takes what the first job leaves over. Sources: D. Lifka, "The ANL/IBM SP scheduling
    system", JSSPP 1995; A. Mu'alem and D. Feitelson, "Utilization, predictability, workloads, and user runtime
    estimates in scheduling the IBM SP2 with backfilling", IEEE TPDS 12(6), 2001.

    >>> from simtool.sim.schedulers import Devices, Waiting
    >>> running = [RunningJob(expected_end_s=100.0, start_s=0.0, job=9, num_devices=6)]
    >>> queue = [QueuedJob(0, 8, 0.0, limit_s=50.0), QueuedJob(1, 2, 0.0, limit_s=99.0), QueuedJob(2, 2, 0.0)]
    >>> cluster = Devices(num_devices=10, num_free_devices=4, running=running)
    >>> select(Waiting(queue), cluster, {}, 0.0).start  # 1 ends in time; 2 fits beside 0
    [1, 2]
    """
    return Choice(start=backfilled(queue, cluster, now_s))


def backfilled(
    queue: QueueView,
    cluster: ClusterView,
    now_s: float,
    gap_order: Callable[[QueuedJob], tuple[float, ...]] | None = None,
) -> list[int]:
    """Jobs that start now, first come first served with EASY backfill.

    Args:
        queue: jobs in order.
        cluster: devices, and what may be drawn.
        now_s: the time.
        gap_order: sorts the jobs that are tried in gaps; None: by submission.
    """
    chosen: list[int] = []
    free, spare_w = cluster.num_free_devices, cluster.spare_power_w
    first: QueuedJob | None = None
    lately: list[RunningJob] = []
    for job in queue:
        if job.num_devices > free or not power_allows(job, spare_w, cluster, chosen):
            first = job
            break
        chosen.append(job.job)
        lately.append(as_running(job, now_s))
        free -= job.num_devices
        spare_w -= job.power_w
    if first is None or free == 0:
        return chosen
    room = Room(free, spare_w, cluster.running, lately)
    return chosen + gap_filling(queue, first, {*chosen}, room, now_s, gap_order)


class Room(NamedTuple):
    """What a decision has still to give."""

    free: int
    spare_w: float
    running: Sequence[RunningJob]
    lately: Sequence[RunningJob]
    """Jobs that the same decision has started."""


def gap_filling(
    queue: QueueView,
    first: QueuedJob,
    passed: set[int],
    room: Room,
    now_s: float,
    gap_order: Callable[[QueuedJob], tuple[float, ...]] | None = None,
) -> list[int]:
    """Jobs behind the first that start now without delaying it.

    Args:
        queue: jobs in order.
        first: the first that does not fit.
        passed: jobs that shall not start now, or start already.
        room: devices and power that are left.
        now_s: the time.
        gap_order: sorts the jobs that are tried; None: by submission.
    """
    chosen: list[int] = []
    free, spare_w = room.free, room.spare_w
    shadow_s, extra, extra_w = -math.inf, 0, 0.0
    candidates: Iterable[QueuedJob] = queue.fitting(free)
    if gap_order is not None:
        candidates = sorted(candidates, key=gap_order)
    for job in candidates:
        if job.num_devices > free or job.power_w > spare_w or job.job == first.job or job.job in passed:
            continue
        if shadow_s == -math.inf:
            shadow_s, extra, extra_w = reservation(first, *room, now_s)
        in_time = job.limit_s < math.inf and now_s + job.limit_s <= shadow_s
        if not in_time and (job.num_devices > extra or job.power_w > extra_w):
            continue
        chosen.append(job.job)
        free -= job.num_devices
        spare_w -= job.power_w
        if not in_time:
            extra -= job.num_devices
            extra_w -= job.power_w
        if free == 0:
            break
    return chosen


def as_running(job: QueuedJob, now_s: float) -> RunningJob:
    """A job that starts now."""
    return RunningJob(
        now_s + job.limit_s,
        now_s,
        job.job,
        job.num_devices,
        job.priority,
        job.preemptible,
        job.power_w,
    )


def reservation(
    first: QueuedJob,
    free: int,
    spare_w: float,
    running: Sequence[RunningJob],
    just_started: Sequence[RunningJob],
    now_s: float,
) -> tuple[float, int, float]:
    """When a job can start at the latest, by the limits of those that run, and what it then leaves over.

    Running jobs free their devices at their expected ends, those that outlived them at once. Jobs without
    a limit end one after the other, by their starts, at the end of all times.

    Returns:
        Time [s], infinite if it depends on a job without a limit or on more than running jobs;
        devices left over then, and watts.

    >>> first = QueuedJob(9, 8, 0.0)
    >>> running = [RunningJob(50.0, 0.0, 0, 3), RunningJob(70.0, 0.0, 1, 4), RunningJob(80.0, 0.0, 2, 1)]
    >>> reservation(first, 2, math.inf, running, [], 10.0)  # 2 + 3 + 4 devices are free at 70 s
    (70.0, 1, inf)
    """
    ends = heapq.merge(running, sorted(just_started)) if just_started else running
    shadow_s = now_s
    for job in ends:
        enough = free >= first.num_devices and spare_w >= first.power_w
        if enough and (job.expected_end_s > shadow_s or shadow_s == math.inf):
            break
        free += job.num_devices
        spare_w += job.power_w
        shadow_s = max(job.expected_end_s, shadow_s)
    if free < first.num_devices or spare_w < first.least_power_w:
        return math.inf, 0, 0.0
    if spare_w < first.power_w:
        return shadow_s, 0, 0.0  # then it is alone, and will be slowed
    return shadow_s, free - first.num_devices, spare_w - first.power_w
