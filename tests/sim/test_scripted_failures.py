"""Failures at given times, compared with ledgers written by hand.

All jobs have two nodes of one device and 10 steps of 10 s, a checkpoint every 20 s of work that stops them
for 3 s, a restart of 5 s and a detection time of 2 s. Undisturbed: 5 x (20 + 3) = 115 s.
"""

from __future__ import annotations

import pytest

from simtool.ledger import Ledger
from simtool.sim.run import Outcome, simulate
from tests.sim import plans

Row = tuple[float, float, str, str, int]


def recorded(ledger: Ledger) -> list[Row]:
    columns = ledger.segments()
    names = ("t0_s", "t1_s", "job", "pattern", "num_devices")
    return sorted(zip(*(columns[name].tolist() for name in names), strict=True))


def rounds(begin_s: float, num: int) -> list[Row]:
    """Intervals of 20 s of work and 3 s of checkpoint, all of them kept."""
    rows: list[Row] = []
    for index in range(num):
        at_s = begin_s + 23.0 * index
        rows += [(at_s, at_s + 20.0, "job", "step", 2), (at_s + 20.0, at_s + 23.0, "job", "checkpoint", 2)]
    return rows


def run(*scripted: tuple[float, int], spare_nodes: int, repair_s: float, detection_s: float = 2.0) -> Outcome:
    return simulate(
        [plans.job()],
        plans.cluster(spare_nodes=spare_nodes),
        plans.synchronous(),
        plans.failures(*scripted, repair_s=repair_s, detection_s=detection_s),
        seed=0,
    )


def test_nothing_fails() -> None:
    outcome = run(spare_nodes=1, repair_s=100.0)
    assert recorded(outcome.ledger) == sorted([*rounds(0.0, 5), (0.0, 115.0, "", "idle", 1)])
    (job,) = outcome.jobs
    assert (job.start_s, job.end_s, outcome.end_s) == (0.0, 115.0, 115.0)
    assert (job.num_failures, job.num_checkpoints, job.useful_s, job.checkpoint_s) == (0, 5, 100.0, 15.0)
    assert job.goodput_frac == outcome.goodput_frac == 100.0 / 115.0


def test_failure_during_work_with_a_spare() -> None:
    outcome = run((30.0, 1), spare_nodes=1, repair_s=100.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 32.0, "job", "step (lost)", 1),  # not noticed yet; the failed node is down
        (30.0, 129.0, "", "down", 1),
        (0.0, 32.0, "", "idle", 1),  # the spare, until it takes the place of node 1
        (32.0, 37.0, "job", "restart", 2),
        *rounds(37.0, 4),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    (job,) = outcome.jobs
    assert (job.end_s, job.lost_s, job.restart_s, job.waiting_s) == (129.0, 9.0, 5.0, 0.0)
    assert (job.num_failures, job.num_interruptions, job.num_checkpoints) == (1, 1, 5)
    kinds = [(event.time_s, event.kind, event.node) for event in outcome.events]
    assert kinds == [
        (0.0, "submit", None),
        (0.0, "start", None),
        (30.0, "failure", 1),
        (32.0, "stop", None),
        (32.0, "restart", None),
        (129.0, "end", None),
    ]


