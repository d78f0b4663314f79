"""What a trace says of outcomes, limits and users, as parts of a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.jobs.curves import curve_of, rounded
from simtool.jobs.generator import LimitModel, OutcomeShares, Users
from simtool.jobs.table import CANCELLED, FAILED, JobTable
from simtool.provenance import Kind

NUM_POINTS = 16
"""Accelerator-seconds at which chances of outcomes are kept."""
MIN_JOBS = 50
"""Jobs behind each of them."""
NUM_USUAL, USUAL_FRAC = 20, 0.01
"""Limits count as usual if at least this share of jobs asks for them; so many at most."""
_SHARES = ("failed_jobs", "cancelled_jobs", "failed_device_s", "cancelled_device_s")


def fit_outcome(tables: Sequence[JobTable], source: str) -> OutcomeShares:
    """Shares of outcomes among jobs of like accelerator-seconds."""
    device_s = np.concatenate([table.run_s * table.num_devices for table in tables])
    outcome = np.concatenate([table.outcome for table in tables])
    num = int(np.clip(len(device_s) // MIN_JOBS, 1, NUM_POINTS))
    parts = np.array_split(np.argsort(device_s, kind="stable"), num)
    points: dict[float, list[NDArray[np.int64]]] = {}
    for part in parts:  # equal accelerator-seconds may fill several parts
        points.setdefault(rounded([float(np.median(device_s[part]))])[0], []).append(part)
    joined = {at: outcome[np.concatenate(jobs)] for at, jobs in points.items()}
    return OutcomeShares(
        device_s=tuple(joined),
        failed_frac=tuple(rounded([float(np.mean(ends == FAILED)) for ends in joined.values()])),
        cancelled_frac=tuple(rounded([float(np.mean(ends == CANCELLED)) for ends in joined.values()])),
        kind="calibrated",
        source=source,
    )


def given_outcome(tables: Sequence[JobTable], shares: Mapping[str, float], source: str) -> OutcomeShares:
    """Chances of outcomes that give published shares of jobs and of accelerator-seconds.

    The chance of each outcome over that of completing goes with a power of the accelerator-seconds w,
    ``p_o / p_completed = exp(a_o) w^b_o``: the least that four shares can tell, and just enough to meet them.

    Raises:
        InputError: shares that are missing, or that no such chances give.
    """
    device_s = np.concatenate([table.run_s * table.num_devices for table in tables])
    return tilted_outcome(device_s, np.ones(len(device_s)), shares, source, "published")


def tilted_outcome(
    device_s: NDArray[np.float64],
    weight: NDArray[np.float64],
    shares: Mapping[str, float],
    source: str,
    kind: Kind,
) -> OutcomeShares:
    """`given_outcome` for accelerator-seconds with a weight of each."""
    from scipy.optimize import least_squares

    if missing := [share for share in _SHARES if share not in shares]:
        raise InputError(
            Problem("outcome", missing[0], "found no such share", f"needed: {', '.join(_SHARES)}", "")
        )
    logs = np.log(device_s)
    grid = np.linspace(logs.min(), max(logs.max(), logs.min() + 1e-6), 400)
    place = np.clip(np.searchsorted(grid, logs), 0, len(grid) - 1)
    jobs = np.bincount(place, weight, len(grid)) / weight.sum()
    work = np.bincount(place, weight * device_s, len(grid))
    work = work / work.sum()
    at = np.linspace(grid[0], grid[-1], NUM_POINTS)
    centre = float(jobs @ grid)
    wanted = np.array([shares[share] for share in _SHARES])

    def chances(unknown: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
        odds = np.exp(np.clip(unknown[:2, None] + unknown[2:, None] * (points - centre), -50.0, 50.0))
        return np.asarray(odds / (1.0 + odds.sum(axis=0)))

    def miss(unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        kept = chances(unknown, at)  # what is drawn from lies on straight lines between the points
        failed, cancelled = (np.interp(grid, at, row) for row in kept)
        told = np.array([jobs @ failed, jobs @ cancelled, work @ failed, work @ cancelled])
        return np.asarray(told - wanted)

    found = least_squares(miss, np.array([-1.0, -1.0, 0.0, 0.0]), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    if (off := float(np.abs(found.fun).max())) > 1e-3:
        told = f"found shares that are missed by {off:.3g}"
        raise InputError(
            Problem("outcome", "", told, "shares that powers of the accelerator-seconds give", "")
        )
    failed, cancelled = chances(found.x, at)
    return OutcomeShares(
        device_s=tuple(rounded(np.exp(at).tolist())),
        failed_frac=tuple(rounded(failed.tolist())),
        cancelled_frac=tuple(rounded(cancelled.tolist())),
        kind=kind,
        source=source,
    )


def fit_limit(tables: Sequence[JobTable], source: str) -> LimitModel | None:
    """How much of their limit jobs use, and which limits are usual; None for a trace without limits.

    A usual limit is one that was rounded up, from somewhere between the usual one below it, or the run time, and
    itself: the geometric middle stands for it, or rounding would count twice.
    """
    run_s = np.concatenate([table.run_s for table in tables])
    limit_s = np.concatenate([table.limit_s for table in tables])
    limited = np.isfinite(limit_s)
    if not limited.any():
        return None
    values, counts = np.unique(limit_s[limited], return_counts=True)
    common = np.argsort(-counts, kind="stable")[:NUM_USUAL]
    usual = np.sort(values[common[counts[common] >= USUAL_FRAC * limited.sum()]])
    run, limit = run_s[limited], limit_s[limited]
    below = np.concatenate([[0.0], usual])[np.searchsorted(usual, limit)]
    meant = np.where(np.isin(limit, usual), np.sqrt(np.maximum(below, run) * limit), limit)
    return LimitModel(
        used_frac=curve_of(run / meant),
        usual_s=tuple(usual.tolist()),
        none_frac=rounded([1.0 - float(limited.mean())])[0],
        kind="calibrated",
        source=source,
    )


def fit_users(parts: Sequence[tuple[JobTable, NDArray[np.int64]]]) -> Users:
    """Number of users and the exponent of their shares of batches, by greatest likelihood."""
    from scipy.optimize import minimize_scalar

    counts: dict[str, int] = {}
    for table, batch in parts:
        _, first = np.unique(batch, return_index=True)
        codes, per_code = np.unique(table.user[first], return_counts=True)
        for code, count in zip(codes.tolist(), per_code.tolist(), strict=True):
            counts[table.users[code]] = counts.get(table.users[code], 0) + count
    ordered = np.array(sorted(counts.values(), reverse=True), dtype=float)
    logs = np.log(np.arange(1, len(ordered) + 1))

    def unlikely(exponent: float) -> float:
        return float(exponent * (ordered @ logs) + ordered.sum() * np.log(np.exp(-exponent * logs).sum()))

    best = minimize_scalar(unlikely, bounds=(0.0, 10.0), method="bounded").x if len(ordered) > 1 else 0.0
    return Users(num=len(ordered), exponent=rounded([float(best)])[0])
