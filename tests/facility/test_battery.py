"""A battery: by hand, against small steps, and what holds for any."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.facility.battery import Battery
from simtool.facility.battery_run import BatteryRun, run_battery
from simtool.facility.cycles import full_cycles, half_cycles

KWH = 3.6e6
HOUR = 3600.0
PLAIN = Battery(capacity_j=10 * KWH, charge_w=5e3, discharge_w=4e3, charge_frac=0.9, discharge_frac=0.8)


def test_a_battery_by_hand() -> None:
    """10 kWh: 3 h at 4 kW would store 10.8 kWh, so it is full after 10 / 3.6 h; 8 kWh come back in 2 h."""
    run = run_battery(PLAIN, np.array([0.0, 3 * HOUR, 6 * HOUR]), np.array([4e3, -4e3]))
    assert run.breakpoints_s / HOUR == pytest.approx([0.0, 10.0 / 3.6, 3.0, 5.0, 6.0])
    assert run.interval.tolist() == [0, 0, 1, 1]
    assert run.charge_w == pytest.approx([4e3, 0.0, 0.0, 0.0])
    assert run.discharge_w == pytest.approx([0.0, 0.0, 4e3, 0.0])
    assert run.stored_j / KWH == pytest.approx([0.0, 10.0, 10.0, 0.0, 0.0])
    assert float(run.conversion_loss_j.sum()) / KWH == pytest.approx(10.0 / 0.9 - 8.0)
    assert run.full_cycles == pytest.approx(1.0)
    assert run.life_used_frac == pytest.approx(1.0 / 3000.0)
    aged = run_battery(
        replace(PLAIN, calendar_life_s=600 * HOUR), run.breakpoints_s[[0, 2, 4]], np.array([4e3, -4e3])
    )
    assert aged.life_used_frac == pytest.approx(1.0 / 3000.0 + 6.0 / 600.0)


def test_powers_beyond_the_rating_are_cut() -> None:
    run = run_battery(PLAIN, np.array([0.0, 0.1, 0.2]), np.array([1e9, -1e9]))
    assert run.charge_w.max() == pytest.approx(5e3)
    assert run.discharge_w.max() == pytest.approx(4e3)


def test_the_end_of_a_charge_by_hand() -> None:
    """Below the bend the room halves in ln 2 / (efficiency x slope), whatever the size."""
    slope = 1.0 / HOUR  # 5 kW bend at 5 kWh of room
    battery = replace(PLAIN, charge_slope_per_s=slope, initial_j=5 * KWH)
    run = run_battery(battery, np.array([0.0, 50 * HOUR]), np.array([5e3]))
    halving_s = math.log(2.0) / (0.9 * slope)
    assert run.breakpoints_s[1:7] == pytest.approx(halving_s * np.arange(1, 7))
    assert run.stored_j[:7] / KWH == pytest.approx(10.0 - 5.0 / 2.0 ** np.arange(7))
    # Mean power of a halving: 2.5 kWh stored, over 0.9, in its time.
    assert float(run.charge_w[0]) == pytest.approx(2.5 * KWH / 0.9 / halving_s)
    assert float(run.stored_j[-1]) == pytest.approx(10 * KWH)


def test_self_discharge_by_hand() -> None:
    battery = replace(PLAIN, self_discharge_per_s=1.0 / (100 * HOUR), initial_j=8 * KWH)
    run = run_battery(battery, np.array([0.0, 50 * HOUR]), np.array([0.0]))
    assert float(run.stored_j[-1]) / KWH == pytest.approx(8.0 * math.exp(-0.5))
    assert float(run.self_discharge_j[0]) / KWH == pytest.approx(8.0 * (1.0 - math.exp(-0.5)))
    full = replace(battery, initial_j=10 * KWH)
    held = run_battery(full, np.array([0.0, HOUR]), np.array([5e3]))
    assert float(held.charge_w[0]) == pytest.approx(10 * KWH / (100 * HOUR) / 0.9), "what is lost is put back"


def test_a_power_too_small_to_move_a_full_battery_ends() -> None:
    battery = replace(PLAIN, charge_slope_per_s=1 / 180.0, charge_frac=0.381974485636115, initial_j=10 * KWH)
    run = run_battery(battery, np.array([0.0, HOUR]), np.array([1e-300]))
    assert run.stored_j[-1] == pytest.approx(10 * KWH)


slopes = st.one_of(st.just(math.inf), st.floats(0.1, 20.0).map(lambda hourly: hourly / HOUR))


@st.composite
def batteries(draw: st.DrawFn) -> Battery:
    least = draw(st.floats(0.0, 0.5))
    return Battery(
        capacity_j=10 * KWH,
        charge_w=draw(st.floats(100.0, 3e4)),
        discharge_w=draw(st.floats(100.0, 3e4)),
        charge_frac=draw(st.floats(0.3, 1.0)),
        discharge_frac=draw(st.floats(0.3, 1.0)),
        least_j=least * 10 * KWH,
        charge_slope_per_s=draw(slopes),
        discharge_slope_per_s=draw(slopes),
        self_discharge_per_s=draw(st.sampled_from([0.0, 1e-9, 1e-6, 1e-4])),
        initial_j=draw(st.floats(0.0, 1.0)) * 10 * KWH,
    )


lengths = st.lists(st.floats(1.0, 1e5), min_size=1, max_size=12)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Battery, np.ndarray, np.ndarray]:
    spans = draw(lengths)
    request = draw(st.lists(st.floats(-3e4, 3e4), min_size=len(spans), max_size=len(spans)))
    return draw(batteries()), np.concatenate(([0.0], np.cumsum(spans))), np.array(request)


def totals(run: BatteryRun) -> list[float]:
    spans = np.diff(run.breakpoints_s)
    return [
        float(np.sum(run.charge_w * spans)),
        float(np.sum(run.discharge_w * spans)),
        float(run.self_discharge_j.sum()),
        float(run.conversion_loss_j.sum()),
        float(run.stored_j[-1]),
    ]


@given(case=runs())
def test_energy_is_conserved_and_limits_are_kept(case: tuple[Battery, np.ndarray, np.ndarray]) -> None:
    battery, edges, request = case
    run = run_battery(battery, edges, request)
    charged, discharged, lost, converted, stored = totals(run)
    scale = charged + discharged + battery.capacity_j
    assert charged - discharged - lost - converted == pytest.approx(
        stored - battery.initial_j, abs=1e-9 * scale
    )
    assert set(edges) <= set(run.breakpoints_s)
    assert (np.diff(run.breakpoints_s) > 0.0).all()
    assert run.stored_j.min() >= -1e-9 * battery.capacity_j
    assert run.stored_j.max() <= battery.capacity_j * (1 + 1e-12)
    assert (np.minimum(run.charge_w, run.discharge_w) == 0.0).all()
    asked = request[run.interval]
    assert (run.charge_w <= np.maximum(asked, 0.0) * (1 + 1e-9)).all()
    assert (run.discharge_w <= np.maximum(-asked, 0.0) * (1 + 1e-9)).all()
    # No mean power exceeds the limit at the better end of its stretch.
    # A full battery without a slope takes what it loses.
    trickle_w = battery.self_discharge_per_s * battery.capacity_j / battery.charge_frac
    for index, (charge, discharge) in enumerate(zip(run.charge_w, run.discharge_w, strict=True)):
        ends = run.stored_j[index : index + 2]
        most_w = max(map(battery.charge_limit_w, [*ends, ends.mean()])) + trickle_w
        assert charge <= most_w * (1 + 1e-6) + 1e-6
        assert discharge <= max(map(battery.discharge_limit_w, ends)) * (1 + 1e-6) + 1e-6


@given(case=runs(), where=st.floats(0.01, 0.99))
def test_nothing_depends_on_how_time_is_cut(
    case: tuple[Battery, np.ndarray, np.ndarray], where: float
) -> None:
    battery, edges, request = case
    cuts = edges[:-1] + where * np.diff(edges)
    finer = np.sort(np.concatenate((edges, cuts)))
    whole = totals(run_battery(battery, edges, request))
    parts = totals(run_battery(battery, finer, np.repeat(request, 2)))
    assert parts == pytest.approx(whole, rel=1e-9, abs=1e-9 * battery.capacity_j)


@settings(max_examples=15)
@given(case=runs())
def test_small_steps_go_the_same_way(case: tuple[Battery, np.ndarray, np.ndarray]) -> None:
    """The defining limits, followed in steps of a twenty-thousandth of the time."""
    battery, edges, request = case
    run = run_battery(battery, edges, request)
    moments = np.linspace(edges[0], edges[-1], 20001)
    step_s = moments[1] - moments[0]
    stored, path = battery.initial_j, []
    for moment in moments[:-1] + 0.5 * step_s:
        path.append(stored)
        asked = request[np.searchsorted(edges, moment) - 1]
        charge = min(max(asked, 0.0), battery.charge_limit_w(stored))
        discharge = min(max(-asked, 0.0), battery.discharge_limit_w(stored))
        flow = charge * battery.charge_frac - discharge / battery.discharge_frac
        stored = min(stored + step_s * (flow - battery.self_discharge_per_s * stored), battery.capacity_j)
        if discharge > 0.0:
            stored = max(stored, min(battery.least_j, path[-1]))
    at_edges = np.interp(edges[1:], [*moments], [*path, stored])
    exact = np.interp(edges[1:], run.breakpoints_s, run.stored_j)
    coarse_j = step_s * max(battery.charge_w, battery.discharge_w / battery.discharge_frac)
    assert np.abs(at_edges - exact).max() <= 3.0 * coarse_j + 1e-6 * battery.capacity_j


def test_the_cell_of_the_model() -> None:
    battery = Battery.lithium(19.14 * HOUR, initial_frac=1.0)
    assert battery.charge_slope_per_s * HOUR == pytest.approx(3.63 / 1.326)
    assert battery.discharge_slope_per_s * HOUR == pytest.approx(3.63 / 0.087)
    assert battery.charge_limit_w(0.5 * battery.capacity_j) == pytest.approx(0.7 * 19.14)
    assert battery.charge_limit_w(0.9 * battery.capacity_j) == pytest.approx(0.1 * 19.14 * 3.63 / 1.326)
    assert battery.discharge_limit_w(0.01 * battery.capacity_j) == pytest.approx(0.1914 * 3.63 / 0.087)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("charge_frac", 1.05, "at most 1: a battery gives no energy"),
        ("discharge_frac", 0.0, "above 0, at most 1"),
        ("capacity_j", 0.0, "above 0"),
        ("charge_w", math.inf, "above 0"),
        ("self_discharge_per_s", -1e-9, "at least 0"),
        ("least_j", 11 * KWH, "below the capacity"),
        ("initial_j", 11 * KWH, "at most the capacity"),
        ("depth_exponent", 0.5, "at least 1"),
        ("charge_frac", math.nan, "above 0"),
    ],
)
def test_what_no_battery_can_be(field: str, value: float, words: str) -> None:
    with pytest.raises(InputError, match=rf"battery\.{field}: found .*{words}"):
        replace(PLAIN, **{field: value})


def test_rainflow_of_the_standard() -> None:
    """The example of ASTM E1049-85, figure 6: -2, 1, -3, 5, -1, 3, -4, 4, -2."""
    counted: dict[float, float] = {}
    for depth, count in half_cycles(np.array([-2.0, 1.0, -3.0, 5.0, -1.0, 3.0, -4.0, 4.0, -2.0])):
        counted[depth] = counted.get(depth, 0.0) + count
    assert counted == {3.0: 0.5, 4.0: 1.5, 6.0: 0.5, 8.0: 1.0, 9.0: 0.5}


@given(path=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=40))
def test_rainflow_travels_the_whole_way(path: list[float]) -> None:
    values = np.array(path)
    counted = sum(2.0 * depth * count for depth, count in half_cycles(values))
    assert counted == pytest.approx(float(np.abs(np.diff(values)).sum()), abs=1e-12)
    assert full_cycles(values, 1.0, 2.0) <= full_cycles(values, 1.0, 1.0) + 1e-12
