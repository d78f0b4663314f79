"""Waiting for cheap and clean hours, without missing a deadline for it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.jobs.table import JobTable
from simtool.signals import Basis, Signal
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import SCHEDULERS, Devices, QueuedJob, Waiting
from tests.sim.fleet import fleets
from tests.sim.schedulers.views import registered

DAY = Signal.from_steps([0.0, 100.0, 200.0, 300.0], [5.0, 2.0, 1.0, 4.0], end_s=math.inf, unit="USD/kWh")


def run(
    jobs: JobTable, num_devices: int = 2, scheduler: str = "price-aware", signal: Signal = DAY
) -> FleetOutcome:
    name = "price" if scheduler == "price-aware" else "carbon"
    plan = fleets.fleet(num_devices, scheduler=scheduler)
    return simulate_fleet(jobs, plan, signals={"pool": {name: signal}})


def job(
    submit_s: float = 0.0, run_s: float = 50.0, limit_s: float = 50.0, deadline_s: float = 1000.0
) -> JobTable:
    return JobTable.of(submit_s=submit_s, num_devices=2, run_s=run_s, limit_s=limit_s, deadline_s=deadline_s)


@pytest.mark.parametrize(
    ("limit_s", "deadline_s", "start_s"),
    [
        (50.0, 1000.0, 200.0),  # the cheapest hour begins at 200 s
        (100.0, 1000.0, 200.0),  # fills it
        (150.0, 1000.0, 150.0),  # 50 s at 2 and 100 s at 1 are cheaper than 100 s at 1 and 50 s at 4
        (
            50.0,
            180.0,
            100.0,
        ),  # done by 180: of 0 to 130, the second step is cheapest, the earliest moment in it
        (50.0, 120.0, 70.0),  # until 120: the latest start has 20 of 50 s in the second step
        (50.0, 50.0, 0.0),  # no time to lose
        (50.0, math.inf, 0.0),  # no deadline: not to be put off
        (math.inf, 1000.0, 0.0),  # no limit: nobody knows when it has to start
    ],
)
def test_the_cheapest_window(limit_s: float, deadline_s: float, start_s: float) -> None:
    assert run(job(limit_s=limit_s, deadline_s=deadline_s)).start_s.tolist() == [start_s]


@pytest.mark.parametrize("name", ["price-aware", "carbon-aware"])
def test_two_were_put_off_and_the_power_now_leaves_room_for_one(name: str) -> None:
    due = QueuedJob(0, 1, 0.0, 50.0, deadline_s=150.0, power_w=500.0, least_power_w=500.0, put_off=True)
    later = QueuedJob(1, 1, 0.0, 20.0, deadline_s=160.0, power_w=500.0, least_power_w=500.0, put_off=True)
    cluster = Devices(num_devices=2, num_free_devices=2, free_by_pool=(2,), spare_power_w=700.0)
    signals = {"price": DAY, "carbon": DAY}
    choice = SCHEDULERS[name](Waiting([due, later]), cluster, signals, 100.0)
    # the first cannot begin now without taking the place of the second: both get theirs, one after the other
    assert choice.start or 100.0 < choice.wake_s < math.inf
    again = SCHEDULERS[name](Waiting([due, later]), cluster, signals, 140.0)
    assert [*again.start] == [1]


def test_a_constant_price_puts_nothing_off() -> None:
    constant = Signal.constant(0.1, unit="USD/kWh")
    assert run(job(), signal=constant).start_s.tolist() == [0.0]
    thirds = Signal.from_steps([0.1, 0.2, 0.7], [0.3, 0.1 + 0.2, 0.3], end_s=math.inf, unit="USD/kWh")
    assert run(job(submit_s=0.1), signal=thirds).start_s.tolist() == [0.1]


def test_negative_prices_are_the_best() -> None:
    assert (
        run(
            job(), signal=Signal.from_steps([0.0, 400.0], [0.1, -0.2], end_s=math.inf, unit="USD/kWh")
        ).start_s[0]
        == 400.0
    )


def test_carbon_is_looked_at_under_its_own_name() -> None:
    carbon = Signal.from_steps(
        [0.0, 33.0], [0.4, 0.1], end_s=math.inf, unit="kgCO2e/kWh", basis=Basis.MARGINAL
    )
    assert run(job(), scheduler="carbon-aware", signal=carbon).start_s.tolist() == [33.0]


def test_a_site_without_the_signal_is_refused() -> None:
    with pytest.raises(InputError, match="a signal 'price' of the site"):
        simulate_fleet(job(), fleets.fleet(2, scheduler="price-aware"))


def test_a_price_that_ends_before_the_deadline_is_refused() -> None:
    short = Signal.from_steps([0.0], [1.0], end_s=500.0, unit="USD/kWh")
    with pytest.raises(InputError, match="the series covers"):
        run(job(), signal=short)


def test_others_use_the_devices_of_a_job_that_waits_as_long_as_it_can_still_start() -> None:
    # 0 waits for 200, and has to start by 250; 1 runs until 150 at most; 2 would hold the devices until 260
    jobs = JobTable.of(
        submit_s=[0.0, 10.0, 20.0],
        num_devices=[2, 2, 2],
        run_s=[50.0, 100.0, 60.0],
        limit_s=[50.0, 140.0, 245.0],
        deadline_s=[300.0, math.inf, math.inf],
    )
    # 0 starts at 200, when 1 (10 to 110) is long done, and ends at 250
    assert run(jobs).start_s.tolist() == [200.0, 10.0, 250.0]


@st.composite
def deferrable(draw: st.DrawFn) -> JobTable:
    num = draw(st.integers(1, 9))
    run_s = np.array([draw(st.integers(1, 60)) * 1.0 for _ in range(num)])
    limit_s = run_s * [draw(st.sampled_from([1.0, 1.5, 3.0])) for _ in range(num)]
    submit_s = np.sort([draw(st.integers(0, 200)) * 1.0 for _ in range(num)])
    slack_s = [draw(st.sampled_from([0.0, 20.0, 100.0, 250.0, math.inf])) for _ in range(num)]
    return JobTable.of(
        submit_s=submit_s,
        num_devices=[draw(st.integers(1, 4)) for _ in range(num)],
        run_s=run_s,
        limit_s=limit_s,
        deadline_s=submit_s + limit_s + slack_s,
    )


@settings(max_examples=400)
@given(jobs=deferrable())
def test_no_deadline_is_missed_that_starting_at_once_would_have_met(jobs: JobTable) -> None:
    """A job that finds free devices when it comes, none of them promised to others, is done in time."""
    outcome = run(jobs, num_devices=4)
    late = outcome.finish_s > jobs.deadline_s * (1 + 1e-12)
    # who was put off started later than it came, at the latest at its latest start, unless it had to queue; a
    # job alone in the system when it comes could have started at once
    for index in np.flatnonzero(late):
        here = (jobs.submit_s <= jobs.submit_s[index]) & (outcome.finish_s > jobs.submit_s[index])
        assert here.sum() > 1, "it was alone and is late"


@settings(max_examples=400)
@given(jobs=deferrable())
def test_who_is_put_off_is_never_late(jobs: JobTable) -> None:
    put_off: set[int] = set()

    def spy(queue, cluster, signals, now_s: float):  # type: ignore[no-untyped-def]
        choice = SCHEDULERS["price-aware"](queue, cluster, signals, now_s)
        put_off.update(choice.put_off)
        return choice

    with registered("spy", spy):
        outcome = simulate_fleet(jobs, fleets.fleet(4, scheduler="spy"), signals={"pool": {"price": DAY}})
    numbers = sorted(put_off)
    assert (outcome.finish_s[numbers] <= jobs.deadline_s[numbers] * (1 + 1e-12)).all()
    assert (outcome.start_s[numbers] <= (jobs.deadline_s - jobs.limit_s)[numbers] * (1 + 1e-12)).all()


@settings(max_examples=100)
@given(jobs=deferrable())
def test_waiting_makes_a_lone_job_no_dearer(jobs: JobTable) -> None:
    first = jobs.select(np.arange(len(jobs)) == 0)
    outcome = run(first, num_devices=4)
    limit_s = float(first.limit_s[0])
    cost = float(DAY.mean(outcome.start_s[0], outcome.start_s[0] + limit_s))
    assert cost <= float(DAY.mean(first.submit_s[0], first.submit_s[0] + limit_s)) + 1e-9
    if first.deadline_s[0] < math.inf:
        tried_s = np.linspace(first.submit_s[0], first.deadline_s[0] - limit_s, 1001)
        assert cost <= DAY.mean(tried_s, tried_s + limit_s).min() + 1e-8
