"""Cutting the jobs of a trace into batches, and telling clockwork from people.

A batch is what one user submits in one go: jobs of one size, a few seconds or minutes apart. Some jobs come
by the clock (a monitor that tries the cluster every ten minutes): alone, alike, always the same time apart.
A run of these is a batch too, of a kind of its own, or they would make people look regular.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.jobs.table import JobTable
from simtool.units import SECONDS_PER_MINUTE

BATCH_GAP_S = 5.0 * SECONDS_PER_MINUTE
"""Jobs of one user and size at most this far apart are one batch. On the fitting months of Philly the number
of batches a day is then steady (200 to 290), while that of jobs varies twentyfold."""
CLOCK_TOLERANCE_S = 2.0
"""How far a job that comes by the clock is off; submissions are logged in whole seconds."""
CLOCK_FRAC = 0.1
"""Share of the gaps between lonely jobs of a user that one length must have to be a clock's."""
CLOCK_CHAIN = 3
"""Jobs in a row that a clock must have given."""
ALIKE_LOG = 0.3
"""Difference in log run time up to which jobs count as the same program."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batches:
    """The batches of a table."""

    of_job: NDArray[np.int64]
    """Number of the batch of each job."""
    by_clock: NDArray[np.bool_]
    """Of each batch, whether its jobs came by the clock."""
    begin_s: NDArray[np.float64]
    num_jobs: NDArray[np.int64]


def batches_of(jobs: JobTable, gap_s: float = BATCH_GAP_S) -> Batches:
    """Cut a table into batches.

    Args:
        jobs: at least one.
        gap_s: between jobs of one batch at most [s].

    >>> jobs = JobTable.of(submit_s=[0, 10, 20, 900], num_devices=[1, 8, 1, 1], run_s=60.0)
    >>> batches_of(jobs).of_job.tolist()
    [0, 2, 0, 1]
    """
    chain = _clock_chains(jobs, gap_s)
    people = chain < 0
    batch = np.empty(len(jobs), dtype=np.int64)
    order, fresh = _cut(jobs, np.flatnonzero(people), gap_s)
    batch[order] = np.cumsum(fresh) - 1
    num_people = int(fresh.sum())
    batch[~people] = num_people + chain[~people]
    num_jobs = np.bincount(batch)
    begin_s = np.full(len(num_jobs), np.inf)
    np.minimum.at(begin_s, batch, jobs.submit_s)
    by_clock = np.arange(len(num_jobs)) >= num_people
    return Batches(of_job=batch, by_clock=by_clock, begin_s=begin_s, num_jobs=num_jobs)


def _cut(
    jobs: JobTable, rows: NDArray[np.int64], gap_s: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows by user, size and time, and which of them begin a batch."""
    order = rows[np.lexsort((jobs.submit_s[rows], jobs.num_devices[rows], jobs.user[rows]))]
    user, size, submit = jobs.user[order], jobs.num_devices[order], jobs.submit_s[order]
    fresh = np.ones(len(order), dtype=bool)
    fresh[1:] = (np.diff(user) != 0) | (np.diff(size) != 0) | (np.diff(submit) > gap_s)
    return order, fresh


def _clock_chains(jobs: JobTable, gap_s: float) -> NDArray[np.int64]:
    """Number of the chain of each job that comes by the clock, -1 for the others."""
    chain = np.full(len(jobs), -1, dtype=np.int64)
    lonely = _lonely(jobs, gap_s)
    if not len(lonely):
        return chain
    order = lonely[np.lexsort((jobs.submit_s[lonely], jobs.num_devices[lonely], jobs.user[lonely]))]
    key = jobs.user[order].astype(np.int64) * (int(jobs.num_devices.max()) + 1) + jobs.num_devices[order]
    num_chains = 0
    for same in np.split(order, np.flatnonzero(np.diff(key)) + 1):
        submit, log_run = jobs.submit_s[same], np.log(jobs.run_s[same])
        period_s = _period_s(np.diff(submit), gap_s)
        if period_s is None:
            continue
        # The next beat may stand behind other lonely jobs: it is looked for at its time.
        after = np.searchsorted(submit, submit + period_s - CLOCK_TOLERANCE_S)
        after = np.minimum(after, len(submit) - 1)
        beats = (np.abs(submit[after] - submit - period_s) <= CLOCK_TOLERANCE_S) & (
            np.abs(log_run[after] - log_run) <= ALIKE_LOG
        )
        label = np.arange(len(same))
        for row in np.flatnonzero(beats).tolist():
            label[after[row]] = label[row]
        _, places, counts = np.unique(label, return_inverse=True, return_counts=True)
        long = counts[places] >= CLOCK_CHAIN
        _, numbers = np.unique(places[long], return_inverse=True)
        chain[same[long]] = num_chains + numbers
        num_chains += int(numbers.max()) + 1 if len(numbers) else 0
    return chain


def _lonely(jobs: JobTable, gap_s: float) -> NDArray[np.int64]:
    """Rows without another job of like run time, user and size within the gap."""
    octave = np.floor(np.log(jobs.run_s) / (2.0 * ALIKE_LOG)).astype(np.int64)
    alone = np.ones(len(jobs), dtype=bool)
    for shift in (0, 1):  # bins of twice the width, half overlapping: neighbours meet in one of both
        bins = (
            octave if shift == 0 else np.floor(np.log(jobs.run_s) / (2.0 * ALIKE_LOG) + 0.5).astype(np.int64)
        )
        order = np.lexsort((jobs.submit_s, bins, jobs.num_devices, jobs.user))
        near = (
            (np.diff(jobs.user[order]) == 0)
            & (np.diff(jobs.num_devices[order]) == 0)
            & (np.diff(bins[order]) == 0)
            & (np.diff(jobs.submit_s[order]) <= gap_s)
        )
        alone[order[1:][near]] = False
        alone[order[:-1][near]] = False
    return np.flatnonzero(alone)


def _period_s(gaps_s: NDArray[np.float64], gap_s: float) -> float | None:
    """The one length that many gaps have [s], if it is longer than those inside batches."""
    whole = np.rint(gaps_s[gaps_s > gap_s])
    if len(whole) < CLOCK_CHAIN:
        return None
    lengths, counts = np.unique(whole, return_counts=True)
    best = int(np.argmax(counts))
    near = np.abs(lengths - lengths[best]) <= CLOCK_TOLERANCE_S
    return float(lengths[best]) if counts[near].sum() >= max(CLOCK_FRAC * len(gaps_s), CLOCK_CHAIN) else None
