"""The simulation against the exact expectation under exponential failures."""

from __future__ import annotations

import math
from statistics import fmean, stdev

import pytest

from simtool.sim.run import simulate
from simtool.sim.theory import expected_duration_s
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
