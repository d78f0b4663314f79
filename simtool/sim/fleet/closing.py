"""The end of a simulated fleet: closing the books, and saying why nothing goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from simtool.errors import InfeasibleError, InputError, Problem, SimtoolError
from simtool.sim.fleet.outcome import UNFINISHED, FleetOutcome
from simtool.units import display

if TYPE_CHECKING:
    from simtool.sim.fleet.fleet import Fleet


def stuck(fleet: Fleet) -> SimtoolError:
    """Jobs wait, and nothing is left to happen."""
    pool, job = min(
        ((pool, job) for pool in fleet.pools for job in pool.queue), key=lambda found: found[1].job
    )
    waits = f"job {fleet.table.name[job.job]!r} waits since {display(fleet.since_s[job.job], 's')}"
    least = job.min_devices or job.num_devices
    if least > pool.num_devices - pool.down.num:
        return InfeasibleError(
            "devices that never come back",
            f"{waits} for {least:,} devices of pool {pool.plan.name!r}, of which "
            f"{pool.down.num:,} are down for ever",
            ("a finite repair time", "more spare nodes"),
        )
    if job.least_power_w > fleet.spare_power_w:
        return InfeasibleError(
            "power limit",
            f"{waits} for {display(job.least_power_w, 'W')} more than idle devices "
            f"draw, and the limit leaves {display(max(fleet.spare_power_w, 0.0), 'W')}",
            ("a higher limit", "fewer devices for that job"),
        )
    return InputError(
        Problem(
            f"scheduler {fleet.plan.scheduler!r}",
            "start",
            f"{waits}, and nothing else is left to happen",
            "every job that fits is started at some time",
            "correct or change the scheduler",
        )
    )


def close(fleet: Fleet, end_s: float) -> None:
    """Bring all books up to the end."""
    fleet.end_s = end_s
    for number, job in sorted(fleet.running.items()):
        job.finish(end_s)
        fleet.status[number] = UNFINISHED
    for number, (pending, _) in fleet.carried.items():
        for (t0_s, t1_s, pattern, _), devices, books in pending:
            books.add(t0_s, t1_s, number, pattern, devices)
    for pool in fleet.pools:
        pool.settle_idle(end_s)
        pool.settle_down(end_s)
        for waiting in pool.queue:
            number = waiting.job
            fleet.waited_s[number] += end_s - fleet.since_s[number]
            fleet.since_s[number] = end_s
            if number in fleet.durable_s:
                fleet.status[number] = UNFINISHED


def outcome_of(fleet: Fleet) -> FleetOutcome:
    """What became of it all."""
    num = len(fleet.kind_of)
    ledgers = {pool.plan.name: pool.books.ledger(fleet.table.name) for pool in fleet.pools}
    for number, job in fleet.running.items():
        if job.num_interruptions:
            fleet.interrupted[number] = fleet.interrupted.get(number, 0) + job.num_interruptions
    for pool in fleet.pools:
        ledgers[pool.plan.name].check_conservation(fleet.end_s, pool.plan.total_devices)
    return FleetOutcome(
        end_s=fleet.end_s,
        ledgers=ledgers,
        num_devices={pool.plan.name: pool.plan.total_devices for pool in fleet.pools},
        names=fleet.table.name,
        submit_s=fleet.table.submit_s,
        deadline_s=fleet.table.deadline_s,
        devices=np.array(fleet.devices, np.int64),
        start_s=np.array(fleet.start_s),
        finish_s=np.array(fleet.finish_s),
        waited_s=np.array(fleet.waited_s),
        status=np.frombuffer(bytes(fleet.status), np.int8),
        pool=np.array(fleet.pool_of, np.int16),
        num_preemptions=_counts(fleet.preempted, num),
        num_moves=_counts(fleet.moves.num, num),
        num_interruptions=_counts(fleet.interrupted, num),
        interruptions=tuple(fleet.breakage.interruptions),
        moved_bytes=fleet.moves.num_bytes,
        num_events=fleet.num_events,
    )


def _counts(found: Mapping[int, int], num: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    counts = np.zeros(num, np.int64)
    for number, count in found.items():
        counts[number] = count
    return counts
