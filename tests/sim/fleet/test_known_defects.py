"""Defects known from other simulators of clusters, one test each that would find it here."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from simtool.ledger import Ledger
from simtool.sim.fleet.plan import FleetPlan, JobKind, PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from simtool.units import SECONDS_PER_HOUR
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken

WORK_W, IDLE_W = 761.0, 140.0


def busy_fleet(**changes: object) -> Ledger:
    jobs = fleets.jobs((0.0, 2, 100.0), (3.7, 3, 41.3), (10.1, 1, 77.7), (50.0, 4, 20.0))
    return simulate_fleet(jobs, replace(fleets.fleet(4), **changes)).ledgers["pool"]  # type: ignore[arg-type]


def test_energy_does_not_depend_on_an_interval() -> None:
    """Elsewhere the same seed gives 16.9, 18.1 or 16.0 MW by the tick."""
    ledger = busy_fleet()
    edges_s, power_w = ledger.breakpoints_s, ledger.power_w()
    for tick_s in (0.1, 1.0, 15.0, 60.0, 3.3333):
        finer_s = np.union1d(edges_s, np.arange(0.0, edges_s[-1], tick_s))
        values_w = power_w[np.searchsorted(edges_s, finer_s[:-1], "right") - 1]
        assert math.fsum(values_w * np.diff(finer_s)) == pytest.approx(ledger.energy_j(), rel=1e-12)


def test_events_without_effect_change_no_energy() -> None:
    """Decisions at further moments, here at changes of a limit that nobody reaches."""
    limits = tuple(PowerLimit(step * 1.7, 1e9) for step in range(100))
    plain, watched = busy_fleet(), busy_fleet(limits=limits)
    assert watched.energy_j_by("job") == plain.energy_j_by("job")
    assert (watched.breakpoints_s == plain.breakpoints_s).all()


def test_a_single_running_job_is_running_and_not_queued() -> None:
    """Elsewhere the two means are swapped: queue 1.00, running 0.00."""
    outcome = simulate_fleet(fleets.jobs((0.0, 1, 50.0)), fleets.fleet(1))
    assert (outcome.num_running_mean, outcome.num_waiting_mean) == (1.0, 0.0)
    both = simulate_fleet(fleets.jobs((0.0, 1, 50.0), (0.0, 1, 50.0)), fleets.fleet(1))
    assert (both.num_running_mean, both.num_waiting_mean) == (1.0, 0.5)


def test_the_reservation_of_easy_goes_by_ends_not_by_limits() -> None:
    """Elsewhere running jobs are sorted by limit: then job 3 would start at 90 s and delay job 2 to 150 s."""
    jobs = fleets.jobs(
        (0.0, 6, 100.0), (80.0, 2, 60.0), (85.0, 8, 10.0), (90.0, 2, 60.0), limits=[100.0, 60.0, 10.0, 60.0]
    )
    outcome = simulate_fleet(jobs, fleets.fleet(10, scheduler="easy"))
    assert outcome.start_s.tolist() == [0.0, 80.0, 100.0, 110.0]


def test_jobs_that_share_a_node_pay_for_their_own_devices() -> None:
    """Elsewhere every job on a host is billed the whole host."""
    kind = JobKind(name="small", uses=(fleets.use(),))
    plan = FleetPlan(pools=(fleets.pool(1, 8),), kinds=(kind,), scheduler="fcfs")
    outcome = simulate_fleet(fleets.jobs(*[(0.0, 1, 100.0)] * 5), plan)
    by_job = outcome.ledgers["pool"].energy_j_by("job")
    node_j = 5 * WORK_W * 100.0 + 3 * IDLE_W * 100.0
    assert [by_job[f"job-{index}"] for index in range(5)] == [WORK_W * 100.0] * 5
    assert by_job[""] == 3 * IDLE_W * 100.0
    assert math.fsum(by_job.values()) == pytest.approx(node_j, rel=1e-12)


def test_a_killed_job_draws_nothing_more() -> None:
    """Elsewhere the power of a killed job stays."""
    jobs = fleets.jobs((0.0, 1, 100.0), limits=[100.0])
    plan = fleets.fleet(1, checkpoint=plans.synchronous(30.0, 50.0))
    outcome = simulate_fleet(jobs, plan, end_s=500.0)
    assert outcome.finish_s.tolist() == [100.0]
    ledger = outcome.ledgers["pool"]
    assert ledger.energy_j(job="") == pytest.approx(400.0 * IDLE_W, rel=1e-12)


def test_jobs_on_many_nodes_draw_what_they_do_and_not_idle_power() -> None:
    """Elsewhere parallel tasks draw idle power."""
    outcome = simulate_fleet(fleets.jobs((0.0, 4, 10.0)), fleets.fleet(4))
    assert outcome.ledgers["pool"].power_w().tolist() == [4 * WORK_W]


def test_units_hold_from_end_to_end() -> None:
    """One device at 761 W for an hour is 0.761 kWh: no slip between W and kW, s and h."""
    outcome = simulate_fleet(fleets.jobs((0.0, 1, SECONDS_PER_HOUR)), fleets.fleet(1))
    assert outcome.ledgers["pool"].energy_j() / (1000.0 * SECONDS_PER_HOUR) == pytest.approx(0.761, rel=1e-12)


def test_failures_cost_something() -> None:
    """Elsewhere a mean time between failures is set and nothing ever fails."""
    events = fleets.events(Broken(50.0, ((0, 1),), repair_s=30.0))
    outcome = simulate_fleet(fleets.jobs((0.0, 1, 100.0)), fleets.fleet(1), node_events=events)
    # 50 s lost, 30 s down, 5 s of restart, 100 s anew
    assert outcome.finish_s.tolist() == [185.0]
    assert outcome.ledgers["pool"].device_s_by("state") == {
        "compute": 100.0,
        "restart": 5.0,
        "lost_work": 50.0,
        "down": 30.0,
    }
