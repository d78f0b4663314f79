"""Fitting a generator to the jobs of a trace: moments and quantiles, nothing iterated but one exponent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.jobs.batches import BATCH_GAP_S, Batches, batches_of
from simtool.jobs.calendar import hour_of_day, profile_hours, rate_integral, weekday
from simtool.jobs.curves import LEVELS_PERCENT, curve_of, normal_scores, rounded
from simtool.jobs.fit_shares import fit_limit, fit_outcome, fit_users, given_outcome
from simtool.jobs.generator import Generator, LimitModel
from simtool.jobs.table import JobTable
from simtool.units import SECONDS_PER_DAY

KINDS: Mapping[str, int] = {"single": 1, "few": 2, "many": 10, "sweep": 100}
"""Kinds of batches and the least number of jobs of each."""
CLOCKWORK = "clockwork"
SIZE_CLASSES = (1, 2, 9)
"""Least number of accelerators of each class that may have run times of its own: alone, in one node, beyond."""
MIN_BATCHES = 30
"""Batches that a curve of its own needs; a class with fewer has that of the next smaller, the smallest that of all."""
LEAST_BATCHES = MIN_BATCHES
"""Fewer give not even one curve, and neither hours of the day nor kinds of batches can be seen in them."""
FEW_BATCHES = 168
"""One for every hour of the week; what was fitted to fewer says so."""
_WEEK_S = 7.0 * SECONDS_PER_DAY


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stretch:
    """One observed stretch, cut into batches."""

    jobs: JobTable
    batches: Batches
    kind: NDArray[np.int64]
    """Of each batch, its place in `KINDS`; of clockwork the place behind them."""
    first_week: int


def fit_generator(
    tables: JobTable | Sequence[JobTable],
    *,
    name: str,
    title: str = "",
    source: str,
    outcome: Mapping[str, float] | None = None,
    outcome_source: str = "",
    limit: LimitModel | None = None,
    notes: str = "",
) -> Generator:
    """A generator of jobs like those of a trace.

    Args:
        tables: one or more stretches that were observed without a break; each counts from its first to its last
            job. Give a trace with an outage as the stretches before and after it.
        name: of the generator.
        title: as people write it; the name if not given.
        source: where the trace comes from.
        outcome: shares for a trace that does not tell outcomes: ``failed_jobs``, ``cancelled_jobs``,
            ``failed_device_s``, ``cancelled_device_s``, the first two of all jobs and the others of all
            accelerator-seconds.
        outcome_source: where these come from.
        limit: model of limits for a trace without any; jobs have none if not given.
        notes: kept in the file.

    Raises:
        InputError: fewer batches than `LEAST_BATCHES`, or a stretch shorter than a day.
    """
    parts = [tables] if isinstance(tables, JobTable) else list(tables)
    for part in parts:
        if part.span_s < SECONDS_PER_DAY:
            found = f"found a stretch of {len(part)} jobs in {part.span_s:g} s"
            raise InputError(
                Problem("jobs", "submit_s", found, "at least a day of jobs", "give a longer trace")
            )
    stretches, first_week = [], 0
    for part in parts:
        batches = batches_of(part)
        kind = np.searchsorted(list(KINDS.values()), batches.num_jobs, side="right") - 1
        kind[batches.by_clock] = len(KINDS)
        stretches.append(_Stretch(jobs=part, batches=batches, kind=kind, first_week=first_week))
        first_week += int(part.span_s / _WEEK_S) + 1
    notes = " ".join(filter(None, (notes, _thin(parts, sum(len(one.kind) for one in stretches)))))
    hour_frac, weekday_frac = _profiles(stretches)
    present = {int(kind) for stretch in stretches for kind in np.unique(stretch.kind)}
    fitted = {
        name_of_kind: _fit_kind(stretches, kind, hour_frac, weekday_frac)
        for kind, name_of_kind in enumerate((*KINDS, CLOCKWORK))
        if kind in present
    }
    told = outcome is None
    outcomes = fit_outcome(parts, source) if told else given_outcome(parts, outcome or {}, outcome_source)
    return Generator.model_validate(
        {
            "schema": "simtool/jobs/1",
            "name": name,
            "title": title or name,
            "kind": "calibrated",
            "source": source,
            "notes": notes,
            "batch_gap_s": BATCH_GAP_S,
            "levels_percent": LEVELS_PERCENT,
            "hour_frac": tuple(rounded(hour_frac.tolist())),
            "weekday_frac": tuple(rounded(weekday_frac.tolist())),
            "batches": fitted,
            "users": fit_users([(stretch.jobs, stretch.batches.of_job) for stretch in stretches]),
            "outcome": outcomes,
            "limit": fit_limit(parts, source) or limit,
        }
    )


def _thin(parts: Sequence[JobTable], num_batches: int) -> str:
    """What is to be said of few batches; empty for enough.

    Raises:
        InputError: too few to see anything.
    """
    seen = f"{sum(len(part) for part in parts):,} jobs in {num_batches:,} batches"
    if num_batches < LEAST_BATCHES:
        allowed = (
            f"at least {LEAST_BATCHES} batches (what one user submits in one go): in fewer, neither their sizes and "
            "run times nor the hours of the day can be seen"
        )
        mend = "give a longer trace, or replay this one: jobs: {trace: {file: ...}}"
        raise InputError(Problem("jobs", "", f"found {seen}", allowed, mend))
    if num_batches < FEW_BATCHES:
        return (
            f"fitted to {seen}, fewer than one for every hour of the week: hours, days and the largest jobs are little "
            "more than those of this trace"
        )
    return ""


def _profiles(stretches: Sequence[_Stretch]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rates of batches by hour and by weekday over the mean, each with its own time of watching."""
    found = []
    for period, num in ((hour_of_day, 24), (weekday, 7)):
        seen, watched = np.zeros(num), np.zeros(num)
        for stretch in stretches:
            edges_s, middle_s = _hours(stretch.jobs)
            watched += np.bincount(period(middle_s, stretch.jobs.start), np.diff(edges_s), num)
            seen += np.bincount(period(stretch.batches.begin_s, stretch.jobs.start), minlength=num)
        rate = np.divide(seen, watched, out=np.full(num, seen.sum() / watched.sum()), where=watched > 0.0)
        found.append(rate / rate.mean())
    return found[0], found[1]


