"""Projections: the closed form where there is one, and the money they are in."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from simtool.account.carbon import CarbonLine, carbon_embodied, carbon_operational
from simtool.account.costs import CostLine, electricity_cost, rent_cost, total_cost
from simtool.account.defaults import default_trends, economics
from simtool.account.money import price_level, real_rate
from simtool.account.own import Hardware, own_cost
from simtool.account.projection import Rates, project_start_year, project_tokens
from simtool.config.scenario import Money
from simtool.errors import InputError
from simtool.ledger import Ledger
from simtool.signals import Basis, Signal
from simtool.units import SECONDS_PER_YEAR
from tests.account.builders import HOUR_S, MONEY, accelerator, node, number, own, pattern

YEARS = [2023.0, 2025.0, 2027.0, 2030.0]


def ledger() -> Ledger:
    record = Ledger()
    record.append(0.0, 10 * HOUR_S, "job", pattern("work", ("compute", 1.0, (600.0, 90.0, 10.0))), 100)
    return record


def rent(money: Money = MONEY) -> tuple[CostLine, ...]:
    return rent_cost(ledger(), number(2.0, "USD/h"), money)


def test_one_trend_is_lognormal_in_closed_form() -> None:
    trend = number(-0.2, spread=0.1)
    band = project_start_year(rent(), {"rental_price": trend}, YEARS, base_year=2025)
    spans = np.array(YEARS) - 2025
    sigma = np.abs(spans) * 0.1 / 0.8
    quantile = NormalDist().inv_cdf(0.9)
    assert band.median == pytest.approx(2000.0 * 0.8**spans, rel=1e-6)
    assert band.p90 == pytest.approx(2000.0 * 0.8**spans * np.exp(quantile * sigma), rel=1e-3)
    assert band.p10 == pytest.approx(2000.0 * 0.8**spans * np.exp(-quantile * sigma), rel=1e-3)
    assert band.p10[1] == band.median[1] == band.p90[1] == pytest.approx(2000.0)


def test_without_trends_nothing_moves_and_without_spread_nothing_is_uncertain() -> None:
    band = project_start_year(rent(), {}, YEARS, base_year=2025)
    assert band.median.tolist() == pytest.approx([2000.0] * 4)
    sure = project_start_year(rent(), {"rental_price": number(-0.5)}, YEARS, base_year=2025)
    assert sure.median.tolist() == pytest.approx([8000.0, 2000.0, 500.0, 62.5])
    assert sure.p10.tolist() == pytest.approx(sure.p90.tolist())


def test_every_line_follows_its_own_trends() -> None:
    price = Signal.constant(0.1, "USD/kWh")
    lines = [
        *electricity_cost(ledger(), price, number(1.2), MONEY),
        *own_cost(ledger(), own(), Hardware(accelerator=accelerator(), node=node())),
    ]
    dearer = project_start_year(lines, {"electricity_price": number(1.0)}, [2026.0], base_year=2025)
    assert dearer.median[0] == pytest.approx(total_cost(lines).value + lines[0].amount_usd)
    unmoved = project_start_year(lines, {"rental_price": number(-0.5)}, [2026.0], base_year=2025)
    assert unmoved.median[0] == pytest.approx(total_cost(lines).value)
    halved = project_start_year(lines, {"hardware_efficiency": number(-0.5)}, [2026.0], base_year=2025)
    assert halved.median[0] == pytest.approx(total_cost(lines).value / 2)


def test_carbon_follows_the_grid_and_not_the_factory() -> None:
    intensity = Signal.constant(0.4, "kgCO2e/kWh", basis=Basis.AVERAGE)
    grid = carbon_operational(ledger(), intensity, number(1.2))
    hardware = Hardware(accelerator=accelerator(), node=node())
    made = carbon_embodied(ledger(), hardware, number(5 * SECONDS_PER_YEAR, "s"), number(0.9))
    lines: list[CarbonLine] = [grid, *made]
    band = project_start_year(lines, {"carbon_intensity": number(-0.5)}, [2026.0], base_year=2025)
    assert band.median[0] == pytest.approx(
        grid.amount_kgco2e / 2 + math.fsum(line.amount_kgco2e for line in made)
    )
    assert band.unit == "kgCO2e"


def test_real_and_nominal_money_differ_by_inflation() -> None:
    trend = {"rental_price": number(-0.2)}
    inflation = number(0.03)
    real = rent(Money(year=2025, kind="real"))
    with pytest.raises(InputError, match="inflation_per_year"):
        project_start_year(real, trend, YEARS, base_year=2025)
    band = project_start_year(real, trend, YEARS, base_year=2025, inflation_per_year=inflation)
    spans = np.array(YEARS) - 2025
    assert band.median == pytest.approx(2000 * (1 + real_rate(-0.2, 0.03)) ** spans)
    nominal = project_start_year(rent(), trend, YEARS, base_year=2025)
    assert band.median * price_level(0.03, 2025, np.array(YEARS)) == pytest.approx(nominal.median)
    back = project_start_year(
        rent(), trend, YEARS, base_year=2025, trend_money="real", inflation_per_year=inflation
    )
    assert back.median == pytest.approx(2000 * (0.8 * 1.03) ** spans)


def test_a_projection_is_the_same_every_time_and_refuses_the_unknown() -> None:
    trends = default_trends()
    first = project_start_year(rent(), trends, YEARS, base_year=2025)
    again = project_start_year(rent(), trends, YEARS, base_year=2025)
    assert first.p90.tolist() == again.p90.tolist()
    with pytest.raises(InputError, match="did you mean 'rental_price'"):
        project_start_year(rent(), {"rental_prices": number(0.1)}, YEARS, base_year=2025)
    with pytest.raises(InputError, match="above -1"):
        project_start_year(rent(), {"rental_price": number(-1.5)}, YEARS, base_year=2025)


def test_two_independent_trends_widen_the_band_less_than_in_step() -> None:
    price = Signal.constant(0.1, "USD/kWh")
    lines = electricity_cost(ledger(), price, number(1.0), MONEY)
    one = project_start_year(lines, {"electricity_price": number(0.0, spread=0.1)}, [2030.0], base_year=2025)
    both = {name: number(0.0, spread=0.1) for name in ("electricity_price", "hardware_efficiency")}
    two = project_start_year(lines, both, [2030.0], base_year=2025)
    ratio = math.log(two.p90[0] / two.median[0]) / math.log(one.p90[0] / one.median[0])
    assert ratio == pytest.approx(math.sqrt(2), rel=0.05)


def test_tokens_go_in_proportion() -> None:
    band = project_tokens(100.0, 1e12, [0.5e12, 2e12], interval=(90.0, 120.0))
    assert band.median.tolist() == [50.0, 200.0]
    assert band.p10.tolist() == [45.0, 180.0]
    assert band.p90.tolist() == [60.0, 240.0]


def test_rates_price_the_run_they_come_from_and_broadcast_over_others() -> None:
    lines = [
        *own_cost(ledger(), own(), Hardware(accelerator=accelerator(), node=node())),
        *electricity_cost(ledger(), Signal.constant(0.1, "USD/kWh"), number(1.2), MONEY),
    ]
    hours, energy_j = 1000.0, ledger().energy_j()
    rates = Rates.of(lines, hours, energy_j)
    assert float(rates.cost_usd(hours, energy_j)) == pytest.approx(total_cost(lines).value)
    assert rates.usd_per_kwh_it == pytest.approx(0.12)
    assert rates.cost_usd(np.array([[1.0], [2.0]]), np.zeros(3)).shape == (2, 3)


def test_default_trends_do_not_count_progress_twice() -> None:
    assert set(default_trends("same")) == {"rental_price", "electricity_price", "carbon_intensity"}
    assert set(default_trends("newest")) == {"hardware_efficiency", "electricity_price", "carbon_intensity"}
    assert all(trend.spread is not None and trend.source for trend in default_trends().values())
    assert economics().inflation_per_year.spread is not None


@pytest.mark.parametrize("year", [1, 1824, 2226, 9999])
def test_trends_are_not_carried_through_centuries(year: int) -> None:
    with pytest.raises(InputError, match=f"carried to {year}; allowed: 200 years"):
        project_start_year([], {}, [2025, year], base_year=2025.0)
