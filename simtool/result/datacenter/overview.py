"""What a reader asks first of a datacenter's run, in few rows: where device time went, what failed, who waited."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simtool.account.bill_text import bill_rows
from simtool.ledger import LEDGER_STATES
from simtool.ledger.sums import FloatArray
from simtool.result.datacenter.columns import Column
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.summary import rounded
from simtool.units import SECONDS_PER_HOUR

SIZES = (1, 8, 64, 512)
"""Largest number of accelerators of every class of jobs but the last."""


def by_state(result: DatacenterResult) -> list[dict[str, Any]]:
    """Accelerator-hours and IT energy of every state that occurs."""
    hours: dict[str, float] = {}
    joules: dict[str, float] = {}
    for ledger in result.outcome.ledgers.values():
        for state, seconds in ledger.device_s_by("state").items():
            hours[state] = hours.get(state, 0.0) + seconds / SECONDS_PER_HOUR
        for state, energy in ledger.energy_j_by("state").items():
            joules[state] = joules.get(state, 0.0) + energy
    return [
        {
            "state": state,
            "accelerator_hours": rounded(hours[state]),
            "energy_it_j": rounded(joules.get(state, 0.0)),
        }
        for state in LEDGER_STATES
        if hours.get(state)
    ]


def by_cause(interruptions: Mapping[str, Column]) -> list[dict[str, Any]]:
    """Interruptions by cause, most lost accelerator-hours first.

    Args:
        interruptions: of `simtool.result.datacenter.tables.interruption_columns`.
    """
    causes = np.array(interruptions["cause"], dtype=object)
    rows = [
        {
            "cause": str(cause),
            "num_events": int((causes == cause).sum()),
            "num_jobs": int(np.asarray(interruptions["num_jobs"])[causes == cause].sum()),
            **{
                name: rounded(float(np.asarray(interruptions[name])[causes == cause].sum()))
                for name in ("lost_work_accelerator_hours", "restart_accelerator_hours")
            },
        }
        for cause in dict.fromkeys(causes.tolist())
    ]
    return sorted(rows, key=lambda row: -row["lost_work_accelerator_hours"])


def by_size(result: DatacenterResult) -> list[dict[str, Any]]:
    """Waits for the first start by class of size, of the jobs that started; percentiles are waits that a job had."""
    outcome = result.outcome
    started = ~np.isnan(outcome.start_s)
    waited_s = (outcome.start_s - outcome.submit_s)[started]
    asked = result.jobs.table.num_devices
    sizes = np.searchsorted(SIZES, asked[started], side="left")
    everyone = np.searchsorted(SIZES, asked, side="left")
    rows = []
    for index in range(len(SIZES) + 1):
        mine = waited_s[sizes == index]
        if not (everyone == index).any():
            continue
        known = len(mine) > 0
        rows.append(
            {
                "accelerators": size_words(index),
                "num_jobs": int((everyone == index).sum()),
                "num_started": len(mine),
                "wait_mean_s": rounded(float(mine.mean())) if known else None,
                "wait_p50_s": _nearest(mine, 50) if known else None,
                "wait_p90_s": _nearest(mine, 90) if known else None,
            }
        )
    return rows


def _nearest(values: FloatArray, percent: float) -> float:
    return rounded(float(np.percentile(values, percent, method="inverted_cdf")))


def size_words(index: int) -> str:
    """A class of sizes as people say it.

    >>> [size_words(index) for index in range(5)]
    ['1', '2 to 8', '9 to 64', '65 to 512', 'above 512']
    """
    if index == len(SIZES):
        return f"above {SIZES[-1]}"
    low = 1 if index == 0 else SIZES[index - 1] + 1
    return str(low) if low == SIZES[index] else f"{low} to {SIZES[index]}"


def bill_lines(result: DatacenterResult) -> list[dict[str, Any]]:
    """All lines of all bills, each with its site."""
    return [
        {"site": one.name}
        | {key: cell if isinstance(cell, str) else rounded(float(cell)) for key, cell in row.items()}
        for one in result.sites
        for row in bill_rows(one.bill)
    ]