def _hours(jobs: JobTable) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first_s, last_s = float(jobs.submit_s[0]), float(jobs.submit_s[-1])
    edges_s, _ = profile_hours((1.0,) * 24, (1.0,) * 7, last_s + 1.0, jobs.start)
    edges_s = np.unique(np.clip(edges_s, first_s, last_s))
    return edges_s, (edges_s[:-1] + edges_s[1:]) / 2.0


def _fit_kind(
    stretches: Sequence[_Stretch],
    which: int,
    hour_frac: NDArray[np.float64],
    weekday_frac: NDArray[np.float64],
) -> dict[str, Any]:
    """All of one kind of batches."""
    days = sum(stretch.jobs.span_s for stretch in stretches) / SECONDS_PER_DAY
    mine = [stretch.kind == which for stretch in stretches]
    total = sum(int(kind.sum()) for kind in mine)
    gaps, weeks = [], []
    for stretch, kind in zip(stretches, mine, strict=True):
        expected = _expected(stretch, total / days, hour_frac, weekday_frac)
        begin_s = np.sort(stretch.batches.begin_s[kind])
        gaps.append(np.diff(np.interp(begin_s, *expected)))
        weeks.append(_weeks(stretch, begin_s, expected))
    gap = np.concatenate(gaps)
    rows = _rows(stretches, mine)
    score = normal_scores(rows["run_s"], rows["weight"])
    alike_frac, alike = _alike(score, rows["batch"])
    job_gaps, gap_batch = rows["job_gap_s"], rows["gap_batch"]
    curves = _run_curves(rows)
    sizes, size_counts = np.unique(rows["batch_size"], return_counts=True)
    return {
        "per_day": rounded([total / days])[0],
        "week_spread": rounded([_overdispersion(np.concatenate(weeks, axis=1))])[0],
        "gap": curve_of(gap) if len(gap) and gap.max() > 0.0 else curve_of([1.0]),
        "num_jobs": curve_of(rows["num_jobs"]),
        "job_gap_s": curve_of(job_gaps) if len(job_gaps) else curve_of([0.0]),
        "job_gap_alike": _correlation(normal_scores(job_gaps, np.ones(len(job_gaps))), gap_batch),
        "sizes": tuple(sizes.tolist()),
        "size_frac": tuple(rounded((size_counts / size_counts.sum()).tolist())),
        "run_from": tuple(curves),
        "run_s": tuple(curves.values()),
        "alike_frac": alike_frac,
        "alike": alike,
        "week_alike": _correlation(*_batch_means(score, rows)),
    }


