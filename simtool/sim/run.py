"""Simulate jobs on a cluster: the one entry point of this room."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from simtool.errors import InfeasibleError, SimtoolError
from simtool.ledger import Ledger
from simtool.sim.clock import Clock
from simtool.sim.cluster import Cluster
from simtool.sim.failures import events, strike
from simtool.sim.guard import refuse_hopeless
from simtool.sim.hazards.events import job_events
from simtool.sim.job import Job
from simtool.sim.outcome import CauseOutcome, Event, JobOutcome, Outcome
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.schedulers import SCHEDULERS, SignalView
from simtool.units import display

__all__ = [
    "CauseOutcome",
    "CheckpointPlan",
    "ClusterPlan",
    "Event",
    "FailurePlan",
    "JobOutcome",
    "JobPlan",
    "Outcome",
    "WorkPhase",
    "simulate",
]

EVENTS_PER_REPORT = 1000
"""Progress is told at most once in as many events."""
MAX_EVENTS = 2_000_000
MAX_EVENTS_PER_JOB = 100
"""Together the default limit; some 16,000 nodes for a year stay far below it."""


def simulate(
    jobs: Sequence[JobPlan],
    cluster: ClusterPlan,
    checkpoint: CheckpointPlan,
    failures: FailurePlan,
    *,
    seed: int,
    run: int = 0,
    scheduler: str = "fcfs",
    signals: Mapping[str, SignalView] | None = None,
    progress: Callable[[float], None] | None = None,
    max_events: int | None = None,
) -> Outcome:
    """Run all jobs to their end.

    Args:
        jobs: in the order in which they queue if submitted at the same time.
        cluster: the nodes.
        checkpoint: how all jobs save their state.
        failures: what breaks.
        seed: of the scenario; a number for all runs of a study.
        run: index of the run; each has failures of its own, whatever the other runs are.
        scheduler: name of the plug-in that starts queued jobs.
        signals: what the scheduler may look at, by name.
        progress: told the share of all work that is done for good, from time to time.
        max_events: limit of simulated events.

    Raises:
        InputError: the plans contradict each other.
        InfeasibleError: a job does not fit, failures leave no progress, or `max_events` is exceeded.
        SimtoolError: an invariant broke, or the scheduler started what it may not.
    """
    refuse_hopeless(jobs, cluster, checkpoint, failures)
    limit = MAX_EVENTS + MAX_EVENTS_PER_JOB * len(jobs) if max_events is None else max_events
    clock, ledger = Clock(initial_time=0.0), Ledger()
    nodes = Cluster(cluster, failures, clock, ledger, SCHEDULERS[scheduler], signals or {})
    running = [
        Job(
            index,
            plan,
            checkpoint,
            failures,
            clock=clock,
            cluster=nodes,
            ledger=ledger,
            own_events=job_events(failures.hazards, plan.name, seed, run)
            if failures.hazards.job_causes
            else None,
        )
        for index, plan in enumerate(jobs)
    ]
    happenings = events(cluster, failures, seed, run)
    ahead_s = checkpoint.announced_s if failures.has_maintenance else 0.0
    clock.process(strike(clock, nodes, happenings, ahead_s))
    work_s = sum(job.course.total_work_s for job in running)
    num_events = 0
    while nodes.num_ended < len(running):
        if clock.peek() == math.inf:
            raise SimtoolError(f"simulation: jobs wait at {clock.now} s and nothing is left to happen")
        clock.step()
        num_events += 1
        if progress is not None and num_events % EVENTS_PER_REPORT == 0:
            progress(nodes.saved_work_s / work_s)
        if num_events > limit:
            raise _out_of_events(limit, clock.now, nodes.saved_work_s / work_s)
    nodes.close()
    outcome = Outcome(
        ledger=ledger,
        events=tuple(nodes.events),
        jobs=tuple(job.outcome() for job in running),
        end_s=clock.now,
        num_devices=cluster.num_devices,
        num_failures=nodes.num_failures,
        num_events=num_events,
    )
    ledger.check_conservation(outcome.end_s, outcome.num_devices)
    return outcome


def _out_of_events(num_events: int, now_s: float, done_frac: float) -> InfeasibleError:
    return InfeasibleError(
        "number of events",
        f"after {num_events:,} events, at {display(now_s, 's')}, {100.0 * done_frac:.3g} % of the work is "
        "saved; failures leave too little progress",
    )
