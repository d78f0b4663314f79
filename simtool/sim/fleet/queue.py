"""The jobs that wait, by submission and by size."""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from itertools import chain

from simtool.sim.schedulers import QueuedJob

FEW = 64
"""Up to so many waiting jobs, going through all of them is quicker than merging sizes."""


class Queue:
    """Waiting jobs; a `QueueView` for schedulers. Jobs are numbered in order of submission.

    >>> queue = Queue()
    >>> for number, size in enumerate((4, 1, 4)):
    ...     queue.put(QueuedJob(number, size, float(number)))
    >>> [job.job for job in queue.fitting(2)], [job.job for job in queue]
    ([1], [0, 1, 2])
    >>> [job.job for job in queue.fitting(4, after=0, extra=1, limit_s=60.0)]  # 2 has no limit
    [1]
    """

    __slots__ = ("_jobs", "_limits", "_order", "_sizes")

    def __init__(self) -> None:
        self._jobs: dict[int, QueuedJob] = {}
        self._order: list[int] = []
        self._sizes: dict[int, list[int]] = {}
        self._limits: dict[int, list[tuple[float, int]]] = {}  # by size, the finite ones

    def __iter__(self) -> Iterator[QueuedJob]:
        return map(self._jobs.__getitem__, self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def __getitem__(self, job: int) -> QueuedJob:
        return self._jobs[job]

    def fitting(
        self, max_devices: int, *, after: int = -1, extra: int | None = None, limit_s: float = math.inf
    ) -> Iterator[QueuedJob]:
        """Those that can run on so many devices, in order of submission; see `QueueView`."""
        most = max_devices if extra is None else min(extra, max_devices)
        if len(self._order) <= FEW:
            for number in self._order[bisect_right(self._order, after) :]:
                job = self._jobs[number]
                least = job.min_devices or job.num_devices
                if least <= most or (
                    least <= max_devices and job.limit_s <= limit_s and job.limit_s < math.inf
                ):
                    yield job
            return
        runs: list[Iterable[int]] = []
        for size, numbers in self._sizes.items():
            if size <= most:
                begin = bisect_right(numbers, after)
                runs.append(map(numbers.__getitem__, range(begin, len(numbers))))
            elif size <= max_devices:
                limits = self._limits.get(size, [])
                short = limits[: bisect_right(limits, (limit_s, math.inf))]
                runs.append(sorted(number for _, number in short if number > after))
        yield from map(self._jobs.__getitem__, heapq.merge(*runs) if len(runs) > 1 else chain(*runs))

    def put(self, job: QueuedJob) -> None:
        """A job begins to wait, at the place of its number."""
        self._jobs[job.job] = job
        size = job.min_devices or job.num_devices
        sizes = self._sizes.setdefault(size, [])
        if job.limit_s < math.inf:
            insort(self._limits.setdefault(size, []), (job.limit_s, job.job))
        for jobs in (self._order, sizes):
            if jobs and jobs[-1] > job.job:
                insort(jobs, job.job)
            else:
                jobs.append(job.job)

    def put_off(self, number: int) -> None:
        """A job is put off, and seen to be from now on."""
        self._jobs[number] = self._jobs[number]._replace(put_off=True)

    def pop(self, number: int) -> QueuedJob:
        """A job waits no more."""
        job = self._jobs.pop(number)
        size = job.min_devices or job.num_devices
        for jobs in (self._order, self._sizes[size]):
            del jobs[bisect_left(jobs, number)]
        if not self._sizes[size]:
            del self._sizes[size]
        if job.limit_s < math.inf:
            limits = self._limits[size]
            del limits[bisect_left(limits, (job.limit_s, number))]
        return job


class Unplaced:
    """A queue in which some jobs ask for more than is free: they cannot be placed, but keep their places."""

    __slots__ = ("_free", "_numbers", "_queue")

    def __init__(self, queue: Queue, numbers: AbstractSet[int], free: int) -> None:
        self._queue, self._numbers, self._free = queue, numbers, free

    def __len__(self) -> int:
        return len(self._queue)

    def __iter__(self) -> Iterator[QueuedJob]:
        for job in self._queue:
            yield self._seen(job)

    def fitting(
        self, max_devices: int, *, after: int = -1, extra: int | None = None, limit_s: float = math.inf
    ) -> Iterator[QueuedJob]:
        """See `QueueView`."""
        for job in self._queue.fitting(max_devices, after=after, extra=extra, limit_s=limit_s):
            if job.job not in self._numbers:
                yield job

    def _seen(self, job: QueuedJob) -> QueuedJob:
        if job.job not in self._numbers:
            return job
        shown = max(job.num_devices, self._free + 1)
        return job._replace(num_devices=shown, min_devices=0, needed_devices=job.num_devices)
