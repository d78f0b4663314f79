"""A limit on the power of racks or of a site, shared out over running jobs as caps on their boards.

Every job answers to a cap by its own curve (`step.cap_response`). The caps that keep within all limits are chosen by
one of three rules: ``uniform``, the same share of every board's limit; ``least_loss``, the least lost work, weighted;
``priority``, the same for the most urgent jobs first. The deepest cap that boards hold is the floor of a running job.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InfeasibleError, InputError, Problem, did_you_mean
from simtool.step.cap_response import CapResponse
from simtool.units import MEGA

FloatArray = NDArray[np.float64]
Rule = Literal["uniform", "least_loss", "priority"]
RULES: tuple[Rule, ...] = ("uniform", "least_loss", "priority")

NUM_POINTS = 129
"""Of a response curve, between which the linear programme takes it to be straight."""
NUM_HALVINGS = 60
SLACK = 1e-9
"""Relative; a limit that is met to this is met, and binds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedJob:
    """A running job as far as caps go."""

    name: str
    num_devices: int
    response: CapResponse
    priority: int = 0
    """Higher is more urgent; counts under the rule ``priority`` alone."""
    weight: float = 1.0
    """Of its lost device-seconds, over those of others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLimit:
    """What a rack, a row or the site may draw."""

    name: str
    power_w: float
    num_devices: Mapping[str, int] = field(default_factory=dict)
    """Devices of each job behind this limit; empty: all of all jobs."""
    base_w: float = 0.0
    """What else is behind it and not capped: idle nodes, storage, cooling."""
    counts: Literal["mean", "peak"] = "mean"
    """A meter of minutes sees the mean of a step; a breaker the phase that draws most, as if all were in step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one job gets."""

    name: str
    cap_w: float
    """On each of its boards."""
    power_w: float
    """Mean, of all its devices."""
    speed: float
    """Relative to no cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Caps of all jobs under all limits."""

    shares: tuple[Share, ...]
    """In the order of the jobs."""
    binding: tuple[str, ...]
    """Limits that are met exactly: without them the jobs were faster."""
    lost_devices: float
    """Devices' worth of work that the caps cost: sum of devices x (1 - speed)."""

    @property
    def power_w(self) -> float:
        """Mean, of all jobs."""
        return sum(share.power_w for share in self.shares)


def allocate_caps(
    jobs: Sequence[CappedJob], limits: Sequence[PowerLimit], *, rule: Rule = "least_loss"
) -> Allocation:
    """Caps that keep all limits.

    ``least_loss`` maximises ``sum weight x devices x speed`` over the upper concave hull of each job's curve, a
    linear programme; then every cap is lowered to where the job's own curve keeps within what it was given.

    Args:
        jobs: running, each with a name of its own.
        limits: all are kept.
        rule: of `RULES`.

    Raises:
        InfeasibleError: a limit is below what the jobs behind it draw at their deepest caps.
        InputError: unknown rule, job or a number out of its range.
    """
    _check(jobs, limits, rule)
    for limit in limits:
        _check_floor(jobs, limit)
    free_w = np.array([job.response.cap_w[-1] for job in jobs])
    if all(_drawn_w(jobs, limit, free_w) <= limit.power_w for limit in limits):
        caps_w = free_w
    elif rule == "uniform":
        caps_w = _uniform(jobs, limits)
    else:
        levels = sorted({job.priority for job in jobs}, reverse=True) if rule == "priority" else [None]
        caps_w = np.array([job.response.cap_w[0] for job in jobs])
        for level in levels:
            chosen = np.array([level is None or job.priority == level for job in jobs])
            caps_w = np.where(chosen, _least_loss(jobs, limits, caps_w, chosen), caps_w)
    return _allocation(jobs, limits, caps_w)


def _allocation(jobs: Sequence[CappedJob], limits: Sequence[PowerLimit], caps_w: FloatArray) -> Allocation:
    shares = tuple(
        Share(
            name=job.name,
            cap_w=float(cap_w),
            power_w=job.num_devices * float(job.response.power_at(cap_w)),
            speed=float(job.response.speed_at(cap_w)),
        )
        for job, cap_w in zip(jobs, caps_w, strict=True)
    )
    free = [job.response.cap_w[-1] > cap_w * (1.0 + SLACK) for job, cap_w in zip(jobs, caps_w, strict=True)]
    binding = tuple(
        limit.name
        for limit in limits
        if _drawn_w(jobs, limit, caps_w) >= limit.power_w * (1.0 - 1e-6)
        and any(held and _count(limit, job) for held, job in zip(free, jobs, strict=True))
    )
    lost = sum(job.num_devices * (1.0 - share.speed) for job, share in zip(jobs, shares, strict=True))
    return Allocation(shares=shares, binding=binding, lost_devices=lost)


