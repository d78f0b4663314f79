"""The closed forms themselves: limits, optima, arrays."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.sim.run import simulate
from simtool.sim.theory import (
    availability_frac,
    daly_interval_s,
    expected_duration_s,
    expected_goodput_frac,
    young_interval_s,
)
from tests.sim import plans

times = st.floats(1.0, 1e5)


@given(times, times, times, times)
def test_without_failures_only_checkpoints_cost(
    work_s: float, interval_s: float, cost_s: float, restart_s: float
) -> None:
    expected = work_s * (interval_s + cost_s) / interval_s
    assert expected_duration_s(work_s, interval_s, cost_s, restart_s, 1e15) == pytest.approx(
        expected, rel=1e-6
    )


@given(times, st.floats(0.0, 1e3), st.floats(0.0, 1e3), st.floats(10.0, 1e6))
def test_more_of_anything_bad_takes_longer(
    interval_s: float, cost_s: float, restart_s: float, mtbf_s: float
) -> None:
    base = expected_duration_s(1.0, interval_s, cost_s, restart_s, mtbf_s)
    assert base >= 1.0 - 1e-12
    assert expected_duration_s(1.0, interval_s, cost_s + 1.0, restart_s, mtbf_s) >= base
    assert expected_duration_s(1.0, interval_s, cost_s, restart_s + 1.0, mtbf_s) >= base
    assert expected_duration_s(1.0, interval_s, cost_s, restart_s, mtbf_s, 1.0) >= base
    assert expected_duration_s(1.0, interval_s, cost_s, restart_s, mtbf_s * 1.01) <= base


@pytest.mark.parametrize(("cost_s", "mtbf_s"), [(30.0, 1e5), (30.0, 1e4), (300.0, 12981.0), (300.0, 6490.0)])
def test_young_and_daly_are_close_to_the_best_interval(cost_s: float, mtbf_s: float) -> None:
    candidates_s = np.geomspace(1.0, 10 * mtbf_s, 4000)
    durations = np.asarray(expected_duration_s(1.0, candidates_s, cost_s, 600.0, mtbf_s))
    best = float(durations.min())
    for formula, tolerance in ((daly_interval_s, 1e-4), (young_interval_s, 5e-3)):
        found = float(expected_duration_s(1.0, formula(cost_s, mtbf_s), cost_s, 600.0, mtbf_s))
        assert found <= best * (1 + tolerance)


def test_daly_of_a_checkpoint_as_long_as_the_time_between_failures() -> None:
    assert daly_interval_s(2000.0, 1000.0) == 1000.0
    assert daly_interval_s(0.0, 1000.0) == 0.0


def test_arrays_and_scalars_agree() -> None:
    mtbf_s = np.array([1e2, 1e3, 1e4])
    for formula in (young_interval_s, daly_interval_s):
        found = formula(300.0, mtbf_s)
        assert np.asarray(found).tolist() == [formula(300.0, one) for one in mtbf_s.tolist()]
    found = expected_duration_s(1e5, np.array([[100.0], [1000.0]]), 10.0, 60.0, mtbf_s)
    assert np.shape(found) == (2, 3)
    assert isinstance(expected_duration_s(1e5, 100.0, 10.0, 60.0, 1e3), float)


def test_hopeless_is_infinite_not_an_overflow() -> None:
    assert expected_duration_s(1.0, 1e6, 0.0, 0.0, 1.0) == math.inf
    assert expected_duration_s(1.0, 1.0, 0.0, 1e9, 1.0) == math.inf


def published(num_gpus: int, rate: float, cost_s: float, restart_s: float) -> float:
    """Goodput at Daly's interval for eight GPUs a node and failures per 1,000 node-days."""
    mtbf_s = 86400.0 / (num_gpus / 8 * rate / 1000.0)
    interval_s = daly_interval_s(cost_s, mtbf_s)
    return 1.0 / float(expected_duration_s(1.0, interval_s, cost_s, restart_s, mtbf_s))


def test_effective_time_of_the_largest_runs() -> None:
    """16,384 GPUs at 3.79 failures per 1,000 node-days lose more than a tenth without quick saving."""
    slow, quick = published(16_384, 3.79, 60.0, 600.0), published(16_384, 3.79, 5.0, 180.0)
    assert slow == pytest.approx(0.852, abs=0.001)
    assert quick == pytest.approx(0.955, abs=0.001)
    assert published(100_000, 3.79, 60.0, 600.0) == pytest.approx(0.550, abs=0.001)


@pytest.mark.parametrize("spare_nodes", [0, 1, 2, 4])
def test_availability_is_what_the_simulation_finds(spare_nodes: int) -> None:
    """Short work that needs 20 nodes, each 5 % of its time in repair; restarts cost nothing."""
    job = plans.job(num_steps=20_000, step_time_s=1.0, num_nodes=20)
    cluster = plans.cluster(20, spare_nodes)
    failures = plans.failures(rate_per_node_s=0.05 / 0.95 / 200.0, repair_s=200.0, restart_s=0.0)
    checkpoint = plans.synchronous(write_s=0.0, interval_s=1.0)
    (done,) = simulate([job], cluster, checkpoint, failures, seed=8).jobs
    up_frac = 1.0 - done.waiting_s / (done.end_s - done.start_s)
    assert up_frac == pytest.approx(availability_frac(job, cluster, failures), rel=0.15)


def test_availability_has_its_limits() -> None:
    job = plans.job(num_nodes=20)
    assert availability_frac(job, plans.cluster(20), plans.failures()) == 1.0
    slow = plans.failures(rate_per_node_s=1.0, repair_s=1e9)
    assert availability_frac(job, plans.cluster(20), slow) < 1e-100
    assert availability_frac(job, plans.cluster(20, 10_000), plans.failures(rate_per_node_s=1e-9)) == 1.0


@pytest.mark.parametrize(
    "checkpoint",
    [plans.synchronous(20.0, 500.0), plans.asynchronous(60.0, 5.0, 300.0)],
    ids=lambda plan: plan.kind,
)
def test_expected_goodput_of_a_plan_is_near_the_simulated(checkpoint: plans.CheckpointPlan) -> None:
    job = plans.job(num_steps=20_000, num_nodes=32)
    cluster = plans.cluster(32, 4)
    failures = plans.failures(
        rate_per_node_s=1.0 / (32 * 4000.0), repair_s=3000.0, restart_s=120.0, detection_s=30.0
    )
    expected = expected_goodput_frac(job, cluster, checkpoint, failures)
    simulated = [
        simulate([job], cluster, checkpoint, failures, seed=1, run=run).goodput_frac for run in range(10)
    ]
    assert np.mean(simulated) == pytest.approx(expected, rel=0.015)


def test_expected_goodput_without_failures_is_exact() -> None:
    job, checkpoint = plans.job(num_steps=1000), plans.synchronous(3.0, 20.0)
    outcome = simulate([job], plans.cluster(), checkpoint, plans.failures(), seed=0)
    expected = expected_goodput_frac(job, plans.cluster(), checkpoint, plans.failures())
    assert outcome.goodput_frac == pytest.approx(expected, rel=1e-12)
