"""Plans of many causes as one constant rate, for estimates; the simulation itself never uses them."""

from __future__ import annotations

from dataclasses import replace

from simtool.sim.hazards.means import (
    down_rate_per_node_s,
    interruption_rate_per_s,
    mean_detection_s,
    mean_down_s,
)
from simtool.sim.plan import NOTHING, FailurePlan


def of_interruptions(failures: FailurePlan, num_nodes: int) -> FailurePlan:
    """One constant rate that interrupts a job of `num_nodes` as often as all causes do on average."""
    own = 0.0 if failures.scripted is not None else failures.rate_per_node_s
    others = interruption_rate_per_s(failures.hazards, num_nodes) / num_nodes
    if not others:
        return failures
    others_s = mean_detection_s(failures.hazards, num_nodes)
    detection_s = (own * failures.detection_s + others * others_s) / (own + others)
    return replace(failures, rate_per_node_s=own + others, detection_s=detection_s, hazards=NOTHING)


def of_down_nodes(failures: FailurePlan) -> FailurePlan:
    """One constant rate that takes nodes down as often, and on average as long, as all causes do."""
    own = 0.0 if failures.scripted is not None else failures.rate_per_node_s
    others = down_rate_per_node_s(failures.hazards)
    if not others:
        return failures
    down_s = (own * failures.repair_s + others * mean_down_s(failures.hazards)) / (own + others)
    return replace(failures, rate_per_node_s=own + others, repair_s=down_s, hazards=NOTHING)
