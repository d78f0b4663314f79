"""Mean rates of a plan: what chooses checkpoint intervals and refuses what can never finish."""

from __future__ import annotations

import math
from collections.abc import Iterator

from simtool.sim.hazards.plan import Cause, HazardPlan


def interruption_rate_per_s(plan: HazardPlan, num_nodes: int) -> float:
    """How often a job on `num_nodes` nodes that follow each other is interrupted unannounced [1/s].

    A group that reaches only partly into the job interrupts it as well: n nodes touch between n/g and n/g + 1
    groups of g, n/g + 1 - 1/g on average over all places, which is 1 for a single node.

    >>> from simtool.sim.hazards.kinds.exponential import Exponential
    >>> from simtool.sim.hazards.plan import Cause
    >>> switch = Cause(name="switch", effect="failure", arrivals=Exponential(rate_per_unit_s=1e-6), group_nodes=4)
    >>> round(1e6 * interruption_rate_per_s(HazardPlan(causes=(switch,)), 8), 2)
    2.75
    """
    rates = [cause.rate_per_job_s for cause in plan.job_causes]
    for cause in _unannounced(plan):
        group = _group(cause, num_nodes)
        touched = num_nodes / group + 1.0 - 1.0 / group if cause.group_nodes is not None else 1.0
        rates.append(cause.arrivals.rate_per_unit_s * touched)
    return math.fsum(rates)


def down_rate_per_node_s(plan: HazardPlan) -> float:
    """How often a node goes down [1/s]."""
    return math.fsum(cause.arrivals.rate_per_unit_s for cause in _downing(plan))


def mean_down_s(plan: HazardPlan) -> float:
    """Mean time that a node is down, over all its failures [s]."""
    weights = [(cause.arrivals.rate_per_unit_s, cause) for cause in _downing(plan)]
    rate = math.fsum(weight for weight, _ in weights)
    down = (weight * max(cause.repair.mean_s, cause.detection.mean_s) for weight, cause in weights)
    return math.fsum(down) / rate if rate else 0.0


def mean_detection_s(plan: HazardPlan, num_nodes: int) -> float:
    """Mean time until an interruption is noticed [s]."""
    weights = [(cause.rate_per_job_s, cause.detection.mean_s) for cause in plan.job_causes]
    weights += [
        (cause.arrivals.rate_per_unit_s * num_nodes / _group(cause, num_nodes), cause.detection.mean_s)
        for cause in _unannounced(plan)
    ]
    rate = math.fsum(weight for weight, _ in weights)
    return math.fsum(weight * mean_s for weight, mean_s in weights) / rate if rate else 0.0


def _group(cause: Cause, num_nodes: int) -> int:
    return num_nodes if cause.group_nodes is None else cause.group_nodes


def _unannounced(plan: HazardPlan) -> Iterator[Cause]:
    return (cause for cause in plan.causes if cause.effect in ("failure", "software", "corruption"))


def _downing(plan: HazardPlan) -> Iterator[Cause]:
    return (cause for cause in plan.causes if cause.effect in ("failure", "corruption"))
