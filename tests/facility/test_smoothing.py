"""Measures against swings: what they conserve, what they obey, what they cost."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.facility.smoothing import buffered, burnt, ramp_limited, staggered
from simtool.step.waveform import Waveform, averaged

STEP = Waveform.of_phases([("compute", 3.0, 300.0), ("wait", 1.0, 100.0)])
phases = st.lists(st.tuples(st.floats(0.1, 5.0), st.floats(10.0, 1000.0)), min_size=2, max_size=6)
windows = st.sampled_from([0.0, 0.05, 0.7])
efficiencies = st.sampled_from([1.0, 0.9, 0.6])


def load_of(pieces, window=0.0):
    return averaged(Waveform.of_phases([(str(i), *piece) for i, piece in enumerate(pieces)]), window)


def sampled(wave, num=20_000):
    return wave.at((np.arange(num) + 0.5) / num * wave.period_s)


def stored_range(load, grid, efficiency):
    """Store by many small steps."""
    step = load.period_s / 20_000
    gives = sampled(load) - sampled(grid)
    content = np.cumsum(np.where(gives < 0.0, efficiency, 1.0) * -gives) * step
    return content.max() - content.min(), content[-1]


@given(phases, windows, st.floats(1.0, 5000.0), st.floats(1.0, 5000.0), efficiencies)
def test_ramps_obey_and_the_store_is_the_integral_of_the_difference(pieces, window, up, down, efficiency):
    load = load_of(pieces, window)
    even = ramp_limited(load, up_w_per_s=up, down_w_per_s=down, efficiency_frac=efficiency)
    grid = even.waveform
    assert np.all(grid.slopes_w_per_s <= up * (1 + 1e-6) + 1e-6)
    assert np.all(grid.slopes_w_per_s >= -down * (1 + 1e-6) - 1e-6)
    gap = np.abs(grid.end_w - np.roll(grid.start_w, -1))
    assert gap.max() <= 1e-9 * grid.peak_w
    assert grid.energy_j == pytest.approx(load.energy_j + even.overhead_j, rel=1e-9)
    span, left = stored_range(load, grid, efficiency)
    slack = 1e-2 * (load.peak_w - load.trough_w) * load.period_s + 1e-6
    assert even.buffer_energy_j == pytest.approx(span, abs=slack)
    assert abs(left) <= slack
    if efficiency == 1.0:
        assert even.overhead_j == 0.0
    assert grid.peak_w - grid.trough_w <= (load.peak_w - load.trough_w) * (1 + 1e-9) + 1e-6


@given(phases, windows)
def test_a_limit_that_does_not_bind_changes_nothing(pieces, window):
    load = load_of(pieces, window)
    even = ramp_limited(load, up_w_per_s=math.inf, down_w_per_s=math.inf)
    assert even.waveform.std_w == pytest.approx(load.std_w, rel=1e-12)
    assert even.buffer_energy_j <= 1e-9 * load.energy_j


@given(phases, st.floats(1.0, 2000.0), st.floats(1.0, 2.0))
def test_a_looser_ramp_leaves_no_smaller_swing(pieces, limit, more):
    load = load_of(pieces)
    tight, loose = (ramp_limited(load, up_w_per_s=r, down_w_per_s=r).waveform for r in (limit, more * limit))
    assert tight.peak_w - tight.trough_w <= (loose.peak_w - loose.trough_w) * (1 + 1e-9) + 1e-6


@given(phases, windows, st.floats(0.0, 2000.0), st.floats(0.0, 800.0), efficiencies)
def test_a_battery_stays_within_its_limits(pieces, window, energy_j, power_w, efficiency):
    load = load_of(pieces, window)
    even = buffered(load, energy_j=energy_j, power_w=power_w, efficiency_frac=efficiency)
    assert even.buffer_energy_j <= energy_j + 1e-11 * load.energy_j
    assert even.buffer_power_w <= power_w + 1e-12 * load.peak_w
    assert even.waveform.peak_w <= load.peak_w * (1 + 1e-12)
    assert even.waveform.trough_w >= load.trough_w * (1 - 1e-12)
    assert even.waveform.energy_j == pytest.approx(load.energy_j + even.overhead_j, rel=1e-9)
    span, left = stored_range(load, even.waveform, efficiency)
    slack = 1e-2 * (load.peak_w - load.trough_w) * load.period_s + 1e-6
    assert even.buffer_energy_j == pytest.approx(span, abs=slack)
    assert abs(left) <= slack


@given(phases, windows)
def test_a_battery_of_no_size_is_none_and_a_large_ideal_one_leaves_the_mean(pieces, window):
    load = load_of(pieces, window)
    for none in ({"energy_j": 0.0, "power_w": 1e9}, {"energy_j": 1e9, "power_w": 0.0}):
        assert buffered(load, **none).waveform is load
    flat = buffered(load, energy_j=1e12, power_w=1e12)
    assert flat.waveform.std_w <= 1e-6 * load.mean_w
    assert flat.waveform.mean_w == pytest.approx(load.mean_w, rel=1e-9)
    assert flat.overhead_j == 0.0


@settings(max_examples=15)
@given(st.floats(0.1, 5.0), st.floats(0.1, 5.0), st.floats(100.0, 900.0), st.floats(1.0, 900.0), efficiencies)
def test_a_larger_battery_never_leaves_a_higher_peak(on_s, off_s, low_w, swing_w, efficiency):
    load = load_of([(on_s, low_w + swing_w), (off_s, low_w)])
    sizes = [0.0, 1.0, 10.0, 100.0, 1e5]
    peaks = [
        buffered(load, energy_j=size, power_w=1e9, efficiency_frac=efficiency).waveform.peak_w
        for size in sizes
    ]
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(peaks))


def test_a_lossy_battery_by_hand():
    """Flat at P: 0.5 x (P - 100) x 1 s = (300 - P) x 3 s, P = 271.43 W; lost half of 171.43 J."""
    even = buffered(STEP, energy_j=1e6, power_w=1e6, efficiency_frac=0.5)
    assert even.waveform.peak_w == pytest.approx(950 / 3.5)
    assert even.waveform.trough_w == pytest.approx(950 / 3.5)
    assert even.overhead_j == pytest.approx((950 / 3.5 - 100) / 2)


@given(phases, windows, st.integers(1, 12))
def test_staggering_keeps_the_mean_and_the_harmonics_that_are_multiples(pieces, window, groups):
    load = load_of(pieces, window)
    even = staggered(load, groups)
    assert even.waveform.mean_w == pytest.approx(load.mean_w, rel=1e-9)
    assert (even.buffer_energy_j, even.overhead_j) == (0.0, 0.0)
    before, after = load.harmonics(24), even.waveform.harmonics(24)
    kept = np.arange(1, 25) % groups == 0
    assert after == pytest.approx(np.where(kept, before, 0.0), abs=1e-6 * load.peak_w)


@given(phases, windows, st.floats(0.0, 1200.0), st.sampled_from([math.inf, 50.0, 1000.0]))
def test_burning_adds_energy_and_nothing_else(pieces, window, floor_w, down):
    load = load_of(pieces, window)
    even = burnt(load, floor_w=floor_w, down_w_per_s=down)
    grid = even.waveform
    assert grid.trough_w >= floor_w - 1e-9
    assert np.all(sampled(grid) >= sampled(load) - 1e-6)
    assert grid.peak_w == pytest.approx(max(load.peak_w, floor_w), rel=1e-9)
    assert even.overhead_j == pytest.approx(grid.energy_j - load.energy_j, abs=1e-6)
    assert even.buffer_energy_j == 0.0
    assert np.all(grid.slopes_w_per_s[grid.slopes_w_per_s < 0] >= -max(down, 2000.0 / 0.04) * (1 + 1e-6))
    falls = grid.end_w - np.roll(grid.start_w, -1)
    if math.isfinite(down):
        assert np.all(falls <= 1e-6)


def test_a_floor_below_the_load_burns_nothing():
    assert burnt(STEP, floor_w=50.0).overhead_j == 0.0


@pytest.mark.parametrize(
    ("measure", "field"),
    [
        (lambda: ramp_limited(STEP, up_w_per_s=0.0, down_w_per_s=1.0), "up_w_per_s"),
        (lambda: ramp_limited(STEP, up_w_per_s=1.0, down_w_per_s=math.nan), "down_w_per_s"),
        (lambda: ramp_limited(STEP, up_w_per_s=1.0, down_w_per_s=1.0, efficiency_frac=1.1), "efficiency"),
        (lambda: buffered(STEP, energy_j=-1.0, power_w=1.0), "energy_j"),
        (lambda: buffered(STEP, energy_j=1.0, power_w=1.0, efficiency_frac=0.0), "efficiency_frac"),
        (lambda: staggered(STEP, 0), "num_groups"),
        (lambda: burnt(STEP, floor_w=-1.0), "floor_w"),
    ],
)
def test_what_cannot_be_is_told(measure, field):
    with pytest.raises(InputError, match=field):
        measure()
