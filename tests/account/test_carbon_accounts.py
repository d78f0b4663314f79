"""Three accounts of carbon, its price, and water: by hand, additive, never mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.carbon_accounts import (
    carbon_accounts,
    carbon_price,
    grid_account,
    market_account,
)
from simtool.account.metered import PowerSteps
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.account.water import mix_l_per_kwh, plant_water, water_account
from simtool.errors import InputError
from simtool.provenance import Sourced
from simtool.signals import Basis, Signal
from tests.account.builders import HOUR_S, number, step_signals

DAY = PowerSteps(breakpoints_s=np.array([0.0, 12 * HOUR_S, 24 * HOUR_S]), power_w=np.array([4e6, 10e6]))


def intensity(value: float, basis: Basis) -> Signal:
    return Signal.constant(value, "kgCO2e/kWh", basis=basis)


def green(value: float = 0.0) -> Sourced:
    return number(value, "kgCO2e/kWh")


@given(step_signals("kgCO2e/kWh", Basis.MARGINAL), st.lists(st.floats(0.0, 1e7), min_size=24, max_size=24))
def test_an_account_is_power_times_intensity_by_brute_force(signal: Signal, watts: list[float]) -> None:
    load = PowerSteps(breakpoints_s=np.arange(25) * HOUR_S, power_w=np.array(watts))
    expected = sum(power / 1e3 * float(signal.at((hour + 0.5) * HOUR_S)) for hour, power in enumerate(watts))
    account = grid_account(load, signal)
    assert account.total_kgco2e == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert account.basis is Basis.MARGINAL


@pytest.mark.parametrize("other", [basis for basis in Basis if basis is not Basis.AVERAGE_DIRECT])
def test_two_bases_are_never_added(other: Basis) -> None:
    direct = grid_account(DAY, intensity(0.3, Basis.AVERAGE_DIRECT))
    assert (direct + direct).total_kgco2e == pytest.approx(2 * direct.total_kgco2e)
    with pytest.raises(InputError, match="one basis"):
        direct + grid_account(DAY, intensity(0.3, other))


def test_each_question_has_an_account_of_its_own() -> None:
    found = carbon_accounts(
        DAY,
        [intensity(0.3, Basis.AVERAGE_DIRECT), intensity(0.6, Basis.MARGINAL), intensity(0.4, Basis.MARKET)],
        purchases=[PowerPurchase(price_usd_per_kwh=0.04, share=0.5, intensity=green(), name="wind")],
        fuel_kgco2e=1000.0,
        embodied_kgco2e=50.0,
    )
    kwh = 168_000
    assert {basis: account.total_kgco2e for basis, account in found.items()} == pytest.approx(
        {
            Basis.AVERAGE_DIRECT: kwh * 0.3 + 1050,
            Basis.MARGINAL: kwh * 0.6 + 1000,  # what was emitted in factories is no answer to its question
            Basis.MARKET: kwh / 2 * 0.4 + 1050,
        }
    )
    with pytest.raises(InputError, match="two intensities, both marginal"):
        carbon_accounts(DAY, [intensity(0.3, Basis.MARGINAL), intensity(0.6, Basis.MARGINAL)])


def test_certificates_are_matched_moment_by_moment() -> None:
    # 7 MW all day make as much energy as the load takes, and yet 36 MWh are bought from the rest of the market.
    profile = Signal.from_steps([0.0, 6 * HOUR_S], [7e6, 7e6], end_s=24 * HOUR_S, unit="W")
    sun = PowerPurchase(price_usd_per_kwh=0.04, profile=profile, intensity=green(0.02), name="sun")
    account = market_account(DAY, [sun], intensity(0.5, Basis.MARKET))
    assert [(amount.name, amount.kgco2e) for amount in account.amounts] == [
        ("sun", pytest.approx((48_000 + 84_000) * 0.02)),
        ("residual mix", pytest.approx(36_000 * 0.5)),
    ]


def test_the_market_needs_its_own_numbers() -> None:
    with pytest.raises(
        InputError, match=r"found average direct; a market-based intensity; give the residual mix"
    ):
        market_account(DAY, [], intensity(0.5, Basis.AVERAGE_DIRECT))
    bare = PowerPurchase(price_usd_per_kwh=0.04, share=0.5, name="wind")
    with pytest.raises(InputError, match=r"wind\.intensity: found none"):
        market_account(DAY, [bare], intensity(0.5, Basis.MARKET))
    with pytest.raises(ValueError, match="has a basis"):
        grid_account(DAY, Signal.constant(0.1, "USD/kWh"))


def test_a_price_on_carbon_is_paid_once() -> None:
    grid = grid_account(DAY, intensity(0.35, Basis.AVERAGE))
    tonnes = 168 * 0.35
    inside = carbon_price(grid, 75.0, fuel_kgco2e=2000.0, tariff_contains_it=True)
    assert inside.billed_usd == pytest.approx({"on-site fuel": 150.0})
    assert inside.shadow_usd == pytest.approx({"electricity": tonnes * 75})
    on_top = carbon_price(grid, 75.0, fuel_kgco2e=2000.0, tariff_contains_it=False)
    assert on_top.billed_usd == pytest.approx({"electricity": tonnes * 75, "on-site fuel": 150.0})
    assert on_top.shadow_usd == {}
    # 75 USD/t on a grid of 350 g/kWh are 0.026 USD/kWh.
    assert inside.shadow_usd["electricity"] / 168_000 == pytest.approx(0.026, abs=3e-4)
    with pytest.raises(InputError, match="found the marginal account"):
        carbon_price(grid_account(DAY, intensity(0.6, Basis.MARGINAL)), 75.0, tariff_contains_it=True)


def test_water_on_site_and_at_the_plants_by_hand() -> None:
    it_w = np.array([4e6, 10e6])
    found = water_account(DAY.breakpoints_s, it_w, it_w * 1.25, np.array([1.0, 3.0]), number(1.8, "L/kWh"))
    assert found.on_site_l == pytest.approx(12 * 3600 * 4.0)
    assert found.off_site_l == pytest.approx(168_000 * 1.25 * 1.8)
    # E_IT x (WUE on site + PUE x WUE off site)
    expected = 168_000 * (found.wue_site_l_per_kwh + 1.25 * 1.8)
    assert found.on_site_l + found.off_site_l == pytest.approx(expected)
    assert found.wue_source_l_per_kwh == pytest.approx(expected / 168_000)
    nothing = water_account(DAY.breakpoints_s, it_w * 0, it_w * 0, it_w * 0, number(1.8, "L/kWh"))
    assert (nothing.wue_site_l_per_kwh, nothing.off_site_l) == (0.0, 0.0)
    with pytest.raises(ValueError, match="L/kWh"):
        water_account(DAY.breakpoints_s, it_w, it_w, it_w, number(1.8, "kg"))


def test_water_follows_the_mix_of_the_hour() -> None:
    gas = np.array([0.2, 0.9])
    litres = mix_l_per_kwh({"gas": gas, "wind": 1 - gas})
    known = plant_water().consumption["gas"].value
    assert np.asarray(litres).tolist() == pytest.approx([0.2 * known, 0.9 * known])
    mix = Signal.from_steps([0.0, 12 * HOUR_S], litres, end_s=24 * HOUR_S, unit="L/kWh")
    it_w = np.array([4e6, 10e6])
    found = water_account(DAY.breakpoints_s, it_w, it_w, it_w * 0, mix)
    assert found.off_site_l == pytest.approx((48_000 * 0.2 + 120_000 * 0.9) * known)


def test_factors_of_plants_are_those_of_the_review() -> None:
    gallons = {"coal": 687, "gas": 205, "nuclear": 672, "biomass": 553, "hydro": 4491, "solar": 1, "wind": 0}
    for name, per_mwh in gallons.items():
        assert plant_water().consumption[name].value == pytest.approx(per_mwh * 3.785411784 / 1000, rel=6e-3)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"gas": 0.5}, "found shares that sum to 0.5"),
        ({"gas": 1.5, "wind": -0.5}, "none below 0"),
        ({"gass": 1.0}, "did you mean 'gas'"),
        ({}, "sum to 0"),
    ],
)
def test_a_mix_that_is_none(shares: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        mix_l_per_kwh(shares)
