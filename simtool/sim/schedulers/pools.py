"""Sharing jobs out over pools, where each is worth most."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from simtool.sim.schedulers import ClusterView, QueuedJob, QueueView, power_allows
from simtool.sim.schedulers.easy import Room, as_running, gap_filling

Worth = Callable[[QueuedJob, int], float]
"""What it is worth to run a job on a pool where it can run; more is better."""


def shared_out(queue: QueueView, cluster: ClusterView, worth: Worth, now_s: float) -> list[int]:
    """Jobs that start on this pool now.

    Those that can start now, first come first served, are taken together; who would lose most by its second-best
    pool chooses first. A call for any pool comes to the same shares, so each pool starts its own. The first job
    without room on any pool keeps a reservation here, and gaps are filled as in EASY backfill by jobs for
    which no better pool has room. Source: M. Maheswaran et al., "Dynamic mapping of a class of independent tasks
    onto heterogeneous computing systems", Journal of Parallel and Distributed Computing 59, 1999 (sufferage).
    """
    free = cluster.free_by_pool or (cluster.num_free_devices,)
    together, shares, left = _placed(queue, free, worth)
    by_loss = sorted(together, key=lambda job: (-_loss(job, free, worth), job.job))
    placed, better, left_then = _placed(by_loss, free, worth)
    if len(placed) == len(together):
        shares, left = better, left_then
    chosen: list[int] = []
    spare_w = cluster.spare_power_w
    first = next((job for job in queue if job.job not in shares), None)
    lately = []
    for job in together:
        if shares[job.job] != cluster.pool:
            continue
        if not power_allows(job, spare_w, cluster, chosen):
            first = job
            break
        chosen.append(job.job)
        lately.append(as_running(job, now_s))
        spare_w -= job.power_w
    if first is None:
        return chosen
    passed = {*shares}
    passed |= {
        job.job for job in queue.fitting(left[cluster.pool]) if _best(job, left, worth) != cluster.pool
    }
    room = Room(left[cluster.pool], spare_w, cluster.running, lately)
    return chosen + gap_filling(queue, first, passed, room, now_s)


def _placed(
    jobs: Iterable[QueuedJob], free: Sequence[int], worth: Worth
) -> tuple[list[QueuedJob], dict[int, int], list[int]]:
    """Jobs in this order, each on the best pool with room, until one has none; their pools; what is left free."""
    left, placed, shares = list(free), [], {}
    for job in jobs:
        pool = _best(job, left, worth)
        if pool is None:
            break
        placed.append(job)
        shares[job.job] = pool
        left[pool] -= job.num_devices
    return placed, shares, left


def _with_room(job: QueuedJob, free: Sequence[int]) -> list[int]:
    """Pools on which a job could start now."""
    speeds = job.speeds or (1.0,)
    return [pool for pool, num in enumerate(free) if speeds[pool] > 0.0 and num >= job.num_devices]


def _best(job: QueuedJob, free: Sequence[int], worth: Worth) -> int | None:
    return max(_with_room(job, free), key=lambda pool: (worth(job, pool), -pool), default=None)


def _loss(job: QueuedJob, free: Sequence[int], worth: Worth) -> float:
    """What the second-best pool is worth less than the best; infinite if there is no second."""
    worths = sorted((worth(job, pool) for pool in _with_room(job, free)), reverse=True)
    return worths[0] - worths[1] if len(worths) > 1 else math.inf
