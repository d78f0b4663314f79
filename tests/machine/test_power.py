"""Power and clock under a cap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.machine.power import clock_under_cap, power_under_cap

watts = st.floats(100.0, 1500.0)


@given(watts, st.floats(0.1, 1.0), st.floats(1.2, 3.0))
def test_a_cap_never_raises_clock_or_power(power_w, cap_frac, exponent):
    idle_w = 0.1 * power_w
    cap_w = idle_w + cap_frac * (power_w - idle_w)
    clock = float(clock_under_cap(power_w, idle_w, cap_w, exponent))
    assert 0.0 < clock <= 1.0
    assert float(power_under_cap(power_w, cap_w)) <= power_w


@given(watts, st.floats(1.2, 3.0))
def test_a_cap_above_the_power_changes_nothing(power_w, exponent):
    assert float(clock_under_cap(power_w, 50.0, 2.0 * power_w, exponent)) == 1.0


def test_measured_v100_slow_down_at_seventy_percent():
    """Zeus (V100, saturating jobs): a cap of 70 % of the limit costs 10.7 % time in the median."""
    clock = float(clock_under_cap(0.9 * 300.0, 0.1 * 300.0, 0.7 * 300.0, 2.3))
    assert 1.0 / clock - 1.0 == pytest.approx(0.107, abs=0.04)


def test_caps_broadcast():
    caps = np.array([250.0, 325.0, 400.0])
    clocks = np.asarray(clock_under_cap(400.0, 50.0, caps, 2.0))
    assert clocks.shape == (3,)
    assert np.all(np.diff(clocks) > 0)
