"""What every scheduler has to keep: all that are registered are tested, here as functions and in fleets."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.jobs.table import JobTable
from simtool.sim.fleet.outcome import OVER_LIMIT, STATUSES, UNFINISHED, FleetOutcome
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import SCHEDULERS, Choice, Devices, Move, QueuedJob, Waiting
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.scenes import SIGNALS, Scene, scenes
from tests.sim.schedulers.views import NOW_S, moments

NAMES = list(SCHEDULERS)
DEFERRING = {"price-aware", "carbon-aware"}


def test_all_are_here() -> None:
    assert {"fcfs", "easy", "conservative", "shortest", "priority", "power-capped"} <= set(NAMES)
    assert {"price-aware", "carbon-aware", "heterogeneous", "elastic"} <= set(NAMES)
    assert {"cheapest-site", "cleanest-site", "follow-price", "follow-carbon"} <= set(NAMES)
    assert all(SCHEDULERS.summaries().values())


@pytest.mark.parametrize("name", NAMES)
@given(moment=moments())
def test_a_choice_is_possible(name: str, moment: tuple[Waiting, Devices]) -> None:
    queue, cluster = moment
    choice = SCHEDULERS[name](queue, cluster, SIGNALS, NOW_S)
    waiting = {job.job: job for job in queue}
    assert len(set(choice.start)) == len(choice.start)
    assert set(choice.start) <= set(waiting)
    assert not set(choice.start) & set(choice.put_off)
    started = [waiting[number] for number in choice.start]
    sizes = [choice.num_devices.get(job.job, job.num_devices) for job in started]
    assert sum(sizes) <= cluster.num_free_devices
    for job, num in zip(started, sizes, strict=True):
        assert (job.min_devices or job.num_devices) <= num <= max(job.num_devices, job.max_devices)
    power_w = sum(job.power_w * num / job.num_devices for job, num in zip(started, sizes, strict=True))
    alone = len(started) == 1 and not cluster.running and started[0].least_power_w <= cluster.spare_power_w
    assert not started or alone or power_w <= cluster.spare_power_w * (1 + 1e-12)
    running = {job.job: job for job in cluster.running}
    assert all(running[number].preemptible and not running[number].leaving for number in choice.preempt)
    assert len(set(choice.preempt)) == len(choice.preempt)
    assert not set(choice.preempt) & set(choice.move)
    left = list(cluster.free_by_pool)
    left[cluster.pool] -= sum(sizes)
    for number, move in choice.move.items():
        job = running[number]
        assert not job.leaving
        assert job.pause_s < math.inf
        if move.pool == cluster.pool:
            assert 0 < move.num_devices <= job.max_devices or move.num_devices == job.asked_devices
            left[move.pool] -= max(move.num_devices - job.num_devices, 0)
        else:
            assert job.preemptible
            assert job.speeds[move.pool] > 0.0
            assert move.num_devices == job.num_devices
            left[move.pool] -= move.num_devices
    assert min(left) >= 0
    assert choice.wake_s > NOW_S


@pytest.mark.parametrize("name", NAMES)
@given(moment=moments())
def test_it_is_a_pure_function(name: str, moment: tuple[Waiting, Devices]) -> None:
    before = copy.deepcopy((moment[0].jobs, moment[1].running, moment[1].free_by_pool))
    first = SCHEDULERS[name](*moment, MappingProxyType(SIGNALS), NOW_S)
    second = SCHEDULERS[name](*copy.deepcopy(moment[:1]), moment[1], MappingProxyType(SIGNALS), NOW_S)
    assert first == second
    assert before == (moment[0].jobs, moment[1].running, moment[1].free_by_pool)


@pytest.mark.parametrize("name", NAMES)
@given(
    num=st.integers(1, 8),
    limit_s=st.sampled_from([10.0, math.inf]),
    elastic=st.booleans(),
    deadline_s=st.sampled_from([NOW_S + 15.0, NOW_S + 400.0, math.inf]),
)
def test_a_lone_job_starts_at_once(
    name: str, num: int, limit_s: float, elastic: bool, deadline_s: float
) -> None:
    job = QueuedJob(0, num, 0.0, limit_s, deadline_s=deadline_s, min_devices=num // 2 if elastic else 0)
    empty = Devices(
        num_devices=8, num_free_devices=8, free_by_pool=(8,), waiting_by_pool=(1,), signals_by_pool=(SIGNALS,)
    )
    choice = SCHEDULERS[name](Waiting([job]), empty, SIGNALS, NOW_S)
    if name in DEFERRING and deadline_s < math.inf and choice.put_off:
        assert choice.wake_s <= deadline_s - limit_s
    else:
        assert list(choice.start) == [0]
        assert choice.num_devices.get(0, num) == num


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25)
@given(data=st.data())
def test_all_jobs_end(name: str, data: st.DataObject) -> None:
    scene = data.draw(scenes(scheduler=name, cut=False))
    outcome = scene.run()
    assert (outcome.status < UNFINISHED).all(), [STATUSES[status] for status in outcome.status]
    assert (outcome.start_s >= scene.jobs.submit_s).all()


def same(one: FleetOutcome, other: FleetOutcome) -> None:
    fields = ("start_s", "finish_s", "waited_s", "status", "pool", "devices", "num_preemptions", "num_moves")
    for field in fields:
        assert np.array_equal(getattr(one, field), getattr(other, field), equal_nan=True), field
    for pool, ledger in one.ledgers.items():
        assert ledger.energy_j_by("state") == other.ledgers[pool].energy_j_by("state")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(data=st.data())
def test_equal_seeds_of_chance_equal_runs(name: str, data: st.DataObject) -> None:
    scene = data.draw(scenes(scheduler=name))
    same(scene.run(), scene.run())


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8)
@given(data=st.data())
def test_names_do_not_matter(name: str, data: st.DataObject) -> None:
    scene = data.draw(scenes(scheduler=name))
    renamed = tuple(f"z{len(scene.jobs) - index}" for index in range(len(scene.jobs)))
    same(scene.run(), replace(scene, jobs=replace(scene.jobs, name=renamed)).run())


def with_longer_runs(scene: Scene, after_s: float, factor: float) -> Scene:
    """The same to all who do not know the future: what ends later runs longer."""
    jobs = scene.jobs
    later = ~(scene.run().finish_s <= after_s)
    run_s = np.where(later, np.minimum(jobs.run_s * factor, jobs.limit_s), jobs.run_s)
    return replace(scene, jobs=replace(jobs, run_s=run_s))


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=15)
@given(data=st.data(), after_s=st.floats(1.0, 60.0), factor=st.sampled_from([1.01, 1.5, 4.0]))
def test_true_run_times_are_not_seen(name: str, data: st.DataObject, after_s: float, factor: float) -> None:
    scene = data.draw(scenes(scheduler=name, cut=False, saves=False))
    other = with_longer_runs(scene, after_s, factor)
    same(replace(scene, end_s=after_s).run(), replace(other, end_s=after_s).run())


def preemptible_jobs(num: int, seed: int) -> JobTable:
    rng = np.random.default_rng(seed)
    run_s = rng.integers(5, 60, num) * 1.0
    return JobTable.of(
        submit_s=np.sort(rng.integers(0, 600, num)) * 1.0,
        num_devices=rng.integers(1, 5, num),
        run_s=run_s,
        limit_s=run_s * 1.5,
        priority=rng.integers(0, 4, num),
        preemptible=rng.random(num) < 0.7,
        deadline_s=2000.0,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(5))
def test_preempted_work_is_conserved(name: str, seed: int) -> None:
    jobs = preemptible_jobs(30, seed)
    plan = fleets.fleet(4, scheduler=name, checkpoint=plans.synchronous(2.0, 7.0), kill_at_limit=False)
    outcome = simulate_fleet(jobs, plan, signals={"pool": SIGNALS})
    ledger = outcome.ledgers["pool"]
    useful_s = ledger.device_s_by("job", state="compute")
    for name_of, num, run_s in zip(jobs.name, jobs.num_devices, jobs.run_s, strict=True):
        assert useful_s[name_of] == pytest.approx(num * run_s, rel=1e-9)
    assert ledger.device_s(state="lost_work") == 0.0
    assert (outcome.num_preemptions[~jobs.preemptible] == 0).all()


def test_only_jobs_of_lower_priority_are_preempted_and_not_for_ever() -> None:
    num_preemptions = 0
    for seed in range(20):
        jobs = preemptible_jobs(30, seed)
        plan = fleets.fleet(4, scheduler="priority", checkpoint=plans.synchronous(2.0, 7.0))
        outcome = simulate_fleet(jobs, plan)
        top = jobs.priority == jobs.priority.max()
        assert (outcome.num_preemptions[top] == 0).all()
        # every preemption makes room for a job of higher priority that was submitted later
        for index in np.flatnonzero(outcome.num_preemptions):
            later = (jobs.submit_s > outcome.start_s[index]) & (jobs.priority > jobs.priority[index])
            assert outcome.num_preemptions[index] <= later.sum()
        assert (outcome.status <= OVER_LIMIT).all()
        num_preemptions += outcome.num_preemptions.sum()
    assert num_preemptions > 20


JOB = QueuedJob(0, 2, 0.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Choice(start=[0, 1, 2]), "job 2 needs 2 devices of pool 'pool'; 0 are free"),
        (Choice(start=[0, 0]), "start: found job 0; jobs that wait"),
        (Choice(start=[7]), "start: found job 7; jobs that wait"),
        (Choice(start=["job-0"]), "start: found 'job-0'; indices of jobs"),  # type: ignore[list-item]
        (Choice(start="01"), "start: found '01'; a sequence of jobs"),  # type: ignore[arg-type]
        (Choice(start=3), "start: found 3; a sequence of jobs"),  # type: ignore[arg-type]
        (Choice(start=[0], num_devices={0: 1}), "num_devices: found 1 for job 0; 2 to 2"),
        (Choice(start=[0], num_devices={0: 5}), "num_devices: found 5 for job 0; 2 to 2"),
        (Choice(start=[0], num_devices={0: 1.5}), "num_devices: found 1.5; whole numbers"),  # type: ignore[dict-item]
        (Choice(num_devices=[1]), "num_devices: found [1]; numbers of devices by job"),  # type: ignore[arg-type]
        (Choice(start=[0], preempt=[0]), "preempt: found job 0; preemptible jobs that run"),
        (Choice(preempt=[1]), "preempt: found job 1; preemptible jobs that run"),
        (Choice(move={0: (0, 1)}), "move: found (0, 1); a Move by job"),  # type: ignore[dict-item]
        (Choice(move={0: Move(0, 2)}), "move: found job 0; jobs that run on pool 'pool'"),
        (Choice(start=[0], move={0: Move(1, 2)}), "move: found pool 1 for job 0; pools where it can run"),
        (Choice(start=[0], move={0: Move(0, 3)}), "move: found 3 devices for job 0; 2 to 2"),
        (Choice(wake_s=math.nan), "wake_s: found nan; a time in seconds"),
        (Choice(wake_s="soon"), "wake_s: found 'soon'; a time in seconds"),  # type: ignore[arg-type]
        (None, "answered None; a Choice"),
        ([0], "answered [0]; a Choice"),
        (Choice(), "job 'job-0' waits since 0 s, and nothing else is left to happen"),
        (ZeroDivisionError("a slip"), "raised ZeroDivisionError: a slip, asked at 0.0 s; a Choice"),
    ],
)
def test_what_a_plug_in_does_wrong_is_told_once(
    monkeypatch: pytest.MonkeyPatch, answer: object, told: str
) -> None:
    def select(*_: object) -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setitem(SCHEDULERS._items, "broken", select)  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        simulate_fleet(fleets.jobs(*[(0.0, 2, 5.0)] * 3), fleets.fleet(4, scheduler="broken"))
    assert len(error.value.problems) == 1
    assert str(error.value).startswith("scheduler 'broken': ")
    assert told in str(error.value)
