"""A job that goes on at another site waits there until its saved state has come."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simtool.sim.fleet.plan import FleetPlan, JobKind
from simtool.sim.fleet.run import simulate_fleet
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken


@pytest.mark.parametrize(("site", "moving_s"), [("here", 0.0), ("there", 40.0)])
def test_the_state_of_a_failed_job_moves_with_it(site: str, moving_s: float) -> None:
    use = fleets.use(plans.synchronous())
    here, there = (
        replace(fleets.pool(2, name="pool"), site="here"),
        replace(fleets.pool(2, name="other"), site=site),
    )
    kind = JobKind(name="kind", uses=(use, use), state_bytes=4000.0)
    plan = FleetPlan(
        pools=(here, there), kinds=(kind,), scheduler="fcfs", placement="lowest", move_bytes_per_s=100.0
    )
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0)),
        plan,
        node_events=fleets.events(Broken(30.0, ((0, 1),), repair_s=1e6)),
    )
    # 20 s are saved; then the state moves, a restart of 5 s, 80 s of work with 4 saves of 3 s
    assert outcome.finish_s[0] == 30.0 + moving_s + 5.0 + 80.0 + 12.0
    assert outcome.moved_bytes == (4000.0 if moving_s else 0.0)
    assert outcome.ledgers["other"].device_s(state="restart") == 2 * (moving_s + 5.0)


def test_without_a_way_between_sites_a_job_goes_on_where_its_state_is() -> None:
    use = fleets.use(plans.synchronous())
    here, there = (replace(fleets.pool(2, name=name), site=name) for name in ("pool", "other"))
    kind = JobKind(name="kind", uses=(use, use), state_bytes=4000.0)
    plan = FleetPlan(
        pools=(here, there), kinds=(kind,), scheduler="fcfs", placement="lowest", move_bytes_per_s=None
    )
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0), deadline_s=150.0),
        plan,
        node_events=fleets.events(Broken(30.0, ((0, 1),), repair_s=500.0)),
    )
    assert outcome.finish_s[0] == 530.0 + 5.0 + 80.0 + 12.0
    assert outcome.num_deadlines_missed == 1
