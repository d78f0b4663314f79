"""A campaign as jobs: runs that somebody plans, with what the step model says of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from simtool.errors import InputError, Problem
from simtool.jobs.table import JobTable


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRow:
    """One planned run, priced: how many accelerators for how long."""

    name: str
    model: str
    """Becomes the job's group."""
    submit_s: float
    """Since the campaign's start [s]."""
    num_devices: int
    run_s: float
    """At full speed [s]."""
    limit_s: float = math.inf
    deadline_s: float = math.inf
    """Since the campaign's start [s]."""
    priority: int = 0
    preemptible: bool = False
    min_devices: int | None = None
    """Of an elastic run; `num_devices` if not given."""
    max_devices: int | None = None
    accelerator: str = ""
    """Type that it is tied to; any if empty."""
    user: str = "campaign"


def campaign_table(rows: Sequence[CampaignRow], *, start: datetime | None = None) -> JobTable:
    """The runs of a campaign as jobs that complete.

    Args:
        rows: in any order.
        start: moment of second 0, with a time zone.

    Raises:
        InputError: no row, or rows that are no jobs.

    >>> row = CampaignRow(name="7b", model="llama2-7b", submit_s=0.0, num_devices=64, run_s=7200.0)
    >>> campaign_table([row]).gpu_hours
    128.0
    """
    if not rows:
        raise InputError(Problem("campaign", "", "found no run", "at least one", ""))
    return JobTable.of(
        name=[row.name for row in rows],
        submit_s=[row.submit_s for row in rows],
        num_devices=[row.num_devices for row in rows],
        run_s=[row.run_s for row in rows],
        limit_s=[row.limit_s for row in rows],
        deadline_s=[row.deadline_s for row in rows],
        priority=[row.priority for row in rows],
        preemptible=[row.preemptible for row in rows],
        min_devices=[row.num_devices if row.min_devices is None else row.min_devices for row in rows],
        max_devices=[row.num_devices if row.max_devices is None else row.max_devices for row in rows],
        accelerator=[row.accelerator for row in rows],
        group=[row.model for row in rows],
        user=[row.user for row in rows],
        start=start,
        place="campaign",
    )
