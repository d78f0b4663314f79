"""Corners in which a fleet could go wrong: fragments, limits while waiting, maintenance of the broken, no end."""

from __future__ import annotations

import math

import pytest

from simtool.errors import InfeasibleError
from simtool.sim.fleet.plan import PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken


def test_a_job_that_free_devices_do_not_suit_blocks_nobody_who_fits_beside_it() -> None:
    plan = fleets.fleet(2, scheduler="easy", devices_per_node=8, placement="nodes")
    rows = ((0.0, 4, 50_000.0), (1.0, 5, 50_000.0), (2.0, 7, 100.0), (3.0, 3, 100.0))
    outcome = simulate_fleet(fleets.jobs(*rows, limits=[row[2] for row in rows]), plan)
    assert outcome.start_s.tolist() == [0.0, 1.0, 50_000.0, 3.0]  # 4 and 3 devices are free, in two nodes


def test_it_blocks_them_where_none_may_overtake() -> None:
    plan = fleets.fleet(2, scheduler="fcfs", devices_per_node=8, placement="nodes")
    rows = ((0.0, 4, 50_000.0), (1.0, 5, 50_000.0), (2.0, 7, 100.0), (3.0, 3, 100.0))
    outcome = simulate_fleet(fleets.jobs(*rows), plan)
    assert outcome.start_s[3] >= outcome.start_s[2] == 50_000.0


def test_a_job_that_waits_for_a_node_ends_at_its_limit() -> None:
    plan = fleets.fleet(2, holds_nodes=True, placement="lowest")
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0), (10.0, 1, 10.0), limits=[150.0, 20.0]),
        plan,
        node_events=fleets.events(Broken(50.0, ((0, 1),), repair_s=5000.0)),
    )
    assert outcome.finish_s.tolist() == [150.0, 160.0]


def test_maintenance_takes_nodes_of_a_job_that_has_not_noticed_a_failure() -> None:
    plan = fleets.fleet(
        2, holds_nodes=True, spare_nodes=2, checkpoint=plans.synchronous(), placement="lowest"
    )
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0)),
        plan,
        node_events=fleets.events(
            Broken(30.0, ((0, 1),), detection_s=50.0, repair_s=1000.0),
            Broken(45.0, ((1, 2),), effect="maintenance", repair_s=500.0),
        ),
    )
    # both its nodes are gone: at 80 s it takes the two spares, restarts for 5 s and does the 80 s that were not saved
    assert outcome.finish_s[0] == 80.0 + 5.0 + 80.0 + 12.0


def test_a_restart_from_a_clean_state_ends_a_corruption() -> None:
    plan = fleets.fleet(2, checkpoint=None, placement="lowest")
    outcome = simulate_fleet(
        fleets.jobs((0.0, 1, 1000.0)),
        plan,
        node_events=fleets.events(
            Broken(150.0, ((0, 1),), effect="corruption", detection_s=600.0),
            Broken(160.0, ((0, 1),), repair_s=1e6),
        ),
    )
    assert outcome.finish_s[0] == 160.0 + 5.0 + 1000.0
    assert outcome.num_interruptions.tolist() == [1]


def test_a_job_that_can_never_end_is_refused() -> None:
    plan = fleets.fleet(1, placement="lowest")
    daily = (
        Broken(86_400.0 * day, ((0, 1),), effect="maintenance", repair_s=3600.0) for day in range(1, 10**6)
    )
    with pytest.raises(InfeasibleError, match="never"):
        simulate_fleet(fleets.jobs((0.0, 1, 100_000.0)), plan, node_events={"pool": daily})


@pytest.mark.parametrize("end_s", [math.inf, 1000.0])
def test_a_limit_that_lets_no_job_begin_is_infeasible_with_a_horizon_too(end_s: float) -> None:
    plan = fleets.fleet(1, placement="lowest", limits=(PowerLimit(0.0, 150.0),))
    with pytest.raises(InfeasibleError, match="power limit"):
        simulate_fleet(fleets.jobs((0.0, 1, 100.0)), plan, end_s=end_s)


def test_interruptions_by_reclaim_and_by_a_limit_count() -> None:
    plan = fleets.fleet(
        2,
        checkpoint=plans.synchronous(),
        placement="lowest",
        limits=(PowerLimit(0.0, 1e6), PowerLimit(50.0, 300.0), PowerLimit(80.0, 1e6)),
    )
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0)),
        plan,
        node_events=fleets.events(Broken(30.0, ((0, 1),), effect="maintenance", repair_s=1.0)),
    )
    assert outcome.num_interruptions.tolist() == [2]
