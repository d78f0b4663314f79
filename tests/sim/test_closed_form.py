"""The simulation against the exact expectation under exponential failures."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import fmean, stdev

import pytest

from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import Cause, HazardPlan
from simtool.sim.run import simulate
from simtool.sim.theory import daly_interval_s, expected_duration_s
from simtool.units import SECONDS_PER_DAY
from tests.sim import plans

NUM_RUNS = 60
COMBINATIONS = [
    # nodes, mean time between failures of the job, checkpoint, restart, interval, detection, intervals
    (1, 2000.0, 30.0, 60.0, 400.0, 0.0, 120),
    (4, 2000.0, 30.0, 60.0, 400.0, 0.0, 120),
    (16, 1000.0, 0.0, 0.0, 500.0, 0.0, 120),
    (16, 1000.0, 100.0, 0.0, 300.0, 0.0, 120),
    (64, 1000.0, 0.0, 300.0, 300.0, 0.0, 120),
    (64, 500.0, 50.0, 100.0, 250.0, 0.0, 100),
    (128, 3000.0, 10.0, 600.0, 200.0, 0.0, 300),
    (128, 300.0, 20.0, 40.0, 100.0, 50.0, 200),
    (256, 1000.0, 5.0, 120.0, 100.0, 60.0, 400),
    (1024, 12981.0, 300.0, 600.0, 2790.0, 0.0, 120),
    (2048, 800.0, 100.0, 200.0, 400.0, 20.0, 120),
]

PUBLISHED = [
    # accelerators, 8 a node; failures per 1,000 node-days; pause; restart; interval, None: Daly's; goodput
    (1_024, 6.5, 60.0, 600.0, None, 0.961),
    (1_024, 6.5, 5.0, 180.0, None, 0.989),
    (4_096, 6.5, 60.0, 600.0, None, 0.912),
    (4_096, 6.5, 5.0, 180.0, None, 0.974),
    (16_384, 6.5, 60.0, 600.0, None, 0.793),
    (16_384, 6.5, 5.0, 180.0, None, 0.935),
    (16_384, 3.79, 60.0, 600.0, None, 0.852),
    (16_384, 3.79, 5.0, 180.0, None, 0.955),
    (100_000, 3.79, 60.0, 600.0, None, 0.550),
    (100_000, 3.79, 5.0, 180.0, None, 0.841),
    (128, 6.5, 300.0, 600.0, 22_300.0, 0.973),
    (1_024, 6.5, 300.0, 600.0, 7_900.0, 0.921),
    (8_192, 6.5, 30.0, 600.0, 880.0, 0.891),
    (8_192, 6.5, 300.0, 600.0, 2_790.0, 0.764),
    (16_384, 6.5, 30.0, 600.0, 620.0, 0.827),
    (16_384, 6.5, 300.0, 600.0, 3_600.0, 0.614),
]


@pytest.mark.parametrize(
    ("num_accelerators", "per_thousand", "pause_s", "restart_s", "interval_s", "goodput"), PUBLISHED
)
@pytest.mark.parametrize("form", ["rate", "hazard"])
def test_the_simulation_finds_the_exact_goodput_of_large_clusters(
    num_accelerators: int,
    per_thousand: float,
    pause_s: float,
    restart_s: float,
    interval_s: float | None,
    goodput: float,
    form: str,
) -> None:
    """Some 1,500 failures each, as a plain rate and as a hazard."""
    num_nodes = num_accelerators // 8
    rate = per_thousand / 1000.0 / SECONDS_PER_DAY
    mtbf_s = 1.0 / (rate * num_nodes)
    tau_s = interval_s or float(daly_interval_s(pause_s, mtbf_s))
    num_intervals = max(1, round(100.0 * mtbf_s / tau_s))
    job = plans.job(num_steps=5 * num_intervals, step_time_s=tau_s / 5, num_nodes=num_nodes)
    failures = plans.failures(rate_per_node_s=rate, restart_s=restart_s)
    if form == "hazard":
        node = Cause(name="node", effect="failure", arrivals=Exponential(rate_per_unit_s=rate))
        failures = replace(failures, rate_per_node_s=0.0, hazards=HazardPlan(causes=(node,)))
    checkpoint = plans.synchronous(pause_s, tau_s)
    durations_s = [
        simulate([job], plans.cluster(num_nodes), checkpoint, failures, seed=23, run=run).end_s
        for run in range(15)
    ]
    error_s = stdev(durations_s) / math.sqrt(len(durations_s))
    exact_s = float(expected_duration_s(job.work_s, tau_s, pause_s, restart_s, mtbf_s))
    assert job.work_s / exact_s == pytest.approx(goodput, abs=0.0011)
    assert abs(fmean(durations_s) - exact_s) < 4.0 * error_s
    assert error_s < 0.03 * exact_s


@pytest.mark.parametrize(
    ("num_nodes", "mtbf_s", "write_s", "restart_s", "interval_s", "detection_s", "num_intervals"),
    COMBINATIONS,
)
def test_the_mean_duration_is_the_exact_expectation(
    num_nodes: int,
    mtbf_s: float,
    write_s: float,
    restart_s: float,
    interval_s: float,
    detection_s: float,
    num_intervals: int,
) -> None:
    """Nodes are back at once, so that the job never waits; it fails while it restarts and saves too."""
    job = plans.job(num_steps=5 * num_intervals, step_time_s=interval_s / 5, num_nodes=num_nodes)
    durations_s = [
        simulate(
            [job],
            plans.cluster(num_nodes),
            plans.synchronous(write_s, interval_s),
            plans.failures(
                rate_per_node_s=1.0 / (mtbf_s * num_nodes), restart_s=restart_s, detection_s=detection_s
            ),
            seed=17,
            run=run,
        ).end_s
        for run in range(NUM_RUNS)
    ]
    expected_s = expected_duration_s(job.work_s, interval_s, write_s, restart_s, mtbf_s, detection_s)
    standard_error_s = stdev(durations_s) / math.sqrt(NUM_RUNS)
    assert standard_error_s < 0.01 * expected_s
    assert abs(fmean(durations_s) - expected_s) < 4.0 * standard_error_s


def test_goodput_of_one_run_is_that_of_the_closed_form_in_the_long_run() -> None:
    job = plans.job(num_steps=20_000, step_time_s=100.0, num_nodes=8)
    outcome = simulate(
        [job],
        plans.cluster(8),
        plans.synchronous(20.0, 400.0),
        plans.failures(rate_per_node_s=1.0 / 8e3, restart_s=50.0),
        seed=3,
    )
    expected = job.work_s / expected_duration_s(job.work_s, 400.0, 20.0, 50.0, 1e3)
    assert outcome.goodput_frac == pytest.approx(expected, rel=0.03)
