"""The jobs that wait, by submission and by size."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Iterator

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
    """

    __slots__ = ("_jobs", "_order", "_sizes")

    def __init__(self) -> None:
        self._jobs: dict[int, QueuedJob] = {}
        self._order: list[int] = []
        self._sizes: dict[int, list[int]] = {}

    def __iter__(self) -> Iterator[QueuedJob]:
        return map(self._jobs.__getitem__, self._order)

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, job: object) -> bool:
        return job in self._jobs

    def __getitem__(self, job: int) -> QueuedJob:
        return self._jobs[job]

    def fitting(self, max_devices: int) -> Iterator[QueuedJob]:
        """Those that can run on so many devices, in order of submission."""
        if len(self._order) <= FEW:
            return (job for job in self if (job.min_devices or job.num_devices) <= max_devices)
        sizes = [jobs for size, jobs in self._sizes.items() if size <= max_devices]
        if len(sizes) == 1:
            return map(self._jobs.__getitem__, sizes[0])
        return map(self._jobs.__getitem__, heapq.merge(*sizes))

    def put(self, job: QueuedJob) -> None:
        """A job begins to wait, at the place of its number."""
        self._jobs[job.job] = job
        sizes = self._sizes.setdefault(job.min_devices or job.num_devices, [])
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
        return job
