"""What nodes suffer, by hand: two devices, 100 s of work, a save of 3 s after every 20 s of work, a restart of 5 s."""

from __future__ import annotations

import pytest

from simtool.ledger import Ledger
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.run import simulate_fleet
from tests.sim import plans
from tests.sim.fleet import fleets
from tests.sim.fleet.fleets import Broken

NODES = ((0, 1),)


def run(*events: Broken, num_nodes: int = 2, spare_nodes: int = 0, holds: bool = True) -> FleetOutcome:
    plan = fleets.fleet(
        num_nodes,
        checkpoint=plans.synchronous(),
        holds_nodes=holds,
        spare_nodes=spare_nodes,
        placement="lowest",
    )
    return simulate_fleet(fleets.jobs((0.0, 2, 100.0)), plan, node_events=fleets.events(*events))


def job_seconds(ledger: Ledger) -> dict[str, float]:
    return ledger.device_s_by("state", job="job-0")


def test_undisturbed() -> None:
    outcome = run()
    assert outcome.end_s == 115.0
    assert job_seconds(outcome.ledgers["pool"]) == {"compute": 200.0, "checkpoint": 30.0}


def test_software_fails_and_no_node_goes_down() -> None:
    outcome = run(Broken(30.0, NODES, effect="software", detection_s=2.0))
    # 23 s are safe, 7 s are lost, 2 s pass unnoticed, 5 s of restart, then 80 s of work with 4 saves
    assert outcome.end_s == 30.0 + 2.0 + 5.0 + 80.0 + 4 * 3.0
    assert job_seconds(outcome.ledgers["pool"]) == {
        "compute": 200.0,
        "checkpoint": 30.0,
        "restart": 10.0,
        "lost_work": 2 * 7.0 + 2 * 2.0,
    }
    assert outcome.interruptions[0].cause == "test"
    assert outcome.num_interruptions.tolist() == [1]


def test_a_slow_node_slows_its_job_and_then_fails() -> None:
    # From 10 s to 22 s at half speed: 6 s of work. Then the node is replaced by the spare: restart from 0.
    outcome = run(
        Broken(10.0, NODES, effect="straggler", detection_s=12.0, repair_s=50.0, slowdown=2.0), spare_nodes=1
    )
    assert outcome.end_s == 22.0 + 5.0 + 115.0
    assert job_seconds(outcome.ledgers["pool"])["lost_work"] == 2 * 22.0


def test_a_slow_node_that_recovers_by_itself_costs_its_time() -> None:
    outcome = run(Broken(10.0, NODES, effect="straggler", detection_s=12.0, repair_s=0.0, slowdown=2.0))
    assert outcome.end_s == pytest.approx(115.0 + 6.0)
    assert job_seconds(outcome.ledgers["pool"])["compute"] == pytest.approx(2 * 106.0)


def test_corruption_is_found_late_and_everything_since_is_lost() -> None:
    # At 30 s: the state of 20 s of work is clean. Found at 80 s: 3 saves later.
    outcome = run(Broken(30.0, NODES, effect="corruption", detection_s=50.0, repair_s=0.0))
    found = job_seconds(outcome.ledgers["pool"])
    assert outcome.end_s == 80.0 + 5.0 + 80.0 + 4 * 3.0
    # until 80 s: rounds of 23 s; work at 23..43, 46..66, 69..80
    assert found["lost_work"] == 2 * (20.0 + 20.0 + 11.0)
    assert found["compute"] == 200.0


def test_corruption_that_is_found_after_the_end_is_history() -> None:
    outcome = run(Broken(30.0, NODES, effect="corruption", detection_s=5000.0))
    assert outcome.end_s == 115.0


def test_maintenance_lets_the_job_save_and_takes_the_node_until_its_end() -> None:
    outcome = run(Broken(30.0, NODES, effect="maintenance", repair_s=40.0))
    # saves from 30 to 33 s with 27 s of work, waits for the node until 70 s, restarts
    rest_s = 5.0 + 73.0 + 4 * 3.0  # saves after 20, 40, 60 s and at the end
    assert outcome.end_s == pytest.approx(70.0 + rest_s)
    assert "lost_work" not in job_seconds(outcome.ledgers["pool"])
    down = outcome.ledgers["pool"].device_s(state="down")
    assert down == pytest.approx(70.0 - 33.0)


def test_a_failed_job_that_holds_no_nodes_goes_back_to_its_place_in_the_queue() -> None:
    plan = fleets.fleet(2, checkpoint=plans.synchronous(), placement="lowest")
    outcome = simulate_fleet(
        fleets.jobs((0.0, 2, 100.0), (1.0, 1, 10.0)),
        plan,
        node_events=fleets.events(Broken(30.0, NODES, repair_s=50.0)),
    )
    # the first keeps its place before the second, so that one waits for it
    assert outcome.start_s.tolist() == [0.0, outcome.finish_s[0]]
    assert outcome.waited_s[0] == pytest.approx(50.0)


def test_lost_devices_of_shared_nodes_stop_every_job_on_them() -> None:
    plan = fleets.fleet(2, devices_per_node=4, placement="nodes")
    outcome = simulate_fleet(
        fleets.jobs((0.0, 1, 100.0), (0.0, 2, 100.0), (0.0, 4, 100.0)),
        plan,
        node_events=fleets.events(Broken(30.0, NODES, repair_s=50.0)),
    )
    assert outcome.num_interruptions.tolist() == [1, 1, 0]
    assert outcome.interruptions[0].jobs == ("job-0", "job-1")


def test_a_reclaim_with_too_little_notice_is_a_failure() -> None:
    told = run(Broken(30.0, NODES, effect="maintenance", detection_s=3.0, repair_s=40.0), spare_nodes=1)
    late = run(Broken(30.0, NODES, effect="maintenance", detection_s=2.9, repair_s=40.0), spare_nodes=1)
    assert "lost_work" not in job_seconds(told.ledgers["pool"])
    assert job_seconds(late.ledgers["pool"])["lost_work"] == 2 * 7.0
