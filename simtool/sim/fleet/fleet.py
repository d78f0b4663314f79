"""The fleet as it runs: what happens to jobs and devices at every event."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import simpy

from simtool.errors import InfeasibleError
from simtool.jobs.table import JobTable
from simtool.sim.clock import FIRST, LAST, Clock
from simtool.sim.fleet.ask import ask, refuse
from simtool.sim.fleet.breakage import Breakage
from simtool.sim.fleet.closing import close, stuck
from simtool.sim.fleet.gate import Gate
from simtool.sim.fleet.guard import Tries, refuse_powerless, refuse_stuck
from simtool.sim.fleet.moves import Moves
from simtool.sim.fleet.outcome import NEVER_STARTED, OVER_LIMIT
from simtool.sim.fleet.placement import PLACEMENTS, num_racks
from simtool.sim.fleet.plan import FleetPlan, NodeEvent
from simtool.sim.fleet.pool import PoolState
from simtool.sim.fleet.power import Governor
from simtool.sim.fleet.running import Running, Stage, Suspicion, Undecided
from simtool.sim.schedulers import SCHEDULERS, Choice, Move, SignalView, is_asked_always
from simtool.units import display

EVENTS_PER_REPORT = 4096
"""Progress is told at most once in as many events."""

MAX_ROUNDS = 16
"""A scheduler is asked so often in one moment, if free devices lie wrongly for what it wants to start."""

LEAVING_ORDER = (Stage.RUNNING, Stage.SAVING, Stage.DETECTING)
"""Who leaves first when a power limit is too low for all."""


class Fleet:
    """All state of one simulation."""

    def __init__(
        self,
        jobs: JobTable,
        kinds: Sequence[int],
        plan: FleetPlan,
        node_events: Mapping[str, Iterable[NodeEvent]],
        signals: Mapping[str, Mapping[str, SignalView]],
        end_s: float,
        job_events: Callable[[str], Iterator[NodeEvent]] | None = None,
    ) -> None:
        self.plan, self.clock, self.end_s = plan, Clock(initial_time=0.0), end_s
        self.pools = [PoolState(index, pool, self) for index, pool in enumerate(plan.pools)]
        self.spare_power_w = math.inf
        self.table = jobs
        self._select = SCHEDULERS[plan.scheduler]
        self.place = PLACEMENTS[plan.placement]
        self.signals = [signals.get(pool.name, {}) for pool in plan.pools]
        self._governor = Governor(plan, self.pools) if plan.limits else None
        self._watch = bool(node_events)
        self._racks = any(kind.speed_across_racks < 1.0 for kind in plan.kinds)
        self._preempts = bool(jobs.preemptible.any())
        elastic = bool((jobs.max_devices > jobs.min_devices).any())
        self.asks_always = (self._preempts or elastic) and is_asked_always(self._select)
        num = len(jobs)
        # arrays, not lists: the garbage collector walks through lists again and again
        self.kind_of, self.run_s = array("q", kinds), array("d", jobs.run_s.tobytes())
        self.ending = array("b", jobs.outcome.tobytes())
        self.running: dict[int, Running] = {}
        self.durable_s: dict[int, float] = {}  # of jobs that wait to go on
        never, none = array("d", [math.nan]), array("d", [0.0])
        self.since_s = never * num  # when it began to wait
        self.waited_s, self.start_s, self.finish_s = none * num, never * num, never * num
        self.status, self.pool_of = bytearray([NEVER_STARTED]) * num, array("h", [-1]) * num
        self.devices = array("q", jobs.num_devices.tobytes())
        self.carried: dict[int, tuple[list[Undecided], Suspicion | None]] = {}  # of the same
        self.preempted: dict[int, int] = {}
        self.interrupted: dict[int, int] = {}
        self.moves = Moves(self)
        self.job_events = job_events
        self.num_open = num
        self.num_ended = 0
        self.tries = Tries(self)
        self._wakes = {math.inf}
        self.is_dirty = False
        self.num_events = 0
        self.gate, self.breakage = Gate(self), Breakage(self)
        self.clock.process(self.gate.submits(jobs))
        for pool in self.pools:
            if pool.plan.name in node_events:
                self.clock.process(self.breakage.breaks(pool, node_events[pool.plan.name]))
        for limit in plan.limits:
            self.clock.until(limit.time_s, FIRST).callbacks.append(lambda _: self._touch())

    # ---------------------------------------------------------------------------------- the loop

    def run(self, progress: Callable[[float], None] | None) -> None:
        """Until all jobs have ended, or until `end_s`."""
        clock, num = self.clock, max(len(self.kind_of), 1)
        while self.num_open or self.end_s < math.inf:
            next_s = clock.peek()
            if self.is_dirty and next_s > clock.now:
                self.is_dirty = False
                self._decide()
                continue
            if next_s == math.inf and self.num_open and self.spare_power_w < math.inf:
                refuse_powerless(self)
            if next_s > self.end_s:
                break
            if next_s == math.inf:
                raise stuck(self)
            clock.step()
            self.num_events += 1
            if progress is not None and self.num_events % EVENTS_PER_REPORT == 0:
                progress(self.num_ended / num)
        close(self, self.end_s if self.end_s < math.inf else clock.now)

    def _touch(self) -> None:
        self.is_dirty = True

    # ------------------------------------------------------------------------------- decisions

    def _decide(self) -> None:
        self.govern()
        now_s = self.clock.now
        for pool in self.pools:
            waits = pool.queue and (pool.num_free_devices or self._preempts)
            if not waits and not (self.asks_always and pool.running):
                continue
            choice = self._choose(pool)
            for number in choice.preempt:
                self._preempt(pool, number)
            for number, move in choice.move.items():
                self.moves.begin(pool, number, move)
            for number in choice.put_off:
                if number in pool.queue:
                    pool.queue.put_off(number)
            if now_s < choice.wake_s < math.inf and choice.wake_s not in self._wakes:
                self._wakes.add(choice.wake_s)
                self.clock.until(choice.wake_s, LAST).callbacks.append(self._woken)
        self.govern()
        if not self.running and not self.is_dirty:  # who left just now makes room for others
            refuse_stuck(self)

    @property
    def is_woken_later(self) -> bool:
        """Whether the scheduler has asked to be woken."""
        return len(self._wakes) > 1

    def _choose(self, pool: PoolState) -> Choice:
        """Ask the scheduler and start what it names; again, where free devices lie so that a job cannot start.

        It then sees that job as one that needs more than is free, until devices are given back.
        """
        for _ in range(MAX_ROUNDS):
            choice = ask(
                self.plan.scheduler,
                self._select,
                pool.seen_queue(),
                pool,
                self.signals[pool.index],
                self.clock.now,
            )
            for number in choice.start:
                if not self.start(pool, number, choice.num_devices.get(number)):
                    pool.unplaced.add(number)
                    break
            else:
                break
        return choice

    def _woken(self, _event: simpy.Event) -> None:
        self._wakes.discard(self.clock.now)
        self.is_dirty = True

    def govern(self) -> None:
        """Run as fast as the power limit allows; who is still too much leaves, the youngest first.

        Where even saving all their states is too much, the youngest stop without; so do those that go on in
        vain because they have not noticed yet what broke.
        """
        governor, now_s = self._governor, self.clock.now
        if governor is None:
            return
        point, self.spare_power_w = governor.point(now_s, self.running.values())
        while point is None:
            youngest = max(
                (job for job in self.running.values() if job.stage in LEAVING_ORDER),
                key=lambda job: (
                    -LEAVING_ORDER.index(job.stage),
                    -job.queued.priority,
                    job.start_s,
                    job.queued.job,
                ),
                default=None,
            )
            if youngest is None:
                raise InfeasibleError(
                    "power limit",
                    f"{display(governor.limit_w(now_s), 'W')} from {display(now_s, 's')} on is less than the "
                    f"{display(governor.floor_w(), 'W')} that devices draw without any work",
                    ("a limit above that",),
                )
            number = youngest.queued.job
            if youngest.stage is Stage.RUNNING:
                youngest.num_interruptions += 1
                self.breakage.note(
                    self.pools[self.pool_of[number]], "power limit", (self.table.name[number],)
                )
                self.leave(youngest)
            else:
                if youngest.stage is Stage.SAVING:
                    youngest.interrupt(now_s, 0.0)
                    youngest.num_interruptions -= 1  # counted when it began to leave
                youngest.settle(now_s)
                youngest.version += 1
                self.requeue(youngest)
            point, self.spare_power_w = governor.point(now_s, self.running.values())
        for job in self.running.values():
            if job.retime(now_s, point=point):
                self.expect_end(job)

    def start(self, pool: PoolState, number: int, num_devices: int | None) -> bool:
        """A queued job gets devices; False if they lie so that it cannot start."""
        name, kind = (
            self.plan.scheduler,
            self.plan.kinds[self.kind_of[number]] if number in pool.queue else None,
        )
        use = kind.uses[pool.index] if kind else None
        if kind is None or use is None:
            refuse(name, "start", f"found job {number!r}", f"jobs that wait at pool {pool.plan.name!r}")
        job = pool.queue[number]
        num, least = job.num_devices if num_devices is None else num_devices, job.min_devices
        most = max(job.num_devices, job.max_devices)
        if not (least or job.num_devices) <= num <= most:
            allowed = f"{least or job.num_devices} to {most}"
            refuse(name, "num_devices", f"found {num!r} for job {number}", allowed)
        if num > pool.num_free_devices:
            found = f"job {number} needs {num} devices of pool {pool.plan.name!r}"
            refuse(name, "start", found, f"{pool.num_free_devices} are free")
        now_s = self.clock.now
        pool.settle_idle(now_s)
        spans = self.place(pool.free, pool.plan, num)
        if spans is None:
            return False
        for other in self.pools:
            if number in other.queue:
                other.queue.pop(number)
        if num != job.num_devices:
            part = num / job.num_devices
            job = job._replace(num_devices=num, limit_s=job.limit_s / part, power_w=job.power_w * part)
        slowed = num / int(self.table.num_devices[number])
        self.spare_power_w -= job.power_w
        if self._racks and kind.speed_across_racks < 1.0 and num_racks(spans, pool.plan) > 1:
            slowed *= kind.speed_across_racks
        again = number in self.durable_s
        running = Running(
            job,
            use,
            spans,
            pool.books,
            now_s=now_s,
            total_s=self.run_s[number],
            durable_s=self.durable_s.get(number, 0.0),
            again=again,
            point=0,
            slowed=slowed,
            moving_s=self.moves.carry(number, pool),
        )
        self.running[number] = running
        pool.enlist(running)
        if number in self.carried:
            running.pending, running.suspicion = self.carried.pop(number)
        if self._watch:
            pool.hold(running, spans)
            running.retime(now_s, straggle=pool.slowness(spans))
        self.waited_s[number] += now_s - self.since_s[number]
        if not again:
            self.start_s[number] = now_s
            if self.job_events is not None:
                self.breakage.expect(number, self.job_events(self.table.name[number]))
        self.pool_of[number], self.devices[number] = pool.index, num
        self.expect_end(running)
        return True

    def expect_end(self, job: Running) -> None:
        """Let the job end when its course says so, or at its limit."""
        end_s, status = job.course.end_s, -1
        if self.plan.kill_at_limit and job.start_s + job.queued.limit_s < end_s:
            end_s, status = max(job.start_s + job.queued.limit_s, self.clock.now), OVER_LIMIT
        if end_s <= self.end_s:
            version = job.version
            self.clock.until(end_s).callbacks.append(lambda _: self.end(job, version, status))

    def end(self, job: Running, version: int, status: int) -> None:
        """A job is over, unless something happened to it since `version`; a negative status: as its table says."""
        if job.version != version:
            return
        number = job.queued.job
        job.finish(self.clock.now)
        self.release(job)
        self.finish_s[number] = self.clock.now
        self.status[number] = self.ending[number] if status < 0 else status
        self.durable_s.pop(number, None)
        self.num_open -= 1
        self.num_ended += 1

    def release(self, job: Running) -> None:
        """All devices of a job are free again."""
        number, pool = job.queued.job, self.pools[self.pool_of[job.queued.job]]
        del self.running[number]
        pool.settle_idle(self.clock.now)
        pool.delist(job)
        if self._watch:
            pool.unhold(job.spans)
        pool.give_back(job.spans)
        if job.num_interruptions:
            self.interrupted[number] = self.interrupted.get(number, 0) + job.num_interruptions
        self.hand_out(pool)
        self.is_dirty = True

    # ---------------------------------------------------------------------- preemption and power

    def _preempt(self, pool: PoolState, number: int) -> None:
        job = self.running.get(number)
        if job is None or not job.queued.preemptible or self.pool_of[number] != pool.index:
            allowed = f"preemptible jobs that run on pool {pool.plan.name!r}"
            refuse(self.plan.scheduler, "preempt", f"found job {number!r}", allowed)
        if job.stage is Stage.RUNNING and job.course.at(self.clock.now).done_s < job.total_s:
            self.preempted[number] = self.preempted.get(number, 0) + 1
            self.leave(job)

    def leave(self, job: Running, move: Move | None = None) -> None:
        """The job saves its state, gives its devices back and waits in the queue, or goes on where it shall."""
        until_s = job.save(self.clock.now)
        self.pools[self.pool_of[job.queued.job]].mark(job)
        version = job.version
        if until_s <= self.clock.now:
            self._left(job, version, move)
        else:
            self.clock.until(until_s).callbacks.append(lambda _: self._left(job, version, move))

    def _left(self, job: Running, version: int, move: Move | None) -> None:
        if job.version == version:
            job.saved(self.clock.now)
            self.requeue(job)
            if move is not None:
                self.moves.arrive(job.queued.job, move)

    def requeue(self, job: Running) -> None:
        """The job gives its devices back and waits, at its old place in the queue."""
        number = job.queued.job
        self.tries.count(number, job.durable_s)
        self.durable_s[number] = job.durable_s
        if job.suspicion is not None:
            self.carried[number] = job.pending, job.suspicion
        self.release(job)
        self.since_s[number] = self.clock.now
        queued, table = job.queued, self.table
        self.gate.enqueue(
            number,
            int(table.num_devices[number]),
            queued.submit_s,
            float(table.limit_s[number]),
            queued.priority,
            queued.preemptible,
            queued.deadline_s,
            int(table.min_devices[number]),
            int(table.max_devices[number]),
            self.kind_of[number],
            self.moves.bound_to(job),
        )

    def hand_out(self, pool: PoolState) -> None:
        """Free devices go to running jobs that lack some, in the order in which they began to wait."""
        now_s = self.clock.now
        while pool.short:
            job = pool.short[0]
            missing = job.queued.num_devices - job.num_held
            if missing and pool.free.num:
                pool.settle_idle(now_s)
                job.settle(now_s)
                spans = pool.free.take(min(missing, pool.free.num))
                job.gain(spans)
                pool.hold(job, spans)
                missing = job.queued.num_devices - job.num_held
            if missing:
                return
            pool.short.popleft()
            job.settle(now_s)
            self.tries.count(job.queued.job, job.durable_s)
            job.straggle = pool.slowness(job.spans)
            job.begin(now_s, again=True)
            self.expect_end(job)
            self.is_dirty = True  # it works again, and draws more
