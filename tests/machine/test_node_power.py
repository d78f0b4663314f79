"""Power of servers, alone and in larger jobs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.node_power import FANS_W, server_power_w, spread_power_w, work_frac


@given(st.floats(1000.0, 12000.0), st.floats(0.1, 1.0), st.floats(0.0, 1.0))
def test_a_server_that_waits_draws_between_waiting_and_full(full_w, waiting_frac, done):
    watts = float(spread_power_w(full_w, waiting_frac * full_w, done))
    assert waiting_frac * full_w * (1 - 1e-12) <= watts <= full_w * (1 + 1e-12)


def test_a_job_that_scales_perfectly_draws_what_it_draws_alone():
    done = work_frac(8.0, 1.0, 8)
    assert (done, float(spread_power_w(7000.0, 2800.0, done))) == (1.0, 7000.0)
    assert work_frac(9.0, 1.0, 8) == 1.0  # faster than perfect is not more than all the time


def test_fans_go_with_boards_and_an_unknown_cooling_is_no_guess():
    bare, cooled = (
        float(server_power_w(600.0, 1500.0, num_boards=4, cooling=how)) for how in ("immersion", "air")
    )
    assert cooled - bare == 0.5 * FANS_W["air"]
    with pytest.raises(KeyError):
        server_power_w(600.0, 1500.0, num_boards=4, cooling="ice")
