"""Who supplies a site: every watt is accounted for, limits hold, and the battery does as it is told."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InfeasibleError, InputError
from simtool.facility import (
    Battery,
    Generator,
    OwnUse,
    PeakShaving,
    Policy,
    Reserve,
    TwoThresholds,
    site_balance,
)
from simtool.signals import Signal

HOUR = 3600.0
KWH = 3.6e6
DAY = 24 * HOUR
BATTERY = Battery(
    capacity_j=2000 * KWH, charge_w=5e5, discharge_w=5e5, charge_frac=0.95, discharge_frac=0.95, standby_w=2e3
)


def signal(values: list[float], unit: str = "W", step_s: float = HOUR) -> Signal:
    edges = step_s * np.arange(len(values))
    return Signal.from_steps(edges, values, end_s=step_s * len(values), unit=unit)


def series(high: float, num: int = 24) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(0.0, high), min_size=num, max_size=num)


@st.composite
def sites(draw: st.DrawFn) -> dict[str, object]:
    price = signal(draw(series(0.3)), "USD/kWh")
    policies: list[Policy] = [
        PeakShaving(threshold_w=draw(st.floats(0.0, 2e6))),
        TwoThresholds(signal=price, low=0.08, high=0.2),
        OwnUse(),
        Reserve(),
    ]
    has_battery = draw(st.booleans())
    battery = replace(
        BATTERY,
        charge_slope_per_s=draw(st.sampled_from([np.inf, 1.0 / HOUR])),
        self_discharge_per_s=draw(st.sampled_from([0.0, 1e-7])),
        initial_j=draw(st.floats(0.0, 1.0)) * BATTERY.capacity_j,
    )
    return {
        "solar": draw(st.none() | series(1e6).map(signal)),
        "wind": draw(st.none() | series(1e6).map(signal)),
        "battery": battery if has_battery else None,
        "policy": draw(st.sampled_from(policies)) if has_battery else None,
        "generator": draw(st.none() | st.floats(1e4, 1e6).map(lambda rated_w: Generator(rated_w=rated_w))),
        "import_limit": draw(st.none() | series(3e6).map(signal)),
        "export_limit_w": draw(st.sampled_from([0.0, 3e5, np.inf])),
        "shortage": "unserved",
    }


@given(site=sites(), load=series(3e6, 40), gap=st.floats(500.0, 2160.0))
def test_every_watt_is_accounted_for(site: dict[str, object], load: list[float], gap: float) -> None:
    edges = gap * np.arange(41.0)
    balance = site_balance(edges, load, **site)  # type: ignore[arg-type]
    scale = balance.load_w + balance.solar_w + balance.wind_w + balance.charge_w + balance.discharge_w + 1.0
    assert (np.abs(balance.imbalance_w()) <= 1e-9 * scale).all()
    columns = (
        "load",
        "solar",
        "wind",
        "charge",
        "discharge",
        "generator",
        "import",
        "export",
        "curtailed",
        "unserved",
    )
    for column in columns:
        assert getattr(balance, f"{column}_w").min() >= 0.0, column
    assert balance.integral("load_w") == pytest.approx(float(np.sum(load) * gap))
    moments = balance.breakpoints_s[:-1]
    for name, column in (("solar", "solar_w"), ("wind", "wind_w")):
        given_signal = site[name]
        if isinstance(given_signal, Signal):
            span = balance.breakpoints_s[-1]
            assert balance.integral(column) == pytest.approx(
                float(given_signal.integral(0.0, span)), rel=1e-9
            )
    limit = site["import_limit"]
    if isinstance(limit, Signal):
        assert (balance.import_w <= limit.at(moments)).all()
    assert (np.minimum(balance.import_w, balance.export_w + balance.curtailed_w) == 0.0).all()
    assert (np.minimum(balance.curtailed_w, site["export_limit_w"] - balance.export_w) <= 1e-6).all()
    if balance.battery is not None:
        run, battery = balance.battery, site["battery"]
        assert isinstance(battery, Battery)
        # The battery never causes a shortage: what it charges is not missing elsewhere.
        short = balance.unserved_w > 1e-6
        assert balance.charge_w[short] == pytest.approx(0.0, abs=1e-6)
        inflow = balance.integral("charge_w") - balance.integral("discharge_w")
        lost = float(run.conversion_loss_j.sum() + run.self_discharge_j.sum())
        assert inflow - lost == pytest.approx(run.stored_j[-1] - battery.initial_j, abs=1e-9 * 3e12)


def test_peak_shaving_by_hand() -> None:
    """1 MW, then 1.4 MW for 2 h over a threshold of 1.2 MW: 400 kWh come from the battery."""
    battery = replace(BATTERY, standby_w=0.0, initial_j=1000 * KWH)
    balance = site_balance(
        [0.0, HOUR, 3 * HOUR], [1.2e6, 1.4e6], battery=battery, policy=PeakShaving(threshold_w=1.2e6)
    )
    assert balance.import_w == pytest.approx([1.2e6, 1.2e6])
    assert balance.discharge_w == pytest.approx([0.0, 2e5])
    assert balance.battery is not None
    assert balance.battery.stored_j / KWH == pytest.approx([1000.0, 1000.0, 1000.0 - 400.0 / 0.95])
    small = replace(battery, initial_j=200 * KWH)
    empty = site_balance(
        [0.0, HOUR, 3 * HOUR], [1.2e6, 1.4e6], battery=small, policy=PeakShaving(threshold_w=1.2e6)
    )
    assert empty.breakpoints_s / HOUR == pytest.approx([0.0, 1.0, 1.0 + 0.95, 3.0])
    assert empty.import_w == pytest.approx([1.2e6, 1.2e6, 1.4e6])


@given(loads=series(2e6, 12), threshold_w=st.floats(0.0, 2e6), initial=st.floats(0.0, 1.0))
def test_shaving_never_makes_a_peak_of_its_own(
    loads: list[float], threshold_w: float, initial: float
) -> None:
    """While it charges, the grid gives no more than the load has already asked for, nor than the threshold."""
    battery = replace(BATTERY, initial_j=initial * BATTERY.capacity_j)
    edges, policy = HOUR * np.arange(13), PeakShaving(threshold_w=threshold_w)
    balance = site_balance(edges, loads, battery=battery, policy=policy)
    seen_w = np.maximum.accumulate(balance.load_w + balance.standby_w)
    charges = balance.charge_w > 0.0
    assert np.all(balance.import_w[charges] <= np.minimum(seen_w, threshold_w)[charges] * (1.0 + 1e-9))
    assert balance.import_w.max() <= seen_w[-1] * (1.0 + 1e-9)
    cut = np.sort(np.concatenate([edges, edges[:-1] + 0.3 * HOUR]))
    again = site_balance(cut, np.repeat(loads, 2), battery=battery, policy=policy)
    for column in ("import_w", "charge_w", "discharge_w"):
        assert again.integral(column) == pytest.approx(balance.integral(column), rel=1e-9, abs=1e-3)


def test_a_threshold_above_all_loads_changes_no_peak() -> None:
    """0.3, 0.2 and 0.4 MW below a threshold of 1 MW: the battery takes 0.1 MW in the second hour."""
    battery = replace(BATTERY, standby_w=0.0)
    policy = PeakShaving(threshold_w=1e6)
    balance = site_balance(HOUR * np.arange(4), [3e5, 2e5, 4e5], battery=battery, policy=policy)
    assert balance.import_w == pytest.approx([3e5, 3e5, 4e5])
    sunny = site_balance([0.0, HOUR], [1e5], solar=signal([4e5]), battery=battery, policy=policy)
    assert sunny.charge_w == pytest.approx([3e5]), "what is left over of the sun is taken at once"


def test_two_thresholds_by_hand() -> None:
    price = signal([0.05, 0.10, 0.30], "USD/kWh")
    battery = replace(BATTERY, standby_w=0.0)
    policy = TwoThresholds(signal=price, low=0.06, high=0.2)
    balance = site_balance([0.0, 3 * HOUR], [2e5], battery=battery, policy=policy)
    assert balance.charge_w == pytest.approx([5e5, 0.0, 0.0])
    assert balance.discharge_w == pytest.approx([0.0, 0.0, 2e5]), "no more than the load: nothing is exported"
    assert balance.import_w == pytest.approx([7e5, 2e5, 0.0])


def test_own_use_by_hand() -> None:
    sun = signal([0.0, 8e5, 0.0])
    battery = replace(BATTERY, standby_w=0.0)
    balance = site_balance([0.0, 3 * HOUR], [4e5], solar=sun, battery=battery, policy=OwnUse())
    assert balance.import_w == pytest.approx([4e5, 0.0, 0.0, 4e5])
    stored = 400 * 0.95
    assert balance.discharge_w == pytest.approx([0.0, 0.0, 4e5, 0.0])
    assert float(balance.breakpoints_s[3]) / HOUR == pytest.approx(2.0 + stored * 0.95 / 400)
    assert balance.curtailed_w.max() == pytest.approx(0.0, abs=1e-6)


def test_an_outage_is_bridged_by_the_battery_then_the_generator() -> None:
    grid = signal([2e6, 0.0, 0.0, 2e6])
    battery = replace(BATTERY, standby_w=0.0, initial_j=400 * KWH / 0.95)
    balance = site_balance(
        [0.0, 4 * HOUR],
        [1e6],
        battery=battery,
        policy=PeakShaving(threshold_w=1e6),
        generator=Generator(rated_w=1.5e6),
        import_limit=grid,
    )
    assert balance.breakpoints_s / HOUR == pytest.approx([0.0, 1.0, 1.8, 2.0, 3.0, 4.0])
    assert balance.generator_w == pytest.approx([0.0, 5e5, 1e6, 1e6, 0.0])
    assert balance.unserved_w.max() == 0.0


def test_a_shortage_is_refused_with_what_is_missing() -> None:
    grid = Signal.constant(1e6, "W")
    with pytest.raises(InfeasibleError) as caught:
        site_balance([0.0, HOUR, 2 * HOUR], [0.9e6, 1.4e6], import_limit=grid)
    text = str(caught.value)
    assert "grid import limit: from 3,600 s on 400 kW are missing beside 1 MW from the grid" in text
    assert "in all 400 kWh in 1 intervals" in text
    recorded = site_balance([0.0, HOUR, 2 * HOUR], [0.9e6, 1.4e6], import_limit=grid, shortage="unserved")
    assert recorded.unserved_w == pytest.approx([0.0, 4e5])


def test_mistakes_are_told() -> None:
    with pytest.raises(InputError, match="battery: found a battery without a policy"):
        site_balance([0.0, 1.0], [1.0], battery=BATTERY)
    with pytest.raises(InputError, match="solar: found a series in 'USD/kWh'; allowed: W"):
        site_balance([0.0, 1.0], [1.0], solar=signal([1.0], "USD/kWh"))
    with pytest.raises(InputError, match="wind: found -5 W; allowed: at least 0"):
        site_balance([0.0, 1.0], [1.0], wind=signal([-5.0]))
    with pytest.raises(InputError, match="low below high"):
        TwoThresholds(signal=signal([1.0], "USD/kWh"), low=0.2, high=0.1)
    with pytest.raises(
        InputError, match=r"generator\.efficiency_frac: found 1\.2; allowed: above 0, at most 1"
    ):
        Generator(rated_w=1.0, efficiency_frac=1.2)
    with pytest.raises(InputError, match="covers 0 s to 3600 s"):
        site_balance([0.0, 2 * HOUR], [1.0], solar=signal([1.0]))


@given(share=st.floats(0.01, 1.0))
def test_fuel_per_kilowatt_hour_falls_with_load(share: float) -> None:
    backup = Generator(rated_w=1e6)
    full = float(backup.fuel_w(1e6))
    assert full == pytest.approx(1e6 / 0.38)
    assert float(backup.fuel_w(share * 1e6)) / share >= full * (1 - 1e-12)
    assert float(backup.fuel_w(0.0)) == 0.0
    assert float(backup.carbon_kg_per_s(1e6)) * HOUR / 1000 == pytest.approx(0.702, abs=0.001)


def test_millions_of_intervals_take_seconds() -> None:
    """Budgets several times what a laptop takes."""
    rng = np.random.default_rng(1)
    num = 2_000_000
    edges = np.linspace(0.0, 365 * DAY, num + 1)
    load = rng.uniform(1e6, 2e6, num)
    sun = signal(rng.uniform(0.0, 1e6, 8760).tolist())
    begin = time.process_time()
    balance = site_balance(edges, load, solar=sun, import_limit=Signal.constant(3e6, "W"))
    assert time.process_time() - begin < 10.0
    assert balance.load_w.size >= num
    price = signal(rng.uniform(0.0, 0.3, 8760).tolist(), "USD/kWh")
    begin = time.process_time()
    site_balance(
        edges[::20],
        load[::20],
        solar=sun,
        battery=replace(BATTERY, charge_slope_per_s=1.0 / HOUR),
        policy=TwoThresholds(signal=price, low=0.1, high=0.2),
    )
    assert time.process_time() - begin < 10.0
