"""Goodput of jobs in a fleet against the exact expectation under exponential failures."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest

from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.hazards.events import hazard_events
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import Cause, HazardPlan
from simtool.sim.theory import daly_interval_s, expected_duration_s
from simtool.units import SECONDS_PER_DAY
from tests.sim import plans
from tests.sim.fleet import fleets

NUM_RUNS = 10
STANDARD_ERRORS = 4.0
PUBLISHED = [
    # accelerators, 8 a node; failures per 1,000 node-days; pause; restart; goodput at Daly's interval
    (1_024, 6.5, 60.0, 600.0, 0.961),
    (1_024, 6.5, 5.0, 180.0, 0.989),
    (4_096, 6.5, 60.0, 600.0, 0.912),
    (4_096, 6.5, 5.0, 180.0, 0.974),
    (16_384, 6.5, 60.0, 600.0, 0.793),
    (16_384, 6.5, 5.0, 180.0, 0.935),
    (16_384, 3.79, 60.0, 600.0, 0.852),
    (16_384, 3.79, 5.0, 180.0, 0.955),
    (100_000, 3.79, 60.0, 600.0, 0.550),
    (100_000, 3.79, 5.0, 180.0, 0.841),
]


@pytest.mark.parametrize(("num_accelerators", "per_thousand", "pause_s", "restart_s", "goodput"), PUBLISHED)
@pytest.mark.parametrize("form", ["keeps its nodes", "queues again", "software"])
def test_goodput_of_large_jobs(
    num_accelerators: int, per_thousand: float, pause_s: float, restart_s: float, goodput: float, form: str
) -> None:
    """About 100 failures a job and run; two equal jobs share the fleet, so that each sees its own only."""
    nodes = num_accelerators // 8
    rate = per_thousand / 1000.0 / SECONDS_PER_DAY
    mtbf_s = 1.0 / (rate * nodes)
    interval_s = float(daly_interval_s(pause_s, mtbf_s))
    work_s = interval_s * max(1, round(100.0 * mtbf_s / interval_s))
    kind = JobKind(
        name="training",
        uses=(fleets.use(plans.synchronous(pause_s, interval_s), restart_s, ((1.0, plans.WORK),)),),
        holds_nodes=form == "keeps its nodes",
    )
    plan = FleetPlan(pools=(fleets.pool(2 * nodes, 8),), kinds=(kind,), scheduler="fcfs", placement="nodes")
    effect = "software" if form == "software" else "failure"
    # a software failure hits the job that holds the first device of the node
    cause = Cause(name="node", effect=effect, arrivals=Exponential(rate_per_unit_s=rate))
    durations_s = []
    for run in range(NUM_RUNS):
        events = hazard_events(HazardPlan(causes=(cause,)), 2 * nodes, seed=5, run=run)
        outcome = simulate_fleet(
            fleets.jobs(*[(0.0, 8 * nodes, work_s)] * 2), plan, node_events={"pool": events}
        )
        durations_s += outcome.finish_s.tolist()
    exact_s = float(expected_duration_s(work_s, interval_s, pause_s, restart_s, mtbf_s))
    assert work_s / exact_s == pytest.approx(goodput, abs=0.0011)
    error_s = stdev(durations_s) / math.sqrt(len(durations_s))
    assert error_s < 0.03 * exact_s
    assert abs(fmean(durations_s) - exact_s) < STANDARD_ERRORS * error_s
