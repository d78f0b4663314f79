"""Events of every effect, interval by interval, by hand; steps of 10 s, checkpoints of 3 s after every two."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.ledger import WORK_STATES
from simtool.sim.hazards import HazardEvent
from simtool.sim.hazards.durations import Duration
from simtool.sim.hazards.kinds.exponential import Exponential
from simtool.sim.hazards.plan import HazardPlan, JobCause
from simtool.sim.plan import CheckpointPlan, FailurePlan
from simtool.sim.run import Outcome, simulate
from tests.sim import plans


def event(
    time_s: float,
    effect: str = "failure",
    nodes: tuple[int, int] = (0, 1),
    detection_s: float = 0.0,
    repair_s: float = 1000.0,
    slowdown: float = 1.0,
    cause: str = "",
) -> HazardEvent:
    return HazardEvent(time_s, (nodes,), cause or effect, effect, detection_s, repair_s, slowdown)  # type: ignore[arg-type]


def run(
    *events: HazardEvent,
    checkpoint: CheckpointPlan | None = None,
    num_nodes: int = 2,
    spare_nodes: int = 2,
    num_steps: int = 10,
    failures: FailurePlan | None = None,
) -> Outcome:
    return simulate(
        [plans.job(num_steps, num_nodes=num_nodes)],
        plans.cluster(num_nodes, spare_nodes),
        checkpoint or plans.synchronous(),
        replace(failures or plans.failures(), events=events),
        seed=0,
    )


def rows(outcome: Outcome) -> list[tuple[float, float, str, str, int]]:
    table = outcome.ledger.segments()
    columns = (table[name].tolist() for name in ("t0_s", "t1_s", "job", "pattern", "num_devices"))
    return sorted(zip(*columns, strict=True))


def of_job(outcome: Outcome) -> list[tuple[float, float, str, int]]:
    return [(t0_s, t1_s, name, num) for t0_s, t1_s, job, name, num in rows(outcome) if job]


def rounds(begin_s: float, count: int) -> list[tuple[float, float, str, int]]:
    """Two steps and a checkpoint, `count` times."""
    found = []
    for number in range(count):
        t0_s = begin_s + 23.0 * number
        found += [(t0_s, t0_s + 20.0, "step", 2), (t0_s + 20.0, t0_s + 23.0, "checkpoint", 2)]
    return found


def test_a_switch_takes_all_its_nodes_and_counts_once() -> None:
    outcome = run(event(30.0, nodes=(0, 2), cause="switch"), spare_nodes=2)
    assert of_job(outcome) == sorted(
        [
            *rounds(0.0, 1),
            (23.0, 30.0, "step (lost)", 2),
            (30.0, 35.0, "restart", 2),
            *rounds(35.0, 4),
        ]
    )
    (job,) = outcome.jobs
    assert (outcome.num_failures, job.num_failures, job.num_interruptions) == (1, 1, 1)
    assert [(one.cause, one.num_interruptions, one.lost_s) for one in job.causes] == [("switch", 1, 7.0)]
    assert outcome.ledger.device_s(state="down") == 2 * (outcome.end_s - 30.0)


def test_a_group_half_of_which_is_down_takes_the_other_half() -> None:
    outcome = run(event(30.0, nodes=(1, 2)), event(31.0, nodes=(0, 2)), spare_nodes=2)
    assert outcome.ledger.device_s(state="down") == (outcome.end_s - 30.0) + (outcome.end_s - 31.0)


def test_software_restarts_the_job_and_takes_no_node() -> None:
    outcome = run(event(30.0, "software", detection_s=2.0), spare_nodes=0)
    assert of_job(outcome) == sorted(
        [
            *rounds(0.0, 1),
            (23.0, 32.0, "step (lost)", 2),
            (32.0, 37.0, "restart", 2),
            *rounds(37.0, 4),
        ]
    )
    assert outcome.num_failures == 0
    assert outcome.ledger.device_s(state="down") == 0.0


def test_software_of_a_node_that_no_job_holds_is_nothing() -> None:
    assert of_job(run(event(30.0, "software", nodes=(2, 3)), spare_nodes=1)) == rounds(0.0, 5)


def test_a_job_fails_by_itself() -> None:
    bug = JobCause(name="bug", rate_per_job_s=1.0 / 400.0, detection=Duration(mean_s=1.0))
    plan = replace(plans.failures(), hazards=HazardPlan(job_causes=(bug,)))
    outcome = run(failures=plan, num_steps=300, spare_nodes=0)
    (job,) = outcome.jobs
    assert 3 < job.num_interruptions < 20
    assert job.restart_s == pytest.approx(5.0 * job.num_interruptions, abs=5.0)
    assert [one.cause for one in job.causes] == ["bug"]


def test_corruption_goes_back_behind_checkpoints_that_look_good() -> None:
    """Corrupt at 30 s, found at 80 s: the checkpoints at 46 s and 69 s hold what was wrong; that at 23 s is clean."""
    outcome = run(event(30.0, "corruption", detection_s=50.0, cause="sdc"), spare_nodes=1)
    assert of_job(outcome) == sorted(
        [
            *rounds(0.0, 1),
            (23.0, 43.0, "step (lost)", 2),
            (43.0, 46.0, "checkpoint", 2),
            (46.0, 66.0, "step (lost)", 2),
            (66.0, 69.0, "checkpoint", 2),
            (69.0, 80.0, "step (lost)", 2),
            (80.0, 85.0, "restart", 2),
            *rounds(85.0, 4),
        ]
    )
    (job,) = outcome.jobs
    assert job.lost_s == 20.0 + 20.0 + 11.0
    assert [(one.cause, one.num_interruptions, one.lost_s) for one in job.causes] == [("sdc", 1, 51.0)]
    assert outcome.ledger.device_s(state="down") == outcome.end_s - 80.0


def test_a_failure_between_corruption_and_its_discovery() -> None:
    """The failure at 50 s loses 4 s by itself, and goes back to a state that is corrupt."""
    outcome = run(event(30.0, "corruption", detection_s=50.0, cause="sdc"), event(50.0, nodes=(1, 2)))
    assert of_job(outcome) == sorted(
        [
            *rounds(0.0, 1),
            (23.0, 43.0, "step (lost)", 2),
            (43.0, 46.0, "checkpoint", 2),
            (46.0, 50.0, "step (lost)", 2),
            (50.0, 55.0, "restart", 2),
            (55.0, 75.0, "step (lost)", 2),
            (75.0, 78.0, "checkpoint", 2),
            (78.0, 80.0, "step (lost)", 2),
            (80.0, 85.0, "restart", 2),
            *rounds(85.0, 4),
        ]
    )
    lost = {one.cause: one.lost_s for one in outcome.jobs[0].causes}
    assert lost == {"failure": 4.0, "sdc": 20.0 + 20.0 + 2.0}


def test_corruption_that_nobody_finds_before_the_end_is_told() -> None:
    outcome = run(event(30.0, "corruption", detection_s=500.0))
    assert of_job(outcome) == rounds(0.0, 5)
    assert outcome.jobs[0].num_corrupt == 1


def test_an_asynchronous_copy_from_before_the_corruption_is_clean() -> None:
    """The copy at 20 s is written by 35 s; the corruption at 25 s comes between."""
    outcome = run(
        event(25.0, "corruption", detection_s=60.0),
        checkpoint=plans.asynchronous(write_s=15.0, stall_s=1.0),
    )
    assert (0.0, 20.0, "step", 2) in of_job(outcome)
    assert (21.0, 41.0, "step (lost)", 2) in of_job(outcome)


def test_maintenance_costs_no_work_but_the_step_under_way() -> None:
    """Window at 60 s: at 57 s the state of step 5 is saved, begun 56 s; the next would end at 66 s."""
    outcome = run(event(60.0, "maintenance", nodes=(0, 2), repair_s=100.0), spare_nodes=0)
    assert of_job(outcome) == sorted(
        [
            *rounds(0.0, 2),
            (46.0, 56.0, "step", 2),
            (56.0, 57.0, "step (lost)", 2),
            (57.0, 60.0, "checkpoint", 2),
            (160.0, 165.0, "restart", 2),
            *[(165.0 + 23.0 * turn, 185.0 + 23.0 * turn, "step", 2) for turn in range(2)],
            *[(185.0 + 23.0 * turn, 188.0 + 23.0 * turn, "checkpoint", 2) for turn in range(2)],
            (211.0, 221.0, "step", 2),
            (221.0, 224.0, "checkpoint", 2),
        ]
    )
    (job,) = outcome.jobs
    assert (job.num_interruptions, job.num_announced, job.num_checkpoints) == (0, 1, 6)
    assert job.waiting_s == 100.0
    assert outcome.num_failures == 0


def test_spares_take_over_from_nodes_in_maintenance() -> None:
    outcome = run(event(60.0, "maintenance", nodes=(0, 1), repair_s=100.0), spare_nodes=1)
    assert (60.0, 65.0, "restart", 2) in of_job(outcome)
    assert outcome.jobs[0].waiting_s == 0.0


def test_maintenance_of_spares_disturbs_nobody() -> None:
    assert of_job(run(event(60.0, "maintenance", nodes=(2, 3)), spare_nodes=1)) == rounds(0.0, 5)


def test_a_job_that_ends_before_maintenance_does_not_stop() -> None:
    assert of_job(run(event(115.0, "maintenance", nodes=(0, 2)), spare_nodes=0)) == rounds(0.0, 5)


def test_a_failure_while_the_state_is_saved_for_maintenance() -> None:
    """At 58 s a node fails: what was saved last, at 46 s, holds."""
    outcome = run(event(58.0, nodes=(1, 2)), event(60.0, "maintenance", nodes=(0, 1)), spare_nodes=2)
    found = of_job(outcome)
    assert (46.0, 57.0, "step (lost)", 2) in found
    assert (57.0, 58.0, "checkpoint", 2) in found
    assert (58.0, 65.0, "restart", 2) in found  # taken at 60 s in its restart, it begins another
    assert outcome.jobs[0].lost_s == 11.0


def test_a_straggler_slows_all_down_until_it_is_found() -> None:
    """Half speed from 10 s to 30 s: 10 s of work in 20 s, then as before, 10 s late."""
    outcome = run(event(10.0, "straggler", detection_s=20.0, repair_s=0.0, slowdown=2.0), spare_nodes=0)
    assert of_job(outcome) == sorted(
        [
            (0.0, 10.0, "step", 2),
            (10.0, 30.0, "step (slow)", 2),
            (30.0, 33.0, "checkpoint", 2),
            *rounds(33.0, 4),
        ]
    )
    (job,) = outcome.jobs
    assert (job.useful_s, job.slowed_s, job.num_interruptions) == (100.0, 10.0, 0)
    assert job.effective_time_frac == pytest.approx(110.0 / 125.0)
    assert job.goodput_frac == pytest.approx(100.0 / 125.0)


def test_the_slowest_of_two_stragglers_counts() -> None:
    """Twice as slow from 10 s to 30 s, four times from 14 s to 22 s: 2 + 2 + 4 s of work by 30 s."""
    outcome = run(
        event(10.0, "straggler", detection_s=20.0, repair_s=0.0, slowdown=2.0),
        event(14.0, "straggler", nodes=(1, 2), detection_s=8.0, repair_s=0.0, slowdown=4.0),
        spare_nodes=0,
    )
    assert outcome.jobs[0].slowed_s == 20.0 - 8.0
    assert outcome.end_s == 115.0 + 12.0


def test_a_straggler_is_cordoned_and_its_work_so_far_counts_up_to_the_checkpoint() -> None:
    outcome = run(event(10.0, "straggler", detection_s=30.0, repair_s=500.0, slowdown=2.0), spare_nodes=1)
    found = of_job(outcome)
    assert (10.0, 30.0, "step (slow)", 2) in found
    assert (30.0, 36.0, "checkpoint", 2) in found  # saving is slow too
    assert (36.0, 40.0, "step (lost) (slow)", 2) in found
    assert (40.0, 45.0, "restart", 2) in found
    assert outcome.jobs[0].lost_s == 4.0
    assert outcome.end_s == 45.0 + 4 * 23.0


def in_memory(
    write_s: float = 15.0, stall_s: float = 1.0, every_s: float = 40.0, restart_s: float | None = 2.0
) -> CheckpointPlan:
    return CheckpointPlan(
        kind="in-memory",
        write_s=write_s,
        stall_s=stall_s,
        interval_s=20.0,
        pattern=plans.CHECKPOINT,
        persistent_interval_s=every_s,
        memory_restart_s=restart_s,
    )


def test_one_node_goes_back_to_memory() -> None:
    """Copies at 20, 41, 62 s; a failure at 64 s goes back to that of 62 s, which no store has."""
    outcome = run(event(64.0), checkpoint=in_memory(), num_nodes=4)
    found = of_job(outcome)
    assert (63.0, 64.0, "step (lost)", 4) in found
    assert (64.0, 66.0, "restart", 4) in found
    assert outcome.jobs[0].lost_s == 1.0
    assert outcome.end_s == 66.0 + 2 * 20.0 + 1.0 + 15.0  # the last state is stored before the job ends


def test_a_node_and_its_peer_go_back_to_the_store() -> None:
    """The copy of 41 s is the first that is stored, by 56 s: what came after is lost."""
    outcome = run(event(64.0, nodes=(0, 3)), checkpoint=in_memory(), num_nodes=4, spare_nodes=4)
    found = of_job(outcome)
    assert (42.0, 62.0, "step (lost)", 4) in found
    assert (64.0, 69.0, "restart", 4) in found
    assert outcome.jobs[0].lost_s == 20.0 + 1.0


def test_a_write_under_way_is_no_copy_in_the_store() -> None:
    outcome = run(event(55.0, nodes=(0, 3)), checkpoint=in_memory(), num_nodes=4, spare_nodes=4)
    assert outcome.jobs[0].lost_s == 20.0 + 20.0 + 13.0


def test_two_neighbours_are_no_peers() -> None:
    outcome = run(event(64.0, nodes=(0, 2)), checkpoint=in_memory(), num_nodes=4, spare_nodes=4)
    assert outcome.jobs[0].lost_s == 1.0


def test_losses_add_up_over_two_failures_in_memory() -> None:
    """Back to memory at 64 s, then everything at 90 s: all since the stored copy of 41 s is lost."""
    outcome = run(
        event(64.0, cause="node"),
        event(80.0, nodes=(1, 5), cause="power"),
        checkpoint=in_memory(),
        num_nodes=4,
        spare_nodes=8,
    )
    lost = {one.cause: one.lost_s for one in outcome.jobs[0].causes}
    assert lost == {"node": 1.0, "power": 20.0 + 14.0}


effects = st.sampled_from(["failure", "software", "corruption", "straggler", "maintenance"])


@st.composite
def happenings(draw: st.DrawFn) -> list[HazardEvent]:
    found = []
    for _ in range(draw(st.integers(0, 12))):
        effect, start = draw(effects), draw(st.integers(0, 6))
        stop = draw(st.integers(start + 1, 7)) if effect in ("failure", "maintenance") else start + 1
        time_s = draw(st.sampled_from([10.0, 20.0, 23.0, 50.0]) | st.floats(0.0, 400.0))
        found.append(
            event(
                time_s,
                effect,
                (start, stop),
                detection_s=draw(st.sampled_from([0.0, 5.0]) | st.floats(0.0, 100.0)),
                repair_s=draw(st.sampled_from([0.0, 20.0]) | st.floats(0.0, 100.0)),
                slowdown=draw(st.floats(1.01, 5.0)) if effect == "straggler" else 1.0,
                cause=f"{effect} {start}",
            )
        )
    return found


checkpoints = st.sampled_from(
    [
        plans.synchronous(),
        plans.asynchronous(write_s=15.0, stall_s=1.0),
        plans.synchronous(interval_s=None),
        in_memory(),
        in_memory(write_s=55.0, restart_s=None),
    ]
)


@settings(max_examples=300)
@given(happenings(), checkpoints, st.integers(1, 5), st.integers(0, 2))
def test_whatever_happens_time_and_energy_are_accounted_for(
    events: list[HazardEvent], checkpoint: CheckpointPlan, num_nodes: int, spare_nodes: int
) -> None:
    kept = tuple(one for one in events if one.nodes[0][1] <= num_nodes + spare_nodes)
    outcome = run(*kept, checkpoint=checkpoint, num_nodes=num_nodes, spare_nodes=spare_nodes)
    (job,) = outcome.jobs
    parts = job.useful_s + job.slowed_s + job.lost_s + job.checkpoint_s + job.restart_s + job.waiting_s
    assert parts == pytest.approx(job.end_s - job.start_s, rel=1e-9)
    assert job.useful_s == pytest.approx(100.0, rel=1e-9)
    assert math.fsum(one.lost_s for one in job.causes) == pytest.approx(job.lost_s, rel=1e-9, abs=1e-9)
    assert sum(one.num_interruptions for one in job.causes) == job.num_interruptions
    assert all(one.lost_s >= -1e-9 for one in job.causes)
    by_state = outcome.ledger.group("device_s", ("job", "state"))
    work_device_s = math.fsum(by_state.get((job.name, state), 0.0) for state in WORK_STATES)
    assert work_device_s == pytest.approx((job.useful_s + job.slowed_s) * job.num_devices, rel=1e-9)
    assert outcome.ledger.device_s(state="lost_work") >= -1e-9


def test_the_same_stream_as_events_and_as_failures_gives_the_same_course() -> None:
    """The plain form of failures and the general one are one mechanism."""
    plain = run(failures=plans.failures((30.0, 1), (70.0, 0), repair_s=40.0, detection_s=2.0))
    general = run(
        event(30.0, nodes=(1, 2), repair_s=40.0, detection_s=2.0),
        event(70.0, nodes=(0, 1), repair_s=40.0, detection_s=2.0),
    )
    assert rows(plain) == rows(general)


def test_random_hazards_are_the_same_whatever_the_checkpoints() -> None:
    from simtool.sim.hazards.plan import Cause

    switch = Cause(
        name="switch",
        effect="failure",
        arrivals=Exponential(rate_per_unit_s=1e-3),
        group_nodes=2,
        repair=Duration(mean_s=1.0),
    )
    plan = replace(plans.failures(), hazards=HazardPlan(causes=(switch,)))
    first, second = (
        run(failures=plan, num_nodes=4, checkpoint=checkpoint, num_steps=100)
        for checkpoint in (plans.synchronous(), plans.synchronous(write_s=7.0))
    )
    times = [[one.time_s for one in found.events if one.kind == "failure"] for found in (first, second)]
    assert len(times[0]) > 2
    assert times[0] == times[1][: len(times[0])]


def test_a_node_that_goes_down_in_the_moment_of_a_restart_is_missed() -> None:
    outcome = run(
        event(10.0, nodes=(0, 1), effect="software", detection_s=5.0),
        event(10.0, nodes=(0, 1), effect="straggler", detection_s=5.0, repair_s=20.0, slowdown=2.0),
        num_nodes=1,
        spare_nodes=0,
    )
    (job,) = outcome.jobs
    # noticed at 15 s, and at 15 s the slow node is taken for 20 s; then a restart of 5 s and all the work
    assert job.end_s == 35.0 + 5.0 + 115.0
