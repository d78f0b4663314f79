"""Owning a site, and costs over what they were spent for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.account.annuity import annual_capital_usd, straight_line_annual_usd
from simtool.account.defaults import economics
from simtool.account.ownership import Capital, Ownership, own_bill
from simtool.account.unit_costs import usd_per_million_tokens, usd_per_run, usd_per_useful_device_hour
from simtool.errors import InputError
from simtool.units import SECONDS_PER_YEAR
from tests.account.builders import number

NODE = Ownership(
    hardware_usd=300_000.0,
    it_capacity_w=10_200.0,
    network_share=number(0.2),
    lifetime=number(5 * SECONDS_PER_YEAR, "s"),
    interest_per_year=number(0.09),
    residual_value=number(0.0),
    facility_price=number(11.0, "USD/W"),
    facility_lifetime=number(14 * SECONDS_PER_YEAR, "s"),
    maintenance_per_year=number(0.04),
    insurance_per_year=number(0.0),
    staff_per_megawatt=number(0.0),
    staff_cost_per_year=number(0.0, "USD"),
)


def test_a_node_costs_what_published_models_of_2025_say() -> None:
    # Per useful accelerator-hour at 90 %: IT 1.47, facility 0.23, maintenance 0.23 USD.
    found = own_bill(NODE, SECONDS_PER_YEAR)
    hourly = {line.name: line.usd_per_year / (8 * 8760 * 0.9) for line in found.lines}
    assert hourly["hardware"] == pytest.approx(1.47, abs=0.01)
    assert hourly["building"] == pytest.approx(0.23, abs=0.01)
    assert hourly["maintenance"] == pytest.approx(0.23, abs=0.01)
    assert found.notes == ()
    assert found.total_usd == pytest.approx(found.usd_per_year)


@given(st.floats(0.01, 0.2), st.integers(2, 20), st.floats(0.0, 0.9))
def test_straight_line_is_the_annuity_without_interest_and_below_it(
    rate: float, years: int, residual: float
) -> None:
    lifetime = years * SECONDS_PER_YEAR
    straight = float(straight_line_annual_usd(1e6, residual, lifetime))
    assert straight == pytest.approx(float(annual_capital_usd(1e6, residual, 0.0, lifetime)), rel=1e-9)
    assert straight < float(annual_capital_usd(1e6, residual, rate, lifetime))


def test_straight_line_leaves_out_a_fifth_at_nine_per_cent() -> None:
    ratio = straight_line_annual_usd(1.0, 0.0, 5 * SECONDS_PER_YEAR) / annual_capital_usd(
        1.0, 0.0, 0.09, 5 * SECONDS_PER_YEAR
    )
    assert 0.75 < float(ratio) < 0.80


@pytest.mark.parametrize("capital", ["annuity", "straight line"])
def test_what_is_not_given_is_the_shipped_number_and_said(capital: Capital) -> None:
    found = own_bill(
        Ownership(hardware_usd=1e9, it_capacity_w=100e6, capital=capital), 0.25 * SECONDS_PER_YEAR
    )
    known = economics()
    staff = next(line for line in found.lines if line.name == "staff")
    assert staff.usd_per_year == pytest.approx(
        100 * known.staff_per_megawatt.value * known.staff_cost_per_year.value
    )
    assert all(line.amount_usd == pytest.approx(line.usd_per_year / 4) for line in found.lines)
    assert len(found.notes) == (10 if capital == "annuity" else 9)
    assert any(
        note.startswith("own.staff_per_megawatt is not given: 0.6 (assumed: full-time staff")
        for note in found.notes
    )


def test_a_site_that_cannot_be() -> None:
    with pytest.raises(InputError, match=r"own\.hardware_usd: found -1"):
        Ownership(hardware_usd=-1.0, it_capacity_w=1.0)
    with pytest.raises(InputError, match=r"own\.lifetime: found 0 s"):
        Ownership(hardware_usd=1.0, it_capacity_w=1.0, lifetime=number(0.0, "s"))


def test_costs_over_what_they_were_spent_for() -> None:
    assert usd_per_million_tokens(np.array([3e6, 6e6]), 15e12).tolist() == pytest.approx([0.2, 0.4])
    assert usd_per_million_tokens(1.0, 0.0) == np.inf
    assert usd_per_run(900.0, 3) == 300.0
    assert usd_per_useful_device_hour(720.0, 100 * 3600.0, np.array([0.9, 0.0])).tolist() == [8.0, np.inf]
