"""Refusing, before anything runs, what can never finish, and naming the limit that binds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.sim.equivalent import of_down_nodes, of_interruptions
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan
from simtool.sim.theory import availability_frac, daly_interval_s, running_goodput_frac
from simtool.units import display

SMALLEST_GOODPUT_FRAC = 1e-3
"""Below this expected share of useful time, a run is refused: it would take a thousand times its work."""
GOOD_FRAC = 0.5
"""What a suggested plan shall at least reach."""


def refuse_hopeless(
    jobs: Sequence[JobPlan], cluster: ClusterPlan, checkpoint: CheckpointPlan, failures: FailurePlan
) -> None:
    """Refuse jobs that do not fit the cluster, and those that failures keep from ever finishing.

    Raises:
        InputError: no job, or two of one name.
        InfeasibleError: more nodes than the cluster has, or an expected goodput below a thousandth.
    """
    names = [job.name for job in jobs]
    if not names:
        raise InputError(Problem("simulation", "jobs", "found none", "at least one job"))
    if len(set(names)) < len(names):
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise InputError(Problem("simulation", "jobs", f"found {twice!r} twice", "different names"))
    for job in jobs:
        if job.num_nodes > cluster.num_nodes:
            raise InfeasibleError(
                "number of nodes",
                f"{job.name!r} needs {job.num_nodes:,} nodes, the cluster has {cluster.num_nodes:,} "
                f"and {cluster.spare_nodes:,} spares",
            )
        if failures.is_random:
            mean = of_interruptions(failures, job.num_nodes)
            if mean.rate_per_node_s and _mean_failures_of_one_try(job, checkpoint, mean) > 1.0:
                _refuse_failures_faster_than_progress(job, checkpoint, mean)
    down = of_down_nodes(failures)
    if failures.is_random and down.rate_per_node_s:
        _refuse_fewer_nodes_than_fail(max(jobs, key=lambda job: job.num_nodes), cluster, down)


def _mean_failures_of_one_try(job: JobPlan, checkpoint: CheckpointPlan, failures: FailurePlan) -> float:
    """Failures while a job restarts and does all its work at once: below one, it is sure to get on."""
    try_s = failures.detection_s + failures.restart_s + job.work_s + checkpoint.durable_s
    return failures.rate_per_node_s * job.num_nodes * try_s


def _refuse_fewer_nodes_than_fail(job: JobPlan, cluster: ClusterPlan, failures: FailurePlan) -> None:
    if availability_frac(job, cluster, failures) >= SMALLEST_GOODPUT_FRAC:
        return
    down_s = max(failures.repair_s, failures.detection_s)
    mean_down = cluster.total_nodes * down_s / (down_s + 1.0 / failures.rate_per_node_s)
    spares = max(1, cluster.spare_nodes)
    while availability_frac(job, replace(cluster, spare_nodes=spares), failures) < GOOD_FRAC:
        if spares > job.num_nodes:
            raise InfeasibleError("repair", _spares_detail(job, cluster, mean_down), ())
        spares = spares + max(1, spares // 8)
    raise InfeasibleError(
        "spare nodes", _spares_detail(job, cluster, mean_down), (f"{spares:,} spare nodes",)
    )


def _spares_detail(job: JobPlan, cluster: ClusterPlan, mean_down: float) -> str:
    return (
        f"{mean_down:,.1f} of {cluster.total_nodes:,} nodes are in repair on average, but {job.name!r} needs "
        f"{job.num_nodes:,} at once: it would stand still for more than 99.9 % of the time"
    )


def _refuse_failures_faster_than_progress(
    job: JobPlan, checkpoint: CheckpointPlan, failures: FailurePlan
) -> None:
    goodput = running_goodput_frac(job, checkpoint, failures)
    if goodput >= SMALLEST_GOODPUT_FRAC:
        return
    mtbf_s = 1.0 / (failures.rate_per_node_s * job.num_nodes)
    every = (
        "nothing is saved"
        if checkpoint.interval_s is None
        else (
            f"a checkpoint follows every {display(checkpoint.interval_s, 's')} of work and stops it for "
            f"{display(checkpoint.stop_s, 's')}"
        )
    )
    alternatives = []
    daly_s = float(daly_interval_s(checkpoint.stop_s, mtbf_s))
    if running_goodput_frac(job, replace(checkpoint, interval_s=daly_s), failures) >= SMALLEST_GOODPUT_FRAC:
        alternatives.append(f"a checkpoint every {display(daly_s, 's')}")
    raise InfeasibleError(
        "failures",
        f"one of the {job.num_nodes:,} nodes of {job.name!r} fails every {display(mtbf_s, 's')} on average, "
        f"a restart takes {display(failures.restart_s, 's')}, {every}: {goodput:.1g} of the time would be "
        f"useful, less than {SMALLEST_GOODPUT_FRAC:g}",
        alternatives,
    )
