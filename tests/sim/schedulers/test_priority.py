"""Preemption: who leaves, and who does not."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.jobs.table import JobTable
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import SCHEDULERS, Choice, Devices, QueuedJob, RunningJob, Waiting
from tests.sim import plans
from tests.sim.fleet import fleets

select = SCHEDULERS["priority"]


def running(job: int, num: int, priority: int = 0, start_s: float = 0.0, **more: object) -> RunningJob:
    return RunningJob(math.inf, start_s, job, num, priority, **{"preemptible": True, **more})  # type: ignore[arg-type]


def ask(num: int, *jobs: RunningJob, free: int = 0, priority: int = 5) -> Choice:
    total = free + sum(job.num_devices for job in jobs)
    cluster = Devices(num_devices=total, num_free_devices=free, running=sorted(jobs))
    return select(Waiting([QueuedJob(99, num, 50.0, priority=priority)]), cluster, {}, 50.0)


def test_the_fewest_leave() -> None:
    assert ask(4, running(0, 2), running(1, 2), running(2, 4)).preempt == [2]


def test_of_equals_the_lowest_then_the_youngest_leaves() -> None:
    assert ask(2, running(0, 2, 1, 9.0), running(1, 2, 0, 1.0), running(2, 2, 0, 5.0)).preempt == [2]


def test_free_devices_and_those_on_their_way_count() -> None:
    assert ask(4, running(0, 2, leaving=True), running(1, 1, start_s=3.0), running(2, 4), free=1).preempt == [
        1
    ]
    assert ask(4, running(0, 2, leaving=True), running(1, 2), free=2).preempt == []


@pytest.mark.parametrize(
    "job",
    [running(0, 4, preemptible=False), running(0, 4, 5), running(0, 4, 6), running(0, 3)],
    ids=["forbids it", "equal priority", "higher priority", "is not enough"],
)
def test_nobody_leaves_in_vain(job: RunningJob) -> None:
    assert ask(4, job).preempt == []


def test_watts_can_be_what_is_missing() -> None:
    jobs = [running(0, 1, power_w=200.0), running(1, 1, power_w=400.0, start_s=1.0)]
    cluster = Devices(num_devices=9, num_free_devices=7, running=jobs, spare_power_w=100.0)
    queue = Waiting([QueuedJob(9, 2, 5.0, priority=1, power_w=500.0)])
    assert select(queue, cluster, {}, 5.0).preempt == [1]


@settings(max_examples=200)
@given(
    sizes=st.lists(
        st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 20)), min_size=1, max_size=6
    ),
    num=st.integers(1, 12),
)
def test_against_all_choices(sizes: list[tuple[int, int, int]], num: int) -> None:
    jobs = [
        running(index, size, priority, float(start)) for index, (size, priority, start) in enumerate(sizes)
    ]
    found = ask(num, *jobs, priority=3).preempt
    lower = [job for job in jobs if job.priority < 3]
    enough = [
        group
        for many in range(1, len(lower) + 1)
        for group in itertools.combinations(lower, many)
        if sum(job.num_devices for job in group) >= num
    ]
    assert bool(found) == bool(enough)
    if found:
        assert sum(jobs[number].num_devices for number in found) >= num
        assert len(found) == min(len(group) for group in enough)


def test_a_preempted_job_saves_leaves_and_goes_on_where_it_was() -> None:
    # 0 works 20 s, saves 3, works on from 23; told to leave at 30 (27 s done) it saves until 33; 1 runs 33 to 43;
    # 0 restarts (5 s) at 43 and does the last 13 s; the last save ends at 43 + 5 + 13 + 3
    jobs = JobTable.of(
        submit_s=[0.0, 30.0], num_devices=4, run_s=[40.0, 7.0], priority=[0, 1], preemptible=[True, False]
    )
    plan = fleets.fleet(4, scheduler="priority", checkpoint=plans.synchronous())
    outcome = simulate_fleet(jobs, plan)
    assert outcome.start_s.tolist() == [0.0, 33.0]
    assert outcome.finish_s.tolist() == [64.0, 43.0]
    assert outcome.waited_s.tolist() == [10.0, 3.0]
    assert outcome.num_preemptions.tolist() == [1, 0]
    states = outcome.ledgers["pool"].device_s_by("state", job="job-0")
    assert states == {"compute": 160.0, "checkpoint": 36.0, "restart": 20.0}


def test_the_last_job_to_come_takes_the_only_device_of_one_that_saves_nothing() -> None:
    jobs = JobTable.of(
        submit_s=[0.0, 10.0], num_devices=1, run_s=[60.0, 4.0], priority=[0, 1], preemptible=[True, False]
    )
    outcome = simulate_fleet(jobs, fleets.fleet(1, scheduler="priority", kill_at_limit=False))
    assert outcome.finish_s[1] == 14.0
    assert outcome.finish_s[0] >= 74.0  # all of it again
    assert outcome.num_preemptions.tolist() == [1, 0]


def over_pools(
    sizes: tuple[int, ...],
    *rows: tuple[float, int, float, int, bool],
    placement: str = "lowest",
    node: int = 8,
) -> FleetOutcome:
    """Pools of nodes of eight devices: submission, devices, run time, priority, whether it may be preempted."""
    submit_s, num, run_s, priority, preemptible = zip(*rows, strict=True)
    jobs = JobTable.of(
        submit_s=submit_s, num_devices=num, run_s=run_s, priority=priority, preemptible=preemptible
    )
    use = fleets.use(plans.synchronous(60.0, 3600.0), restart_s=100.0)
    plan = FleetPlan(
        pools=tuple(fleets.pool(size, node, name=f"pool-{index}") for index, size in enumerate(sizes)),
        kinds=(JobKind(name="kind", uses=(use,) * len(sizes)),),
        scheduler="priority",
        placement=placement,
    )
    return simulate_fleet(jobs, plan)


def test_nobody_leaves_while_another_pool_has_room() -> None:
    outcome = over_pools((1, 1), (0.0, 8, 20000.0, 0, True), (1000.0, 8, 6000.0, 5, False))
    assert outcome.num_preemptions.tolist() == [0, 0]
    assert outcome.start_s.tolist() == [0.0, 1000.0]


def test_room_is_made_where_the_job_fits() -> None:
    """The first pool is as fast, and too small."""
    outcome = over_pools((1, 2), (0.0, 16, 20000.0, 0, True), (1000.0, 16, 6000.0, 5, False))
    assert outcome.num_preemptions.tolist() == [1, 0]
    assert outcome.start_s[1] == 1060.0


def test_room_is_made_on_any_of_equal_pools_and_on_one() -> None:
    rows = [(0.0, 8, 20000.0, 0, False), (1.0, 8, 20000.0, 0, True), (1000.0, 8, 6000.0, 5, False)]
    outcome = over_pools((1, 1), *rows)
    assert outcome.num_preemptions.tolist() == [0, 1, 0]
    assert outcome.start_s[2] == 1060.0
    outcome = over_pools((1, 1), (0.0, 8, 20000.0, 0, True), *rows[1:])
    assert outcome.num_preemptions.sum() == 1


def test_nobody_leaves_for_a_job_that_still_could_not_be_placed() -> None:
    """It needs a whole node, and on either stays one that cannot leave."""
    rows = [
        (0.0, 2, 50000.0, 9, False),
        (1.0, 6, 20000.0, 0, True),
        (2.0, 5, 50000.0, 9, False),
        (3.0, 3, 20000.0, 0, True),
        (1000.0, 8, 6000.0, 5, False),
    ]
    assert over_pools((2,), *rows, placement="nodes").num_preemptions.tolist() == [0] * 5
    anywhere = over_pools((2,), *rows, placement="lowest")
    assert anywhere.num_preemptions.sum() == 2
    assert anywhere.start_s[4] == 1060.0


def test_more_leave_where_devices_lie_wrongly_and_none_that_need_not() -> None:
    """Two of four devices each; the one that is on no whole node's way stays."""
    rows = [(float(at), 4, 20000.0, 0, True) for at in range(4)]
    outcome = over_pools((2,), *rows, (1000.0, 8, 6000.0, 5, False), placement="nodes")
    assert outcome.num_preemptions.tolist() == [0, 0, 1, 1, 0]
    assert outcome.start_s[4] == 1060.0
