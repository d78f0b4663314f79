"""Drawing jobs from a generator: batches first, then the jobs of each, all as arrays.

Every draw has its stream and every array is drawn in order, so a longer stretch of the same seed begins
with the jobs of the shorter one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from simtool.jobs.calendar import profile_hours, rate_integral
from simtool.jobs.curves import mean_of, uniform_of, values_at
from simtool.jobs.generator import BatchKind, Generator, LimitModel
from simtool.jobs.table import CANCELLED, COMPLETED, FAILED, JobTable
from simtool.rng import stream
from simtool.units import SECONDS_PER_DAY

MAX_JOBS = 50_000_000
"""Jobs that one call draws at most: 5 GB."""
_WEEK_S = 7.0 * SECONDS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draw:
    """Jobs of one kind of batch, in the order of their batches."""

    submit_s: NDArray[np.float64]
    num_devices: NDArray[np.int64]
    run_s: NDArray[np.float64]
    user: NDArray[np.int64]


def generate(
    generator: Generator,
    seed: int,
    *,
    num_jobs: int | None = None,
    span_s: float | None = None,
    start: datetime | None = None,
    run: int = 0,
) -> JobTable:
    """New jobs like those that the generator was fitted to.

    Args:
        generator: from `fit_generator` or a file.
        seed: of all draws.
        num_jobs: the first so many jobs; or
        span_s: all jobs submitted within so many seconds.
        start: moment of second 0, with a time zone; its own clock gives hour and weekday. A Monday at midnight
            without a calendar if not given.
        run: index of the run inside a study.

    Raises:
        ValueError: not exactly one of `num_jobs` and `span_s`, or more than `MAX_JOBS`.
    """
    if (num_jobs is None) == (span_s is None):
        raise ValueError("give num_jobs or span_s")
    if num_jobs is not None:
        expected_s = num_jobs / jobs_per_day(generator) * SECONDS_PER_DAY
        span = 1.1 * expected_s + SECONDS_PER_DAY
    else:
        span = float(span_s or 0.0)
        expected_s = span
    if jobs_per_day(generator) * expected_s / SECONDS_PER_DAY > MAX_JOBS:
        raise ValueError(f"more than {MAX_JOBS} jobs")
    while True:
        draws = [_draw(generator, kind, seed, run, span, start) for kind in generator.batches]
        if num_jobs is None or sum(len(draw.submit_s) for draw in draws) >= num_jobs:
            break
        span *= 1.5
    submit = np.concatenate([draw.submit_s for draw in draws])
    order = np.argsort(submit, kind="stable")[:num_jobs]
    devices = np.concatenate([draw.num_devices for draw in draws])[order]
    run_s = np.concatenate([draw.run_s for draw in draws])[order]
    users = np.concatenate([draw.user for draw in draws])[order]
    count = len(order)
    # A job's place in time is the same in a longer stretch, so these may be drawn in that order.
    outcome = _outcomes(
        generator, run_s * devices, stream(seed, generator.name, "outcome", run).random(count)
    )
    limit_s = np.full(count, np.inf)
    if generator.limit is not None:
        limit_s = _limits_s(generator, generator.limit, run_s, stream(seed, generator.name, "limit", run))
    return JobTable(
        name=tuple([f"job-{index}" for index in range(count)]),
        submit_s=submit[order],
        num_devices=devices,
        run_s=run_s,
        limit_s=limit_s,
        outcome=outcome,
        user=users.astype(np.int32),
        priority=np.zeros(count, dtype=np.int64),
        preemptible=np.zeros(count, dtype=bool),
        deadline_s=np.full(count, np.inf),
        min_devices=devices,
        max_devices=devices,
        accelerator=np.full(count, -1, dtype=np.int32),
        group=np.full(count, -1, dtype=np.int32),
        users=tuple(f"user-{rank}" for rank in range(1, generator.users.num + 1)),
        start=start,
        notes=(f"drawn from the generator {generator.name}, seed {seed}, run {run}",),
    )


def jobs_per_day(generator: Generator) -> float:
    """Mean number of jobs a day over all weeks."""
    levels = generator.levels_percent
    return sum(kind.per_day * mean_of(levels, kind.num_jobs) for kind in generator.batches.values())


def _draw(
    generator: Generator, name: str, seed: int, run: int, span_s: float, start: datetime | None
) -> _Draw:
    kind = generator.batches[name]
    levels = generator.levels_percent

    def chance(purpose: str) -> np.random.Generator:
        return stream(seed, f"{generator.name}.{name}", purpose, run)

    num_weeks = int(np.ceil(span_s / _WEEK_S)) + 1
    activity = np.ones(num_weeks)
    if kind.week_spread > 0.0:
        shape = kind.week_spread**-2.0
        activity = chance("week-activity").gamma(shape, 1.0 / shape, num_weeks)
    begin_s = _starts_s(generator, kind, activity, span_s, start, chance("batch-gap"))
    num = len(begin_s)
    week = (begin_s / _WEEK_S).astype(int)
    sizes = np.asarray(kind.sizes, dtype=np.int64)
    edges = np.cumsum(kind.size_frac)
    batch_devices = sizes[np.searchsorted(edges / edges[-1], chance("size").random(num), side="right")]
    batch_user = _zipf(generator, chance("user").random(num))
    jobs = np.maximum(np.rint(values_at(chance("num-jobs").random(num), levels, kind.num_jobs)), 1.0).astype(
        int
    )
    level = np.sqrt(kind.week_alike) * chance("week-run-time").standard_normal(num_weeks)[week]
    level += np.sqrt(1.0 - kind.week_alike) * chance("batch-run-time").standard_normal(num)

    owner = np.repeat(np.arange(num), jobs)
    count = len(owner)
    gap_level = chance("batch-job-gap").standard_normal(num)[owner]
    own = chance("job-gap").standard_normal(count)
    gap_score = np.sqrt(kind.job_gap_alike) * gap_level + np.sqrt(1.0 - kind.job_gap_alike) * own
    gaps_s = values_at(uniform_of(gap_score), levels, kind.job_gap_s)
    first = np.cumsum(jobs) - jobs
    gaps_s[first] = 0.0
    since_s = np.cumsum(gaps_s)
    submit_s = begin_s[owner] + since_s - since_s[first][owner]

    own = chance("job-run-time").standard_normal(count)
    alike = kind.alike * (chance("alike").random(count) < kind.alike_frac)
    # Of a batch of one job nothing is alike, and the level alone is as good a draw as any.
    score = np.where(
        jobs[owner] == 1, level[owner], np.sqrt(alike) * level[owner] + np.sqrt(1.0 - alike) * own
    )
    uniform = uniform_of(score)
    devices = batch_devices[owner]
    run_s = np.empty(count)
    place = np.searchsorted(kind.run_from, devices, side="right") - 1
    for index, curve in enumerate(kind.run_s):
        mine = place == index
        run_s[mine] = values_at(uniform[mine], levels, curve)
    kept = submit_s < span_s
    return _Draw(
        submit_s=submit_s[kept],
        num_devices=devices[kept],
        run_s=np.maximum(run_s, 1.0)[kept],
        user=batch_user[owner][kept],
    )


def _starts_s(
    generator: Generator,
    kind: BatchKind,
    activity: NDArray[np.float64],
    span_s: float,
    start: datetime | None,
    chance: np.random.Generator,
) -> NDArray[np.float64]:
    """When batches begin: gaps in units of the mean, laid along the integral of the rate."""
    edges_s, rate = profile_hours(generator.hour_frac, generator.weekday_frac, span_s, start)
    weekly = activity[np.minimum((edges_s[:-1] / _WEEK_S).astype(int), len(activity) - 1)]
    integral = rate_integral(edges_s, rate * weekly * kind.per_day)
    levels = generator.levels_percent
    mean = mean_of(levels, kind.gap)
    num = int(integral[-1] * 1.2) + 100
    state = chance.bit_generator.state
    while True:
        chance.bit_generator.state = state
        passed = np.cumsum(values_at(chance.random(num), levels, kind.gap)) / mean
        if passed[-1] >= integral[-1]:
            break
        num *= 2
    passed = passed[: np.searchsorted(passed, integral[-1], side="left")]
    return np.asarray(np.interp(passed, integral, edges_s))


def _zipf(generator: Generator, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    shares = np.arange(1, generator.users.num + 1, dtype=float) ** -generator.users.exponent
    edges = np.cumsum(shares)
    return np.searchsorted(edges / edges[-1], uniform, side="right")


def _outcomes(
    generator: Generator, device_s: NDArray[np.float64], uniform: NDArray[np.float64]
) -> NDArray[np.int8]:
    shares = generator.outcome
    at, points = np.log(device_s), np.log(shares.device_s)
    failed = np.interp(at, points, shares.failed_frac)
    cancelled = np.interp(at, points, shares.cancelled_frac)
    return np.select([uniform < failed, uniform < failed + cancelled], [FAILED, CANCELLED], COMPLETED).astype(
        np.int8
    )


def _limits_s(
    generator: Generator, model: LimitModel, run_s: NDArray[np.float64], chance: np.random.Generator
) -> NDArray[np.float64]:
    """Run time over the used share, up to the next usual limit; two draws a job."""
    used, absent = chance.random((len(run_s), 2)).T
    limit_s = run_s / np.minimum(values_at(used, generator.levels_percent, model.used_frac), 1.0)
    if model.usual_s:
        usual = np.asarray(model.usual_s)
        limit_s = usual[np.minimum(np.searchsorted(usual, limit_s), len(usual) - 1)]
    return np.where(absent < model.none_frac, np.inf, np.maximum(limit_s, run_s))
