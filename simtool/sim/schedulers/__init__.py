"""Which queued jobs start now: pure functions, one file each, registered by name.

A scheduler never sees how long a job will really run, only the limit it asked for. To add one, write
``schedulers/<name>.py``::

    @SCHEDULERS.register("name")
    def select(queue, cluster, signals, now_s): ...
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from numpy.typing import ArrayLike

from simtool.ledger.sums import FloatArray
from simtool.registry import Registry


class QueuedJob(NamedTuple):
    """What a scheduler may know of a job that waits."""

    job: int
    """Its place among all jobs, by which a scheduler names it."""
    num_devices: int
    submit_s: float
    limit_s: float = math.inf
    """Time that it asked for, on this pool; its true run time is nobody's to know. Infinite if it named none."""
    priority: int = 0
    """Larger goes first, where a scheduler heeds it."""
    preemptible: bool = False
    deadline_s: float = math.inf
    """When it must have ended; until ``deadline_s - limit_s`` it may be put off."""
    min_devices: int = 0
    """Elastic: it can run on as few; 0 means on no fewer than `num_devices`."""
    power_w: float = 0.0
    """The most that it adds to the power of its devices over their idling, at full speed on this pool [W]."""
    least_power_w: float = 0.0
    """The same at its slowest [W]."""
    speeds: tuple[float, ...] = ()
    """Relative speed on every pool of the fleet, 0 where it cannot run; empty if there is only one."""
    put_off: bool = False
    """It could have started here before and was put off, by `Choice.put_off`."""
    max_devices: int = 0
    """Elastic: it can make use of as many; 0 means of no more than `num_devices`."""
    needed_devices: int = 0
    """It cannot start though so many are free, because of where those lie: `num_devices` then is more than are free.
    0: it needs `num_devices`."""


class RunningJob(NamedTuple):
    """What a scheduler may know of a job that runs."""

    expected_end_s: float
    """Start and limit; infinite if it named none. A job may have outlived it."""
    start_s: float
    job: int
    num_devices: int
    priority: int = 0
    preemptible: bool = False
    power_w: float = 0.0
    """As told of it when it waited [W]."""
    leaving: bool = False
    """It was preempted or moves, and still saves its state."""
    asked_devices: int = 0
    """It asked for so many, of which it can have another number as far as it is elastic; 0: `num_devices`."""
    max_devices: int = 0
    """Elastic: it can make use of as many; 0 if it is not."""
    speeds: tuple[float, ...] = ()
    """As told of it when it waited."""
    pause_s: float = math.inf
    """If it went on elsewhere, or on another number of devices: until it has saved its state and restarted [s].
    Infinite if it saves nothing."""
    moving_s: float = math.inf
    """Besides, if it went on at another site: until its state is there [s]. Infinite if there is no way."""


class QueueView(Protocol):
    """The jobs that wait, in order of submission; a job that was preempted keeps its place."""

    def __iter__(self) -> Iterator[QueuedJob]: ...

    def __len__(self) -> int: ...

    def fitting(
        self, max_devices: int, *, after: int = -1, extra: int | None = None, limit_s: float = math.inf
    ) -> Iterator[QueuedJob]:
        """Those that can run on so many devices, in order of submission.

        Args:
            max_devices: that they need at most.
            after: only those with a larger index.
            extra: of those that need more than this, only those with a finite limit up to `limit_s`; None: all.
            limit_s: see `extra` [s].
        """
        ...


class ClusterView(Protocol):
    """What a scheduler may know of the devices that it gives out."""

    @property
    def num_devices(self) -> int:
        """Devices that jobs may hold, spares not counted."""
        ...

    @property
    def num_free_devices(self) -> int:
        """Devices that can be given to jobs now: up, held by none, and none of the spares."""
        ...

    @property
    def running(self) -> Sequence[RunningJob]:
        """Jobs that hold devices, by expected end; those without one by start."""
        ...

    @property
    def spare_power_w(self) -> float:
        """Power limit of now less what all would draw at full speed [W]; infinite without a limit.

        Below 0 while jobs are slowed: nothing more fits then.
        """
        ...

    @property
    def pool(self) -> int:
        """Which pool of the fleet this is."""
        ...

    @property
    def free_by_pool(self) -> tuple[int, ...]:
        """Free devices of all pools."""
        ...

    @property
    def waiting_by_pool(self) -> tuple[int, ...]:
        """Jobs that wait at all pools; one that can run on several waits at each."""
        ...

    @property
    def leaving_by_pool(self) -> tuple[int, ...]:
        """Devices of all pools whose jobs are on their way out."""
        ...

    @property
    def signals_by_pool(self) -> Sequence[Mapping[str, SignalView]]:
        """Signals of the sites of all pools."""
        ...

    def could_place(self, num_devices: int, without: Collection[int] = ()) -> bool:
        """Whether a job could be placed here once those on their way out have left, and these running jobs as well.

        Args:
            num_devices: that it needs.
            without: indices of the running jobs that would leave.
        """
        ...


