"""Several pools and sites; elastic jobs; the shortest first."""

from __future__ import annotations

import math

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.jobs.table import JobTable
from simtool.signals import Signal
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import SCHEDULERS, Devices, QueuedJob, RunningJob, Waiting
from tests.sim.fleet import fleets


def two_pools(
    scheduler: str, speeds: list[tuple[float, float]], sizes: tuple[int, int] = (2, 2)
) -> FleetPlan:
    kinds = tuple(
        JobKind(
            name=f"kind-{number}",
            uses=tuple(fleets.use(points=((speed, fleets.WORK),)) if speed else None for speed in pair),
        )
        for number, pair in enumerate(speeds)
    )
    pools = tuple(fleets.pool(num, name=name) for num, name in zip(sizes, ("left", "right"), strict=True))
    return FleetPlan(pools=pools, kinds=kinds, scheduler=scheduler)


def run(
    plan: FleetPlan, jobs: JobTable, kinds: list[int], prices: tuple[float, float] | None = None
) -> FleetOutcome:
    signals = prices and {
        name: {"price": Signal.constant(price, unit="USD/kWh")}
        for name, price in zip(("left", "right"), prices, strict=True)
    }
    return simulate_fleet(jobs, plan, kinds=kinds, signals=signals)


def test_who_loses_most_by_the_other_pool_gets_its_own() -> None:
    plan = two_pools("heterogeneous", [(1.0, 0.9), (1.0, 0.25)])
    jobs = fleets.jobs((0.0, 2, 90.0), (0.0, 2, 90.0))
    outcome = run(plan, jobs, [0, 1])
    assert outcome.pool.tolist() == [1, 0]
    assert outcome.finish_s.tolist() == [pytest.approx(100.0), 90.0]
    greedy = run(two_pools("easy", [(1.0, 0.9), (1.0, 0.25)]), jobs, [0, 1])
    assert greedy.finish_s.max() == 360.0


def test_a_slow_pool_is_better_than_waiting() -> None:
    outcome = run(two_pools("heterogeneous", [(1.0, 0.5)]), fleets.jobs(*[(0.0, 2, 10.0)] * 2), [0, 0])
    assert outcome.start_s.tolist() == [0.0, 0.0]
    assert outcome.finish_s.tolist() == [10.0, 20.0]


def test_a_limit_is_longer_on_a_slower_pool() -> None:
    plan = two_pools("easy", [(0.0, 0.5)])
    outcome = run(plan, fleets.jobs((0.0, 2, 10.0), limits=[10.0]), [0])
    assert outcome.finish_s.tolist() == [20.0]
    assert outcome.status.tolist() == [0]


@pytest.mark.parametrize(
    "scheduler", sorted({"fcfs", "easy", "heterogeneous", "conservative", "shortest", "priority"})
)
def test_a_job_that_fits_one_pool_only_blocks_no_other(scheduler: str) -> None:
    # 0 needs three devices, which only the right pool has, and waits there for 1; the left pool stays usable
    plan = two_pools(scheduler, [(1.0, 1.0), (0.0, 1.0)], sizes=(2, 4))
    jobs = fleets.jobs((0.0, 4, 50.0), (1.0, 3, 10.0), (2.0, 2, 10.0), limits=[50.0, 10.0, 10.0])
    outcome = run(plan, jobs, [1, 0, 0])
    assert outcome.start_s.tolist() == [0.0, 50.0, 2.0]


def test_work_goes_where_energy_is_cheap_as_far_as_there_is_room() -> None:
    plan = two_pools("cheapest-site", [(1.0, 1.0)])
    jobs = fleets.jobs(*[(0.0, 1, 10.0)] * 3, limits=[10.0] * 3)
    assert run(plan, jobs, [0] * 3, prices=(0.3, 0.1)).pool.tolist() == [1, 1, 0]
    assert run(plan, jobs, [0] * 3, prices=(0.1, 0.3)).pool.tolist() == [0, 0, 1]