def test_failure_during_a_checkpoint() -> None:
    outcome = run((22.0, 0), spare_nodes=1, repair_s=100.0)
    expected = [
        (0.0, 20.0, "job", "step (lost)", 2),
        (20.0, 22.0, "job", "checkpoint", 2),  # in vain, and still time of a checkpoint
        (22.0, 24.0, "job", "checkpoint (lost)", 1),
        (22.0, 122.0, "", "down", 1),
        (0.0, 24.0, "", "idle", 1),
        (24.0, 29.0, "job", "restart", 2),
        *rounds(29.0, 5),
        (122.0, 144.0, "", "idle", 1),  # repaired, now the spare
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert outcome.ledger.device_s(state="lost_work") == 2 * 20.0 + 1 * 2.0
    assert outcome.jobs[0].checkpoint_s == 2.0 + 15.0


def test_failure_at_the_end_of_a_checkpoint_finds_it_durable() -> None:
    outcome = run((23.0, 0), spare_nodes=1, repair_s=100.0, detection_s=0.0)
    assert recorded(outcome.ledger) == sorted(
        [
            *rounds(0.0, 1),
            (23.0, 120.0, "", "down", 1),
            (0.0, 23.0, "", "idle", 1),
            (23.0, 28.0, "job", "restart", 2),
            *rounds(28.0, 4),
        ]
    )


def test_failure_during_a_restart() -> None:
    outcome = run((30.0, 1), (34.0, 0), spare_nodes=2, repair_s=100.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 32.0, "job", "step (lost)", 1),
        (32.0, 34.0, "job", "restart", 2),  # nodes 0 and 2
        (34.0, 36.0, "job", "restart (lost)", 1),
        (36.0, 41.0, "job", "restart", 2),  # nodes 2 and 3
        *rounds(41.0, 4),
        (0.0, 32.0, "", "idle", 2),
        (32.0, 36.0, "", "idle", 1),
        (130.0, 133.0, "", "idle", 1),
        (30.0, 34.0, "", "down", 1),
        (34.0, 130.0, "", "down", 2),
        (130.0, 133.0, "", "down", 1),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert (outcome.jobs[0].restart_s, outcome.jobs[0].num_interruptions) == (2.0 + 5.0, 2)


def test_failure_without_a_spare_waits_for_the_repair() -> None:
    outcome = run((30.0, 1), spare_nodes=0, repair_s=50.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 32.0, "job", "step (lost)", 1),
        (32.0, 80.0, "job", "idle", 1),
        (30.0, 80.0, "", "down", 1),
        (80.0, 85.0, "job", "restart", 2),
        *rounds(85.0, 4),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert outcome.jobs[0].waiting_s == 48.0


def test_second_failure_before_the_first_was_noticed() -> None:
    outcome = run((30.0, 1), (31.0, 0), spare_nodes=0, repair_s=50.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 31.0, "job", "step (lost)", 1),
        (30.0, 31.0, "", "down", 1),
        (31.0, 80.0, "", "down", 2),
        (80.0, 81.0, "", "down", 1),
        (80.0, 81.0, "job", "idle", 1),
        (81.0, 86.0, "job", "restart", 2),
        *rounds(86.0, 4),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    (job,) = outcome.jobs
    assert (job.num_failures, job.num_interruptions, job.waiting_s) == (2, 1, 49.0)


def test_two_failures_at_the_same_moment() -> None:
    outcome = run((30.0, 1), (30.0, 0), spare_nodes=2, repair_s=1000.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 129.0, "", "down", 2),
        (0.0, 32.0, "", "idle", 2),
        (32.0, 37.0, "job", "restart", 2),
        *rounds(37.0, 4),
    ]
    assert recorded(outcome.ledger) == sorted(expected)


