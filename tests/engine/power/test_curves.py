"""Counters and curves on their own: what holds for every load and every way of reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.engine.power.counter import EnergyCounter, energy_at_mark
from simtool.engine.power.integral import EnergyCurve, energy_curve, integrate, updates
from simtool.engine.power.windows import Sensor

SENSORS = (
    Sensor(channel="usage", update_s=0.02, window_s=0.01),
    Sensor(channel="usage", update_s=0.1, window_s=0.025),
    Sensor(channel="usage", update_s=0.1, window_s=0.1),
    Sensor(channel="usage", update_s=0.1, window_s=1.0),
    Sensor(channel="usage", update_s=0.1, lag_s=0.2),
)
gaps = st.lists(st.floats(0.005, 0.08), min_size=20, max_size=80)


@given(gaps, st.floats(1.0, 900.0), st.sampled_from(SENSORS))
def test_constant_power_is_exact_however_it_is_read(
    gaps_s: list[float], power_w: float, sensor: Sensor
) -> None:
    times = np.cumsum(gaps_s)
    part = integrate(times, np.full(len(times), power_w), sensor, times[2], times[-2], 1000.0)
    assert part is not None
    assert part.energy_j == pytest.approx(power_w * (times[-2] - times[2]), rel=1e-9)
    assert part.low_j <= part.energy_j * (1 + 1e-9)
    assert part.high_j >= part.energy_j * (1 - 1e-9)


@given(gaps, st.sampled_from(SENSORS), st.randoms(use_true_random=False))
def test_energy_never_falls_and_intervals_add_up(gaps_s: list[float], sensor: Sensor, chance: object) -> None:
    times = np.cumsum(gaps_s)
    values = np.array([chance.choice((60.0, 90.0, 300.0)) for _ in gaps_s])  # type: ignore[attr-defined]
    curve = energy_curve(times, values, sensor)
    assert np.all(np.diff(curve.times_s) > 0)
    assert np.all(np.diff(curve.energies_j) >= 0)
    middle = float(times[len(times) // 2])
    parts = curve.between(times[0], middle) + curve.between(middle, times[-1])
    assert parts == pytest.approx(curve.between(times[0], times[-1]))


@given(gaps)
def test_updates_keep_their_order_and_their_values(gaps_s: list[float]) -> None:
    times = np.cumsum(gaps_s)
    values = np.floor(times / 0.1)
    moments, found = updates(times, values, 0.1)
    assert np.all(np.diff(moments) > 0)
    assert set(found) == set(values)
    assert np.all(np.diff(found) >= 0)


def test_fewer_than_two_readings_or_no_time_give_no_energy() -> None:
    assert integrate(np.array([1.0]), np.array([9.0]), SENSORS[0], 0.0, 1.0, 10.0) is None
    assert integrate(np.array([1.0, 2.0]), np.array([9.0, 9.0]), SENSORS[0], 1.0, 1.0, 10.0) is None


@given(
    st.lists(st.floats(0.0, 25.0), min_size=2, max_size=60),
    st.floats(500.0, 4000.0),
    st.floats(0.0, 499.0),
)
def test_a_counter_that_wraps_tells_what_one_that_does_not_would(
    steps_j: list[float], modulus_j: float, base_j: float
) -> None:
    counter = EnergyCounter(moduli_j=(modulus_j,), ceiling_w=100.0)
    energy_j = base_j
    counter.feed(0.0, energy_j % modulus_j)
    for index, step_j in enumerate(steps_j, start=1):
        energy_j += step_j
        counter.feed(index * 0.1, energy_j % modulus_j)
    assert counter.total_j == pytest.approx(energy_j - base_j, abs=1e-6)
    assert not counter.holes
    assert counter.num_wraps == int(energy_j // modulus_j) - int(base_j // modulus_j)


def test_a_step_no_device_can_make_is_a_hole_not_energy() -> None:
    counter = EnergyCounter(moduli_j=(1e6,), ceiling_w=100.0)
    for time_s, raw_j in ((0.0, 500.0), (0.1, 510.0), (0.2, 2e5), (0.3, 2e5 + 10), (0.4, 3.0), (0.5, 13.0)):
        counter.feed(time_s, raw_j)
    assert counter.total_j == pytest.approx(30.0)
    assert counter.holes == [(0.1, 0.2), (0.3, 0.4)]


def test_ticks_are_placed_better_than_the_readings_lie_apart() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    times = np.cumsum(generator.uniform(0.02, 0.05, 800))
    counter = EnergyCounter(ceiling_w=500.0)
    for time_s in times:
        counter.feed(float(time_s), np.floor((time_s - 0.037) / 0.1) * 30.0)
    moments = counter.moments()[1:]
    off_s = (moments - 0.037) / 0.1 - np.rint((moments - 0.037) / 0.1)
    assert np.abs(off_s).max() * 0.1 < 0.008
    assert np.abs(np.array(counter.ticks_s[1:]) - moments).max() > 0.008


def test_uneven_ticks_are_left_where_they_were_seen() -> None:
    generator = np.random.Generator(np.random.PCG64(2))
    counter = EnergyCounter(ceiling_w=500.0)
    ticks = np.cumsum(generator.uniform(0.05, 0.5, 100))
    for time_s in np.arange(0.0, 20.0, 0.03):
        counter.feed(float(time_s), 10.0 * float(np.searchsorted(ticks, time_s)))
    assert counter.moments()[5:] == pytest.approx(np.array(counter.ticks_s)[5:])


@given(st.floats(50.0, 700.0), st.floats(50.0, 700.0), st.floats(0.01, 0.99))
def test_a_mark_where_the_power_changes_is_exact(before_w: float, after_w: float, share: float) -> None:
    within_j = before_w * share + after_w * (1 - share)
    energies = np.cumsum([0.0, before_w, before_w, within_j, after_w, after_w])
    curve = EnergyCurve(np.arange(6.0), energies)
    assert energy_at_mark(curve, 2.0 + share) == pytest.approx((2 + share) * before_w, rel=1e-6)


@given(st.lists(st.floats(0.0, 700.0), min_size=4, max_size=12), st.floats(0.0, 1.0))
def test_a_mark_never_leaves_its_tick(powers_w: list[float], place: float) -> None:
    curve = EnergyCurve(np.arange(len(powers_w) + 1.0), np.concatenate(([0.0], np.cumsum(powers_w))))
    moment_s = place * len(powers_w)
    piece = min(int(moment_s), len(powers_w) - 1)
    energy_j = energy_at_mark(curve, moment_s)
    assert curve.energies_j[piece] - 1e-6 <= energy_j <= curve.energies_j[piece + 1] + 1e-6