def _expected(
    stretch: _Stretch, per_day: float, hour_frac: NDArray[np.float64], weekday_frac: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of hours, and the number of batches expected up to each at the mean rate."""
    end_s = float(stretch.jobs.submit_s[-1]) + 1.0
    edges_s, rate = profile_hours(hour_frac.tolist(), weekday_frac.tolist(), end_s, stretch.jobs.start)
    return edges_s, rate_integral(edges_s, rate * per_day)


def _weeks(
    stretch: _Stretch, begin_s: NDArray[np.float64], expected: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Batches seen and expected in each stretch of seven days, shape (2, weeks)."""
    first_s, last_s = float(stretch.jobs.submit_s[0]), float(stretch.jobs.submit_s[-1])
    edges_s = np.append(np.arange(first_s, last_s, _WEEK_S), last_s + 1.0)
    return np.array([np.histogram(begin_s, edges_s)[0], np.diff(np.interp(edges_s, *expected))])


def _overdispersion(weeks: NDArray[np.float64]) -> float:
    """Spread of the weekly rate beyond chance: ``sqrt(sum((n - m)^2 - m) / sum(m^2))``, 0 if below.

    The mean is of the same weeks, which takes one of them: hence W/(W - 1) before the sum of squares.
    """
    seen, expected = weeks
    num_weeks = len(seen)
    if num_weeks < 2:
        return 0.0
    beyond = ((seen - expected) ** 2).sum() * num_weeks / (num_weeks - 1.0) - expected.sum()
    return float(np.sqrt(max(float(beyond / (expected**2).sum()), 0.0)))


def _rows(stretches: Sequence[_Stretch], mine: Sequence[NDArray[np.bool_]]) -> dict[str, NDArray[Any]]:
    """Columns of the jobs and of the batches of one kind, over all stretches."""
    columns: dict[str, list[NDArray[Any]]] = {}
    num_before = 0
    for stretch, kind in zip(stretches, mine, strict=True):
        numbers = np.cumsum(kind) - 1 + num_before
        chosen = kind[stretch.batches.of_job]
        batch, submit = stretch.batches.of_job[chosen], stretch.jobs.submit_s[chosen]
        order = np.lexsort((submit, batch))
        batch, submit = batch[order], submit[order]
        same = np.diff(batch) == 0
        size = np.zeros(len(kind), dtype=np.int64)
        size[stretch.batches.of_job] = stretch.jobs.num_devices
        first_s = float(stretch.jobs.submit_s[0])
        for name, values in (
            ("run_s", stretch.jobs.run_s[chosen][order]),
            ("size", stretch.jobs.num_devices[chosen][order]),
            ("batch", numbers[batch]),
            ("weight", 1.0 / stretch.batches.num_jobs[batch]),
            ("job_gap_s", np.diff(submit)[same]),
            ("gap_batch", numbers[batch[1:][same]]),
            ("num_jobs", stretch.batches.num_jobs[kind]),
            ("batch_size", size[kind]),
            ("week", stretch.first_week + ((stretch.batches.begin_s[kind] - first_s) / _WEEK_S).astype(int)),
        ):
            columns.setdefault(name, []).append(values)
        num_before += int(kind.sum())
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _run_curves(rows: Mapping[str, NDArray[Any]]) -> dict[int, tuple[float, ...]]:
    """Run times by class of size; every batch counts alike, however many jobs it has."""
    run_s, weight, size = rows["run_s"], rows["weight"], rows["size"]
    inside = [(size >= low) & (size < high) for low, high in pairwise([*SIZE_CLASSES, np.inf])]
    enough = [weight[jobs].sum() >= MIN_BATCHES for jobs in inside]
    if not any(enough):
        return {1: curve_of(run_s, weight)}
    curves: dict[int, tuple[float, ...]] = {}
    for low, jobs, own in zip(SIZE_CLASSES, inside, enough, strict=True):
        if own:
            curves[low] = curve_of(run_s[jobs], weight[jobs])
        elif low == SIZE_CLASSES[0]:  # the class of the others must begin at 1
            curves[low] = curve_of(run_s, weight)
    return curves


def _correlation(score: NDArray[np.float64], owner: NDArray[np.int64]) -> float:
    """Mean product of two scores of one owner over that of a score with itself, from 0 to 0.99.

    Every owner counts with its number of pairs, at most as if it had ten members.
    """
    if not len(score) or not (variance := float(np.mean(score**2))) > 0.0:
        return 0.0
    _, places, counts = np.unique(owner, return_inverse=True, return_counts=True)
    pairs = counts * (counts - 1.0)
    if not pairs.any():
        return 0.0
    sums, squares = np.bincount(places, score), np.bincount(places, score**2)
    several = counts > 1
    mean = (sums**2 - squares)[several] / pairs[several]
    weight = np.minimum(counts[several], 10.0)
    return rounded([float(np.clip(np.average(mean, weights=weight) / variance, 0.0, 0.99))])[0]


def _alike(score: NDArray[np.float64], batch: NDArray[np.int64]) -> tuple[float, float]:
    """Share of alike jobs and their correlation.

    Two alike neighbours differ by a normal of variance ``2 (1 - r)``, whose quartiles lie at 0.674 of the deviation:
    the median difference gives r. A pair is alike with the square of the share, and only such pairs correlate.
    """
    neighbours = np.diff(batch) == 0
    if not neighbours.any():
        return 0.0, 0.0
    together = _correlation(score, batch)
    middle = float(np.median(np.abs(np.diff(score)[neighbours]))) / 0.6744897501960817
    alike = float(np.clip(1.0 - middle**2 / 2.0, together, 0.9999))
    if alike <= 0.0:
        return 0.0, 0.0
    return rounded([float(np.sqrt(np.clip(together / alike, 0.0, 1.0)))])[0], rounded([alike])[0]


def _batch_means(
    score: NDArray[np.float64], rows: Mapping[str, NDArray[Any]]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Mean score of every batch, and its week."""
    batch = rows["batch"]
    return np.bincount(batch, score) / np.bincount(batch), rows["week"]
