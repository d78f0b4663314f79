"""Nodes: which are free, down, slow, or held by which job; the queue; what nodes without a job draw."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from simtool.errors import SimtoolError
from simtool.ledger import Ledger
from simtool.sim.clock import FIRST, LAST, Clock
from simtool.sim.hazards import HazardEvent
from simtool.sim.outcome import Event
from simtool.sim.plan import ClusterPlan, FailurePlan
from simtool.sim.schedulers import Devices, QueuedJob, Scheduler, SignalView, Waiting

if TYPE_CHECKING:
    from simtool.sim.job import Job

NODE_CAUSE = "node"
"""What failures are put down to where a plan names no causes."""


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
        self._slow: dict[int, list[HazardEvent]] = {}  # what makes it slow, by node
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
        if job.num_missing == 0:  # its software failed, or its nodes are back already
            job.gain([])
            return True
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

    def strike(self, event: HazardEvent) -> None:
        """Something goes wrong now.

        Nodes that are down already are left alone. ``failure`` and ``maintenance``: the other nodes go down
        for `repair_s`, at least until that was noticed. ``software``: the job that holds the first node
        restarts. ``corruption``: what that job does from now on is worthless, which shows `detection_s` later:
        it goes back to a state from before, and the node goes down. ``straggler``: the node is slow for
        `detection_s`; if there is a repair it then goes down for it, else it is as quick as before.
        """
        if event.effect in ("failure", "maintenance"):
            nodes = [
                node for start, stop in event.nodes for node in range(start, stop) if not self._is_down[node]
            ]
            self._take_down(nodes, event)
            return
        node = event.nodes[0][0]
        holder = self._holder[node]
        if self._is_down[node] or (holder is None and event.effect != "straggler"):
            return
        if event.effect == "straggler":
            self._slow.setdefault(node, []).append(event)
            self._repace(node)
            self._after(event.detection_s, lambda: self._found_slow(node, event))
        elif holder is not None and event.effect == "software":
            self.log("failure", holder.plan.name, node, event.cause)
            holder.fail(event)
        elif holder is not None and holder.corrupt(event):
            self._after(event.detection_s, lambda: self._found_corrupt(node, holder, event))

    def warn(self, event: HazardEvent) -> None:
        """Maintenance is near: jobs on its nodes save their state."""
        held = (self._holder[node] for start, stop in event.nodes for node in range(start, stop))
        for job in dict.fromkeys(job for job in held if job is not None):
            job.save_before(event)

    def _after(self, delay_s: float, call: Callable[[], None]) -> None:
        self._clock.until(self._clock.now + delay_s).callbacks.append(lambda _: call())

    def _take_down(self, nodes: Sequence[int], event: HazardEvent) -> None:
        """Nodes that are up go down now."""
        if not nodes:
            return
        now_s = self._clock.now
        if event.effect != "maintenance":
            self.num_failures += 1
        held: dict[Job | None, list[int]] = {}
        for node in nodes:
            held.setdefault(self._holder[node], []).append(node)
        note = "" if event.cause == NODE_CAUSE else event.cause
        self._settle_down()
        for holder, group in held.items():
            for node in group:
                self.log(
                    "maintenance" if event.effect == "maintenance" else "failure",
                    holder.plan.name if holder else "",
                    node,
                    note,
                )
            noticed_s = now_s
            if holder is None:
                self._settle_idle()
                for node in group:
                    del self._free[bisect_left(self._free, node)]
            else:
                noticed_s = holder.lose(group, event)
                for node in group:
                    self._holder[node] = None
            for node in group:
                self._is_down[node] = True
                self._slow.pop(node, None)
            self._num_down += len(group)
            self._return_at(max(now_s + event.repair_s, noticed_s), group)

    def _return_at(self, time_s: float, nodes: Sequence[int]) -> None:
        back = self._clock.until(time_s, FIRST)
        back.callbacks.append(lambda _: self._repaired(nodes))

    def _repaired(self, nodes: Sequence[int]) -> None:
        self._settle_down()
        self._settle_idle()
        for node in nodes:
            self._is_down[node] = False
            insort(self._free, node)
            self.log("repair", "", node)
        self._num_down -= len(nodes)
        self._hand_out()
        self._start_jobs()

    def _found_slow(self, node: int, event: HazardEvent) -> None:
        if event not in self._slow.get(node, ()):
            return  # it was repaired of something else meanwhile
        self._slow[node].remove(event)
        if event.repair_s > 0.0:
            self._take_down([node], event._replace(effect="failure", detection_s=0.0))
        else:
            self._repace(node)

    def _found_corrupt(self, node: int, job: Job, event: HazardEvent) -> None:
        if not job.find_corruption(event):
            return
        if self._holder[node] is job:
            self._take_down([node], event._replace(effect="failure", detection_s=0.0))

    def _repace(self, node: int) -> None:
        holder = self._holder[node]
        if holder is not None:
            holder.repace()

    def slowdown(self, nodes: Collection[int]) -> float:
        """Of the slowest of these nodes, 1 if none is slow."""
        return max(
            (event.slowdown for node, slow in self._slow.items() if node in nodes for event in slow),
            default=1.0,
        )

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
