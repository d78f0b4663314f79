"""Keeping a fleet below a power limit: how fast its jobs may run."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from simtool.sim.fleet.plan import FleetPlan, PoolUse
from simtool.sim.fleet.running import Running, Stage

if TYPE_CHECKING:
    from simtool.sim.fleet.pool import PoolState

ROUNDING = 1e-12
"""Of a sum of watts: what adds up to the limit is not above it."""


class Governor:
    """Finds the highest operating point at which all devices together stay below the limit.

    A job counts with the highest power of what it may do at its point: work, save, restart.
    """

    def __init__(self, plan: FleetPlan, pools: Sequence[PoolState]) -> None:
        self._times_s = [limit.time_s for limit in plan.limits]
        self._limits_w = [limit.power_w for limit in plan.limits]
        self._pools = pools
        self._num_points = max(len(use.points) for kind in plan.kinds for use in kind.uses if use)

    def limit_w(self, now_s: float) -> float:
        """The limit that holds now [W]."""
        place = bisect_right(self._times_s, now_s) - 1
        return self._limits_w[place] if place >= 0 else math.inf

    def floor_w(self) -> float:
        """Power of all devices if none worked [W]."""
        return sum(
            (pool.plan.total_devices - pool.down.num) * pool.plan.idle.power_w
            + pool.down.num * pool.plan.down.power_w
            for pool in self._pools
        )

    def point(self, now_s: float, jobs: Iterable[Running]) -> tuple[int | None, float]:
        """The operating point for all jobs, None if even the lowest is too much; and what full speed leaves [W].

        Less than nothing is left while jobs are slowed.
        """
        limit_w = self.limit_w(now_s)
        if limit_w == math.inf:
            return 0, math.inf
        devices: dict[int, tuple[PoolUse, int]] = {}
        waiting_w = 0.0
        for job in jobs:
            if job.stage is Stage.RUNNING:
                use, num = devices.get(id(job.use), (job.use, 0))
                devices[id(job.use)] = use, num + job.num_held
            else:
                waiting_w += job.num_held * job.stopping.power_w
        base_w = waiting_w + sum(
            pool.free.num * pool.plan.idle.power_w + pool.down.num * pool.plan.down.power_w
            for pool in self._pools
        )
        powers_w = [
            base_w + sum(num * highest_power_w(use, point) for use, num in devices.values())
            for point in range(self._num_points)
        ]
        allowed = (point for point, power_w in enumerate(powers_w) if power_w <= limit_w * (1.0 + ROUNDING))
        return next(allowed, None), limit_w - powers_w[0]


def highest_power_w(use: PoolUse, point: int) -> float:
    """The most that a device draws in a job at an operating point [W]."""
    patterns = [use.points[min(point, len(use.points) - 1)].pattern, use.restart_pattern]
    if use.checkpoint is not None:
        patterns.append(use.checkpoint.pattern)
    return max(pattern.power_w for pattern in patterns if pattern is not None)
