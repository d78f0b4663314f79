"""Running jobs that go on elsewhere, or on another number of devices: they save, leave, and start again there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simtool.sim.fleet.ask import refuse
from simtool.sim.fleet.pool import PoolState
from simtool.sim.fleet.running import Running, Stage
from simtool.sim.schedulers import Move

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet


class Moves:
    """Follows what `simtool.sim.schedulers.Choice.move` asks for."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.num: dict[int, int] = {}
        """How often each job was moved."""
        self.num_bytes = 0.0
        """Of saved states that were carried from one site to another."""
        self._latest_s: dict[int, float] = {}

    def begin(self, pool: PoolState, number: int, move: Move) -> None:
        """The job stops to save its state; once in a moment, so that nothing goes to and fro without end."""
        fleet, now_s = self._fleet, self._fleet.clock.now
        self._refuse_wrong(pool, number, move)
        job = fleet.running[number]
        if job.stage is not Stage.RUNNING or job.course.at(now_s).done_s >= job.total_s:
            return
        if self._latest_s.get(number) != now_s:
            self._latest_s[number] = now_s
            self.num[number] = self.num.get(number, 0) + 1
            fleet.leave(job, move)

    def _refuse_wrong(self, pool: PoolState, number: int, move: Move) -> None:
        fleet, name = self._fleet, self._fleet.plan.scheduler
        job, table = fleet.running.get(number), fleet.table
        if job is None or fleet.pool_of[number] != pool.index:
            refuse(name, "move", f"found job {number!r}", f"jobs that run on pool {pool.plan.name!r}")
        uses = fleet.plan.kinds[fleet.kind_of[number]].uses
        if move.pool not in range(len(uses)) or uses[move.pool] is None:
            refuse(name, "move", f"found pool {move.pool!r} for job {number}", "pools where it can run")
        is_here, held = move.pool == pool.index, job.queued.num_devices
        if not is_here and not job.queued.preemptible:
            refuse(name, "move", f"found job {number!r} for another pool", "preemptible jobs")
        asked = int(table.num_devices[number])
        room = fleet.pools[move.pool].plan.num_devices
        least, most = int(table.min_devices[number]), int(table.max_devices[number])
        if not (min(least, asked) <= move.num_devices <= min(max(most, asked), room)):
            allowed = f"{least} to {min(most, room)}"
            refuse(name, "move", f"found {move.num_devices!r} devices for job {number}", allowed)
        free = fleet.pools[move.pool].num_free_devices + (held if is_here else 0)
        if move.num_devices > free:
            refuse(name, "move", f"job {number} would take {move.num_devices} devices", f"{free} are free")

    def arrive(self, number: int, move: Move) -> None:
        """It has left: it starts where it shall go on, if there is room and others are not passed over.

        Others that wait there come first; on its own pool it then takes no more devices than it asked for.
        """
        fleet, pool = self._fleet, self._fleet.pools[move.pool]
        if number not in pool.queue:
            return  # its state cannot get there
        queued, num = pool.queue[number], move.num_devices
        if len(pool.queue) > 1:
            if fleet.pool_of[number] != move.pool:
                return
            num = min(num, queued.num_devices)
        fleet.govern()
        power_w = queued.power_w * num / queued.num_devices
        if num <= pool.num_free_devices and power_w <= fleet.spare_power_w:
            fleet.start(pool, number, num)

    def carry(self, number: int, pool: PoolState) -> float:
        """Take a job's saved state to the site where it goes on: for how long, if it does not lie there [s]."""
        fleet = self._fleet
        if not fleet.durable_s.get(number) or self._site_of(number) == pool.plan.site:
            return 0.0
        state_bytes = fleet.plan.kinds[fleet.kind_of[number]].state_bytes
        self.num_bytes += state_bytes
        return state_bytes / (fleet.plan.move_bytes_per_s or math.inf)

    def bound_to(self, job: Running) -> str | None:
        """The site that a job's saved state cannot leave; None if it may."""
        if self._fleet.plan.move_bytes_per_s is not None or not job.durable_s:
            return None
        return self._site_of(job.queued.job)

    def _site_of(self, number: int) -> str:
        return self._fleet.plan.pools[self._fleet.pool_of[number]].site
