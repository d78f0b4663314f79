"""How the shipped generators came about: one fitted to a trace, one shaped after published figures."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.special import ndtri

from simtool.errors import InputError, Problem
from simtool.jobs.batches import BATCH_GAP_S
from simtool.jobs.curves import LEVELS_PERCENT, mean_of, rounded
from simtool.jobs.files import read_jobs
from simtool.jobs.fit import fit_generator
from simtool.jobs.fit_shares import tilted_outcome
from simtool.jobs.generator import Generator, LimitModel
from simtool.jobs.table import JobTable
from simtool.units import SECONDS_PER_HOUR

_USUAL_H = (0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 24.0, 48.0, 72.0, 168.0, 336.0, 720.0)
ASSUMED_LIMIT = LimitModel(
    used_frac=tuple(max(level, LEVELS_PERCENT[1]) / LEVELS_PERCENT[-1] for level in LEVELS_PERCENT),
    usual_s=tuple(hours * SECONDS_PER_HOUR for hours in _USUAL_H),
    none_frac=0.0,
    kind="assumed",
    source="run time over limit is uniform, as Mu'alem and Feitelson found it for the IBM SP2 (IEEE TPDS 12(6), 2001); "
    "round limits of half an hour to 30 days are assumed",
)
"""Limits for traces that tell none."""

PHILLY_SOURCE = "Philly trace (CC BY 4.0), Jeon et al., ATC 2019, extract of petuum/adaptdl (osdi21-artifact)"
ACME_SOURCE = (
    "AcmeTrace data/cluster_summary.csv (CC BY 4.0), Hu et al., Characterization of Large Language Model Development "
    "in the Datacenter, NSDI 2024"
)
ACME_DAYS = 184.0
"""March to August 2023, the months of the trace as its paper tells them."""
_POINTS = 50
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PHILLY_STRETCHES = (
    ((9, 25), (10, 1)),
    ((10, 1), (11, 1)),
    ((11, 1), (12, 1)),
    ((12, 1), (12, 9)),
    ((12, 15), (12, 22)),
)
"""From when the log holds all jobs (a few a day before) to its last whole day, without the days from 9 December,
on which next to nothing was logged."""


def philly_months(trace: Path) -> dict[str, tuple[JobTable, ...]]:
    """The stretches of the Philly trace that are whole, by month."""
    jobs = read_jobs(trace, "philly")
    first = jobs.start or _EPOCH
    months: dict[str, tuple[JobTable, ...]] = {}
    for begin, end in _PHILLY_STRETCHES:
        edges_s = [(datetime(2017, *day, tzinfo=UTC) - first).total_seconds() for day in (begin, end)]
        months[f"2017-{begin[0]:02}"] = (*months.get(f"2017-{begin[0]:02}", ()), jobs.between(*edges_s))
    return months


def fit_philly(trace: Path, acme_summary: Path, without: str = "") -> Generator:
    """A generator of Philly's jobs.

    Args:
        trace: the Parquet file of the trace.
        acme_summary: shares of outcomes, which the extract of the trace lacks.
        without: a month to leave out, such as ``2017-11``.
    """
    months = philly_months(trace)
    return fit_generator(
        [part for month, parts in months.items() if month != without for part in parts],
        name="philly-2017",
        title="Jobs of Microsoft's Philly cluster, 25 September to 22 December 2017",
        source=PHILLY_SOURCE,
        outcome=_shares(acme_summary, "Philly"),
        outcome_source=f"{ACME_SOURCE}: row Philly",
        limit=ASSUMED_LIMIT,
        notes="Hours are those of the trace's own clock. Users are virtual clusters. 9 to 14 December are left out: "
        "next to nothing was logged.",
    )


def shape_acme(acme_summary: Path) -> Generator:
    """A generator with the mean figures of Acme's Seren cluster, whose trace is not used.

    Sizes are powers of two with shares that fall by one ratio; run times are lognormal, their median a power
    of the size. Four numbers meet four figures: mean size, mean and median run time, accelerator-seconds a job.
    Jobs come one by one, at an even rate: nothing is known of that.
    """
    from scipy.optimize import least_squares

    row = _row(acme_summary, "Seren")
    sizes = 2 ** np.arange(int(np.log2(row["max_gpu"])) + 1)
    work = sum(row[f"{end}_gpu_time"] for end in ("complete", "cancel", "fail")) / row["gpu_job_num"]
    wanted = np.log([row["avg_gpu_num"], row["avg_run_time_gpu"], work])

    def shape(unknown: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        share = sizes.astype(float) ** -np.exp(unknown[0])
        medians = np.exp(unknown[1]) * sizes ** unknown[2]
        levels = np.clip(np.asarray(LEVELS_PERCENT) / LEVELS_PERCENT[-1], 1e-4, 1.0 - 1e-4)
        curves = medians[:, None] * np.exp(np.exp(unknown[3]) * ndtri(levels))
        return share / share.sum(), np.clip(curves, 1.0, row["max_run_time_gpu"])

    def miss(unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        share, curves = shape(unknown)
        means = np.array([mean_of(LEVELS_PERCENT, curve.tolist()) for curve in curves])
        at = np.log1p(row["med_run_time_gpu"])
        below = [np.interp(at, np.log1p(curve), LEVELS_PERCENT) / LEVELS_PERCENT[-1] for curve in curves]
        told = np.log([share @ sizes, share @ means, share @ (sizes * means)])
        return np.append(told - wanted, share @ below - 0.5)

    found = least_squares(
        miss, np.array([0.3, np.log(row["med_run_time_gpu"]), 0.3, 0.6]), xtol=1e-12, ftol=1e-12
    )
    share, curves = shape(found.x)
    levels = np.asarray(LEVELS_PERCENT) / LEVELS_PERCENT[-1]
    inside = (
        np.arange(_POINTS) + 0.5
    ) / _POINTS  # of every stretch between levels: the last holds most of the work
    middles = (levels[:-1, None] + np.diff(levels)[:, None] * inside).reshape(-1)
    weight = np.repeat(np.diff(levels) / _POINTS, _POINTS)
    device_s = [
        size * np.expm1(np.interp(middles, levels, np.log1p(curve)))
        for size, curve in zip(sizes, curves, strict=True)
    ]
    even = tuple(-np.log1p(-np.clip(levels, 0.0, 1.0 - 1e-4)))
    return Generator.model_validate(
        {
            "schema": "simtool/jobs/1",
            "name": "acme-seren-2023",
            "title": "Jobs with the mean figures of Acme's Seren cluster, 2023",
            "kind": "published",
            "source": f"{ACME_SOURCE}: row Seren",
            "notes": "Shaped after means, medians and shares; the trace itself was not used. Arrivals without batches, "
            "hours and weekdays, the form of sizes and run times, and a hundred users are assumptions.",
            "batch_gap_s": BATCH_GAP_S,
            "levels_percent": LEVELS_PERCENT,
            "hour_frac": (1.0,) * 24,
            "weekday_frac": (1.0,) * 7,
            "batches": {
                "single": {
                    "per_day": rounded([row["gpu_job_num"] / ACME_DAYS])[0],
                    "week_spread": 0.0,
                    "gap": tuple(rounded(list(even))),
                    "num_jobs": (1.0,) * len(LEVELS_PERCENT),
                    "job_gap_s": (0.0,) * len(LEVELS_PERCENT),
                    "job_gap_alike": 0.0,
                    "sizes": tuple(sizes.tolist()),
                    "size_frac": tuple(rounded(share.tolist())),
                    "run_from": tuple(sizes.tolist()),
                    "run_s": tuple(tuple(rounded(curve.tolist())) for curve in curves),
                    "alike_frac": 0.0,
                    "alike": 0.0,
                    "week_alike": 0.0,
                }
            },
            "users": {"num": 100, "exponent": 1.0},
            "outcome": tilted_outcome(
                np.concatenate(device_s),
                np.outer(share, weight).reshape(-1),
                _shares(acme_summary, "Seren"),
                f"{ACME_SOURCE}: row Seren",
                "published",
            ),
            "limit": ASSUMED_LIMIT,
        }
    )


def generator_yaml(generator: Generator, headline: str) -> str:
    """The file of a generator: rows of numbers on lines of their own."""
    data: dict[str, Any] = generator.model_dump(by_alias=True, exclude_none=True, mode="json")
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=118, default_flow_style=None)
    return f"# {headline}\n{text}"


def _row(acme_summary: Path, cluster: str) -> dict[str, float]:
    with acme_summary.open(encoding="utf-8", newline="") as file:
        rows = {row.pop("id"): row for row in csv.DictReader(file)}
    if cluster not in rows:
        raise InputError(Problem(str(acme_summary), "id", f"found no row {cluster}", "", ""))
    return {column: float(text) for column, text in rows[cluster].items() if text}


def _shares(acme_summary: Path, cluster: str) -> Mapping[str, float]:
    """Shares of failed and cancelled jobs; the three of each kind add up to 1 within rounding."""
    row = _row(acme_summary, cluster)
    return {
        "failed_jobs": row["fail_rate_gpu"],
        "cancelled_jobs": row["cancel_rate_gpu"],
        "failed_device_s": row["fail_rate_gpu_time"],
        "cancelled_device_s": row["cancel_rate_gpu_time"],
    }
