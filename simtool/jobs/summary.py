"""What a table of jobs amounts to, in numbers."""

from __future__ import annotations

import numpy as np

from simtool.jobs.table import OUTCOMES, JobTable
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

RATE_JOBS, RATE_SPAN_S = 10, SECONDS_PER_DAY
"""Jobs and time that a rate a day takes at least: of an hour with two jobs it says nothing."""
QUANTILES = (0.5, 0.9, 0.99)


def describe(table: JobTable) -> dict[str, float]:
    """Counts, accelerator-hours, shares by outcome, and quantiles of sizes, run times and gaps.

    Args:
        table: at least one job.

    Returns:
        Numbers by name; names end in their unit. Rates a day are left out for few jobs or a short time, see
        `RATE_JOBS`; `limit_over_run` for jobs without limits.

    >>> told = describe(JobTable.of(submit_s=[0, 60], num_devices=[8, 1], run_s=[1800.0, 3600.0]))
    >>> told["num_jobs"], told["gpu_hours"], told["completed_jobs_frac"]
    (2.0, 5.0, 1.0)
    """
    device_s = table.num_devices * table.run_s
    told = {
        "num_jobs": float(len(table)),
        "num_users": float(len(np.unique(table.user))),
        "gpu_hours": table.gpu_hours,
        "span_d": table.span_s / SECONDS_PER_DAY,
        "largest_devices": float(table.num_devices.max()),
        "mean_devices": float(table.num_devices.mean()),
        "mean_run_s": float(table.run_s.mean()),
        "longest_run_s": float(table.run_s.max()),
    }
    if len(table) >= RATE_JOBS and table.span_s >= RATE_SPAN_S:
        told["jobs_per_day"] = (len(table) - 1) / table.span_s * SECONDS_PER_DAY
        # What a cluster without idle time would need to keep up with the submissions.
        told["mean_devices_busy"] = table.gpu_hours / (table.span_s / SECONDS_PER_HOUR)
    for code, word in enumerate(OUTCOMES):
        mine = table.outcome == code
        told[f"{word}_jobs_frac"] = float(mine.mean())
        told[f"{word}_gpu_hours_frac"] = float(device_s[mine].sum() / device_s.sum())
    for share in QUANTILES:
        told[f"devices_p{share * 100:g}"] = float(np.quantile(table.num_devices, share))
        told[f"run_s_p{share * 100:g}"] = float(np.quantile(table.run_s, share))
    limited = np.isfinite(table.limit_s)
    told["limited_jobs_frac"] = float(limited.mean())
    if limited.any():
        told["limit_over_run_p50"] = float(np.median(table.limit_s[limited] / table.run_s[limited]))
    return told