class SignalView(Protocol):
    """A value over time, without a name for what it is; times and values broadcast."""

    @property
    def edges_s(self) -> FloatArray:
        """When it changes, rising [s]."""
        ...

    def at(self, time_s: ArrayLike, /) -> FloatArray:
        """Value at times."""
        ...

    def mean(self, begin_s: ArrayLike, end_s: ArrayLike, /) -> FloatArray:
        """Mean over spans."""
        ...


class Move(NamedTuple):
    """Where a running job shall go on, and on how many devices."""

    pool: int
    num_devices: int


class Choice(NamedTuple):
    """What a scheduler decides at one moment."""

    start: Sequence[int] = ()
    """Indices of the jobs to start, in order; together they need no more than the free devices."""
    num_devices: Mapping[int, int] = {}
    """Of elastic jobs that start on fewer or more devices than they asked for."""
    preempt: Sequence[int] = ()
    """Indices of preemptible jobs that shall save their state and leave."""
    move: Mapping[int, Move] = {}
    """Of jobs that run here and shall save their state and go on elsewhere, if they are preemptible, or here on another
    number of devices, if they are elastic. One that finds no room then waits as others do."""
    put_off: Sequence[int] = ()
    """Indices of jobs that could start now and are put off; the queue shows them so from now on."""
    wake_s: float = math.inf
    """When it wants to be asked again though nothing has happened."""


class Scheduler(Protocol):
    """Picks the jobs that start now."""

    def __call__(
        self,
        queue: QueueView,
        cluster: ClusterView,
        signals: Mapping[str, SignalView],
        now_s: float,
        /,
    ) -> Choice:
        """Decide.

        Args:
            queue: waiting jobs that can run here.
            cluster: what is free, and what runs.
            signals: ``price`` [USD/kWh] and ``carbon`` [kgCO2e/kWh] of the site, where it has them.
            now_s: the time.
        """


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue as plain values.

    >>> queue = Waiting([QueuedJob(0, 8, 0.0), QueuedJob(1, 2, 1.0)])
    >>> [job.job for job in queue.fitting(4)]
    [1]
    """

    jobs: Sequence[QueuedJob]

    def __iter__(self) -> Iterator[QueuedJob]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)

    def fitting(
        self, max_devices: int, *, after: int = -1, extra: int | None = None, limit_s: float = math.inf
    ) -> Iterator[QueuedJob]:
        """Those that can run on so many devices; see `QueueView`."""
        most = max_devices if extra is None else extra
        for job in self.jobs:
            least = job.min_devices or job.num_devices
            if (
                job.job > after
                and least <= max_devices
                and (least <= most or (job.limit_s <= limit_s and job.limit_s < math.inf))
            ):
                yield job


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """A cluster as plain values."""

    num_devices: int
    num_free_devices: int
    running: Sequence[RunningJob] = ()
    spare_power_w: float = math.inf
    pool: int = 0
    free_by_pool: tuple[int, ...] = ()
    waiting_by_pool: tuple[int, ...] = ()
    leaving_by_pool: tuple[int, ...] = ()
    signals_by_pool: Sequence[Mapping[str, SignalView]] = ()

    def could_place(self, num_devices: int, without: Collection[int] = ()) -> bool:
        """As if all devices were alike; see `ClusterView`."""
        back = (job.num_devices for job in self.running if job.leaving or job.job in without)
        return num_devices <= self.num_free_devices + sum(back)


def in_order(jobs: Iterable[QueuedJob], cluster: ClusterView) -> list[int]:
    """Start jobs in this order until one does not fit, which blocks those behind it.

    >>> in_order([QueuedJob(0, 2, 0.0), QueuedJob(1, 3, 0.0), QueuedJob(2, 1, 0.0)],
    ...          Devices(num_devices=4, num_free_devices=4))  # job 2 would fit, but waits
    [0]
    """
    chosen: list[int] = []
    free, spare_w = cluster.num_free_devices, cluster.spare_power_w
    for job in jobs:
        if job.num_devices > free or not power_allows(job, spare_w, cluster, chosen):
            break
        chosen.append(job.job)
        free -= job.num_devices
        spare_w -= job.power_w
    return chosen


def power_allows(
    job: QueuedJob, spare_w: float, cluster: ClusterView, chosen: Sequence[int] | set[int]
) -> bool:
    """Whether what may still be drawn is enough for a job.

    At full speed beside others; alone on its pool, a job may also start that the limit will slow.
    """
    if job.power_w <= spare_w:
        return True
    return job.least_power_w <= spare_w and not chosen and not cluster.running


def asked_always(scheduler: Scheduler) -> Scheduler:
    """Marks a scheduler that is to be asked also while no job waits: those that move running jobs."""
    setattr(scheduler, _ALWAYS, True)
    return scheduler


def is_asked_always(scheduler: Scheduler) -> bool:
    """Whether a scheduler bears that mark."""
    return bool(getattr(scheduler, _ALWAYS, False))


_ALWAYS = "is_asked_always"

SCHEDULERS: Registry[Scheduler] = Registry(
    "scheduler", package="simtool.sim.schedulers", group="simtool.schedulers"
)
