"""What a fleet did over time: who held devices and when, the queue, devices and power by state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtool.ledger import LEDGER_STATES, Ledger
from simtool.ledger.sums import FloatArray, IntArray, sum_by_key
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.steps import Steps, counted, total
from simtool.sim.fleet.outcome import FleetOutcome

GROUPS: dict[str, tuple[str, ...]] = {
    "compute": ("compute",),
    "waiting": ("exposed_communication", "bubble"),
    "saving": ("checkpoint", "restart"),
    "lost_work": ("lost_work",),
    "idle": ("idle",),
    "down": ("down",),
}
"""States as tables and figures group them. Waiting: devices of a running job that wait for others, for data or for
messages. Saving: checkpoints, and restarts from them. Idle: no job holds them, or their job waits for others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """Stretches in which a job held devices without a break; arrays of equal length."""

    job: IntArray
    """Index among the outcome's jobs."""
    pool: IntArray
    """Index among the outcome's pools."""
    begin_s: FloatArray
    end_s: FloatArray
    num_devices: IntArray
    """At its begin."""
    device_s: FloatArray


def pool_names(site: SiteAccounts) -> list[str]:
    """Pools that stand at a site."""
    return [pool.name for pool in site.pools]


def job_rows(outcome: FleetOutcome, pool: str) -> IntArray:
    """Row among the outcome's jobs of every job number of a pool's ledger table; -1 for no job."""
    row_of = {name: row for row, name in enumerate(outcome.names)}
    return np.array([-1, *(row_of[name] for name in outcome.ledgers[pool].jobs)], np.int64)


def holdings(outcome: FleetOutcome) -> Holdings:
    """All stretches in which jobs held devices, pool after pool, job after job."""
    found = [_of_pool(outcome, pool, index) for index, pool in enumerate(outcome.ledgers)]
    names = Holdings.__dataclass_fields__
    return Holdings(**{name: np.concatenate([getattr(one, name) for one in found]) for name in names})


def _of_pool(outcome: FleetOutcome, pool: str, index: int) -> Holdings:
    table = outcome.ledgers[pool].table
    held = np.flatnonzero(table.job > 0)
    held = held[np.lexsort((table.begins[held], table.job[held]))]
    job, begins, ends = table.job[held], table.begins[held], table.ends[held]
    num_times = len(table.breakpoints_s) + 1
    # Ends as ranks that jobs do not share, so that one running maximum serves all jobs.
    latest = np.maximum.accumulate(ends + job * num_times) if len(job) else ends
    is_new = np.ones(len(job), np.bool_)
    is_new[1:] = begins[1:] + job[1:] * num_times > latest[:-1]
    first = np.flatnonzero(is_new)
    number = np.cumsum(is_new) - 1
    last = np.append(first[1:], len(job)) - 1
    end = latest[last] - job[last] * num_times if len(first) else last
    length_s = table.t1_s[held] - table.t0_s[held]
    return Holdings(
        job=job_rows(outcome, pool)[job[first]],
        pool=np.full(len(first), index, np.int64),
        begin_s=table.t0_s[held][first],
        end_s=table.breakpoints_s[end] if len(first) else np.zeros(0),
        num_devices=table.num_devices[held][first],
        device_s=sum_by_key(number, table.num_devices[held] * length_s, len(first)),
    )


def running(outcome: FleetOutcome, held: Holdings, pools: Sequence[str] | None = None) -> Steps:
    """Jobs that hold devices, of some pools or of all."""
    names = list(outcome.ledgers)
    mine = np.isin(held.pool, [names.index(pool) for pool in (names if pools is None else pools)])
    return counted(held.begin_s[mine], held.end_s[mine], outcome.end_s)


def waiting(outcome: FleetOutcome, held: Holdings) -> Steps:
    """Jobs in the queue: those that have come and not ended, less those that hold devices.

    A job whose devices are all on failed nodes holds none, also while nobody has noticed.
    """
    came = outcome.submit_s < outcome.end_s
    ended_s = np.where(np.isnan(outcome.finish_s), outcome.end_s, outcome.finish_s)
    present = counted(outcome.submit_s[came], ended_s[came], outcome.end_s)
    busy = running(outcome, held)
    difference = total([present, Steps(busy.times_s, -busy.values)], 0.0, outcome.end_s)
    return Steps(difference.times_s, np.maximum(difference.values, 0.0))


def devices(outcome: FleetOutcome, pools: Sequence[str], *, held: bool = False, state: str = "") -> Steps:
    """Devices that jobs hold, or that are in one state, of some pools."""
    parts = []
    for pool in pools:
        table = outcome.ledgers[pool].table
        rate = table.num_devices.astype(np.float64)
        if held:
            rate = np.where(table.job > 0, rate, 0.0)
        if state:
            rate = rate * _state_frac(outcome.ledgers[pool], state)[table.pattern]
        parts.append(Steps(table.breakpoints_s, table.step_function(rate)))
    return total(parts, 0.0, outcome.end_s)


def _state_frac(ledger: Ledger, state: str) -> FloatArray:
    """Share of devices in a state, of every pattern."""
    return np.array(
        [
            sum(share.device_frac for share in pattern.shares if share.state == state)
            for pattern in ledger.patterns
        ]
    )


def power(outcome: FleetOutcome, pools: Sequence[str], states: tuple[str, ...] = LEDGER_STATES) -> Steps:
    """IT power of devices in some states, of some pools [W]."""
    return total(
        [
            Steps(ledger.breakpoints_s, ledger.power_w(state=states))
            for ledger in (outcome.ledgers[pool] for pool in pools)
        ],
        0.0,
        outcome.end_s,
    )
