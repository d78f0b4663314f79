"""Closed forms of checkpointing under exponential failures: optimal intervals, expected duration.

The simulation never uses them for a result: they choose the interval, refuse what can never finish, and
check the simulation in tests.
"""

from __future__ import annotations

import math

import numpy as np

from simtool.sim.course import Course
from simtool.sim.equivalent import of_down_nodes, of_interruptions
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan
from simtool.stepgraph import Number

NEGLIGIBLE = 1e-12
"""Failures in one interval, below which nothing fails."""
FAR_TAIL = 12.0
"""Standard deviations above the mean behind which less than 1e-7 of a binomial lies."""
LARGEST_EXPONENT = 700.0
"""exp(709) is the largest that a float holds."""


def young_interval_s(checkpoint_s: Number, mtbf_s: Number) -> Number:
    """Work between two checkpoints that loses least, to first order [s].

    tau = sqrt(2 C M), for C much smaller than M. Source: J. W. Young, "A first order approximation to the
    optimum checkpoint interval", Communications of the ACM 17(9), 1974.

    Args:
        checkpoint_s: time C that one checkpoint stops the job; its stall if asynchronous [s].
        mtbf_s: mean time M between failures of the whole job [s].

    >>> young_interval_s(50.0, 10_000.0)
    1000.0
    """
    return _plain(np.sqrt(2.0 * np.asarray(checkpoint_s) * np.asarray(mtbf_s)))


def daly_interval_s(checkpoint_s: Number, mtbf_s: Number) -> Number:
    """Work between two checkpoints that loses least, to higher order [s].

    tau = sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + (C / 2M) / 9) - C for C < 2M, else M. Source: J. T. Daly, "A
    higher order estimate of the optimum checkpoint interval for restart dumps", Future Generation Computer
    Systems 22(3), 2006, equation 37.

    Args:
        checkpoint_s: time C that one checkpoint stops the job; its stall if asynchronous [s].
        mtbf_s: mean time M between failures of the whole job [s].

    >>> round(daly_interval_s(200.0, 10_000.0), 1)  # 2000 x (1 + 0.1 / 3 + 0.01 / 9) - 200
    1868.9
    """
    cost, mtbf = np.asarray(checkpoint_s, np.float64), np.asarray(mtbf_s, np.float64)
    ratio = cost / (2.0 * mtbf)
    series = 1.0 + np.sqrt(ratio) / 3.0 + ratio / 9.0
    return _plain(np.where(ratio < 1.0, np.sqrt(2.0 * cost * mtbf) * series - cost, mtbf))


def expected_duration_s(
    work_s: Number,
    interval_s: Number,
    checkpoint_s: Number,
    restart_s: Number,
    mtbf_s: Number,
    detection_s: Number = 0.0,
) -> Number:
    """Expected wall time of a job under failures [s].

    T = (M + D) e^(R/M) (e^((tau + C)/M) - 1) T_s / tau. Exact for exponential failures, synchronous
    checkpoints after every tau of work including the last, a whole number of intervals, failures during
    work, checkpoint and restart but none during detection, and a node always at hand. An interval is tried
    first without, then always with a restart before it: one try lasts M (1 - e^(-L/M)) on average, and
    e^(R/M) (e^(L/M) - 1) of them fail.

    Args:
        work_s: time T_s of the work alone [s].
        interval_s: work tau between two checkpoints [s].
        checkpoint_s: stop C for one checkpoint [s].
        restart_s: restart R after a failure [s].
        mtbf_s: mean time M between failures of the job [s].
        detection_s: time D from a failure until the job stops [s].

    Returns:
        Infinity where it exceeds the range of floats.

    >>> round(expected_duration_s(1.0, 1.0, 0.0, 0.0, 1.0), 3)  # e - 1: one unit of work, one failure a unit
    1.718
    """
    interval, mtbf = np.asarray(interval_s, np.float64), np.asarray(mtbf_s, np.float64)
    length = (interval + checkpoint_s) / mtbf
    exponent = np.asarray(restart_s) / mtbf
    short = np.minimum(length, LARGEST_EXPONENT)
    hopeless = length + exponent > LARGEST_EXPONENT
    tries = np.exp(np.where(hopeless, 0.0, exponent)) * np.expm1(np.where(hopeless, 1.0, short))
    duration = (mtbf + detection_s) * tries * np.asarray(work_s) / interval
    return _plain(np.where(hopeless, np.inf, duration))


def expected_goodput_frac(
    job: JobPlan, cluster: ClusterPlan, checkpoint: CheckpointPlan, failures: FailurePlan
) -> float:
    """Expected share of a job's time that is useful, by `expected_duration_s` and `availability_frac`.

    An estimate: the last interval of a phase counts as a whole one, an asynchronous write loses its own
    length of work with every failure, waiting for nodes is taken as independent of the rest, all causes count
    with their mean rates and times, stragglers and maintenance not at all, and copies in memory never fail.
    """
    running = running_goodput_frac(job, checkpoint, of_interruptions(failures, job.num_nodes))
    return running * availability_frac(job, cluster, of_down_nodes(failures))


def running_goodput_frac(job: JobPlan, checkpoint: CheckpointPlan, failures: FailurePlan) -> float:
    """Expected share of the time in which a job has all its nodes that is useful."""
    course = Course(job, checkpoint, failures.restart_pattern)
    stop_s = 0.0 if checkpoint.interval_s is None else checkpoint.stop_s
    drain_s = 0.0 if checkpoint.interval_s is None else checkpoint.durable_s - checkpoint.stop_s
    total_s = 0.0
    for index, phase in enumerate(job.phases):
        if phase.num_steps == 0:
            continue
        interval_s = min(course.strides[index] * phase.step_time_s, job.work_s)
        busy_s = interval_s + stop_s + failures.restart_s + failures.detection_s + drain_s
        if failures.rate_per_node_s * job.num_nodes * busy_s < NEGLIGIBLE:
            total_s += phase.work_s * (interval_s + stop_s) / interval_s
            continue
        total_s += float(
            expected_duration_s(
                work_s=phase.work_s,
                interval_s=interval_s,
                checkpoint_s=stop_s,
                restart_s=failures.restart_s,
                mtbf_s=1.0 / (failures.rate_per_node_s * job.num_nodes),
                detection_s=failures.detection_s + drain_s,
            )
        )
    return job.work_s / total_s


def availability_frac(job: JobPlan, cluster: ClusterPlan, failures: FailurePlan) -> float:
    """Probability that enough nodes are up for a job that has the cluster for itself.

    Nodes fail independently, each is down for a share q = d / (d + 1/rate) of the time, whatever the
    distribution of its down time d; the number of nodes down is binomial.
    """
    down_s = max(failures.repair_s, failures.detection_s)
    expected = failures.rate_per_node_s * down_s
    if expected == 0.0:
        return 1.0
    log_q, log_p = math.log(expected) - math.log1p(expected), -math.log1p(expected)
    total = cluster.total_nodes
    enough, mean = total - job.num_nodes, total * math.exp(log_q)
    if enough < 0 or enough > mean + FAR_TAIL * (1.0 + math.sqrt(mean)):
        return 0.0 if enough < 0 else 1.0
    terms = (
        math.lgamma(total + 1)
        - math.lgamma(down + 1)
        - math.lgamma(total - down + 1)
        + down * log_q
        + (total - down) * log_p
        for down in range(enough + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))


def _plain(value: Number) -> Number:
    return value if np.ndim(value) else float(value)
