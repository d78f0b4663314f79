"""Simulate a fleet: the one entry point of this room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.jobs.table import JobTable
from simtool.ledger.sums import IntArray
from simtool.sim.fleet.closing import outcome_of
from simtool.sim.fleet.fleet import Fleet
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, NodeEvent
from simtool.sim.schedulers import SignalView

__all__ = ["refuse_too_large", "simulate_fleet"]


def simulate_fleet(
    jobs: JobTable,
    plan: FleetPlan,
    *,
    kinds: ArrayLike = 0,
    node_events: Mapping[str, Iterable[NodeEvent]] | None = None,
    job_events: Callable[[str], Iterator[NodeEvent]] | None = None,
    signals: Mapping[str, Mapping[str, SignalView]] | None = None,
    end_s: float = math.inf,
    progress: Callable[[float], None] | None = None,
) -> FleetOutcome:
    """Run all jobs, or as much of them as happens until `end_s`.

    Args:
        jobs: in order of submission, which is also the order of those submitted at the same time.
        plan: the fleet and its rules.
        kinds: index of each job's kind, shape (jobs,); one number for all.
        node_events: what happens to the nodes of each pool, in order of time.
        job_events: software failures of a job by its name, by time since it first started.
        signals: what the scheduler may look at, by pool and name.
        end_s: end of the simulation [s]; infinite: when the last job has ended.
        progress: told the share of jobs that have ended, from time to time.

    Raises:
        InputError: no job, or a kind that the plan does not have.
        InfeasibleError: a job does not fit any of its pools, or the power limit is below what idle devices draw.
        SimtoolError: an invariant broke, or the scheduler did what it may not.
    """
    if len(jobs) == 0:
        raise InputError(Problem("fleet", "jobs", "found none", "at least one job"))
    if not end_s > 0.0:
        raise InputError(Problem("fleet", "end_s", f"found {end_s}", "above 0 s"))
    codes = np.broadcast_to(np.asarray(kinds, np.int64), (len(jobs),))
    if codes.min() < 0 or codes.max() >= len(plan.kinds):
        found = f"found {codes.min()} to {codes.max()}"
        raise InputError(Problem("fleet", "kinds", found, f"0 to {len(plan.kinds) - 1}"))
    refuse_too_large(jobs, plan, codes)
    fleet = Fleet(jobs, codes.tolist(), plan, node_events or {}, signals or {}, end_s, job_events)
    fleet.run(progress)
    return outcome_of(fleet)


def refuse_too_large(jobs: JobTable, plan: FleetPlan, codes: IntArray) -> None:
    """Refuse jobs that need more devices than any pool that they may run on has.

    Args:
        jobs: all jobs.
        plan: its pools and kinds.
        codes: index of each job's kind, shape (jobs,).

    Raises:
        InfeasibleError: there is such a job; the largest is named.
    """
    room = np.array(
        [
            max(pool.num_devices for pool, use in zip(plan.pools, kind.uses, strict=True) if use)
            for kind in plan.kinds
        ]
    )[codes]
    least = np.minimum(jobs.min_devices, jobs.num_devices)
    if (least > room).any():
        worst = int(np.argmax(least - room))
        many = int((least > room).sum())
        raise InfeasibleError(
            "number of devices",
            f"job {jobs.name[worst]!r} needs {least[worst]:,} devices and can have {room[worst]:,}"
            + (f"; {many - 1:,} other jobs are too large as well" if many > 1 else ""),
            ("more nodes", "leave those jobs out"),
        )
