"""The arithmetic of capital against its definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.annuity import (
    annual_capital_usd,
    break_even_utilisation,
    capital_recovery_factor,
    usd_per_useful_hour,
)
from simtool.units import SECONDS_PER_YEAR

rates = st.floats(0.0, 0.5)
whole_years = st.integers(1, 40)


@given(rates, whole_years)
def test_the_payments_are_worth_the_price_today(rate: float, years: int) -> None:
    payment = float(capital_recovery_factor(rate, years * SECONDS_PER_YEAR))
    present = sum(payment / (1 + rate) ** year for year in range(1, years + 1))
    assert present == pytest.approx(1.0, rel=1e-12)


@given(rates, whole_years, st.floats(0.0, 1.0), st.floats(1.0, 1e9))
def test_payments_and_residual_value_together_are_worth_the_price(
    rate: float, years: int, residual: float, price: float
) -> None:
    payment = float(annual_capital_usd(price, residual, rate, years * SECONDS_PER_YEAR))
    present = sum(payment / (1 + rate) ** year for year in range(1, years + 1))
    assert present + price * residual / (1 + rate) ** years == pytest.approx(price, rel=1e-11)


def test_without_interest_it_is_straight_line_and_the_limit_is_smooth() -> None:
    lifetime = 4 * SECONDS_PER_YEAR
    assert capital_recovery_factor(0.0, lifetime) == 0.25
    tiny = capital_recovery_factor(np.array([1e-15, 1e-9, 1e-6]), lifetime)
    assert tiny == pytest.approx(0.25, rel=1e-5)
    assert np.all(np.diff(tiny) >= 0)


def test_everything_broadcasts() -> None:
    factor = capital_recovery_factor(np.array([[0.0], [0.1]]), np.array([3.0, 5.0, 7.0]) * SECONDS_PER_YEAR)
    assert factor.shape == (2, 3)
    assert annual_capital_usd(np.array([1.0, 2.0]), 0.1, 0.09, SECONDS_PER_YEAR).shape == (2,)
    assert usd_per_useful_hour(np.array([8760.0, 17520.0]), 0.5).tolist() == [2.0, 4.0]


def test_at_break_even_owning_costs_what_renting_costs() -> None:
    annual, energy, rent = 9000.0, 0.1, np.array([1.5, 2.0, 0.05])
    share = break_even_utilisation(annual, energy, rent)
    assert annual / (8760.0 * share[:2]) + energy == pytest.approx(rent[:2], rel=1e-12)
    assert np.isinf(share[2])  # the rent does not even pay the electricity


@pytest.mark.parametrize(
    ("years", "utilisation", "usd_per_kwh", "expected"),
    [(5, 0.90, 0.08, 2.0), (4, 0.70, 0.08, 2.95), (6, 0.95, 0.05, 1.70)],
)
def test_an_owned_h100_hour_costs_what_published_models_of_2025_say(
    years: int, utilisation: float, usd_per_kwh: float, expected: float
) -> None:
    # A node of 300 kUSD with 8 accelerators, +20 % network and storage; 11 USD/W over 14 years for the node's
    # rated 10.2 kW; 9 % interest; 4 % maintenance; 8.4 kW really drawn at PUE 1.2.
    per_accelerator = 300_000 * 1.2 / 8
    capital = annual_capital_usd(per_accelerator, 0.0, 0.09, years * SECONDS_PER_YEAR)
    building = annual_capital_usd(11 * 10_200 / 8, 0.0, 0.09, 14 * SECONDS_PER_YEAR)
    maintenance = 0.04 * per_accelerator
    hourly = usd_per_useful_hour(capital + building + maintenance, utilisation)
    energy = 8.4 / 8 * 1.2 * usd_per_kwh
    assert float(hourly + energy) == pytest.approx(expected, rel=0.02)
