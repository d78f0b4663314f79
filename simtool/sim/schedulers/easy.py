"""EASY backfill: small jobs slip through gaps, as long as the first in the queue does not start later."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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

ROUNDING = 1e-9
"""By so much longer limits are looked at; whether they are in time is then decided exactly."""


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
        passed: jobs that shall not start now, or start already; among them all before the first.
        room: devices and power that are left.
        now_s: the time.
        gap_order: sorts the jobs that are tried; None: by submission.
    """
    if not any(
        job.num_devices <= room.free and job.power_w <= room.spare_w and job.job not in passed
        for job in queue.fitting(room.free, after=first.job)
    ):
        return []  # nobody to make a reservation against
    gap = _Gap(first, passed, room, now_s)
    if gap_order is not None:
        ordered = sorted(gap.candidates(queue, first.job), key=gap_order)
        return [job.job for job in ordered if gap.takes(job)]
    chosen: list[int] = []
    last: int | None = first.job
    while last is not None and gap.free:
        # asked anew after each: what is left is less, and fewer have to be looked at
        last = next((job.job for job in gap.candidates(queue, last) if gap.takes(job)), None)
        chosen += [] if last is None else [last]
    return chosen


class _Gap:
    """What is left beside the reservation of the first job."""

    def __init__(self, first: QueuedJob, passed: set[int], room: Room, now_s: float) -> None:
        self.free, self._spare_w = room.free, room.spare_w
        self._passed, self._now_s = passed, now_s
        self._shadow_s, self._extra, self._extra_w = reservation(first, *room, now_s)

    def candidates(self, queue: QueueView, after: int) -> Iterator[QueuedJob]:
        """Jobs that may be in time, or need no more than the extra devices."""
        window_s = (self._shadow_s - self._now_s) * (1.0 + ROUNDING)
        return queue.fitting(self.free, after=after, extra=self._extra, limit_s=window_s)

    def takes(self, job: QueuedJob) -> bool:
        """Whether a job starts; if so, less is left."""
        if job.num_devices > self.free or job.power_w > self._spare_w or job.job in self._passed:
            return False
        in_time = job.limit_s < math.inf and self._now_s + job.limit_s <= self._shadow_s
        if not in_time:
            if job.num_devices > self._extra or job.power_w > self._extra_w:
                return False
            self._extra -= job.num_devices
            self._extra_w -= job.power_w
        self.free -= job.num_devices
        self._spare_w -= job.power_w
        return True


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
