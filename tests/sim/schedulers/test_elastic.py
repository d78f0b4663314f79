"""Elastic jobs: they take what nobody wants, and give it back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simtool.jobs.table import JobTable
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from tests.sim import plans
from tests.sim.fleet import fleets

SAVE_S, RESTART_S = 2.0, 5.0


def run(*rows: tuple[float, int, int, int, float], limits: tuple[PowerLimit, ...] = ()) -> FleetOutcome:
    """Jobs on four devices: when each comes, what it asks for, its least, its most, and its run time on that."""
    submit_s, num, least, most, run_s = zip(*rows, strict=True)
    jobs = JobTable.of(
        submit_s=submit_s,
        num_devices=num,
        min_devices=least,
        max_devices=most,
        run_s=run_s,
        limit_s=2.0 * np.array(run_s),
    )
    plan = fleets.fleet(4, scheduler="elastic", checkpoint=plans.synchronous(SAVE_S, 1e4))
    return simulate_fleet(jobs, replace(plan, limits=limits))


def test_alone_it_takes_all_that_it_can_use() -> None:
    outcome = run((0.0, 2, 1, 3, 90.0))
    assert outcome.devices.tolist() == [3]
    assert outcome.num_moves.tolist() == [0]
    assert outcome.finish_s[0] == pytest.approx(60.0 + SAVE_S)


def test_it_grows_when_others_have_gone() -> None:
    """Two devices each; the second ends at 32 s, then the first has 68 of its 100 s left and does them on four."""
    outcome = run((0.0, 2, 1, 4, 100.0), (0.0, 2, 2, 2, 30.0))
    assert outcome.num_moves.tolist() == [1, 0]
    assert outcome.finish_s[1] == pytest.approx(30.0 + SAVE_S)
    assert outcome.finish_s[0] == pytest.approx(32.0 + SAVE_S + RESTART_S + 68.0 / 2 + SAVE_S)
    assert outcome.devices.tolist() == [4, 2]
    assert outcome.waited_s.tolist() == [0.0, 0.0]


def test_it_does_not_grow_for_less_than_it_costs() -> None:
    """With 2 x 20 s less 16 s of its limit left it would gain 12 s, and lose 7 s at once and 7 s to shrink again."""
    outcome = run((0.0, 2, 1, 4, 20.0), (0.0, 2, 2, 2, 14.0))
    assert outcome.num_moves.tolist() == [0, 0]


def test_it_gives_back_what_others_wait_for() -> None:
    """On four devices until 40 s, which are 80 s of its 100 s; then on the two that it asked for."""
    outcome = run((0.0, 2, 1, 4, 100.0), (40.0, 2, 2, 2, 60.0))
    assert outcome.num_moves.tolist() == [1, 0]
    assert outcome.start_s[1] == pytest.approx(40.0 + SAVE_S)
    assert outcome.finish_s[0] == pytest.approx(40.0 + SAVE_S + RESTART_S + 20.0 + SAVE_S)
    assert outcome.devices.tolist() == [2, 2]


def test_it_keeps_what_would_not_be_enough_for_them() -> None:
    outcome = run((0.0, 2, 1, 3, 90.0), (10.0, 3, 3, 3, 60.0))
    assert outcome.num_moves.tolist() == [0, 0]
    assert outcome.start_s[1] == outcome.finish_s[0]


def test_it_grows_as_far_as_the_limit_of_power_allows() -> None:
    most_w = 4 * plans.IDLE.power_w + 3 * (fleets.WORK.power_w - plans.IDLE.power_w) + 1.0
    outcome = run((0.0, 2, 1, 4, 90.0), limits=(PowerLimit(0.0, most_w),))
    assert outcome.devices.tolist() == [3]
