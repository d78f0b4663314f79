"""The devices of one pool: free, held, down; and what those that no job holds draw."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from simtool.sim.fleet.books import NOBODY, Books
from simtool.sim.fleet.plan import NodeEvent, Pool
from simtool.sim.fleet.queue import Queue, Unplaced
from simtool.sim.fleet.running import Running, Stage
from simtool.sim.fleet.spans import NodeSpans, Span, Spans
from simtool.sim.schedulers import QueueView, RunningJob, SignalView

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet


class PoolState:
    """A pool as it is now; a `ClusterView` for schedulers."""

    def __init__(self, index: int, plan: Pool, fleet: Fleet) -> None:
        self.index, self.plan, self.books, self.queue = index, plan, Books(), Queue()
        self.free = NodeSpans(plan.devices_per_node, [(0, plan.total_devices)])
        self.down = Spans()
        self.running: list[RunningJob] = []
        self.short: deque[Running] = deque()
        self.slow: dict[int, list[NodeEvent]] = {}
        """What makes a node slow, by node."""
        self.draining: list[tuple[int, int, float]] = []
        """Spans of devices that go down as soon as they are free, and until when [s]."""
        self.unplaced: set[int] = set()
        """Jobs that cannot start though enough devices are free, because of where those lie."""
        self.num_promised = 0  # devices that running jobs hold or wait for
        self._fleet = fleet
        self._starts: list[int] = []  # of held spans, with their ends and holders
        self._held: dict[int, tuple[int, Running]] = {}
        self._idle_since_s = self._down_since_s = 0.0

    @property
    def pool(self) -> int:
        """Its number."""
        return self.index

    @property
    def num_devices(self) -> int:
        """Devices that jobs may hold."""
        return self.plan.num_devices

    @property
    def num_free_devices(self) -> int:
        """Devices that a job may get now."""
        return max(0, min(self.free.num, self.plan.num_devices - self.num_promised))

    @property
    def spare_power_w(self) -> float:
        """Power limit less what all would draw at full speed [W]."""
        return self._fleet.spare_power_w

    @property
    def free_by_pool(self) -> tuple[int, ...]:
        """Of all pools."""
        return tuple(pool.num_free_devices for pool in self._fleet.pools)

    @property
    def waiting_by_pool(self) -> tuple[int, ...]:
        """Of all pools."""
        return tuple(len(pool.queue) for pool in self._fleet.pools)

    @property
    def leaving_by_pool(self) -> tuple[int, ...]:
        """Of all pools."""
        return tuple(
            sum(job.num_devices for job in pool.running if job.leaving) for pool in self._fleet.pools
        )

    def could_place(self, num_devices: int, without: Collection[int] = ()) -> bool:
        """Tried with the fleet's placement on a copy of what would be free; see `ClusterView`."""
        free = NodeSpans(self.plan.devices_per_node, self.free)
        for entry in self.running:
            if entry.leaving or entry.job in without:
                free.add(self._fleet.running[entry.job].spans)
        return num_devices <= free.num and self._fleet.place(free, self.plan, num_devices) is not None

    @property
    def signals_by_pool(self) -> Sequence[Mapping[str, SignalView]]:
        """Of all pools."""
        return self._fleet.signals

    def settle_idle(self, now_s: float) -> None:
        """Write down what free devices drew; call before their number changes."""
        self.books.add(self._idle_since_s, now_s, NOBODY, self.plan.idle, self.free.num)
        self._idle_since_s = now_s

    def settle_down(self, now_s: float) -> None:
        """The same of devices that are down."""
        self.books.add(self._down_since_s, now_s, NOBODY, self.plan.down, self.down.num)
        self._down_since_s = now_s

    def seen_queue(self) -> QueueView:
        """The queue as a scheduler shall see it."""
        return Unplaced(self.queue, self.unplaced, self.num_free_devices) if self.unplaced else self.queue

    def give_back(self, spans: list[Span]) -> None:
        """Devices are free again."""
        self.free.add(spans)
        self.unplaced.clear()
        self.drain(spans)

    def slowness(self, spans: list[Span]) -> float:
        """Of the slowest node that these devices are of, 1 if none is slow."""
        size = self.plan.devices_per_node
        return max(
            (
                event.slowdown
                for node, events in self.slow.items()
                if any(start < (node + 1) * size and node * size < stop for start, stop in spans)
                for event in events
            ),
            default=1.0,
        )

    def forget_slow(self, spans: list[Span]) -> None:
        """Nodes that go down come back as quick as the others."""
        size = self.plan.devices_per_node
        for node in [node for node in self.slow if any(a <= node * size < b for a, b in spans)]:
            del self.slow[node]

    def drain(self, spans: list[Span]) -> None:
        """Devices that are free now go down, where maintenance waits for them."""
        now_s = self._fleet.clock.now
        self.draining = [one for one in self.draining if one[2] > now_s]
        for first, last, until_s in self.draining:
            gone = [
                part
                for start, stop in spans
                if start < last and first < stop
                for part in self.free.cut(max(start, first), min(stop, last))
            ]
            self._fleet.breakage.down_until(self, gone, until_s)

    def hold(self, job: Running, spans: list[Span]) -> None:
        """Remember who holds devices, for failures to find."""
        for start, stop in spans:
            self._held[start] = (stop, job)
            insort(self._starts, start)

    def unhold(self, spans: list[Span]) -> None:
        """Forget it."""
        for start, _ in spans:
            del self._held[start]
            del self._starts[bisect_left(self._starts, start)]

    def holders(self, start: int, stop: int) -> list[tuple[Running, Span]]:
        """Jobs that hold devices between two numbers, and which."""
        first = max(bisect_right(self._starts, start) - 1, 0)
        found = []
        for begin in self._starts[first : bisect_left(self._starts, stop)]:
            end, job = self._held[begin]
            if end > start:
                found.append((job, (max(begin, start), min(end, stop))))
        return found

    def entry(self, job: Running) -> RunningJob:
        """A running job as schedulers see it."""
        queued = job.queued
        return RunningJob(
            job.start_s + queued.limit_s,
            job.start_s,
            queued.job,
            queued.num_devices,
            queued.priority,
            queued.preemptible,
            queued.power_w,
            job.stage is Stage.SAVING,
            *(self._movable(job) if self._fleet.asks_always else ()),
        )

    def _movable(self, job: Running) -> tuple[int, int, tuple[float, ...], float, float]:
        """The rest of what a scheduler sees: sizes, speeds, and what it costs to go on elsewhere."""
        fleet, number = self._fleet, job.queued.job
        table, room = fleet.table, self.plan.num_devices
        asked, most = min(int(table.num_devices[number]), room), min(int(table.max_devices[number]), room)
        most = 0 if table.min_devices[number] == table.max_devices[number] else most
        rate = fleet.plan.move_bytes_per_s
        state_bytes = fleet.plan.kinds[fleet.kind_of[number]].state_bytes
        moving_s = math.inf if rate is None else state_bytes / rate
        return asked, most, job.queued.speeds, job.use.pause_s, moving_s

    def _place_of(self, job: Running) -> int:
        return bisect_left(self.running, (job.start_s + job.queued.limit_s, job.start_s, job.queued.job))

    def mark(self, job: Running) -> None:
        """Its stage has changed."""
        self.running[self._place_of(job)] = self.entry(job)

    def enlist(self, job: Running) -> None:
        """It runs here from now on."""
        insort(self.running, self.entry(job))
        self.num_promised += job.queued.num_devices

    def delist(self, job: Running) -> None:
        """It runs here no more."""
        del self.running[self._place_of(job)]
        self.num_promised -= job.queued.num_devices
