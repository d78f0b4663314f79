"""Running jobs that follow cheap hours: the route is the best one, a move costs what it costs, and pays."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.ledger.sums import FloatArray
from simtool.signals import Signal
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.schedulers import Devices, RunningJob, Waiting
from simtool.sim.schedulers.following import price, route_costs
from tests.sim import plans
from tests.sim.fleet import fleets

STEPS_S = (0.0, 10.0, 25.0, 40.0)
prices = st.lists(st.integers(-2, 9), min_size=4, max_size=4)


def signal(values: list[int] | list[float], edges_s: tuple[float, ...] = STEPS_S) -> Signal:
    return Signal.from_steps(edges_s, values, end_s=math.inf, unit="USD/kWh")


def cheapest_route(rates: FloatArray, lengths_s: FloatArray, lost_s: float, first: int) -> float:
    """Of all routes that begin at a site, by trying them."""
    costs = []
    for rest in itertools.product(range(len(rates)), repeat=len(lengths_s) - 1):
        route = (first, *rest)
        cost = sum(rates[site, step] * lengths_s[step] for step, site in enumerate(route))
        cost += sum(
            max(rates[site, step], 0.0) * lost_s
            for step, site in enumerate(route)
            if step and site != route[step - 1]
        )
        costs.append(cost)
    return min(costs)


@given(
    rows=st.lists(prices, min_size=1, max_size=3),
    now_s=st.sampled_from([0.0, 10.0, 12.0]),
    end_s=st.sampled_from([13.0, 40.0, 60.0]),
    lost_s=st.sampled_from([0.0, 3.0, 30.0]),
)
def test_the_route_is_the_cheapest_of_all(
    rows: list[list[int]], now_s: float, end_s: float, lost_s: float
) -> None:
    signals = [signal(row) for row in rows]
    may, other_s = (
        np.ones((2, len(rows)), np.bool_),
        max(end_s - 9.0, now_s),
    )  # a second job, which ends before
    costs, moves = route_costs(signals, may, now_s, np.array([end_s, other_s]), np.array([lost_s, 1.0]))
    found, move = costs[0], moves[0]
    edges = np.array([now_s, *(edge for edge in STEPS_S if now_s < edge < end_s), end_s])
    rates = np.array([one.mean(edges[:-1], edges[1:]) for one in signals])
    wanted = [cheapest_route(rates, np.diff(edges), lost_s, site) for site in range(len(rows))]
    assert found.tolist() == pytest.approx(wanted, rel=1e-12, abs=1e-9)
    assert move.tolist() == pytest.approx(np.maximum(rates[:, 0], 0.0) * lost_s)


def two_sites(
    there: float, *, rate: float | None = 100.0, others: int = 0, preemptible: bool = True
) -> FleetOutcome:
    """A job of 100 s begins at a site that is dear from 30 to 130 s; its state takes 10 s at 100 bytes/s."""
    use = fleets.use(plans.synchronous(2.0, 50.0))
    pools = tuple(fleets.pool(1, name=name, site=name) for name in ("here", "there"))
    plan = FleetPlan(
        pools=pools,
        kinds=(JobKind(name="kind", uses=(use, use), state_bytes=1000.0),),
        scheduler="follow-price",
        move_bytes_per_s=rate,
    )
    rows = [(0.0, 1, 100.0), *[(5.0, 1, 100.0)] * others]
    jobs = fleets.jobs(*rows, limits=[200.0] * len(rows))
    jobs = replace(jobs, preemptible=np.full(len(jobs), preemptible))
    here = signal([1.0, 20.0, 0.0], (0.0, 30.0, 130.0))
    constant = Signal.constant(there, unit="USD/kWh")
    return simulate_fleet(jobs, plan, signals={"here": {"price": here}, "there": {"price": constant}})


def test_a_job_moves_when_its_site_becomes_dear() -> None:
    """30 s of work, a save of 2 s, 10 s for its state, a restart of 5 s, 70 s of work with one save, one at the end."""
    outcome = two_sites(11.0)
    assert outcome.num_moves.tolist() == [1]
    assert outcome.num_preemptions.tolist() == [0]
    assert outcome.moved_bytes == 1000.0
    assert outcome.finish_s[0] == pytest.approx(30.0 + 2.0 + 10.0 + 5.0 + 70.0 + 2.0 + 2.0)
    assert outcome.waited_s[0] == 0.0
    assert outcome.ledgers["there"].device_s(state="restart") == pytest.approx(15.0)
    assert outcome.ledgers["here"].device_s(state="compute") == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("there", "changes"),
    [
        (19.5, {}),  # 100 s at 20 against 117 s at 19.5
        (11.0, {"rate": None}),  # no way between the sites
        (11.0, {"others": 2}),  # one of them waits for room
        (11.0, {"preemptible": False}),
    ],
)
def test_it_stays_where_moving_gains_nothing_or_nobody_may(there: float, changes: dict[str, object]) -> None:
    outcome = two_sites(there, **changes)  # type: ignore[arg-type]
    assert outcome.num_moves[0] == 0


def test_who_gains_most_moves_first() -> None:
    jobs = [
        RunningJob(end_s, 0.0, number, 1, preemptible=True, speeds=(1.0, 1.0), pause_s=2.0, moving_s=1.0)
        for number, end_s in enumerate((50.0, 400.0, 90.0))
    ]
    dear, cheap = ({"price": Signal.constant(value, unit="USD/kWh")} for value in (0.3, 0.1))
    site = Devices(
        num_devices=3,
        num_free_devices=0,
        running=jobs,
        free_by_pool=(0, 2),
        waiting_by_pool=(0, 0),
        signals_by_pool=(dear, cheap),
    )
    assert list(price(Waiting([]), site, {}, 0.0).move) == [1, 2]


def test_it_wakes_when_a_price_changes() -> None:
    job = RunningJob(1e4, 0.0, 0, 1, preemptible=True, speeds=(1.0, 1.0), pause_s=2.0, moving_s=1.0)
    one, other = {"price": signal([1, 2, 1, 2])}, {"price": signal([3, 4], (0.0, 17.0))}
    site = Devices(
        num_devices=1,
        num_free_devices=0,
        running=[job],
        free_by_pool=(0, 1),
        waiting_by_pool=(0, 0),
        signals_by_pool=(one, other),
    )
    assert [price(Waiting([]), site, {}, now_s).wake_s for now_s in (0.0, 10.0, 17.0, 40.0)] == [
        10.0,
        17.0,
        25.0,
        math.inf,
    ]