def test_failure_of_a_node_that_waits() -> None:
    outcome = run((30.0, 1), (60.0, 0), spare_nodes=0, repair_s=50.0)
    expected = [
        *rounds(0.0, 1),
        (23.0, 30.0, "job", "step (lost)", 2),
        (30.0, 32.0, "job", "step (lost)", 1),
        (32.0, 60.0, "job", "idle", 1),
        (30.0, 60.0, "", "down", 1),
        (60.0, 80.0, "", "down", 2),
        (80.0, 110.0, "", "down", 1),
        (80.0, 110.0, "job", "idle", 1),
        (110.0, 115.0, "job", "restart", 2),
        *rounds(115.0, 4),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert outcome.jobs[0].num_failures == 2
    assert outcome.jobs[0].num_interruptions == 1


def test_failure_of_a_spare_leaves_the_job_alone() -> None:
    outcome = run((10.0, 2), spare_nodes=1, repair_s=30.0)
    expected = [
        *rounds(0.0, 5),
        (0.0, 10.0, "", "idle", 1),
        (10.0, 40.0, "", "down", 1),
        (40.0, 115.0, "", "idle", 1),
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert (outcome.num_failures, outcome.jobs[0].num_failures) == (1, 0)


def test_a_node_that_is_down_does_not_fail_again() -> None:
    once = run((30.0, 1), spare_nodes=1, repair_s=100.0)
    twice = run((30.0, 1), (31.0, 1), (60.0, 1), spare_nodes=1, repair_s=100.0)
    assert recorded(twice.ledger) == recorded(once.ledger)
    assert twice.num_failures == 1


def test_a_short_repair_ends_when_the_failure_is_noticed() -> None:
    outcome = run((30.0, 1), spare_nodes=0, repair_s=1.0)
    assert (30.0, 32.0, "", "down", 1) in recorded(outcome.ledger)
    assert outcome.jobs[0].waiting_s == 0.0


@pytest.mark.parametrize("time_s", [115.0, 200.0])
def test_a_failure_at_the_end_or_later_changes_nothing(time_s: float) -> None:
    outcome = run((time_s, 0), spare_nodes=0, repair_s=1.0)
    assert outcome.end_s == 115.0
    assert outcome.jobs[0].num_failures == 0


def test_a_failure_at_the_very_begin() -> None:
    outcome = run((0.0, 0), spare_nodes=1, repair_s=1000.0)
    assert recorded(outcome.ledger) == sorted(
        [
            (0.0, 2.0, "job", "step (lost)", 1),
            (0.0, 2.0, "", "idle", 1),
            (0.0, 122.0, "", "down", 1),
            (2.0, 7.0, "job", "restart", 2),
            *rounds(7.0, 5),
        ]
    )


def test_failure_in_the_last_checkpoint() -> None:
    outcome = run((114.0, 0), spare_nodes=1, repair_s=1000.0, detection_s=0.0)
    rows = recorded(outcome.ledger)
    assert (92.0, 112.0, "job", "step (lost)", 2) in rows
    assert outcome.end_s == 114.0 + 5.0 + 23.0


def test_without_checkpoints_all_is_lost() -> None:
    outcome = simulate(
        [plans.job()],
        plans.cluster(spare_nodes=1),
        plans.synchronous(interval_s=None),
        plans.failures((99.0, 0), repair_s=1000.0),
        seed=0,
    )
    assert recorded(outcome.ledger) == sorted(
        [
            (0.0, 99.0, "job", "step (lost)", 2),
            (99.0, 204.0, "", "down", 1),
            (0.0, 99.0, "", "idle", 1),
            (99.0, 104.0, "job", "restart", 2),
            (104.0, 204.0, "job", "step", 2),
        ]
    )
    assert outcome.jobs[0].num_checkpoints == 0


def run_asynchronous(
    *scripted: tuple[float, int], write_s: float, stall_s: float = 1.0, num_steps: int = 10
) -> Outcome:
    return simulate(
        [plans.job(num_steps)],
        plans.cluster(spare_nodes=1),
        plans.asynchronous(write_s, stall_s),
        plans.failures(*scripted, repair_s=1000.0),
        seed=0,
    )


def test_asynchronous_checkpoint_that_is_not_durable_yet() -> None:
    """The state of 20 s is durable at 20 + 15 s; a failure a second earlier loses everything."""
    outcome = run_asynchronous((34.0, 0), write_s=15.0)
    expected = [
        (0.0, 20.0, "job", "step (lost)", 2),
        (20.0, 21.0, "job", "checkpoint", 2),
        (21.0, 34.0, "job", "step (lost)", 2),
        (34.0, 158.0, "", "down", 1),
        (0.0, 34.0, "", "idle", 1),
        (34.0, 39.0, "job", "restart", 2),
        *[(39.0 + 21.0 * i, 59.0 + 21.0 * i, "job", "step", 2) for i in range(5)],
        *[(59.0 + 21.0 * i, 60.0 + 21.0 * i, "job", "checkpoint", 2) for i in range(4)],
        (143.0, 158.0, "job", "checkpoint", 2),  # the job waits until its last state is durable
    ]
    assert recorded(outcome.ledger) == sorted(expected)
    assert outcome.jobs[0].num_checkpoints == 5


def test_asynchronous_checkpoint_that_has_just_become_durable() -> None:
    outcome = run_asynchronous((35.0, 0), write_s=15.0)
    rows = recorded(outcome.ledger)
    assert (0.0, 20.0, "job", "step", 2) in rows
    assert (21.0, 35.0, "job", "step (lost)", 2) in rows
    assert outcome.end_s == 40.0 + 4 * 20.0 + 3 * 1.0 + 15.0


def test_a_failure_falls_back_to_the_checkpoint_before_the_one_being_written() -> None:
    """Snapshots at 20 s and 41 s, durable at 35 s and 56 s; the failure comes at 55 s."""
    outcome = run_asynchronous((55.0, 0), write_s=15.0)
    rows = recorded(outcome.ledger)
    assert (0.0, 20.0, "job", "step", 2) in rows
    assert (21.0, 41.0, "job", "step (lost)", 2) in rows
    assert (42.0, 55.0, "job", "step (lost)", 2) in rows


def test_one_write_at_a_time() -> None:
    """A write of 45 s puts the checkpoint due after 2 steps off until 5 steps, when it has ended."""
    outcome = run_asynchronous(write_s=45.0)
    expected = [
        (0.0, 50.0, "job", "step", 2),
        (50.0, 51.0, "job", "checkpoint", 2),
        (51.0, 101.0, "job", "step", 2),
        (101.0, 146.0, "job", "checkpoint", 2),
        (0.0, 146.0, "", "idle", 1),
    ]
    assert recorded(outcome.ledger) == sorted(expected)


def test_the_last_checkpoint_waits_for_the_write_before_it() -> None:
    """7 steps: at 71 s the write that began at 50 s has 24 s to go, then the last one takes 45 s."""
    outcome = run_asynchronous(write_s=45.0, num_steps=7)
    assert (71.0, 71.0 + 24.0 + 45.0, "job", "checkpoint", 2) in recorded(outcome.ledger)
    assert outcome.jobs[0].num_checkpoints == 2


def test_a_stall_longer_than_the_write_decides_when_a_state_is_durable() -> None:
    outcome = run_asynchronous((25.0, 0), write_s=2.0, stall_s=6.0)
    assert (0.0, 20.0, "job", "step (lost)", 2) in recorded(outcome.ledger)
    outcome = run_asynchronous((26.0, 0), write_s=2.0, stall_s=6.0)
    assert (0.0, 20.0, "job", "step", 2) in recorded(outcome.ledger)
