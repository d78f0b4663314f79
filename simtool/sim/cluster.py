"""Nodes: which are free, down, or held by which job; the queue; what nodes without a job draw."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

from simtool.errors import SimtoolError
from simtool.ledger import Ledger
from simtool.sim.clock import FIRST, LAST, Clock
from simtool.sim.outcome import Event
from simtool.sim.plan import ClusterPlan, FailurePlan
from simtool.sim.schedulers import Devices, QueuedJob, Scheduler, SignalView, Waiting

if TYPE_CHECKING:
    from simtool.sim.job import Job


class Cluster:
    """The state of all nodes. Free nodes are given out from the lowest number up.

    Free nodes go to running jobs that lack one, in the order in which they began to wait, and then to
    the queue, as the scheduler says.
    """

    def __init__(
        self,
        plan: ClusterPlan,
        failures: FailurePlan,
        clock: Clock,
        ledger: Ledger,
        schedule: Scheduler,
        signals: Mapping[str, SignalView],
    ) -> None:
        self.plan, self.events = plan, list[Event]()
        self.num_failures = self.num_ended = 0
        self.saved_work_s = 0.0  # of all jobs, what no failure can undo any more
        self._failures, self._clock, self._ledger = failures, clock, ledger
        self._schedule, self._signals = schedule, signals
        self._free = list(range(plan.total_nodes))
        self._is_down = bytearray(plan.total_nodes)
        self._num_down = 0
        self._holder: list[Job | None] = [None] * plan.total_nodes
        self._num_held_places = 0
        self._short: deque[Job] = deque()
        self._queue: dict[int, QueuedJob] = {}  # in order of submission, as a dict keeps it
        self._queued: dict[int, Job] = {}
        self._idle_since_s = self._down_since_s = 0.0

    def submit(self, job: Job) -> None:
        """Put a job into the queue."""
        self.log("submit", job.plan.name)
        self._queued[job.index] = job
        self._queue[job.index] = QueuedJob(
            job.index, job.plan.num_nodes * self.plan.devices_per_node, job.plan.submit_s
        )
        self._start_jobs()

    def refill(self, job: Job) -> bool:
        """Give a running job nodes in place of those it lost; False if it must wait for more."""
        self._short.append(job)
        self._hand_out()
        return job.num_missing == 0

    def release(self, job: Job) -> None:
        """Take back all nodes of a job that has ended."""
        self._settle_idle()
        for node in job.nodes:
            self._holder[node] = None
        self._free += job.nodes
        self._free.sort()
        self._num_held_places -= job.plan.num_nodes
        self.num_ended += 1
        self._start_jobs()

    def log(self, kind: str, job: str = "", node: int | None = None, note: str = "") -> None:
        """Note an event at the present moment."""
        self.events.append(Event(time_s=self._clock.now, kind=kind, job=job, node=node, note=note))

    def fail(self, node: int) -> None:
        """A node fails now, unless it is down already."""
        if self._is_down[node]:
            return
        now_s = self._clock.now
        holder = self._holder[node]
        self.num_failures += 1
        self.log("failure", holder.plan.name if holder else "", node)
        self._settle_down()
        noticed_s = now_s
        if holder is None:
            self._settle_idle()
            del self._free[bisect_left(self._free, node)]
        else:
            noticed_s = holder.lose(node)
            self._holder[node] = None
        self._is_down[node] = True
        self._num_down += 1
        back_s = max(now_s + self._failures.repair_s, noticed_s)
        back = self._clock.until(back_s, FIRST)
        back.callbacks.append(lambda _: self._repaired(node))

    def _repaired(self, node: int) -> None:
        self._settle_down()
        self._settle_idle()
        self._is_down[node] = False
        self._num_down -= 1
        insort(self._free, node)
        self.log("repair", "", node)
        self._hand_out()
        self._start_jobs()

    def _hand_out(self) -> None:
        """Give free nodes to running jobs that lack some."""
        while self._free and self._short:
            job = self._short[0]
            self._give(job, min(job.num_missing, len(self._free)))
            if job.num_missing:
                return
            self._short.popleft()

    def _start_jobs(self) -> None:
        if not self._queue:
            return
        places = self.plan.num_nodes - self._num_held_places
        free = min(places, len(self._free))
        per_node = self.plan.devices_per_node
        view = Devices(num_devices=self.plan.num_nodes * per_node, num_free_devices=free * per_node)
        waiting = Waiting(tuple(self._queue.values()))
        choice = self._schedule(waiting, view, self._signals, self._clock.now)
        if choice.preempt or choice.num_devices:
            raise SimtoolError("the scheduler preempts or shrinks a job, which only a fleet of jobs can do")
        if self._clock.now < choice.wake_s < math.inf:
            self._clock.until(choice.wake_s, LAST).callbacks.append(lambda _: self._start_jobs())
        for index in choice.start:
            job = self._queued.pop(index, None)
            if job is None or job.plan.num_nodes > free:
                raise SimtoolError(
                    f"the scheduler starts job {index}, which "
                    + ("does not wait" if job is None else f"needs more than the {free} free nodes")
                )
            del self._queue[index]
            free -= job.plan.num_nodes
            self._num_held_places += job.plan.num_nodes
            self._give(job, job.plan.num_nodes)

    def _give(self, job: Job, num_nodes: int) -> None:
        self._settle_idle()
        nodes = self._free[:num_nodes]
        del self._free[:num_nodes]
        for node in nodes:
            self._holder[node] = job
        job.gain(nodes)

    def _settle_idle(self) -> None:
        now_s, num_devices = self._clock.now, len(self._free) * self.plan.devices_per_node
        self._ledger.append(self._idle_since_s, now_s, "", self.plan.idle, num_devices)
        self._idle_since_s = now_s

    def _settle_down(self) -> None:
        now_s, num_devices = self._clock.now, self._num_down * self.plan.devices_per_node
        self._ledger.append(self._down_since_s, now_s, "", self.plan.down, num_devices)
        self._down_since_s = now_s

    def close(self) -> None:
        """Bring the ledger up to the present moment."""
        self._settle_idle()
        self._settle_down()
