"""Limits on a site's power over time, and calls of the grid: less by X MW for Y hours, with notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.facility.cap_share import Allocation, CappedJob, PowerLimit, Rule, allocate_caps

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A call under a curtailment contract."""

    called_s: float
    """When the grid calls, since the start."""
    notice_s: float
    """From the call until the load must be down."""
    duration_s: float
    reduce_w: float
    """Below the baseline."""

    @property
    def begin_s(self) -> float:
        """From when on the load must be down."""
        return self.called_s + self.notice_s

    @property
    def end_s(self) -> float:
        """Until when."""
        return self.begin_s + self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSteps:
    """A limit over time: ``limit_w[i]`` from ``breakpoints_s[i]`` to ``breakpoints_s[i + 1]``."""

    breakpoints_s: FloatArray
    limit_w: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class CapPlan:
    """Caps over time."""

    breakpoints_s: FloatArray
    allocations: tuple[Allocation, ...]
    """One for every interval."""
    energy_j: float
    """Of the jobs."""
    shed_j: float
    """Energy that they would have drawn more without any limit."""
    lost_device_s: float
    """Work that the caps cost: devices x seconds x (1 - speed)."""


def limit_steps(limit_w: float, calls: Sequence[Call], *, baseline_w: float, until_s: float) -> LimitSteps:
    """The limit of a site under its contract: its own, and during a call the baseline less what was called.

    Calls that overlap add up, since each is owed its own reduction.

    Args:
        limit_w: without any call: of the connection [W].
        calls: of the grid.
        baseline_w: from which a reduction counts, as the contract says: usually the mean of days before [W].
        until_s: end of the run [s].

    Raises:
        InputError: a call of no length or size, or of more than the baseline.

    >>> call = Call(called_s=0.0, notice_s=600.0, duration_s=7200.0, reduce_w=20e6)
    >>> steps = limit_steps(100e6, [call], baseline_w=90e6, until_s=10_000.0)
    >>> steps.breakpoints_s.tolist(), steps.limit_w.tolist()
    ([0.0, 600.0, 7800.0, 10000.0], [100000000.0, 70000000.0, 100000000.0])
    """
    wrong = [
        Problem("", f"calls[{index}].{name}", f"found {found:g}", f"allowed: {allowed}", "correct the call")
        for index, call in enumerate(calls)
        for name, found, allowed, fits in (
            ("notice_s", call.notice_s, "0 s or more", call.notice_s >= 0.0),
            ("duration_s", call.duration_s, "above 0 s", call.duration_s > 0.0),
            ("reduce_w", call.reduce_w, f"above 0, below {baseline_w:g} W", 0.0 < call.reduce_w < baseline_w),
        )
        if not fits
    ]
    if not until_s > 0.0:
        wrong.append(Problem("", "until_s", f"found {until_s:g} s", "allowed: above 0 s", "correct it"))
    if wrong:
        raise InputError(wrong)
    edges = [edge for call in calls for edge in (call.begin_s, call.end_s)]
    points = np.unique(np.clip([0.0, *edges, until_s], 0.0, until_s))
    middles = (points[:-1] + points[1:]) / 2.0
    reduce_w = np.zeros_like(middles)
    for call in calls:
        reduce_w += np.where((middles > call.begin_s) & (middles < call.end_s), call.reduce_w, 0.0)
    limits_w = np.where(reduce_w > 0.0, np.minimum(limit_w, baseline_w - reduce_w), limit_w)
    return LimitSteps(breakpoints_s=points, limit_w=limits_w)


def plan_caps(
    jobs: Sequence[CappedJob],
    steps: LimitSteps,
    limits: Sequence[PowerLimit] = (),
    *,
    site: PowerLimit,
    rule: Rule = "least_loss",
) -> CapPlan:
    """Caps of running jobs in every interval of a site's limit.

    Boards take a new cap within seconds, so a cap stands from the begin of its interval on; notice is needed where
    jobs must be stopped and saved first.

    Args:
        jobs: that run throughout.
        steps: the site's limit over time.
        limits: of racks and rows, which do not change.
        site: name and base load of the site's limit; its own power is replaced by that of every interval.
        rule: as in `allocate_caps`.

    Raises:
        InfeasibleError: in some interval a limit is below the floor; the limit's name says when.
    """
    allocations = []
    for begin_s, limit_w in zip(steps.breakpoints_s.tolist(), steps.limit_w.tolist(), strict=False):
        own = replace(site, name=f"{site.name} from {begin_s:g} s", power_w=limit_w)
        allocations.append(allocate_caps(jobs, [own, *limits], rule=rule))
    lasts_s = np.diff(steps.breakpoints_s)
    power_w = np.array([allocation.power_w for allocation in allocations])
    free_w = sum(job.num_devices * float(job.response.power_w[-1]) for job in jobs)
    lost = np.array([allocation.lost_devices for allocation in allocations])
    return CapPlan(
        breakpoints_s=steps.breakpoints_s,
        allocations=tuple(allocations),
        energy_j=float(power_w @ lasts_s),
        shed_j=float((free_w - power_w) @ lasts_s),
        lost_device_s=float(lost @ lasts_s),
    )