def _count(limit: PowerLimit, job: CappedJob) -> int:
    return limit.num_devices.get(job.name, 0) if limit.num_devices else job.num_devices


def _device_w(limit: PowerLimit, job: CappedJob, cap_w: FloatArray | float) -> FloatArray:
    response = job.response
    return response.power_at(cap_w) if limit.counts == "mean" else response.peak_at(cap_w)


def _drawn_w(jobs: Sequence[CappedJob], limit: PowerLimit, caps_w: FloatArray) -> float:
    return limit.base_w + sum(
        _count(limit, job) * float(_device_w(limit, job, cap_w))
        for job, cap_w in zip(jobs, caps_w, strict=True)
        if _count(limit, job)
    )


def _uniform(jobs: Sequence[CappedJob], limits: Sequence[PowerLimit]) -> FloatArray:
    def caps_at(share: float) -> FloatArray:
        return np.array(
            [np.clip(share * job.response.cap_w[-1], job.response.cap_w[0], None) for job in jobs]
        )

    def keeps(share: float) -> bool:
        return all(_drawn_w(jobs, limit, caps_at(share)) <= limit.power_w for limit in limits)

    if keeps(1.0):
        return caps_at(1.0)
    low, high = 0.0, 1.0
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return caps_at(low)


def _least_loss(
    jobs: Sequence[CappedJob], limits: Sequence[PowerLimit], fixed_w: FloatArray, chosen: NDArray[np.bool_]
) -> FloatArray:
    """Caps of the chosen jobs; the others keep theirs."""
    from scipy.optimize import linprog

    hulls = [_hull(job.response) if pick else None for job, pick in zip(jobs, chosen, strict=True)]
    floors_w = np.array(
        [job.response.cap_w[0] if pick else cap for job, pick, cap in zip(jobs, chosen, fixed_w, strict=True)]
    )
    gains: list[float] = []
    owners: list[int] = []
    rows: list[list[float]] = [[] for _ in limits]
    for index, (job, hull) in enumerate(zip(jobs, hulls, strict=True)):
        if hull is None:
            continue
        gains += (job.weight * job.num_devices * np.diff(job.response.speed_at(hull))).tolist()
        owners += [index] * (len(hull) - 1)
        for row, limit in zip(rows, limits, strict=True):
            row.extend((_count(limit, job) * np.diff(_device_w(limit, job, hull))).tolist())
    spare_w = np.array([limit.power_w - _drawn_w(jobs, limit, floors_w) for limit in limits])
    scale = max(float(np.max(np.abs(spare_w), initial=1.0)), 1.0)
    found = linprog(
        -np.array(gains) / max(max(gains, default=1.0), 1e-300),
        A_ub=np.array(rows) / scale if limits else None,
        b_ub=np.maximum(spare_w, 0.0) / scale if limits else None,
        bounds=(0.0, 1.0),
        method="highs",
    )
    if not found.success:
        raise RuntimeError(f"sharing out caps: {found.message}")
    caps_w = floors_w.copy()
    for index, (job, hull) in enumerate(zip(jobs, hulls, strict=True)):
        if hull is None:
            continue
        filled = found.x[[place for place, owner in enumerate(owners) if owner == index]]
        caps_w[index] = _cap_within(job, hull, filled, limits)
    return _lowered(jobs, limits, floors_w, caps_w)


def _cap_within(job: CappedJob, hull: FloatArray, filled: FloatArray, limits: Sequence[PowerLimit]) -> float:
    """Highest cap at which the job's own curves keep within the straight lines that were shared out."""
    probes = {limit.counts: limit for limit in limits}
    curves = {counts: _device_w(probe, job, hull) for counts, probe in probes.items()}
    allowed = {counts: float(curve[0] + np.sum(filled * np.diff(curve))) for counts, curve in curves.items()}
    low, high = float(hull[0]), float(hull[-1])

    def keeps(cap_w: float) -> bool:
        return all(
            float(_device_w(probes[counts], job, cap_w)) <= most * (1.0 + 1e-12)
            for counts, most in allowed.items()
        )

    if keeps(high):
        return high
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if keeps(middle) else (low, middle)
    return low


