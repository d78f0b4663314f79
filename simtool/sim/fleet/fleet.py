"""The fleet as it runs: what happens to jobs and devices at every event."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import simpy

from simtool.errors import InfeasibleError, InputError, Problem, SimtoolError
from simtool.jobs.table import JobTable
from simtool.ledger import lost
from simtool.sim.clock import FIRST, LAST, Clock
from simtool.sim.fleet.ask import ask, refuse
from simtool.sim.fleet.outcome import NEVER_STARTED, OVER_LIMIT, UNFINISHED, FleetOutcome, Interruption
from simtool.sim.fleet.placement import PLACEMENTS, num_racks
from simtool.sim.fleet.plan import FleetPlan, Found, JobKind, NodeEvent
from simtool.sim.fleet.pool import PoolState
from simtool.sim.fleet.power import Governor, highest_power_w
from simtool.sim.fleet.running import Running, Stage, Suspicion, Undecided
from simtool.sim.fleet.spans import Span
from simtool.sim.schedulers import SCHEDULERS, QueuedJob, SignalView
from simtool.units import display

EVENTS_PER_REPORT = 4096
"""Progress is told at most once in as many events."""

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
        self._table = jobs
        self._select = SCHEDULERS[plan.scheduler]
        self._place = PLACEMENTS[plan.placement]
        self.signals = [signals.get(pool.name, {}) for pool in plan.pools]
        self._sites = [self._places(kind) for kind in plan.kinds]
        self._governor = Governor(plan, self.pools) if plan.limits else None
        self._watch = bool(node_events)
        self._racks = any(kind.speed_across_racks < 1.0 for kind in plan.kinds)
        self._preempts = bool(jobs.preemptible.any())
        num = len(jobs)
        self._kind, self._run_s = list(kinds), jobs.run_s.tolist()
        self._outcome = jobs.outcome.tolist()
        self._running: dict[int, Running] = {}
        self._durable_s: dict[int, float] = {}  # of jobs that wait to go on
        self._since_s = [math.nan] * num  # when it began to wait
        self._waited_s, self._start_s, self._finish_s = [0.0] * num, [math.nan] * num, [math.nan] * num
        self._status, self._pool = bytearray([NEVER_STARTED]) * num, [-1] * num
        self._devices = jobs.num_devices.tolist()
        self._carried: dict[int, tuple[list[Undecided], Suspicion | None]] = {}  # of the same
        self._preempted: dict[int, int] = {}
        self._interrupted: dict[int, int] = {}
        self._interruptions: list[Interruption] = []
        self._moved_bytes = 0.0
        self._job_events = job_events
        self._num_open = num
        self._num_ended = 0
        self._wakes = {math.inf}
        self._dirty = False
        self.num_events = 0
        self.clock.process(self._submits(jobs))
        for pool in self.pools:
            if pool.plan.name in node_events:
                self.clock.process(self._breaks(pool, node_events[pool.plan.name]))
        for limit in plan.limits:
            self.clock.until(limit.time_s, FIRST).callbacks.append(lambda _: self._touch())

    # ---------------------------------------------------------------------------------- the loop

    def run(self, progress: Callable[[float], None] | None) -> None:
        """Until all jobs have ended, or until `end_s`."""
        clock, num = self.clock, max(len(self._kind), 1)
        while self._num_open or self.end_s < math.inf:
            next_s = clock.peek()
            if self._dirty and next_s > clock.now:
                self._dirty = False
                self._decide()
                continue
            if next_s > self.end_s:
                break
            if next_s == math.inf:
                raise self._stuck()
            clock.step()
            self.num_events += 1
            if progress is not None and self.num_events % EVENTS_PER_REPORT == 0:
                progress(self._num_ended / num)
        self._close(self.end_s if self.end_s < math.inf else clock.now)

    def _touch(self) -> None:
        self._dirty = True

    def _stuck(self) -> SimtoolError:
        """Jobs wait, and nothing is left to happen."""
        pool, job = min(
            ((pool, job) for pool in self.pools for job in pool.queue), key=lambda found: found[1].job
        )
        name, now_s = self._table.name[job.job], display(self.clock.now, "s")
        least = job.min_devices or job.num_devices
        if least > pool.num_devices - pool.down.num:
            return InfeasibleError(
                "devices that never come back",
                f"job {name!r} waits from {now_s} on for {least:,} devices of pool {pool.plan.name!r}, of which "
                f"{pool.down.num:,} are down for ever",
                ("a finite repair time", "more spare nodes"),
            )
        if job.least_power_w > self.spare_power_w:
            return InfeasibleError(
                "power limit",
                f"job {name!r} waits from {now_s} on for {display(job.least_power_w, 'W')} more than idle devices "
                f"draw, and the limit leaves {display(max(self.spare_power_w, 0.0), 'W')}",
                ("a higher limit", "fewer devices for that job"),
            )
        return InputError(
            Problem(
                f"scheduler {self.plan.scheduler!r}",
                "start",
                f"job {name!r} waits from {now_s} on, and nothing else is left to happen",
                "every job that fits is started at some time",
                "correct or change the scheduler",
            )
        )

    def _submits(self, jobs: JobTable) -> Generator[simpy.Event, None, None]:
        """The process that submits all jobs."""
        clock = self.clock
        rows = zip(
            jobs.submit_s.tolist(),
            jobs.num_devices.tolist(),
            jobs.limit_s.tolist(),
            jobs.priority.tolist(),
            jobs.preemptible.tolist(),
            jobs.deadline_s.tolist(),
            jobs.min_devices.tolist(),
            self._kind,
            strict=True,
        )
        for number, (submit_s, num, limit_s, priority, may, deadline_s, least, kind) in enumerate(rows):
            if submit_s > clock.now:
                yield clock.until(submit_s)
            self._since_s[number] = submit_s
            self._enqueue(number, num, submit_s, limit_s, priority, may, deadline_s, least, kind)

    def _places(self, kind: JobKind) -> list[tuple[PoolState, float, float, float, tuple[float, ...]]]:
        """Where jobs of a kind can run: pool, speed, watts over idling at full speed and at the slowest, all speeds."""
        speeds = tuple(use.points[0].speed if use else 0.0 for use in kind.uses)
        found = []
        for pool, use in zip(self.pools, kind.uses, strict=True):
            if use is not None:
                idle_w = pool.plan.idle.power_w
                most_w, least_w = (
                    max(highest_power_w(use, point) - idle_w, 0.0) for point in (0, len(use.points) - 1)
                )
                all_speeds = speeds if len(speeds) > 1 else ()
                found.append((pool, use.points[0].speed, most_w, least_w, all_speeds))
        return found

    def _enqueue(
        self,
        number: int,
        asked: int,
        submit_s: float,
        limit_s: float,
        priority: int,
        preemptible: bool,
        deadline_s: float,
        least: int,
        kind: int,
    ) -> None:
        """A job waits at every pool where it can run; there it asks for no more devices than there are."""
        for pool, speed, most_w, least_w, speeds in self._sites[kind]:
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
                    speeds,
                )
            )
        self._dirty = True

    # ------------------------------------------------------------------------------- decisions

    def _decide(self) -> None:
        if self._governor is not None:
            self._govern()
        now_s = self.clock.now
        for pool in self.pools:
            if not pool.queue or not (pool.num_free_devices or self._preempts):
                continue
            choice = ask(self.plan.scheduler, self._select, pool.queue, pool, self.signals[pool.index], now_s)
            for number in choice.start:
                if not self._start(pool, number, choice.num_devices.get(number)):
                    break
            for number in choice.preempt:
                self._preempt(pool, number)
            for number in choice.put_off:
                if number in pool.queue:
                    pool.queue.put_off(number)
            if now_s < choice.wake_s < math.inf and choice.wake_s not in self._wakes:
                self._wakes.add(choice.wake_s)
                self.clock.until(choice.wake_s, LAST).callbacks.append(self._woken)
        if self._governor is not None:
            self._govern()

    def _woken(self, _event: simpy.Event) -> None:
        self._wakes.discard(self.clock.now)
        self._dirty = True

    def _govern(self) -> None:
        """Run as fast as the power limit allows; who is still too much leaves, the youngest first.

        Where even saving all their states is too much, the youngest stop without; so do those that go on in
        vain because they have not noticed yet what broke.
        """
        governor, now_s = self._governor, self.clock.now
        if governor is None:
            return
        point, self.spare_power_w = governor.point(now_s, self._running.values())
        while point is None:
            youngest = max(
                (job for job in self._running.values() if job.stage in LEAVING_ORDER),
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
                self._note(self.pools[self._pool[number]], "power limit", (self._table.name[number],))
                self._leave(youngest)
            else:
                if youngest.stage is Stage.SAVING:
                    youngest.interrupt(now_s, 0.0)
                youngest.settle(now_s)
                youngest.version += 1
                self._requeue(youngest)
            point, self.spare_power_w = governor.point(now_s, self._running.values())
        for job in self._running.values():
            if job.retime(now_s, point=point):
                self._await(job)

    def _start(self, pool: PoolState, number: int, num_devices: int | None) -> bool:
        """A queued job gets devices; False if they lie so that it cannot start."""
        name, kind = (
            self.plan.scheduler,
            self.plan.kinds[self._kind[number]] if number in pool.queue else None,
        )
        use = kind.uses[pool.index] if kind else None
        if kind is None or use is None:
            refuse(name, "start", f"found job {number!r}", f"jobs that wait at pool {pool.plan.name!r}")
        job = pool.queue[number]
        num, least = job.num_devices if num_devices is None else num_devices, job.min_devices
        if not (least or job.num_devices) <= num <= job.num_devices:
            allowed = f"{least or job.num_devices} to {job.num_devices}"
            refuse(name, "num_devices", f"found {num!r} for job {number}", allowed)
        if num > pool.num_free_devices:
            found = f"job {number} needs {num} devices of pool {pool.plan.name!r}"
            refuse(name, "start", found, f"{pool.num_free_devices} are free")
        now_s = self.clock.now
        pool.settle_idle(now_s)
        spans = self._place(pool.free, pool.plan, num)
        if spans is None:
            return False
        for other in self.pools:
            if number in other.queue:
                other.queue.pop(number)
        if num < job.num_devices:
            part = num / job.num_devices
            job = job._replace(num_devices=num, limit_s=job.limit_s / part, power_w=job.power_w * part)
        slowed = num / int(self._table.num_devices[number])
        self.spare_power_w -= job.power_w
        if self._racks and kind.speed_across_racks < 1.0 and num_racks(spans, pool.plan) > 1:
            slowed *= kind.speed_across_racks
        again = number in self._durable_s
        running = Running(
            job,
            use,
            spans,
            pool.books,
            now_s=now_s,
            total_s=self._run_s[number],
            durable_s=self._durable_s.get(number, 0.0),
            again=again,
            point=0,
            slowed=slowed,
            moving_s=self._moved(number, kind, pool),
        )
        self._running[number] = running
        pool.enlist(running)
        if number in self._carried:
            running.pending, running.suspicion = self._carried.pop(number)
        if self._watch:
            pool.hold(running, spans)
            running.retime(now_s, straggle=pool.slowness(spans))
        self._waited_s[number] += now_s - self._since_s[number]
        if not again:
            self._start_s[number] = now_s
            if self._job_events is not None:
                self._expect(number, self._job_events(self._table.name[number]))
        self._pool[number], self._devices[number] = pool.index, num
        self._await(running)
        return True

    def _moved(self, number: int, kind: JobKind, pool: PoolState) -> float:
        """Time until a job's saved state is at the site where it goes on; nothing if it lies there, or is none [s]."""
        if not self._durable_s.get(number) or self.plan.pools[self._pool[number]].site == pool.plan.site:
            return 0.0
        self._moved_bytes += kind.state_bytes
        return kind.state_bytes / self.plan.move_bytes_per_s

    def _await(self, job: Running) -> None:
        """Let the job end when its course says so, or at its limit."""
        end_s, status = job.course.end_s, -1
        if self.plan.kill_at_limit and job.start_s + job.queued.limit_s < end_s:
            end_s, status = max(job.start_s + job.queued.limit_s, self.clock.now), OVER_LIMIT
        if end_s <= self.end_s:
            version = job.version
            self.clock.until(end_s).callbacks.append(lambda _: self._ends(job, version, status))

    def _ends(self, job: Running, version: int, status: int) -> None:
        if job.version != version:
            return
        number = job.queued.job
        job.finish(self.clock.now)
        self._release(job)
        self._finish_s[number] = self.clock.now
        self._status[number] = self._outcome[number] if status < 0 else status
        self._durable_s.pop(number, None)
        self._num_open -= 1
        self._num_ended += 1

    def _release(self, job: Running) -> None:
        """All devices of a job are free again."""
        number, pool = job.queued.job, self.pools[self._pool[job.queued.job]]
        del self._running[number]
        pool.settle_idle(self.clock.now)
        pool.delist(job)
        if self._watch:
            pool.unhold(job.spans)
        pool.free.add(job.spans)
        pool.drain(job.spans)
        if job.num_interruptions:
            self._interrupted[number] = self._interrupted.get(number, 0) + job.num_interruptions
        self._hand_out(pool)
        self._dirty = True

    # ---------------------------------------------------------------------- preemption and power

    def _preempt(self, pool: PoolState, number: int) -> None:
        job = self._running.get(number)
        if job is None or not job.queued.preemptible or self._pool[number] != pool.index:
            allowed = f"preemptible jobs that run on pool {pool.plan.name!r}"
            refuse(self.plan.scheduler, "preempt", f"found job {number!r}", allowed)
        if job.stage is Stage.RUNNING and job.course.at(self.clock.now).done_s < job.total_s:
            self._preempted[number] = self._preempted.get(number, 0) + 1
            self._leave(job)

    def _leave(self, job: Running) -> None:
        """The job saves its state, gives its devices back and waits in the queue."""
        until_s = job.save(self.clock.now)
        self.pools[self._pool[job.queued.job]].mark(job)
        version = job.version
        if until_s <= self.clock.now:
            self._left(job, version)
        else:
            self.clock.until(until_s).callbacks.append(lambda _: self._left(job, version))

    def _left(self, job: Running, version: int) -> None:
        if job.version == version:
            job.saved(self.clock.now)
            self._requeue(job)

    def _requeue(self, job: Running) -> None:
        number = job.queued.job
        self._durable_s[number] = job.durable_s
        if job.suspicion is not None:
            self._carried[number] = job.pending, job.suspicion
        self._release(job)
        self._since_s[number] = self.clock.now
        queued, table = job.queued, self._table
        self._enqueue(
            number,
            int(table.num_devices[number]),
            queued.submit_s,
            float(table.limit_s[number]),
            queued.priority,
            queued.preemptible,
            queued.deadline_s,
            int(table.min_devices[number]),
            self._kind[number],
        )

    # -------------------------------------------------------------------------------- failures

    def _breaks(self, pool: PoolState, events: Iterable[NodeEvent]) -> Generator[simpy.Event, None, None]:
        """The process that lets things happen to the nodes of a pool."""
        for event in events:
            if event.time_s == math.inf:
                return
            yield self.clock.until(event.time_s, LAST)
            self._break(pool, event)

    def _expect(self, number: int, events: Iterator[NodeEvent]) -> None:
        """The next failure of a job's own software."""
        event = next(events, None)
        if event is not None and (time_s := self._start_s[number] + event.time_s) < math.inf:
            self.clock.until(time_s, LAST).callbacks.append(lambda _: self._errs(number, event, events))

    def _errs(self, number: int, event: NodeEvent, events: Iterator[NodeEvent]) -> None:
        job = self._running.get(number)
        if job is not None:
            self._stops(self.pools[self._pool[number]], job, event)
        if math.isnan(self._finish_s[number]):
            self._expect(number, events)

    def _break(self, pool: PoolState, event: NodeEvent) -> None:
        size = pool.plan.devices_per_node
        spans = [(first * size, last * size) for first, last in event.nodes]
        match event.effect:
            case "failure":
                self._fails(pool, event, spans)
            case "maintenance":
                self._maintains(pool, event, spans)
            case "straggler":
                pool.slow.setdefault(event.nodes[0][0], []).append(event)
                self._repace(pool, event)
                self._after(event.detection_s, partial(self._found_slow, pool, event))
            case "software":
                for job, _ in pool.holders(spans[0][0], spans[0][0] + 1):
                    self._stops(pool, job, event)
            case "corruption":
                for job, _ in pool.holders(spans[0][0], spans[0][0] + 1):
                    if job.corrupt(self.clock.now, event):
                        self._after(
                            event.detection_s, partial(self._found_corrupt, pool, event, job.queued.job)
                        )
            case other:
                raise SimtoolError(f"fleet: nothing is known of the effect {other!r}")

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        if delay_s < math.inf:
            self.clock.until(self.clock.now + delay_s).callbacks.append(lambda _: call())

    def _stops(self, pool: PoolState, job: Running, event: NodeEvent) -> bool:
        """A job is interrupted, unless it has stopped already."""
        if job.stage not in (Stage.RUNNING, Stage.SAVING):
            job.settle(self.clock.now)
            return False
        job.interrupt(self.clock.now, event.detection_s)
        pool.mark(job)
        self.clock.until(job.stop_s).callbacks.append(partial(self._notices, job, job.version))
        self._note(pool, event.cause, (self._table.name[job.queued.job],))
        return True

    def _note(self, pool: PoolState, cause: str, jobs: tuple[str, ...]) -> None:
        """Several jobs that one event stops are one interruption."""
        last = self._interruptions[-1] if self._interruptions else None
        if last is not None and (last.time_s, last.cause, last.pool) == (
            self.clock.now,
            cause,
            pool.plan.name,
        ):
            self._interruptions[-1] = replace(last, jobs=(*last.jobs, *jobs))
            return
        self._interruptions.append(
            Interruption(time_s=self.clock.now, cause=cause, pool=pool.plan.name, jobs=jobs)
        )

    def _fails(self, pool: PoolState, event: NodeEvent, spans: list[Span]) -> None:
        """Nodes go down, with the devices that jobs hold on them."""
        now_s = self.clock.now
        hit: dict[int, tuple[Running, list[Span]]] = {}
        for start, stop in spans:
            for job, span in pool.holders(start, stop):
                hit.setdefault(job.queued.job, (job, []))[1].append(span)
        noticed_s = now_s
        for _, (job, parts) in sorted(hit.items()):
            self._stops(pool, job, event)
            noticed_s = max(noticed_s, job.stop_s if job.stage is Stage.DETECTING else now_s)
            held = job.spans
            job.lose(parts)
            pool.unhold(held)
            pool.hold(job, job.spans)
        gone = [span for _, parts in hit.values() for span in parts]
        self._take_down(pool, spans, gone, max(now_s + event.repair_s, noticed_s))

    def _maintains(self, pool: PoolState, event: NodeEvent, spans: list[Span]) -> None:
        """Nodes are wanted: jobs on them save their state and queue again, and what is freed goes down."""
        until_s = self.clock.now + event.repair_s
        jobs = {job.queued.job: job for start, stop in spans for job, _ in pool.holders(start, stop)}
        if event.detection_s > 0.0 and any(not job.can_save_in(event.detection_s) for job in jobs.values()):
            self._fails(pool, Found(event.nodes, event.cause, event.repair_s), spans)
            return
        pool.draining += [(start, stop, until_s) for start, stop in spans]
        self._take_down(pool, spans, [], until_s)
        for _, job in sorted(jobs.items()):
            if job.stage is Stage.RUNNING and job.course.at(self.clock.now).done_s < job.total_s:
                self._note(pool, event.cause, (self._table.name[job.queued.job],))
                self._leave(job)

    def _repace(self, pool: PoolState, event: NodeEvent) -> None:
        """A node became slow, or as quick as the others again."""
        size = pool.plan.devices_per_node
        first, last = event.nodes[0]
        for job, _ in pool.holders(first * size, last * size):
            if job.retime(self.clock.now, straggle=pool.slowness(job.spans)):
                self._await(job)

    def _found_slow(self, pool: PoolState, event: NodeEvent) -> None:
        slow = pool.slow.get(event.nodes[0][0], [])
        if event not in slow:
            return  # the node was down meanwhile
        slow.remove(event)
        if event.repair_s > 0.0:
            self._goes_down(pool, event)
        else:
            self._repace(pool, event)

    def _found_corrupt(self, pool: PoolState, event: NodeEvent, number: int) -> None:
        job = self._running.get(number)
        if job is None:
            self._found_corrupt_in_queue(event, number)
            return
        if job.suspicion is None or job.suspicion.event is not event:
            return
        where, here = job.spans, self.pools[self._pool[number]]
        job.find_corruption(self.clock.now)
        here.mark(job)
        self.clock.until(self.clock.now).callbacks.append(partial(self._notices, job, job.version))
        self._note(here, event.cause, (self._table.name[number],))
        size = pool.plan.devices_per_node
        first, last = (edge * size for edge in event.nodes[0])
        if (
            here is pool
            and event.repair_s > 0.0
            and any(start < last and first < stop for start, stop in where)
        ):
            self._goes_down(pool, event)

    def _found_corrupt_in_queue(self, event: NodeEvent, number: int) -> None:
        """The job waits to go on; it will go on from the last state from before."""
        pending, suspicion = self._carried.get(number, ([], None))
        if suspicion is None or suspicion.event is not event:
            return
        del self._carried[number]
        self._durable_s[number] = min(self._durable_s[number], suspicion.clean_s)
        for (t0_s, t1_s, pattern, done_s), num, books in pending:
            books.add(t0_s, t1_s, number, lost(pattern) if done_s > suspicion.clean_s else pattern, num)

    def _goes_down(self, pool: PoolState, event: NodeEvent) -> None:
        """The node of a straggler or a corruption, once it is found."""
        size = pool.plan.devices_per_node
        found = Found(event.nodes, event.cause, event.repair_s)
        self._fails(pool, found, [(first * size, last * size) for first, last in event.nodes])

    def _take_down(self, pool: PoolState, spans: list[Span], held: list[Span], back_s: float) -> None:
        """Free and lost devices of nodes go down; those that are down already stay as they are."""
        now_s = self.clock.now
        pool.settle_idle(now_s)
        pool.settle_down(now_s)
        gone = held + [part for start, stop in spans for part in pool.free.cut(start, stop)]
        pool.forget_slow(spans)
        self.down_until(pool, gone, back_s)

    def down_until(self, pool: PoolState, gone: list[Span], back_s: float) -> None:
        """Devices that nobody holds any more are down until they are back."""
        if not gone:
            return
        pool.settle_down(self.clock.now)
        pool.down.add(gone)
        if back_s < math.inf:
            self.clock.until(max(back_s, self.clock.now), FIRST).callbacks.append(
                lambda _: self._repaired(pool, gone)
            )
        self._dirty = True

    def _repaired(self, pool: PoolState, spans: list[Span]) -> None:
        pool.settle_idle(self.clock.now)
        pool.settle_down(self.clock.now)
        for start, stop in spans:
            pool.down.cut(start, stop)
        pool.free.add(spans)
        pool.drain(spans)
        self._hand_out(pool)
        self._dirty = True

    def _notices(self, job: Running, version: int, _event: simpy.Event) -> None:
        """A job knows that something broke: it takes other devices, or leaves."""
        if job.version != version:
            return
        now_s, number = self.clock.now, job.queued.job
        job.settle(now_s)
        pool = self.pools[self._pool[number]]
        missing = job.queued.num_devices - job.num_held
        if missing and not self.plan.kinds[self._kind[number]].holds_nodes:
            self._requeue(job)
            return
        job.stage, job.stopping = Stage.WAITING, pool.plan.idle
        pool.short.append(job)
        self._hand_out(pool)

    def _hand_out(self, pool: PoolState) -> None:
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
            job.straggle = pool.slowness(job.spans)
            job.begin(now_s, again=True)
            self._await(job)

    # ------------------------------------------------------------------------------------- end

    def _close(self, end_s: float) -> None:
        """Bring all books up to the end."""
        self.end_s = end_s
        for number, job in sorted(self._running.items()):
            job.finish(end_s)
            self._status[number] = UNFINISHED
        for number, (pending, _) in self._carried.items():
            for (t0_s, t1_s, pattern, _), devices, books in pending:
                books.add(t0_s, t1_s, number, pattern, devices)
        for pool in self.pools:
            pool.settle_idle(end_s)
            pool.settle_down(end_s)
            for waiting in pool.queue:
                number = waiting.job
                self._waited_s[number] += end_s - self._since_s[number]
                self._since_s[number] = end_s
                if number in self._durable_s:
                    self._status[number] = UNFINISHED

    def outcome(self) -> FleetOutcome:
        """What became of it all."""
        num = len(self._kind)
        ledgers = {pool.plan.name: pool.books.ledger(self._table.name) for pool in self.pools}
        for number, job in self._running.items():
            if job.num_interruptions:
                self._interrupted[number] = self._interrupted.get(number, 0) + job.num_interruptions
        for pool in self.pools:
            ledgers[pool.plan.name].check_conservation(self.end_s, pool.plan.total_devices)
        return FleetOutcome(
            end_s=self.end_s,
            ledgers=ledgers,
            num_devices={pool.plan.name: pool.plan.total_devices for pool in self.pools},
            names=self._table.name,
            submit_s=self._table.submit_s,
            devices=np.array(self._devices, np.int64),
            start_s=np.array(self._start_s),
            finish_s=np.array(self._finish_s),
            waited_s=np.array(self._waited_s),
            status=np.frombuffer(bytes(self._status), np.int8),
            pool=np.array(self._pool, np.int16),
            num_preemptions=_counts(self._preempted, num),
            num_interruptions=_counts(self._interrupted, num),
            interruptions=tuple(self._interruptions),
            moved_bytes=self._moved_bytes,
            num_events=self.num_events,
        )


def _counts(found: Mapping[int, int], num: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.zeros(num, np.int64)
    for number, count in found.items():
        counts[number] = count
    return counts
