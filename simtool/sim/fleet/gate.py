"""Where jobs come in: submissions, and the queues at which each waits."""

from __future__ import annotations

from collections.abc import Generator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import simpy

from simtool.jobs.table import JobTable
from simtool.sim.fleet.plan import JobKind
from simtool.sim.fleet.pool import PoolState
from simtool.sim.fleet.power import highest_power_w
from simtool.sim.schedulers import QueuedJob

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet

ROWS_AT_ONCE = 4096
"""Rows of the table that are plain numbers at one time."""


class Gate:
    """Puts jobs into the queues of all pools where they can run."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.is_done = False
        """Whether all jobs have come."""
        self._smallest = min(pool.plan.num_devices for pool in fleet.pools)
        self._places_of = [self._places(kind) for kind in fleet.plan.kinds]

    def submits(self, jobs: JobTable) -> Generator[simpy.Event, None, None]:
        """The process that submits all jobs."""
        clock = self._fleet.clock
        columns = (
            jobs.submit_s,
            jobs.num_devices,
            jobs.limit_s,
            jobs.priority,
            jobs.preemptible,
            jobs.deadline_s,
            jobs.min_devices,
            jobs.max_devices,
            np.frombuffer(self._fleet.kind_of, np.int64),
        )
        rows = chain.from_iterable(
            zip(*(column[begin : begin + ROWS_AT_ONCE].tolist() for column in columns), strict=True)
            for begin in range(0, len(jobs), ROWS_AT_ONCE)
        )
        for number, (submit_s, num, limit_s, priority, may, deadline_s, least, most, kind) in enumerate(rows):
            if submit_s > clock.now:
                yield clock.until(submit_s)
            self._fleet.since_s[number] = submit_s
            self.enqueue(number, num, submit_s, limit_s, priority, may, deadline_s, least, most, kind)
        self.is_done = True

    def _places(self, kind: JobKind) -> list[tuple[PoolState, float, float, float, tuple[float, ...]]]:
        """Where jobs of a kind can run: pool, speed, watts over idling at full speed and at the slowest, all speeds."""
        speeds = tuple(use.points[0].speed if use else 0.0 for use in kind.uses)
        found = []
        for pool, use in zip(self._fleet.pools, kind.uses, strict=True):
            if use is not None:
                idle_w = pool.plan.idle.power_w
                most_w, least_w = (
                    max(highest_power_w(use, point) - idle_w, 0.0) for point in (0, len(use.points) - 1)
                )
                all_speeds = speeds if len(speeds) > 1 else ()
                found.append((pool, use.points[0].speed, most_w, least_w, all_speeds))
        return found

    def enqueue(
        self,
        number: int,
        asked: int,
        submit_s: float,
        limit_s: float,
        priority: int,
        preemptible: bool,
        deadline_s: float,
        least: int,
        most: int,
        kind: int,
        site: str | None = None,
    ) -> None:
        """A job waits at every pool where it can run, or at those of one site; there it asks for what there is."""
        for pool, speed, most_w, least_w, speeds in self._places_of[kind]:
            if site is not None and pool.plan.site != site:
                continue
            num = min(asked, pool.plan.num_devices)
            if num < asked and num < least:
                continue
            pool.queue.put(
                QueuedJob(
                    number,
                    num,
                    submit_s,
                    limit_s * (asked / num) / speed,
                    priority,
                    preemptible,
                    deadline_s,
                    least if least < num else 0,
                    most_w * num,
                    least_w * num,
                    self._where(speeds, site, least) if speeds else speeds,
                    False,
                    min(most, pool.plan.num_devices) if most > asked else 0,
                )
            )
        self._fleet.is_dirty = True

    def _where(self, speeds: tuple[float, ...], site: str | None, least: int) -> tuple[float, ...]:
        """Speeds of a job on all pools: 0 where it is too large, and at other sites if it cannot leave its own."""
        if site is None and least <= self._smallest:
            return speeds
        return tuple(
            speed if least <= pool.plan.num_devices and site in (None, pool.plan.site) else 0.0
            for pool, speed in zip(self._fleet.pools, speeds, strict=False)
        )
