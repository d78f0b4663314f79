"""The life of one job: it queues, runs, is interrupted, waits for nodes, restarts, and ends."""

from __future__ import annotations

import math
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from enum import Enum

import simpy

from simtool.errors import SimtoolError
from simtool.ledger import Ledger, lost
from simtool.sim.books import Books, Past, undone
from simtool.sim.clock import LAST, Clock
from simtool.sim.cluster import Cluster
from simtool.sim.copies import Copies
from simtool.sim.course import Attempt, Course
from simtool.sim.hazards import HazardEvent
from simtool.sim.outcome import JobOutcome
from simtool.sim.pace import Pace
from simtool.sim.plan import CheckpointPlan, FailurePlan, JobPlan


class _Stage(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    """In an attempt; written to the ledger when the attempt ends or is cut."""
    DETECTING = "detecting"
    """Something has failed and the job does not know yet."""
    SAVING = "saving"
    """It saves its state because maintenance is near."""
    WAITING = "waiting"
    """Stopped, without enough nodes."""
    ENDED = "ended"


_STOPPED = (_Stage.DETECTING, _Stage.SAVING, _Stage.WAITING)


@dataclass(slots=True)
class _Corruption:
    """What the job computes is worthless since the first corruption that nobody has found."""

    event: HazardEvent
    attempt: Attempt
    """In which it happened."""
    clean_step: int
    """The latest state from before, if it was saved."""


class Job:
    """One job and its books; `life` is its SimPy process.

    The books are done at the moment of an event, by `gain`, `lose` and the like; the process only decides
    what to wait for next. Attempts are written down as soon as nothing can undo them any more: at once, but
    while only copies in memory hold their work or a corruption is at large.
    """

    def __init__(
        self,
        index: int,
        plan: JobPlan,
        checkpoint: CheckpointPlan,
        failures: FailurePlan,
        *,
        clock: Clock,
        cluster: Cluster,
        ledger: Ledger,
        own_events: Iterator[HazardEvent] | None = None,
    ) -> None:
        self.index, self.plan = index, plan
        self.course = Course(plan, checkpoint, failures.restart_pattern)
        self.nodes: dict[int, None] = {}  # in the order in which it got them
        self.durable_step = 0
        self._stored_step = 0  # as durable_step, whatever happens to memory
        self._copies = Copies(plan.num_nodes) if checkpoint.kind == "in-memory" else None
        self._failures, self._own_events = failures, own_events
        self._clock, self._cluster = clock, cluster
        self._books = Books(
            job=plan.name,
            ledger=ledger,
            num_devices=plan.num_nodes * cluster.plan.devices_per_node,
            waiting_pattern=failures.detection_pattern,
        )
        self._stage = _Stage.QUEUED
        self._complete, self._saved = simpy.Event(clock), simpy.Event(clock)
        self._is_disturbed = False
        self._attempt: Attempt | None = None
        self._pace = Pace(0.0, 1.0)
        self._pasts: list[Past] = []
        self._corruption: _Corruption | None = None
        self._saving_step = 0
        self._since_s = 0.0
        self._stopping = cluster.plan.idle
        self._cause = self._note = ""
        self._stop_s = self._start_s = self._end_s = 0.0
        self._num_failures = self._num_interruptions = self._num_announced = 0
        self.process = clock.process(self._life())

    @property
    def num_missing(self) -> int:
        """Nodes that it needs and does not hold."""
        return self.plan.num_nodes - len(self.nodes)

    # ---------------------------------------------------------------------------------- what it waits for

    def _life(self) -> Generator[simpy.Event, None, None]:
        if self.plan.submit_s > 0.0:
            yield self._clock.until(self.plan.submit_s)
        self._cluster.submit(self)
        yield from self._becomes_whole()
        self._start_s = self._clock.now
        self._log("start")
        if self._own_events is not None:
            self._clock.process(self._fails_by_itself(self._own_events))
        while not (yield from self._runs_to_its_end()):
            yield from self._recovers()
        self._end_s = self._clock.now
        self._stage = _Stage.ENDED
        self._log("end")
        self._cluster.release(self)

    def _runs_to_its_end(self) -> Generator[simpy.Event, None, bool]:
        """One attempt; False if something ended it."""
        again = self._num_interruptions + self._num_announced > 0
        restart_s = self._restart_s() if again else 0.0
        if again:
            self._log("restart", note=f"from step {self.durable_step}")
        now_s = self._clock.now
        self._attempt = self.course.attempt(self.durable_step, now_s, restart_s)
        self._pace = Pace(now_s, self._cluster.slowdown(self.nodes))
        self._stage = _Stage.RUNNING
        while True:
            try:
                end_s = self._pace.real_s(self._attempt.end_s)
                yield self._clock.until(max(end_s, self._clock.now))  # rounding may lead back
                break
            except simpy.Interrupt:
                self._is_disturbed = False
                if self._stage is not _Stage.RUNNING:
                    return False
        self._close(self._attempt.end_s, "")
        self._decide(self.course.num_steps)
        return True

    def _restart_s(self) -> float:
        """How long the coming restart takes; it goes back to the store where copies in memory are gone."""
        if self._copies is None:
            return self._failures.restart_s
        if self._copies.are_lost():
            self._go_back(self._stored_step, self._cause)
            memory_restart_s = None
        else:
            memory_restart_s = self.course.checkpoint.memory_restart_s
        self._copies.renew()
        return self._failures.restart_s if memory_restart_s is None else memory_restart_s

    def _recovers(self) -> Generator[simpy.Event, None, None]:
        """From what stopped it until the job has all its nodes again."""
        if self._stage is _Stage.SAVING:
            yield self._saved
        if self._stop_s > self._clock.now:
            yield self._clock.until(self._stop_s)
        self._settle()
        self._log("stop", note=self._note or f"{self.num_missing} nodes failed")
        self._stage = _Stage.WAITING
        self._refill()
        yield from self._becomes_whole()

    def _becomes_whole(self) -> Generator[simpy.Event, None, None]:
        """Until it has all its nodes; one may go down in the very moment in which the last one comes."""
        yield self._complete
        while self.num_missing:
            self._stage, self._since_s = _Stage.WAITING, self._clock.now
            self._refill()
            yield self._complete

    def _refill(self) -> None:
        self._complete = simpy.Event(self._clock)
        if not self._cluster.refill(self):
            self._log("wait", note=f"for {self.num_missing} nodes")

    def _fails_by_itself(self, events: Iterator[HazardEvent]) -> Generator[simpy.Event, None, None]:
        """Software failures that come with the job, not with a node."""
        for event in events:
            yield self._clock.until(self._start_s + event.time_s, LAST)
            if self._stage is _Stage.ENDED:
                return
            self._log("failure", note=event.cause)
            self.fail(event)

    # ---------------------------------------------------------------------------------- what happens to it

    def gain(self, nodes: list[int]) -> None:
        """It gets nodes, now."""
        self._settle()
        self.nodes.update(dict.fromkeys(nodes))
        if self._copies is not None:
            self._copies.gain(nodes)
        if self.num_missing == 0:
            self._complete.succeed()

    def lose(self, nodes: Collection[int], event: HazardEvent) -> float:
        """Nodes of it go down, now; returns when that is noticed [s]."""
        now_s = self._clock.now
        if event.effect == "maintenance":
            self._taken(event)
        else:
            self._num_failures += 1
            self.fail(event)
        self._settle()
        for node in nodes:
            del self.nodes[node]
        if self._copies is not None:
            self._copies.lose(nodes)
        return max(now_s, self._stop_s) if self._stage is _Stage.DETECTING else now_s

    def fail(self, event: HazardEvent) -> None:
        """Something goes wrong, now: it stops when that is noticed, unless it has stopped already."""
        if self._stage is _Stage.RUNNING and self._attempt is not None:
            attempt, own_s = self._attempt, self._pace.own_s(self._clock.now)
            self._close(own_s, event.cause)
            self._stops(event, event.detection_s)
            self._stopping = self._failures.detection_pattern or lost(attempt.activity(own_s))
            self._disturb()
        elif self._stage is _Stage.SAVING:
            self._saves_in_vain(event, event.detection_s)

    def _saves_in_vain(self, event: HazardEvent, detection_s: float) -> None:
        self._settle()
        self._stops(event, detection_s)
        self._stopping = self._failures.detection_pattern or lost(self.course.checkpoint.pattern)
        self._saved.succeed()
        if self._corruption is None:
            self._decide(self._stored_step)

    def save_before(self, event: HazardEvent) -> None:
        """Maintenance is near: it stops to save its state, unless it is done before."""
        if self._stage is not _Stage.RUNNING or self._attempt is None:
            return
        if (
            self._pace.real_s(self._attempt.end_s) <= event.time_s
            or self.course.checkpoint.interval_s is None
        ):
            return
        own_s = self._pace.own_s(self._clock.now)
        self._saving_step = self._attempt.steps_by(own_s)
        self._close(own_s, event.cause, is_saving=True)
        self._stage = _Stage.SAVING
        self._stopping, self._cause = self.course.checkpoint.pattern, event.cause
        self._saved = simpy.Event(self._clock)
        self._disturb()

    def _taken(self, event: HazardEvent) -> None:
        """Nodes of it are taken for maintenance, now."""
        if self._stage is _Stage.RUNNING and self._attempt is not None:
            self._close(self._pace.own_s(self._clock.now), event.cause)
            self._num_announced += 1
            self._stage, self._stop_s = _Stage.DETECTING, self._clock.now
            self._cause = self._note = event.cause
            self._disturb()
        elif self._stage is _Stage.SAVING:
            self._settle()
            past = self._pasts.pop()
            cut = past.attempt.cut(past.end_s, self._saving_step)
            cut = cut._replace(num_checkpoints=cut.num_checkpoints + 1)
            self._pasts.append(past._replace(cut=cut))
            self.durable_step = self._stored_step = cut.durable_step
            self._num_announced += 1
            self._stage, self._stop_s, self._note = _Stage.DETECTING, self._clock.now, event.cause
            if self._corruption is None:
                self._decide(self._stored_step)
            self._saved.succeed()

    def repace(self) -> None:
        """One of its nodes becomes slow, or as quick as the others again, now."""
        if self._stage is _Stage.RUNNING:
            self._pace.change(self._clock.now, self._cluster.slowdown(self.nodes))
            self._disturb()

    def corrupt(self, event: HazardEvent) -> bool:
        """From now on its results are wrong, which nobody sees; False if nothing is computed or it was before."""
        if self._stage is not _Stage.RUNNING or self._attempt is None or self._corruption is not None:
            return False
        own_s = self._pace.own_s(self._clock.now)
        if self._copies is None:
            clean_step = self._attempt.copied_step(own_s)
        else:
            begun_s = own_s + self.course.checkpoint.write_s  # a write that has begun is of a clean state
            clean_step = self._attempt.written_step(begun_s, self._stored_step)
        self._corruption = _Corruption(event, self._attempt, clean_step)
        return True

    def find_corruption(self, event: HazardEvent) -> bool:
        """The corruption is found, now: all since the last state from before is lost; False if it is history."""
        corruption = self._corruption
        if self._stage is _Stage.ENDED or corruption is None or corruption.event is not event:
            return False
        if self._stage is _Stage.RUNNING:
            self._close(self._pace.own_s(self._clock.now), event.cause)
            self._stops(event, 0.0)
            self._disturb()
        elif self._stage is _Stage.SAVING:
            self._saves_in_vain(event, 0.0)
        self._corruption = None
        self._go_back(corruption.clean_step, event.cause)
        return True

    # ---------------------------------------------------------------------------------- its books

    def _stops(self, event: HazardEvent, detection_s: float) -> None:
        """It is interrupted; an attempt has been closed."""
        now_s = self._clock.now
        self._num_interruptions += 1
        self._books.interrupted(event.cause)
        self._stage = _Stage.DETECTING
        self._cause, self._note = event.cause, "" if event.effect == "failure" else event.cause
        self._stop_s = now_s + detection_s

    def _disturb(self) -> None:
        """Wake the process up out of its attempt; once, whatever else happens in this moment."""
        if not self._is_disturbed:
            self._is_disturbed = True
            self.process.interrupt()

    def _close(self, own_s: float, cause: str, *, is_saving: bool = False) -> None:
        """The attempt is over: keep it in mind, and write down what is certain."""
        attempt, corruption = self._attempt, self._corruption
        if attempt is None:
            raise SimtoolError(f"simulation: {self.plan.name!r} stops and did not run")
        self._since_s = self._clock.now
        self._pace.mark(self._since_s)
        cut = attempt.cut(own_s)
        self._pasts.append(Past(attempt, own_s, self._pace, cut, cause))
        self.durable_step = cut.durable_step
        in_store = self._copies is None
        self._stored_step = cut.durable_step if in_store else attempt.written_step(own_s, self._stored_step)
        if corruption is not None and corruption.attempt is attempt:
            corruption.clean_step = min(corruption.clean_step, self._stored_step)
        if corruption is None and not is_saving:
            self._decide(self._stored_step)

    def _decide(self, safe_step: int) -> None:
        """Write down the attempts whose work nothing can undo any more."""
        while self._pasts and self._pasts[0].cut.durable_step <= safe_step:
            self._record(self._pasts.pop(0))

    def _go_back(self, step: int, cause: str) -> None:
        """All work since `step` is lost."""
        self._pasts = [undone(past, step, cause) for past in self._pasts]
        self.durable_step, self._stored_step = step, min(self._stored_step, step)
        if self._corruption is None:
            for past in self._pasts:
                self._record(past)
            self._pasts.clear()

    def _record(self, past: Past) -> None:
        self._books.record(past)
        kept_s = self.course.work_s(past.cut.durable_step) - self.course.work_s(past.attempt.first_step)
        self._cluster.saved_work_s += kept_s

    def _settle(self) -> None:
        """Write down what its nodes did since the last change, unless an attempt runs."""
        now_s = self._clock.now
        if now_s > self._since_s and self._stage in _STOPPED:
            pattern = self._cluster.plan.idle if self._stage is _Stage.WAITING else self._stopping
            num_devices = len(self.nodes) * self._cluster.plan.devices_per_node
            self._books.spend(self._since_s, now_s, pattern, num_devices, self._cause)
        self._since_s = now_s

    def _log(self, kind: str, note: str = "") -> None:
        self._cluster.log(kind, self.plan.name, None, note)

    def outcome(self) -> JobOutcome:
        """What became of it."""
        books = self._books
        return JobOutcome(
            name=self.plan.name,
            num_nodes=self.plan.num_nodes,
            num_devices=books.num_devices,
            submit_s=self.plan.submit_s,
            start_s=self._start_s,
            end_s=self._end_s,
            num_failures=self._num_failures,
            num_interruptions=self._num_interruptions,
            num_checkpoints=books.num_checkpoints,
            useful_s=math.fsum(books.useful_s),
            lost_s=math.fsum(books.lost_s),
            checkpoint_s=math.fsum(books.checkpoint_s),
            restart_s=math.fsum(books.restart_s),
            waiting_s=math.fsum(books.waiting_s),
            slowed_s=math.fsum(books.slowed_s),
            causes=books.causes(),
            num_announced=self._num_announced,
            num_corrupt=0 if self._corruption is None else 1,
        )
