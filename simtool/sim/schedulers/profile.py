"""Free devices and watts from now on, by the limits of the jobs: where planned jobs still find room."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

from simtool.sim.schedulers import ClusterView, QueuedJob
from simtool.units import TERA

ENDLESS_S = TERA
"""Stands for the limit of jobs that named none: 30,000 years, the same for all."""


class Profile:
    """What will be free, as steps over time.

    >>> from simtool.sim.schedulers import Devices, RunningJob
    >>> profile = Profile(Devices(num_devices=4, num_free_devices=1, running=[RunningJob(10.0, 0.0, 0, 3)]), 5.0)
    >>> profile.earliest(QueuedJob(1, 2, 0.0, limit_s=10.0)), profile.earliest(QueuedJob(2, 1, 0.0, limit_s=9.0))
    (10.0, 5.0)
    """

    def __init__(self, cluster: ClusterView, now_s: float) -> None:
        self.now_s = now_s
        self._times_s, self._free, self._watts = [now_s], [cluster.num_free_devices], [cluster.spare_power_w]
        soon_s = math.nextafter(now_s, math.inf)
        ends = sorted(
            (max(min(job.expected_end_s, job.start_s + ENDLESS_S), soon_s), job.num_devices, job.power_w)
            for job in cluster.running
        )
        for end_s, num, power_w in ends:
            if end_s > self._times_s[-1]:
                self._times_s.append(end_s)
                self._free.append(self._free[-1])
                self._watts.append(self._watts[-1])
            self._free[-1] += num
            self._watts[-1] += power_w
        self._most_w = self._watts[-1]

    @property
    def num_free_now(self) -> int:
        """Devices."""
        return self._free[0]

    def power_w(self, job: QueuedJob) -> float:
        """What a job needs [W]: all that there is if it will be slowed even when it is alone."""
        return min(job.power_w, self._most_w) if job.least_power_w <= self._most_w else job.power_w

    def fits(self, job: QueuedJob, start_s: float) -> bool:
        """Whether a job finds room from a time on until its limit."""
        end_s, power_w = start_s + min(job.limit_s, ENDLESS_S), self.power_w(job)
        first = max(bisect_right(self._times_s, start_s) - 1, 0)
        last = max(bisect_left(self._times_s, end_s), first + 1)
        return all(
            free >= job.num_devices and watts >= power_w
            for free, watts in zip(self._free[first:last], self._watts[first:last], strict=True)
        )

    def earliest(self, job: QueuedJob) -> float:
        """When a job finds room first [s]; infinite if never."""
        length_s, power_w = min(job.limit_s, ENDLESS_S), self.power_w(job)
        start_s: float | None = None
        for time_s, free, watts in zip(self._times_s, self._free, self._watts, strict=True):
            if start_s is not None and time_s >= start_s + length_s:
                return start_s
            if free < job.num_devices or watts < power_w:
                start_s = None
            elif start_s is None:
                start_s = time_s
        return math.inf if start_s is None else start_s

    def reserve(self, job: QueuedJob, start_s: float) -> None:
        """Keep room for a job from a time on until its limit."""
        self._change(job, start_s, -1)

    def release(self, job: QueuedJob, start_s: float) -> None:
        """Undo it."""
        self._change(job, start_s, 1)

    def _change(self, job: QueuedJob, start_s: float, sign: int) -> None:
        first = self._edge(start_s)
        last = self._edge(start_s + min(job.limit_s, ENDLESS_S))
        power_w = self.power_w(job)
        for place in range(first, last):
            self._free[place] += sign * job.num_devices
            self._watts[place] += sign * power_w

    def _edge(self, time_s: float) -> int:
        """Place of the step that begins at a time, made if need be."""
        place = bisect_left(self._times_s, time_s)
        if place == len(self._times_s) or self._times_s[place] > time_s:
            self._times_s.insert(place, time_s)
            self._free.insert(place, self._free[place - 1])
            self._watts.insert(place, self._watts[place - 1])
        return place
