"""Nothing is lost or counted twice, whatever is planned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.ledger import COMPONENTS, WORK_STATES, Pattern, Share
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.run import simulate
from tests.sim import plans

powers = st.tuples(*[st.floats(0.0, 2000.0) for _ in COMPONENTS])
seconds = st.floats(0.0, 500.0)


@st.composite
def patterns(draw: st.DrawFn, *states: str) -> Pattern:
    weights = [draw(st.floats(0.0, 1.0)) for _ in states[1:]]
    fractions = [weight / len(states) for weight in weights]
    fractions.insert(0, 1.0 - math.fsum(fractions))
    shares = tuple(
        Share(state=state, device_frac=fraction, power_w=draw(powers))
        for state, fraction in zip(states, fractions, strict=True)
    )
    return Pattern(name=states[0], shares=shares)


@st.composite
def simulations(
    draw: st.DrawFn,
) -> tuple[list[JobPlan], ClusterPlan, CheckpointPlan, FailurePlan]:
    num_nodes, spare_nodes = draw(st.integers(1, 8)), draw(st.integers(0, 3))
    jobs = [
        JobPlan(
            name=f"job-{index}",
            num_nodes=draw(st.integers(1, num_nodes)),
            submit_s=draw(st.just(0.0) | seconds),
            phases=tuple(
                WorkPhase(
                    num_steps=draw(st.integers(1, 60)),
                    step_time_s=draw(st.floats(1e-3, 30.0)),
                    pattern=draw(patterns(*WORK_STATES)),
                )
                for _ in range(draw(st.integers(1, 3)))
            ),
        )
        for index in range(draw(st.integers(1, 5)))
    ]
    cluster = ClusterPlan(
        num_nodes=num_nodes,
        spare_nodes=spare_nodes,
        devices_per_node=draw(st.integers(1, 16)),
        idle=draw(patterns("idle")),
        down=draw(patterns("down")),
    )
    checkpoint = CheckpointPlan(
        kind=draw(st.sampled_from(["synchronous", "asynchronous"])),
        write_s=draw(st.floats(0.0, 60.0)),
        stall_s=draw(st.floats(0.0, 10.0)),
        interval_s=draw(st.none() | seconds),
        pattern=draw(patterns("checkpoint")),
    )
    node = st.integers(0, num_nodes + spare_nodes - 1)
    failures = FailurePlan(
        rate_per_node_s=0.0,
        repair_s=draw(seconds),
        detection_s=draw(st.just(0.0) | st.floats(0.0, 60.0)),
        restart_s=draw(st.just(0.0) | st.floats(0.0, 60.0)),
        restart_pattern=draw(patterns("restart")),
        scripted=tuple(draw(st.lists(st.tuples(st.floats(0.0, 3000.0), node), max_size=30))),
        detection_pattern=draw(st.none() | patterns("lost_work")),
    )
    return jobs, cluster, checkpoint, failures


@given(simulations())
def test_states_sum_to_time_and_components_to_the_meter(
    case: tuple[list[JobPlan], ClusterPlan, CheckpointPlan, FailurePlan],
) -> None:
    jobs, cluster, checkpoint, failures = case
    outcome = simulate(jobs, cluster, checkpoint, failures, seed=0)
    ledger = outcome.ledger
    wall_device_s = outcome.end_s * cluster.num_devices
    assert math.fsum(ledger.device_s_by("state").values()) == pytest.approx(wall_device_s, rel=1e-9)
    assert math.fsum(ledger.energy_j_by("component").values()) == pytest.approx(ledger.meter_j, rel=1e-9)
    assert math.fsum(ledger.energy_j_by("job").values()) == pytest.approx(ledger.meter_j, rel=1e-9)
    assert np.all(np.diff(ledger.breakpoints_s) > 0)
    assert np.all(ledger.segments()["t1_s"] > ledger.segments()["t0_s"])
    assert np.all(np.diff(ledger.columns()["t0_s"]) >= 0)
    integral_j = float(np.sum(ledger.power_w() * np.diff(ledger.breakpoints_s)))
    assert integral_j == pytest.approx(ledger.meter_j, rel=1e-9)


@given(simulations())
def test_every_job_gets_all_its_work_and_accounts_for_all_its_time(
    case: tuple[list[JobPlan], ClusterPlan, CheckpointPlan, FailurePlan],
) -> None:
    jobs, cluster, checkpoint, failures = case
    outcome = simulate(jobs, cluster, checkpoint, failures, seed=0)
    assert outcome.end_s == max(job.end_s for job in outcome.jobs)
    by_state = outcome.ledger.group("device_s", ("job", "state"))
    for plan, done in zip(jobs, outcome.jobs, strict=True):
        assert done.useful_s == pytest.approx(plan.work_s, rel=1e-9)
        parts = done.useful_s + done.lost_s + done.checkpoint_s + done.restart_s + done.waiting_s
        assert parts == pytest.approx(done.end_s - done.start_s, rel=1e-9)
        assert done.start_s >= plan.submit_s
        work_device_s = math.fsum(by_state.get((plan.name, state), 0.0) for state in WORK_STATES)
        assert work_device_s == pytest.approx(plan.work_s * done.num_devices, rel=1e-9)
        for state, wall_s in (("checkpoint", done.checkpoint_s), ("restart", done.restart_s)):
            assert by_state.get((plan.name, state), 0.0) == pytest.approx(wall_s * done.num_devices, rel=1e-9)


@given(st.integers(0, 2**31), st.floats(1e-6, 1e-4), st.integers(0, 3))
def test_random_failures_conserve(seed: int, rate_per_node_s: float, spare_nodes: int) -> None:
    outcome = simulate(
        [plans.job(num_steps=500, num_nodes=2), plans.job(num_steps=300, num_nodes=3, name="other")],
        plans.cluster(5, spare_nodes=spare_nodes, devices_per_node=8),
        plans.asynchronous(write_s=30.0, stall_s=2.0, interval_s=100.0),
        plans.failures(rate_per_node_s=rate_per_node_s, repair_s=500.0, detection_s=7.0),
        seed=seed,
    )
    outcome.ledger.check_conservation(outcome.end_s, (5 + spare_nodes) * 8)
    assert sum(job.num_failures for job in outcome.jobs) <= outcome.num_failures


def test_lost_work_draws_what_the_work_drew() -> None:
    outcome = simulate(
        [plans.job()],
        plans.cluster(),
        plans.synchronous(),
        plans.failures((19.0, 0), restart_s=0.0),
        seed=0,
    )
    lost_j = outcome.ledger.energy_j(state="lost_work")
    assert lost_j == pytest.approx(2 * 19.0 * plans.WORK.power_w, rel=1e-12)


def test_detection_draws_its_own_power_if_it_has_one() -> None:
    hung = plans.whole("lost_work", 250.0, 90.0, 10.0, name="hung")
    plan = FailurePlan(
        rate_per_node_s=0.0,
        repair_s=0.0,
        detection_s=30.0,
        restart_s=0.0,
        restart_pattern=plans.RESTART,
        scripted=((23.0, 0),),
        detection_pattern=hung,
    )
    outcome = simulate([plans.job()], plans.cluster(), plans.synchronous(), plan, seed=0)
    assert outcome.ledger.energy_j(state="lost_work") == pytest.approx(30.0 * 350.0, rel=1e-12)
