"""What cannot run is refused with the limit that binds; what is stopped, stops."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from simtool.errors import InfeasibleError, InputError
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.run import simulate
from tests.sim import plans


def test_more_nodes_than_the_cluster_has() -> None:
    with pytest.raises(InfeasibleError, match="needs 3 nodes, the cluster has 2 and 5 spares"):
        simulate([plans.job(num_nodes=3)], plans.cluster(2, 5), plans.synchronous(), plans.failures(), seed=0)


def test_failures_faster_than_any_progress() -> None:
    with pytest.raises(InfeasibleError, match="infeasible: failures: one of the 100 nodes") as caught:
        simulate(
            [plans.job(num_steps=10_000, num_nodes=100)],
            plans.cluster(100),
            plans.synchronous(write_s=60.0, interval_s=3600.0),
            plans.failures(rate_per_node_s=1e-4, restart_s=60.0),
            seed=0,
        )
    (alternative,) = caught.value.alternatives
    assert alternative.startswith("a checkpoint every")


def test_failures_during_every_restart_have_no_remedy() -> None:
    with pytest.raises(InfeasibleError, match="failures") as caught:
        simulate(
            [plans.job(num_steps=10_000, num_nodes=100)],
            plans.cluster(100),
            plans.synchronous(),
            plans.failures(rate_per_node_s=1e-3, restart_s=600.0),
            seed=0,
        )
    assert caught.value.alternatives == ()


def test_no_checkpoints_and_many_failures() -> None:
    with pytest.raises(InfeasibleError, match="nothing is saved"):
        simulate(
            [plans.job(num_steps=10_000, num_nodes=100)],
            plans.cluster(100),
            plans.synchronous(interval_s=None),
            plans.failures(rate_per_node_s=1e-5),
            seed=0,
        )


def test_too_few_spares_for_a_slow_repair() -> None:
    """2,048 nodes at 3.8 failures per 1,000 node-days, each a week in repair: 54 are down on average."""
    day_s = 86400.0
    plan = plans.failures(rate_per_node_s=3.8e-3 / day_s, repair_s=7 * day_s, restart_s=300.0)
    job = plans.job(num_steps=100_000, num_nodes=2048)
    with pytest.raises(InfeasibleError, match=r"infeasible: spare nodes: 53\.1 of 2,048 nodes") as caught:
        simulate([job], plans.cluster(2048), plans.synchronous(interval_s=600.0), plan, seed=0)
    (alternative,) = caught.value.alternatives
    spares = int(alternative.split()[0])
    outcome = simulate([job], plans.cluster(2048, spares), plans.synchronous(interval_s=600.0), plan, seed=0)
    assert outcome.goodput_frac > 0.1


def test_repair_that_no_spares_can_make_up_for() -> None:
    plan = plans.failures(rate_per_node_s=1e-3, repair_s=1e6)
    with pytest.raises(InfeasibleError, match="infeasible: repair"):
        simulate([plans.job(num_nodes=50)], plans.cluster(50), plans.synchronous(), plan, seed=0)


def test_the_limit_of_events() -> None:
    with pytest.raises(InfeasibleError, match="number of events: after 50 events"):
        simulate(
            [plans.job(num_steps=100_000)],
            plans.cluster(2),
            plans.synchronous(interval_s=100.0),
            plans.failures(rate_per_node_s=1e-3),
            seed=0,
            max_events=50,
        )


def test_an_unknown_scheduler() -> None:
    with pytest.raises(InputError, match="unknown scheduler 'fcsf'; did you mean 'fcfs'"):
        simulate(
            [plans.job()], plans.cluster(), plans.synchronous(), plans.failures(), seed=0, scheduler="fcsf"
        )


def test_no_job_and_equal_names() -> None:
    with pytest.raises(InputError, match="at least one job"):
        simulate([], plans.cluster(), plans.synchronous(), plans.failures(), seed=0)
    with pytest.raises(InputError, match="'job' twice"):
        simulate([plans.job()] * 2, plans.cluster(), plans.synchronous(), plans.failures(), seed=0)


def test_a_scripted_failure_of_a_node_that_is_not_there() -> None:
    with pytest.raises(InputError, match="node 3; 0 to 2"):
        simulate([plans.job()], plans.cluster(2, 1), plans.synchronous(), plans.failures((1.0, 3)), seed=0)


VALID: dict[str, WorkPhase | JobPlan | ClusterPlan | CheckpointPlan | FailurePlan] = {
    "phase": plans.job().phases[0],
    "job": plans.job(),
    "cluster": plans.cluster(),
    "checkpoint": plans.synchronous(),
    "failures": plans.failures(),
}


@pytest.mark.parametrize(
    ("what", "field", "value"),
    [
        ("phase", "num_steps", -1),
        ("phase", "step_time_s", 0.0),
        ("phase", "step_time_s", float("nan")),
        ("phase", "pattern", plans.IDLE),
        ("job", "name", ""),
        ("job", "num_nodes", 0),
        ("job", "phases", ()),
        ("job", "submit_s", -1.0),
        ("cluster", "num_nodes", 0),
        ("cluster", "spare_nodes", -1),
        ("cluster", "devices_per_node", 0),
        ("cluster", "idle", plans.DOWN),
        ("cluster", "down", plans.IDLE),
        ("checkpoint", "write_s", -1.0),
        ("checkpoint", "stall_s", float("nan")),
        ("checkpoint", "interval_s", float("inf")),
        ("checkpoint", "pattern", plans.WORK),
        ("failures", "rate_per_node_s", float("nan")),
        ("failures", "rate_per_node_s", -1.0),
        ("failures", "repair_s", float("inf")),
        ("failures", "detection_s", -1.0),
        ("failures", "restart_s", -1.0),
        ("failures", "restart_pattern", plans.IDLE),
        ("failures", "detection_pattern", plans.WORK),
        ("failures", "scripted", ((-1.0, 0),)),
        ("failures", "scripted", ((1.0, -1),)),
    ],
)
def test_plans_refuse_what_makes_no_sense(what: str, field: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        replace(VALID[what], **{field: value})
    assert "found" in str(caught.value)
    rebuilt = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own, as a process pool does it
    assert rebuilt.problems == caught.value.problems


def test_an_interrupt_passes_through() -> None:
    def interrupt(_done_frac: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(
            [plans.job(num_steps=100_000)],
            plans.cluster(),
            plans.synchronous(interval_s=100.0),
            plans.failures(rate_per_node_s=1e-3),
            seed=0,
            progress=interrupt,
        )


def test_an_interrupt_inside_a_process_passes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("simtool.sim.course.Course.attempt", interrupt)
    with pytest.raises(KeyboardInterrupt):
        simulate([plans.job()], plans.cluster(), plans.synchronous(), plans.failures(), seed=0)


def test_progress_rises_towards_one() -> None:
    told: list[float] = []
    simulate(
        [plans.job(num_steps=50_000)],
        plans.cluster(),
        plans.synchronous(interval_s=100.0),
        plans.failures(rate_per_node_s=1e-3),
        seed=0,
        progress=told.append,
    )
    assert len(told) > 2
    assert told == sorted(told)
    assert 0.0 < told[0] < told[-1] < 1.0
