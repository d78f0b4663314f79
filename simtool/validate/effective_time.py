"""The share of time that is useful, of a cluster of which little more than its size is known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from simtool.errors import InfeasibleError
from simtool.ledger import Pattern, Share
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.run import simulate
from simtool.sim.theory import daly_interval_s
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

PER_NODE = 8
"""Accelerators of a node for which clusters' rates are stated."""
NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
"""A number in a text."""
SEED = 1
STEP_S = 10.0
MAX_EVENTS = 60_000
"""Runs with more would take a hundred times their work: their effective time counts as none."""
PERSISTENT_S = 3.0 * SECONDS_PER_HOUR
"""Copies in memory are also written to the store this often: Z. Wang et al., Gemini, SOSP 2023, section 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A published share of time, and what is known of how that cluster saved its state."""

    cluster: str
    """Begin of its name in the table."""
    what: str
    take: str = rf"^[>~]*{NUMBER}"
    """Where the share stands in the column of effective time."""
    per_node: int = PER_NODE
    saving: str = "unknown"
    """``unknown``: synchronous or asynchronous, at even odds; or ``in-memory``."""
    interval_h: float | None = None
    write_s: float | None = None


def simulated_goodput_frac(
    case: Timed,
    *,
    num_nodes: int,
    days: float,
    rate_per_node_s: float,
    times: Mapping[str, float],
    is_quick: bool,
    run: int,
) -> float:
    """Useful share of one run; 0 where failures leave no progress."""
    mtbf_s = 1.0 / (rate_per_node_s * num_nodes)
    write_s = times["write_s"] if case.write_s is None else case.write_s
    quick = case.saving == "in-memory" or (is_quick and case.write_s is None)
    stall_s = times["stall_s"] if quick else 0.0
    interval_s = float(daly_interval_s(stall_s if quick else write_s, mtbf_s))
    checkpoint = CheckpointPlan(
        kind="in-memory" if case.saving == "in-memory" else "asynchronous" if quick else "synchronous",
        write_s=write_s,
        stall_s=stall_s,
        interval_s=interval_s if case.interval_h is None else case.interval_h * SECONDS_PER_HOUR,
        pattern=_pattern("checkpoint"),
        persistent_interval_s=PERSISTENT_S if case.saving == "in-memory" else 0.0,
    )
    failures = FailurePlan(
        rate_per_node_s=rate_per_node_s,
        repair_s=times["repair_h"] * SECONDS_PER_HOUR,
        detection_s=times["detection_s"],
        restart_s=times["restart_s"],
        restart_pattern=_pattern("restart"),
    )
    cluster = ClusterPlan(
        num_nodes=num_nodes,
        spare_nodes=math.ceil(times["spare_frac"] * num_nodes),
        devices_per_node=1,
        idle=_pattern("idle"),
        down=_pattern("down"),
    )
    steps = round(days * SECONDS_PER_DAY / STEP_S)
    work = WorkPhase(num_steps=steps, step_time_s=STEP_S, pattern=_pattern("compute"))
    job = JobPlan(name="job", phases=(work,), num_nodes=num_nodes)
    try:
        outcome = simulate((job,), cluster, checkpoint, failures, seed=SEED, run=run, max_events=MAX_EVENTS)
        return outcome.goodput_frac
    except InfeasibleError:
        return 0.0


def _pattern(state: str) -> Pattern:
    """Time alone is asked for: no power."""
    return Pattern(name=state, shares=(Share(state=state, device_frac=1.0, power_w=(0.0, 0.0, 0.0)),))