def test_a_slow_site_has_to_be_cheaper_by_more_than_it_is_slower() -> None:
    jobs = fleets.jobs((0.0, 1, 10.0), limits=[10.0])
    plan = two_pools("cheapest-site", [(1.0, 0.5)])
    assert run(plan, jobs, [0], prices=(0.3, 0.16)).pool.tolist() == [0]
    assert run(plan, jobs, [0], prices=(0.3, 0.14)).pool.tolist() == [1]


def test_every_site_needs_the_signal() -> None:
    with pytest.raises(InputError, match="'price' of every site"):
        run(two_pools("cheapest-site", [(1.0, 1.0)]), fleets.jobs((0.0, 1, 10.0)), [0])


def elastic(
    *rows: tuple[float, int, float, int], num_devices: int = 8, scheduler: str = "elastic"
) -> FleetOutcome:
    submit_s, devices, run_s, least = zip(*rows, strict=True)
    jobs = JobTable.of(
        submit_s=submit_s,
        num_devices=devices,
        run_s=run_s,
        limit_s=run_s,
        min_devices=least,
        max_devices=devices,
    )
    return simulate_fleet(jobs, fleets.fleet(num_devices, scheduler=scheduler))


def test_an_elastic_job_starts_smaller_if_that_ends_it_sooner() -> None:
    # 4 of 8 are held until 100. On 4 devices 90 s of work take 180 s, by waiting it would end at 190
    outcome = elastic((0.0, 4, 100.0, 4), (0.0, 8, 90.0, 2))
    assert outcome.finish_s.tolist() == [100.0, 180.0]
    assert outcome.devices.tolist() == [4, 4]
    assert (outcome.status == 0).all()  # its limit grew as its devices shrank


def test_and_waits_if_not() -> None:
    outcome = elastic((0.0, 4, 100.0, 4), (0.0, 8, 110.0, 2))  # 220 s, or 210 s by waiting
    assert outcome.finish_s.tolist() == [100.0, 210.0]
    assert outcome.devices.tolist() == [4, 8]


def test_others_start_elastic_jobs_as_large_as_they_ask() -> None:
    outcome = elastic((0.0, 4, 100.0, 4), (0.0, 8, 90.0, 2), scheduler="easy")
    assert outcome.finish_s.tolist() == [100.0, 190.0]


def test_an_elastic_job_larger_than_the_pool_gets_all_of_it() -> None:
    for scheduler in SCHEDULERS:
        if scheduler in ("price-aware", "carbon-aware"):
            continue
        outcome = elastic((0.0, 16, 10.0, 2), scheduler=scheduler)
        assert outcome.finish_s.tolist() == [20.0]
        assert outcome.devices.tolist() == [8]


def test_the_shortest_has_the_least_mean_wait_on_one_device() -> None:
    rng = np.random.default_rng(3)
    run_s = rng.exponential(10.0, 200) + 0.1
    jobs = JobTable.of(submit_s=0.0 * run_s, num_devices=1, run_s=run_s, limit_s=run_s)
    outcome = simulate_fleet(jobs, fleets.fleet(1, scheduler="shortest"))
    least_s = np.cumsum(np.sort(run_s))[:-1].sum() / len(run_s)  # each waits for all shorter ones
    assert outcome.waited_s.mean() == pytest.approx(least_s, rel=1e-12)


def test_gaps_of_watts_are_filled_by_the_largest_that_fits() -> None:
    running = [RunningJob(100.0, 0.0, 9, 1, power_w=500.0)]
    queue = Waiting(
        [
            QueuedJob(0, 1, 0.0, 10.0, power_w=900.0),
            QueuedJob(1, 1, 0.0, 10.0, power_w=250.0),
            QueuedJob(2, 1, 0.0, 10.0, power_w=400.0),
            QueuedJob(3, 1, 0.0, 10.0, power_w=100.0),
        ]
    )
    cluster = Devices(num_devices=9, num_free_devices=8, running=running, spare_power_w=500.0)
    assert SCHEDULERS["power-capped"](queue, cluster, {}, 0.0).start == [2, 3]
    assert SCHEDULERS["easy"](queue, cluster, {}, 0.0).start == [1, 3]
    assert SCHEDULERS["fcfs"](queue, cluster, {}, 0.0).start == []
    assert math.isinf(SCHEDULERS["fcfs"](queue, cluster, {}, 0.0).wake_s)