def _lowered(
    jobs: Sequence[CappedJob], limits: Sequence[PowerLimit], floors_w: FloatArray, caps_w: FloatArray
) -> FloatArray:
    """Caps pulled towards the floors until no limit is exceeded by rounding of the programme."""
    pull = 0.0
    while pull < 1.0:
        lower = floors_w + (1.0 - pull) * (caps_w - floors_w)
        if all(_drawn_w(jobs, limit, lower) <= limit.power_w for limit in limits):
            return lower
        pull = max(10.0 * pull, 1e-12)
    return floors_w


def _hull(response: CapResponse) -> FloatArray:
    """Caps of the corners of the upper concave hull of speed over power."""
    caps_w = np.unique(
        np.concatenate((np.geomspace(response.cap_w[0], response.cap_w[-1], NUM_POINTS), response.cap_w))
    )
    caps_w = np.clip(caps_w, response.cap_w[0], response.cap_w[-1])
    power_w, speed = response.power_at(caps_w), response.speed_at(caps_w)
    kept: list[int] = []
    for index in range(len(caps_w)):
        while len(kept) > 1:
            (x0, y0), (x1, y1) = ((power_w[at], speed[at]) for at in kept[-2:])
            if (y1 - y0) * (power_w[index] - x0) > (speed[index] - y0) * (x1 - x0):
                break
            kept.pop()
        kept.append(index)
    return np.asarray(caps_w[kept])


def _check_floor(jobs: Sequence[CappedJob], limit: PowerLimit) -> None:
    """Refuse a limit that the deepest caps do not keep, and say what would."""
    floors_w = np.array([job.response.cap_w[0] for job in jobs])
    floor_w = _drawn_w(jobs, limit, floors_w)
    if floor_w <= limit.power_w:
        return
    behind = [job for job in jobs if _count(limit, job)]
    idle_w = limit.base_w + sum(_count(limit, job) * job.response.idle_w for job in behind)
    alternatives = [f"a limit of {floor_w / MEGA:.4g} MW or more"]
    left_w, stopped = floor_w, []
    for job in sorted(behind, key=lambda one: (one.priority, -_count(limit, one))):
        deepest_w = float(_device_w(limit, job, job.response.cap_w[0]))
        left_w -= _count(limit, job) * (deepest_w - job.response.idle_w)
        stopped.append(job.name)
        if left_w <= limit.power_w:
            alternatives.append(
                f"stopping {', '.join(stopped)}: the others then draw at least {left_w / MEGA:.4g} MW"
            )
            break
    else:
        alternatives.append(f"switching boards off: idle ones draw {idle_w / MEGA:.4g} MW")
    raise InfeasibleError(
        limit.name,
        f"a limit of {limit.power_w / MEGA:.4g} MW is below the floor of {floor_w / MEGA:.4g} MW, what "
        f"{len(behind)} jobs draw under the deepest caps that their boards hold, with {limit.base_w / MEGA:.4g} MW "
        f"that is not capped (idle power {idle_w / MEGA:.4g} MW)",
        alternatives,
    )


def _check(jobs: Sequence[CappedJob], limits: Sequence[PowerLimit], rule: str) -> None:
    wrong: list[Problem] = []
    names = [job.name for job in jobs]
    if rule not in RULES:
        wrong.append(Problem("", "rule", f"found {rule!r}", "", did_you_mean(str(rule), RULES)))
    wrong += [
        Problem("", "jobs", f"found {name} more than once", "", "give every job a name of its own")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    for job in jobs:
        if job.num_devices < 1 or not 0.0 < job.weight < np.inf:
            found = f"found {job.num_devices} devices of weight {job.weight:g}"
            wrong.append(Problem("", f"jobs.{job.name}", found, "allowed: 1 or more, above 0", "correct it"))
    for limit in limits:
        if not (limit.power_w > 0.0 and limit.base_w >= 0.0):
            found = f"found {limit.power_w:g} W with {limit.base_w:g} W not capped"
            wrong.append(
                Problem("", f"limits.{limit.name}", found, "allowed: above 0, 0 or more", "correct it")
            )
        for name, count in limit.num_devices.items():
            most = next((job.num_devices for job in jobs if job.name == name), None)
            if most is None:
                wrong.append(
                    Problem("", f"limits.{limit.name}", f"found job {name}", "", did_you_mean(name, names))
                )
            elif not 0 <= count <= most:
                found = f"found {count} devices of {name}"
                wrong.append(
                    Problem("", f"limits.{limit.name}", found, f"allowed: 0 to {most}", "correct it")
                )
    if wrong:
        raise InputError(wrong)
