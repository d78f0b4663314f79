"""The life of one job: it queues, runs, is interrupted, waits for nodes, restarts, and ends."""

from __future__ import annotations

import math
from collections.abc import Generator
from enum import Enum

import simpy

from simtool.ledger import Ledger, Pattern, lost
from simtool.sim.clock import Clock
from simtool.sim.cluster import Cluster
from simtool.sim.course import Attempt, Course, Cut
from simtool.sim.outcome import JobOutcome
from simtool.sim.plan import CheckpointPlan, FailurePlan, JobPlan


class _Stage(Enum):
    QUEUED = "queued"
    RUNNING = "running"
    """In an attempt; written to the ledger when the attempt ends or is cut."""
    DETECTING = "detecting"
    """A node has failed and the job does not know yet."""
    WAITING = "waiting"
    """Stopped, without enough nodes."""
    ENDED = "ended"


class Job:
    """One job and its books; `life` is its SimPy process.

    The books are done at the moment of an event, by `gain` and `lose`; the process only decides what to
    wait for next.
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
    ) -> None:
        self.index, self.plan = index, plan
        self.course = Course(plan, checkpoint, failures.restart_pattern)
        self.nodes: dict[int, None] = {}  # in the order in which it got them
        self.durable_step = 0
        self._failures = failures
        self._clock, self._cluster, self._ledger = clock, cluster, ledger
        self._stage = _Stage.QUEUED
        self._complete = simpy.Event(clock)
        self._attempt: Attempt | None = None
        self._since_s = 0.0
        self._stopping = cluster.plan.idle
        self._stop_s = self._start_s = self._end_s = 0.0
        self._num_failures = self._num_interruptions = self._num_checkpoints = 0
        self._useful_s: list[float] = []
        self._lost_s: list[float] = []
        self._checkpoint_s: list[float] = []
        self._restart_s: list[float] = []
        self._waiting_s: list[float] = []
        self.process = clock.process(self._life())

    @property
    def num_missing(self) -> int:
        """Nodes that it needs and does not hold."""
        return self.plan.num_nodes - len(self.nodes)

    def _life(self) -> Generator[simpy.Event, None, None]:
        if self.plan.submit_s > 0.0:
            yield self._clock.until(self.plan.submit_s)
        self._cluster.submit(self)
        yield self._complete
        self._start_s = self._clock.now
        self._log("start")
        while not (yield from self._runs_to_its_end()):
            yield from self._recovers()
        self._end_s = self._clock.now
        self._stage = _Stage.ENDED
        self._log("end")
        self._cluster.release(self)

    def _runs_to_its_end(self) -> Generator[simpy.Event, None, bool]:
        """One attempt; False if a failure ended it."""
        again = self._num_interruptions > 0
        restart_s = self._failures.restart_s if again else 0.0
        if again:
            self._log("restart", note=f"from step {self.durable_step}")
        self._attempt = self.course.attempt(self.durable_step, self._clock.now, restart_s)
        self._stage = _Stage.RUNNING
        try:
            yield self._clock.until(self._attempt.end_s)
        except simpy.Interrupt:
            return False
        self._record(self._attempt.cut(self._clock.now))
        return True

    def _recovers(self) -> Generator[simpy.Event, None, None]:
        """From a failure until the job has all its nodes again."""
        if self._stop_s > self._clock.now:
            yield self._clock.until(self._stop_s)
        self._settle()
        self._log("stop", note=f"{self.num_missing} nodes failed")
        self._stage = _Stage.WAITING
        self._complete = simpy.Event(self._clock)
        if not self._cluster.refill(self):
            self._log("wait", note=f"for {self.num_missing} nodes")
        yield self._complete

    def gain(self, nodes: list[int]) -> None:
        """It gets nodes, now."""
        self._settle()
        self.nodes.update(dict.fromkeys(nodes))
        if self.num_missing == 0:
            self._complete.succeed()

    def lose(self, node: int) -> float:
        """One of its nodes fails, now; returns when that is noticed [s]."""
        now_s = self._clock.now
        self._num_failures += 1
        if self._stage is _Stage.RUNNING and self._attempt is not None:
            cut = self._attempt.cut(now_s)
            self._record(cut)
            self._num_interruptions += 1
            self._stage = _Stage.DETECTING
            self._stopping = self._failures.detection_pattern or lost(cut.activity)
            self._since_s, self._stop_s = now_s, now_s + self._failures.detection_s
            self.process.interrupt()
        else:
            self._settle()
        del self.nodes[node]
        return max(now_s, self._stop_s) if self._stage is _Stage.DETECTING else now_s

    def _settle(self) -> None:
        """Write down what its nodes did since the last change, unless an attempt runs."""
        now_s = self._clock.now
        if self._stage is _Stage.DETECTING:
            self._write(now_s, self._stopping, self._lost_s)
        elif self._stage is _Stage.WAITING:
            self._write(now_s, self._cluster.plan.idle, self._waiting_s)
        self._since_s = now_s

    def _write(self, now_s: float, pattern: Pattern, book: list[float]) -> None:
        num_devices = len(self.nodes) * self._cluster.plan.devices_per_node
        self._ledger.append(self._since_s, now_s, self.plan.name, pattern, num_devices)
        book.append(now_s - self._since_s)

    def _record(self, cut: Cut) -> None:
        """Write down an attempt whose fate is known."""
        num_devices = self.plan.num_nodes * self._cluster.plan.devices_per_node
        books = {"checkpoint": self._checkpoint_s, "restart": self._restart_s, "lost_work": self._lost_s}
        for t0_s, t1_s, pattern in cut.stretches:
            self._ledger.append(t0_s, t1_s, self.plan.name, pattern, num_devices)
            books.get(pattern.shares[0].state, self._useful_s).append(t1_s - t0_s)
        for begins_s, ends_s, pattern in cut.series:
            self._ledger.append_many(begins_s, ends_s, self.plan.name, pattern, num_devices)
            lengths_s = (ends_s - begins_s).tolist()
            books.get(pattern.shares[0].state, self._useful_s).extend(lengths_s)
        saved_s = self.course.work_s(cut.durable_step) - self.course.work_s(self.durable_step)
        self._cluster.saved_work_s += saved_s
        self.durable_step = cut.durable_step
        self._num_checkpoints += cut.num_checkpoints

    def _log(self, kind: str, note: str = "") -> None:
        self._cluster.log(kind, self.plan.name, None, note)

    def outcome(self) -> JobOutcome:
        """What became of it."""
        return JobOutcome(
            name=self.plan.name,
            num_nodes=self.plan.num_nodes,
            num_devices=self.plan.num_nodes * self._cluster.plan.devices_per_node,
            submit_s=self.plan.submit_s,
            start_s=self._start_s,
            end_s=self._end_s,
            num_failures=self._num_failures,
            num_interruptions=self._num_interruptions,
            num_checkpoints=self._num_checkpoints,
            useful_s=math.fsum(self._useful_s),
            lost_s=math.fsum(self._lost_s),
            checkpoint_s=math.fsum(self._checkpoint_s),
            restart_s=math.fsum(self._restart_s),
            waiting_s=math.fsum(self._waiting_s),
        )
