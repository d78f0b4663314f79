"""What nodes and jobs suffer: failures, repairs, maintenance, slow nodes, corruption, software."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import simpy

from simtool.errors import SimtoolError
from simtool.ledger import lost
from simtool.sim.clock import FIRST, LAST
from simtool.sim.fleet.outcome import OVER_LIMIT, Interruption
from simtool.sim.fleet.plan import Found, NodeEvent
from simtool.sim.fleet.pool import PoolState
from simtool.sim.fleet.running import Running, Stage
from simtool.sim.fleet.spans import Span

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet


STANDING = (Stage.DETECTING, Stage.WAITING)
"""A job that holds devices and does not get on."""


class Breakage:
    """Lets events happen to the nodes of a fleet and to the jobs that hold them."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.interruptions: list[Interruption] = []

    def breaks(self, pool: PoolState, events: Iterable[NodeEvent]) -> Generator[simpy.Event, None, None]:
        """The process that lets things happen to the nodes of a pool."""
        for event in events:
            if event.time_s == math.inf:
                return
            yield self._fleet.clock.until(event.time_s, LAST)
            self._break(pool, event)

    def expect(self, number: int, events: Iterator[NodeEvent]) -> None:
        """The next failure of a job's own software."""
        event = next(events, None)
        if event is not None and (time_s := self._fleet.start_s[number] + event.time_s) < math.inf:
            self._fleet.clock.until(time_s, LAST).callbacks.append(
                lambda _: self._errs(number, event, events)
            )

    def _errs(self, number: int, event: NodeEvent, events: Iterator[NodeEvent]) -> None:
        job = self._fleet.running.get(number)
        if job is not None:
            self._stops(self._fleet.pools[self._fleet.pool_of[number]], job, event)
        if math.isnan(self._fleet.finish_s[number]):
            self.expect(number, events)

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
                    if job.corrupt(self._fleet.clock.now, event):
                        self._after(
                            event.detection_s, partial(self._found_corrupt, pool, event, job.queued.job)
                        )
            case other:
                raise SimtoolError(f"fleet: nothing is known of the effect {other!r}")

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        if delay_s < math.inf:
            self._fleet.clock.until(self._fleet.clock.now + delay_s).callbacks.append(lambda _: call())

    def _stops(self, pool: PoolState, job: Running, event: NodeEvent) -> bool:
        """A job is interrupted, unless it has stopped already."""
        if job.stage not in (Stage.RUNNING, Stage.SAVING):
            job.settle(self._fleet.clock.now)
            return False
        job.interrupt(self._fleet.clock.now, event.detection_s)
        pool.mark(job)
        self._fleet.clock.until(job.stop_s).callbacks.append(partial(self.notices, job, job.version))
        self._expect_limit(job)
        self.note(pool, event.cause, (self._fleet.table.name[job.queued.job],))
        return True

    def _expect_limit(self, job: Running) -> None:
        """End the job at its limit though it does not work then."""
        fleet, limit_s = self._fleet, job.queued.limit_s
        if fleet.plan.kill_at_limit and limit_s < math.inf:
            at_s = max(job.start_s + limit_s, fleet.clock.now)
            fleet.clock.until(at_s).callbacks.append(lambda _: self._over(job))

    def _over(self, job: Running) -> None:
        number, fleet = job.queued.job, self._fleet
        if fleet.running.get(number) is not job or job.stage not in STANDING:
            return
        pool = fleet.pools[fleet.pool_of[number]]
        if job in pool.short:
            pool.short.remove(job)
        job.version += 1
        fleet.end(job, job.version, OVER_LIMIT)

    def note(self, pool: PoolState, cause: str, jobs: tuple[str, ...]) -> None:
        """Several jobs that one event stops are one interruption."""
        last = self.interruptions[-1] if self.interruptions else None
        if last is not None and (last.time_s, last.cause, last.pool) == (
            self._fleet.clock.now,
            cause,
            pool.plan.name,
        ):
            self.interruptions[-1] = replace(last, jobs=(*last.jobs, *jobs))
            return
        self.interruptions.append(
            Interruption(time_s=self._fleet.clock.now, cause=cause, pool=pool.plan.name, jobs=jobs)
        )

    def _fails(self, pool: PoolState, event: NodeEvent, spans: list[Span]) -> None:
        """Nodes go down, with the devices that jobs hold on them."""
        now_s = self._fleet.clock.now
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
        until_s = self._fleet.clock.now + event.repair_s
        jobs = {job.queued.job: job for start, stop in spans for job, _ in pool.holders(start, stop)}
        if event.detection_s > 0.0 and any(not job.can_save_in(event.detection_s) for job in jobs.values()):
            self._fails(pool, Found(event.nodes, event.cause, event.repair_s), spans)
            return
        pool.draining += [(start, stop, until_s) for start, stop in spans]
        stood = [
            self._hand_over(pool, job, spans) for _, job in sorted(jobs.items()) if job.stage in STANDING
        ]
        self._take_down(pool, spans, [part for parts in stood for part in parts], until_s)
        for _, job in sorted(jobs.items()):
            if job.stage is Stage.RUNNING and job.course.at(self._fleet.clock.now).done_s < job.total_s:
                self.note(pool, event.cause, (self._fleet.table.name[job.queued.job],))
                job.num_interruptions += 1
                self._fleet.leave(job)

    def _hand_over(self, pool: PoolState, job: Running, spans: list[Span]) -> list[Span]:
        """A job that does not work, because something broke before, loses its devices among these."""
        held = job.spans
        parts = [
            (max(begin, start), min(end, stop))
            for begin, end in held
            for start, stop in spans
            if begin < stop and start < end
        ]
        job.settle(self._fleet.clock.now)
        job.lose(parts)
        pool.unhold(held)
        pool.hold(job, job.spans)
        return parts

    def _repace(self, pool: PoolState, event: NodeEvent) -> None:
        """A node became slow, or as quick as the others again."""
        size = pool.plan.devices_per_node
        first, last = event.nodes[0]
        for job, _ in pool.holders(first * size, last * size):
            if job.retime(self._fleet.clock.now, straggle=pool.slowness(job.spans)):
                self._fleet.expect_end(job)

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
        job = self._fleet.running.get(number)
        if job is None:
            self._found_corrupt_in_queue(event, number)
            return
        if job.suspicion is None or job.suspicion.event is not event:
            return
        where, here = job.spans, self._fleet.pools[self._fleet.pool_of[number]]
        job.find_corruption(self._fleet.clock.now)
        here.mark(job)
        self._fleet.clock.until(self._fleet.clock.now).callbacks.append(
            partial(self.notices, job, job.version)
        )
        self.note(here, event.cause, (self._fleet.table.name[number],))
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
        pending, suspicion = self._fleet.carried.get(number, ([], None))
        if suspicion is None or suspicion.event is not event:
            return
        del self._fleet.carried[number]
        self._fleet.durable_s[number] = min(self._fleet.durable_s[number], suspicion.clean_s)
        for (t0_s, t1_s, pattern, done_s), num, books in pending:
            books.add(t0_s, t1_s, number, lost(pattern) if done_s > suspicion.clean_s else pattern, num)

    def _goes_down(self, pool: PoolState, event: NodeEvent) -> None:
        """The node of a straggler or a corruption, once it is found."""
        size = pool.plan.devices_per_node
        found = Found(event.nodes, event.cause, event.repair_s)
        self._fails(pool, found, [(first * size, last * size) for first, last in event.nodes])

    def _take_down(self, pool: PoolState, spans: list[Span], held: list[Span], back_s: float) -> None:
        """Free and lost devices of nodes go down; those that are down already stay as they are."""
        now_s = self._fleet.clock.now
        pool.settle_idle(now_s)
        pool.settle_down(now_s)
        gone = held + [part for start, stop in spans for part in pool.free.cut(start, stop)]
        pool.forget_slow(spans)
        self.down_until(pool, gone, back_s)

    def down_until(self, pool: PoolState, gone: list[Span], back_s: float) -> None:
        """Devices that nobody holds any more are down until they are back."""
        if not gone:
            return
        pool.settle_down(self._fleet.clock.now)
        pool.down.add(gone)
        if back_s < math.inf:
            self._fleet.clock.until(max(back_s, self._fleet.clock.now), FIRST).callbacks.append(
                lambda _: self._repaired(pool, gone)
            )
        self._fleet.is_dirty = True

    def _repaired(self, pool: PoolState, spans: list[Span]) -> None:
        pool.settle_idle(self._fleet.clock.now)
        pool.settle_down(self._fleet.clock.now)
        for start, stop in spans:
            pool.down.cut(start, stop)
        pool.give_back(spans)
        self._fleet.hand_out(pool)
        self._fleet.is_dirty = True

    def notices(self, job: Running, version: int, _event: simpy.Event) -> None:
        """A job knows that something broke: it takes other devices, or leaves."""
        if job.version != version:
            return
        now_s, number = self._fleet.clock.now, job.queued.job
        job.settle(now_s)
        pool = self._fleet.pools[self._fleet.pool_of[number]]
        missing = job.queued.num_devices - job.num_held
        if missing and not self._fleet.plan.kinds[self._fleet.kind_of[number]].holds_nodes:
            self._fleet.requeue(job)
            return
        job.stage, job.stopping = Stage.WAITING, pool.plan.idle
        pool.short.append(job)
        self._fleet.hand_out(pool)
