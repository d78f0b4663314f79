"""What holds for every kind of cooling, over the whole range of outdoor air."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InfeasibleError
from simtool.facility import Facility, build_facility
from simtool.facility.cooling import COOLING, CoolingKind
from simtool.facility.series import FacilitySeries
from simtool.profiles.find import default_library
from simtool.signals import Signal
from tests.facility.air import wet_bulb_c

LIBRARY = default_library()
NAMES = LIBRARY.names("facility")
CAPACITY_W = 2e7
FACILITIES = {name: build_facility(LIBRARY.get("facility", name), CAPACITY_W) for name in NAMES}
DRY_BULBS = st.floats(-30.0, 50.0)
HUMIDITIES = st.floats(0.0, 1.0)
LOADS = st.floats(0.0, 1.0)
named = pytest.mark.parametrize("name", NAMES)


def site(facility: Facility, it_w: float, dry_c: float, wet_c: float) -> FacilitySeries | None:
    """One second of the site; None where a plant cannot cope."""
    try:
        return facility.at(it_w, dry_c, wet_c, np.array([0.0, 1.0]))
    except InfeasibleError:
        return None


def test_every_kind_is_shipped_in_a_profile() -> None:
    used = {type(plant.kind) for facility in FACILITIES.values() for plant in facility.plants}
    assert used == {COOLING[name] for name in COOLING}


@named
@given(dry=DRY_BULBS, humidity=HUMIDITIES, loads=st.tuples(LOADS, LOADS))
def test_power_rises_with_load_and_water_never_falls(
    name: str, dry: float, humidity: float, loads: tuple[float, float]
) -> None:
    low, high = sorted(loads)
    facility, wet = FACILITIES[name], wet_bulb_c(dry, humidity)
    less, more = (site(facility, load * CAPACITY_W, dry, wet) for load in (low, high))
    if more is None or high - low < 1e-6:
        return
    assert less is not None, "a plant that copes with more heat copes with less"
    assert float(more.total_w[0]) > float(less.total_w[0])
    assert float(more.total_w[0] - less.total_w[0]) >= (high - low) * CAPACITY_W
    assert float(more.water_kg_per_s[0]) >= float(less.water_kg_per_s[0])
    assert float(more.free_frac[0]) <= float(less.free_frac[0]) + 1e-12


@named
@given(dry=DRY_BULBS, humidities=st.tuples(HUMIDITIES, HUMIDITIES), load=LOADS)
def test_power_never_falls_with_the_wet_bulb(
    name: str, dry: float, humidities: tuple[float, float], load: float
) -> None:
    low, high = sorted(wet_bulb_c(dry, humidity) for humidity in humidities)
    cool, humid = (site(FACILITIES[name], load * CAPACITY_W, dry, wet) for wet in (low, high))
    if humid is None:
        return
    assert cool is not None
    assert float(humid.total_w[0]) >= float(cool.total_w[0]) * (1 - 1e-12)
    assert float(humid.excursion_k[0]) >= float(cool.excursion_k[0])


@named
@given(dries=st.tuples(DRY_BULBS, DRY_BULBS), humidity=HUMIDITIES, load=LOADS)
def test_power_never_falls_with_the_dry_bulb(
    name: str, dries: tuple[float, float], humidity: float, load: float
) -> None:
    low, high = sorted(dries)
    wet = wet_bulb_c(low, humidity)
    cold, hot = (site(FACILITIES[name], load * CAPACITY_W, dry, wet) for dry in (low, high))
    if hot is None:
        return
    assert cold is not None
    assert float(hot.total_w[0]) >= float(cold.total_w[0]) * (1 - 1e-12)


@named
@pytest.mark.parametrize("load", [0.02, 0.3, 0.65, 1.0])
@pytest.mark.parametrize("humidity", [0.05, 0.5, 1.0])
def test_no_branch_begins_with_a_step(name: str, load: float, humidity: float) -> None:
    """Across all weather, in steps of five thousandths of a kelvin, then closer."""
    dry = np.arange(-30.0, 50.0, 5e-3)
    coarse = np.arange(-30.0, 50.5, 0.5)
    wet = np.interp(dry, coarse, [wet_bulb_c(one, humidity) for one in coarse])
    facility = FACILITIES[name]
    most_w = facility.it_limit_w(np.inf, dry, wet)
    copes = most_w >= load * CAPACITY_W
    series = facility.at(load * CAPACITY_W, dry[copes], wet[copes], np.arange(copes.sum() + 1.0))
    for values, scale in ((series.cooling_w, CAPACITY_W), (series.water_kg_per_s, CAPACITY_W / 2.43e6)):
        jumps = np.abs(np.diff(values))
        if jumps.size == 0 or jumps.max() <= 1e-9 * scale:
            continue
        # The steepest place, a thousand times closer: a slope becomes small there, a step stays.
        at = int(np.argmax(jumps))
        span = [np.linspace(one[copes][at], one[copes][at + 1], 1001) for one in (dry, wet)]
        close = facility.at(load * CAPACITY_W, *span, np.arange(1002.0))
        near = close.cooling_w if values is series.cooling_w else close.water_kg_per_s
        assert near[[0, -1]] == pytest.approx(values[[at, at + 1]], rel=1e-12, abs=1e-12 * scale)
        assert np.abs(np.diff(near)).max() <= 0.01 * jumps.max() + 1e-12 * scale


@named
@given(dry=DRY_BULBS, humidity=HUMIDITIES)
def test_no_step_in_load_either(name: str, dry: float, humidity: float) -> None:
    facility, wet = FACILITIES[name], wet_bulb_c(dry, humidity)
    most_w = float(facility.it_limit_w(np.inf, dry, wet))
    if most_w == 0.0:
        return
    it_w = np.linspace(0.0, most_w * (1 - 1e-9), 4001)
    series = facility.at(it_w, dry, wet, np.arange(it_w.size + 1.0))
    step_w = most_w / 4000
    assert np.diff(series.cooling_w).max(initial=0.0) <= 10.0 * step_w + 1e-6
    assert np.diff(series.water_kg_per_s).max(initial=0.0) <= 10.0 * step_w / 2.43e6 + 1e-12


def plant(name: str) -> tuple[CoolingKind, float]:
    found = FACILITIES[name].plants[0]
    return found.kind, found.capacity_w


@given(dry=DRY_BULBS, humidity=HUMIDITIES, load=LOADS)
def test_water_is_that_of_the_heat_which_it_carries(dry: float, humidity: float, load: float) -> None:
    """A tower turns a fixed share of all heat, compressors included, into vapour."""
    kind, capacity_w = plant("tower-economiser")
    dry_c, wet_c = np.array([dry]), np.array([wet_bulb_c(dry, humidity)])
    heat_w = load * kind.available_w(capacity_w, dry_c, wet_c)
    run = kind.operate(heat_w, capacity_w, dry_c, wet_c)
    vapour_w = run.evaporation_kg_per_s * 2.43e6
    assert (vapour_w >= 0.9 * heat_w * (1 - 1e-9)).all()
    assert (vapour_w <= 0.9 * (heat_w + run.power_w) * (1 + 1e-9)).all()
    assert run.blowdown_kg_per_s + run.drift_kg_per_s == pytest.approx(run.evaporation_kg_per_s / 5.0)


@given(dry=st.floats(-30.0, 25.0), humidity=HUMIDITIES, load=LOADS)
def test_no_water_in_dry_mode(dry: float, humidity: float, load: float) -> None:
    wet = wet_bulb_c(dry, humidity)
    for name in ("air-economiser", "hyperscale-air", "liquid-dry-cooler", "air-chiller"):
        run = site(FACILITIES[name], load * CAPACITY_W, dry, wet)
        assert run is not None
        assert float(run.water_kg_per_s[0]) == 0.0


@given(dry=st.floats(28.0, 38.0), load=st.floats(0.1, 1.0))
def test_evaporation_stops_at_the_wet_bulb(dry: float, load: float) -> None:
    for name in ("air-economiser", "liquid-dry-cooler"):
        soaked, arid = (
            site(FACILITIES[name], load * CAPACITY_W, dry, wet) for wet in (dry, wet_bulb_c(dry, 0.1))
        )
        assert soaked is not None
        assert arid is not None
        assert float(soaked.water_kg_per_s[0]) == 0.0
        if name == "air-economiser":
            assert float(arid.water_kg_per_s[0]) > 0.0


def test_adiabatic_air_by_hand() -> None:
    """1 MW at 35 degC and a wet bulb of 20: 85 % of 15 K would reach 22.25, so 10 K down to 25 are enough."""
    kind, _ = plant("air-economiser")
    run = kind.operate(np.array([1e6]), 4e6, np.array([35.0]), np.array([20.0]))
    fan_w = 4e6 * 0.053 * 0.4**3  # a quarter of the flow, below the least of 40 %
    assert float(run.power_w[0]) == pytest.approx(fan_w)
    assert float(run.free_frac[0]) == 1.0
    assert float(run.evaporation_kg_per_s[0]) == pytest.approx((1e6 + fan_w) * 10.0 / 12.0 / 2.43e6)
    assert float(run.blowdown_kg_per_s[0]) == pytest.approx(float(run.evaporation_kg_per_s[0]) / 5.0)


def test_a_dry_cooler_by_hand() -> None:
    """Set point 35, approach 8 K at full load: at half load and 27 degC half the air is enough."""
    kind, _ = plant("liquid-dry-cooler")
    run = kind.operate(np.array([5e5]), 1e6, np.array([27.0]), np.array([15.0]))
    assert float(run.power_w[0]) == pytest.approx(1e6 * (0.03 * 0.5**3 + 0.0123 * 0.5**3))
    hot = kind.operate(np.array([1e6]), 1e6, np.array([36.0]), np.array([36.0]))
    assert float(hot.excursion_k[0]) == pytest.approx(36.0 + 8.0 - 35.0)
    assert float(kind.available_w(1e6, np.array([41.0]), np.array([41.0]))[0]) == pytest.approx(5e5)


def test_a_chiller_by_hand() -> None:
    """Water at 10, refrigerant at 7; 33 outside, 45 in the condenser: 0.45 x 280.15 / 38."""
    kind, _ = plant("air-chiller")
    run = kind.operate(np.array([1e6]), 1e6, np.array([33.0]), np.array([20.0]))
    expected = 0.066 + 1.066 * 38.0 / (0.45 * 280.15) + 0.0103 + 0.02
    assert float(run.power_w[0]) == pytest.approx(1e6 * expected, rel=1e-6)


@named
def test_pue_may_have_its_least_between_idle_and_full_load(name: str) -> None:
    it_w = np.linspace(0.05, 1.0, 96) * CAPACITY_W
    series = FACILITIES[name].at(it_w, 15.0, 10.0, np.arange(97.0))
    pue = series.total_w / series.it_w
    assert pue[0] > pue.min(), "fixed losses weigh more at low load"
    if name.startswith("hyperscale"):
        assert 0 < int(np.argmin(pue)) < 95, "fans take the cube of the flow"


@named
def test_a_plant_that_cannot_cope_names_itself_the_hour_and_what_would_do(name: str) -> None:
    facility = FACILITIES[name]
    hot = Signal.from_steps([0.0, 7200.0], [20.0, 58.0], end_s=10800.0, unit="degC")
    wet = Signal.from_steps([0.0, 7200.0], [15.0, 57.0], end_s=10800.0, unit="degC")
    with pytest.raises(InfeasibleError) as caught:
        facility.over([0.0, 10800.0], [CAPACITY_W], hot, wet)
    text = str(caught.value)
    assert f"of facility {name!r}" in text
    assert "from 2 h on" in text
    assert "58.0 degC dry bulb and 57.0 degC wet bulb (1 intervals in all)" in text
    assert "in that weather" in text


@named
@given(dry=DRY_BULBS, humidity=HUMIDITIES, limit=st.floats(0.02, 1.5))
def test_the_power_that_a_limit_leaves_to_the_servers(
    name: str, dry: float, humidity: float, limit: float
) -> None:
    facility, wet = FACILITIES[name], wet_bulb_c(dry, humidity)
    most_w = float(facility.it_limit_w(limit * CAPACITY_W, dry, wet))
    assert 0.0 <= most_w <= CAPACITY_W
    if most_w > 0.0:
        run = site(facility, most_w, dry, wet)
        assert run is not None
        assert float(run.total_w[0]) <= limit * CAPACITY_W * (1 + 1e-12)
    more = site(facility, most_w * (1 + 1e-6) + 1.0, dry, wet)
    assert more is None or float(more.total_w[0]) > limit * CAPACITY_W or most_w >= CAPACITY_W


def test_reports_of_a_series_add_up() -> None:
    facility = FACILITIES["tower-economiser"]
    dry = Signal.from_steps([0.0, 50.0], [10.0, 30.0], end_s=100.0, unit="degC")
    wet = Signal.from_steps([0.0, 25.0], [8.0, 20.0], end_s=100.0, unit="degC")
    series = facility.over([0.0, 40.0, 90.0], [1e7, 1.5e7], dry, Signal.constant(8.0, "degC"))
    assert series.breakpoints_s.tolist() == [0.0, 40.0, 50.0, 90.0]
    finer = facility.over([0.0, 40.0, 90.0], [1e7, 1.5e7], dry, wet)
    assert finer.breakpoints_s.tolist() == [0.0, 25.0, 40.0, 50.0, 90.0]
    parts = [finer.integral(column) for column in ("it_w", "chain_loss_w", "cooling_w", "other_w")]
    assert sum(parts) == pytest.approx(finer.integral("total_w"), rel=1e-12)
    assert finer.integral("it_w") == pytest.approx(1e7 * 40 + 1.5e7 * 50)
    spans = [finer.integral("total_w", *span) for span in pairwise((0.0, 12.0, 47.0, 90.0))]
    assert sum(spans) == pytest.approx(finer.integral("total_w"), rel=1e-12)
