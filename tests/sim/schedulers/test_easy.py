"""EASY backfill by hand, and its promise: the first job never starts later than at its first reservation.

The cases follow the definition of Lifka (1995) and Mu'alem and Feitelson (2001): shadow time, extra devices, limits
that are too long, early ends. Ten devices; jobs as (submit, devices, true run time) with limits.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.jobs.table import JobTable
from simtool.sim.fleet.plan import PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import SCHEDULERS, Choice, Devices, QueuedJob, RunningJob, Waiting
from simtool.sim.schedulers.easy import reservation
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.schedulers.views import registered

EXTRA_W = fleets.WORK.power_w - plans.IDLE.power_w  # 761 - 140


def starts(
    *rows: tuple[float, int, float], limits: list[float], power: tuple[PowerLimit, ...] = ()
) -> list[float]:
    jobs = fleets.jobs(*rows, limits=limits)
    return simulate_fleet(jobs, fleets.fleet(10, scheduler="easy", limits=power)).start_s.tolist()


def test_a_short_job_slips_in_and_ends_by_the_shadow_time() -> None:
    # 0 holds 6 until 100; 1 wants 8: shadow 100. 2 wants 4 for 90, submitted at 10: ends at 100, in time.
    rows = ((0.0, 6, 100.0), (1.0, 8, 50.0), (10.0, 4, 90.0))
    assert starts(*rows, limits=[100.0, 50.0, 90.0]) == [0.0, 100.0, 10.0]


def test_a_second_longer_and_it_waits() -> None:
    rows = ((0.0, 6, 100.0), (1.0, 8, 50.0), (10.0, 4, 90.0))
    assert starts(*rows, limits=[100.0, 50.0, 91.0]) == [0.0, 100.0, 150.0]


def test_extra_devices_are_free_for_long_jobs_but_once_only() -> None:
    # at the shadow time 100, 10 - 7 = 3 devices are left over; 2 and 3 (2 each, endless) compete for them
    rows = ((0.0, 6, 100.0), (1.0, 7, 50.0), (2.0, 2, 500.0), (3.0, 2, 500.0))
    assert starts(*rows, limits=[100.0, 50.0, 500.0, 500.0]) == [0.0, 100.0, 2.0, 150.0]


def test_an_early_end_lets_the_first_job_start_early() -> None:
    # 0 asked for 100 and ends at 30: the reservation was 100, the start is 30; 2 slipped in and ended at 12
    rows = ((0.0, 6, 30.0), (1.0, 8, 50.0), (2.0, 4, 10.0))
    assert starts(*rows, limits=[100.0, 50.0, 98.0]) == [0.0, 30.0, 2.0]


def test_a_backfilled_job_may_hold_up_an_early_start_but_not_the_reservation() -> None:
    # as before, but 2 really takes its 98 s: 1 could have started at 30 and starts at its reservation, 100
    rows = ((0.0, 6, 30.0), (1.0, 8, 50.0), (2.0, 4, 98.0))
    assert starts(*rows, limits=[100.0, 50.0, 98.0]) == [0.0, 100.0, 2.0]


def test_the_order_of_ends_counts_and_not_that_of_limits() -> None:
    # 0 started at 0 with limit 100 and ends at 100 at the latest; 1 started at 80 with limit 60 and ends at 140.
    # The first in the queue wants 6: after 0. Sorted by limit, its shadow time would be 140, and 3, which
    # needs 4 until 130, would start and delay it to 130.
    rows = ((0.0, 6, 100.0), (80.0, 2, 60.0), (85.0, 8, 10.0), (90.0, 2, 60.0))
    limits = [100.0, 60.0, 10.0, 60.0]
    assert starts(*rows, limits=limits) == [0.0, 80.0, 100.0, 110.0]


def test_the_reservation_goes_by_ends() -> None:
    running = sorted([RunningJob(100.0, 0.0, 0, 6), RunningJob(140.0, 80.0, 1, 2)])
    assert reservation(QueuedJob(2, 8, 85.0, 10.0), 2, math.inf, running, [], 90.0) == (100.0, 0, math.inf)


def test_a_job_that_outlived_its_limit_is_expected_at_any_moment() -> None:
    # without killing: 0 asked for 50 and runs 120. From 50 on, the shadow time of 1 is now, and nothing is in time.
    rows = ((0.0, 6, 120.0), (1.0, 8, 50.0), (60.0, 4, 5.0), (61.0, 2, 5.0))
    jobs = JobTable.of(
        submit_s=[row[0] for row in rows],
        num_devices=[row[1] for row in rows],
        run_s=[50.0, 50.0, 5.0, 5.0],
        limit_s=[50.0, 50.0, 5.0, 5.0],
    )
    plan = fleets.fleet(10, scheduler="easy", checkpoint=plans.synchronous(35.0, 25.0), kill_at_limit=False)
    # two saves of 35 s: 0 ends at 120; 2 extra devices are left over beside 1, so 3 starts at once and 2 does not
    outcome = simulate_fleet(jobs, plan)
    assert outcome.start_s.tolist() == [0.0, 120.0, 240.0, 61.0]


def test_jobs_without_limits_take_what_is_left_over_only() -> None:
    # 1 waits for 0, whenever that ends; 2 fits beside 1, 3 does not though it would fit now
    rows = ((0.0, 6, 100.0), (1.0, 8, 50.0), (2.0, 2, 300.0), (3.0, 2, 10.0))
    assert starts(*rows, limits=[math.inf] * 4) == [0.0, 100.0, 2.0, 150.0]


def test_a_job_with_a_limit_slips_in_before_an_end_that_nobody_knows() -> None:
    rows = ((0.0, 6, 100.0), (1.0, 8, 50.0), (2.0, 4, 10.0))
    assert starts(*rows, limits=[math.inf, math.inf, 10.0]) == [0.0, 100.0, 2.0]


def test_ends_at_one_moment_count_together() -> None:
    running = [RunningJob(100.0, 0.0, 0, 4), RunningJob(100.0, 0.0, 1, 3), RunningJob(120.0, 0.0, 2, 3)]
    assert reservation(QueuedJob(3, 4, 5.0), 0, math.inf, running, [], 10.0) == (100.0, 3, math.inf)


def test_jobs_that_start_in_the_same_decision_hold_devices_in_the_reservation() -> None:
    # 0 starts now with limit 40; 1 wants all ten: its shadow time is 40, not now
    queue = [QueuedJob(0, 7, 0.0, 40.0), QueuedJob(1, 10, 0.0, 10.0), QueuedJob(2, 3, 0.0, 41.0)]
    cluster = Devices(num_devices=10, num_free_devices=10)
    assert SCHEDULERS["easy"](Waiting(queue), cluster, {}, 0.0).start == [0]


def test_watts_are_reserved_as_devices_are() -> None:
    # watts for 8 working devices; 0 draws for 6 until 100, and 1 (6 wide) waits for watts, not for devices.
    limit = PowerLimit(0.0, 10 * plans.IDLE.power_w + 8 * EXTRA_W)
    rows = ((0.0, 6, 100.0), (1.0, 6, 50.0), (2.0, 2, 98.0), (3.0, 2, 200.0))
    # 2 ends at 100, in time, and takes the last watts; from 100 on there are enough for 1 and 3
    assert starts(*rows, limits=[100.0, 50.0, 98.0, 200.0], power=(limit,)) == [0.0, 100.0, 2.0, 100.0]


@st.composite
def workloads(draw: st.DrawFn) -> JobTable:
    num = draw(st.integers(3, 14))
    run_s = [draw(st.integers(1, 60)) * 1.0 for _ in range(num)]
    return JobTable.of(
        submit_s=sorted(draw(st.integers(0, 40)) * 1.0 for _ in range(num)),
        num_devices=[draw(st.integers(1, 10)) for _ in range(num)],
        run_s=run_s,
        limit_s=[run * draw(st.sampled_from([1.0, 1.0, 2.0, 7.0])) for run in run_s],
    )


@pytest.mark.parametrize("name", ["easy", "power-capped"])
@settings(max_examples=150)
@given(jobs=workloads(), cap=st.sampled_from([None, 10, 13]))
def test_the_first_job_never_starts_after_its_first_reservation(
    name: str, jobs: JobTable, cap: int | None
) -> None:
    promised: dict[int, float] = {}

    def spy(queue, cluster, signals, now_s: float) -> Choice:  # type: ignore[no-untyped-def]
        choice: Choice = SCHEDULERS[name](queue, cluster, signals, now_s)
        waiting = [job for job in queue if job.job not in choice.start]
        if waiting:
            started = [job for job in queue if job.job in choice.start]
            lately = [
                RunningJob(now_s + j.limit_s, now_s, j.job, j.num_devices, power_w=j.power_w) for j in started
            ]
            free = cluster.num_free_devices - sum(job.num_devices for job in started)
            spare_w = cluster.spare_power_w - sum(job.power_w for job in started)
            shadow_s, _, _ = reservation(waiting[0], free, spare_w, cluster.running, lately, now_s)
            promised.setdefault(waiting[0].job, shadow_s)
        return choice

    limits = () if cap is None else (PowerLimit(0.0, 10 * plans.IDLE.power_w + cap * EXTRA_W),)
    with registered("spy", spy):
        outcome = simulate_fleet(jobs, fleets.fleet(10, scheduler="spy", limits=limits))
    for job, shadow_s in promised.items():
        assert outcome.start_s[job] <= shadow_s * (1 + 1e-12)


@settings(max_examples=60)
@given(jobs=workloads())
def test_with_true_limits_conservative_backfill_delays_nobody_against_first_come_first_served(
    jobs: JobTable,
) -> None:
    exact = JobTable.of(
        submit_s=jobs.submit_s, num_devices=jobs.num_devices, run_s=jobs.run_s, limit_s=jobs.run_s
    )
    fcfs = simulate_fleet(exact, fleets.fleet(10, scheduler="fcfs"))
    conservative = simulate_fleet(exact, fleets.fleet(10, scheduler="conservative"))
    assert (conservative.start_s <= fcfs.start_s + 1e-9).all()
    assert conservative.waited_s.sum() <= fcfs.waited_s.sum() + 1e-9


def test_easy_beats_first_come_first_served_on_a_busy_cluster() -> None:
    rng = np.random.default_rng(5)
    num = 2000
    devices = rng.choice([1, 1, 1, 2, 4, 8], num)
    run_s = rng.exponential(100.0, num) + 1.0
    submit_s = np.cumsum(rng.exponential((devices * run_s).mean() / (10 * 0.75), num))
    jobs = JobTable.of(submit_s=submit_s, num_devices=devices, run_s=run_s, limit_s=3.0 * run_s)
    waits_s = {
        name: simulate_fleet(jobs, fleets.fleet(10, scheduler=name)).waited_s.mean()
        for name in ("fcfs", "conservative", "easy")
    }
    assert waits_s["easy"] < 0.5 * waits_s["fcfs"]
    assert waits_s["conservative"] < 0.5 * waits_s["fcfs"]
