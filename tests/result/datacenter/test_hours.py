"""Hours of a site: each has its own energy, at its own price and intensity; and what is contracted covers its part."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simtool.account.carbon_accounts import market_account
from simtool.account.metered import PowerSteps
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.result.datacenter.history import holdings
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.tables import hour_columns
from tests.result.datacenter.sites import ONE_SITE, solved

JOBS = "name,submit_s,num_devices,run_s\na,0,32,100000\nb,110000,8,5400\n"
TARIFF = """
schema: simtool/tariff/1
name: mixed
title: A wind farm beside the grid
timezone: America/Chicago
parts:
  - kind: tiered
    tiers:
      - up_to: {value: 200 kWh, kind: published, source: "a sheet"}
        price: {value: 0.1 USD/kWh, kind: published, source: "a sheet"}
      - {price: {value: 0.2 USD/kWh, kind: published, source: "a sheet"}}
  - kind: power_purchase
    name: wind farm
    share: {value: 0.25, kind: published, source: "agreement"}
    price: {value: 0.03 USD/kWh, kind: published, source: "agreement"}
    intensity: {value: 10 gCO2e/kWh, kind: published, source: "certificates"}
"""


def column(result: DatacenterResult, name: str) -> np.ndarray:
    return np.asarray(hour_columns(result, holdings(result.outcome))[name], np.float64)


def test_an_hour_emits_its_energy_times_its_intensity(tmp_path: Path) -> None:
    """Power is constant for a day, the intensity is not."""
    rows = [f"2022-01-0{1 + hour // 24}T{hour % 24:02}:00Z,{100 + hour}" for hour in range(48)]
    (tmp_path / "c.csv").write_text(
        "\n".join(["time_utc,carbon_average_gco2e_per_kwh", *rows]) + "\n", "utf-8"
    )
    text = ONE_SITE.replace("average: 0.3 kgCO2e/kWh", "average: {series: c.csv}")
    site = solved(tmp_path, text, jobs=JOBS)
    energy_kwh, carbon = column(site, "energy_grid_kwh"), column(site, "carbon_electricity_average_kgco2e")
    assert carbon == pytest.approx(energy_kwh * (0.1 + 0.001 * np.arange(48)), rel=1e-9)
    assert math.fsum(carbon) == pytest.approx(site.value("carbon_electricity_average_kgco2e"), rel=1e-9)


@pytest.mark.parametrize("changes", [(), ("start=2022-01-01T08:20Z", "time_zone=Asia/Kolkata")])
def test_an_hour_pays_its_own_energy(tmp_path: Path, changes: tuple[str, ...]) -> None:
    site = solved(tmp_path, ONE_SITE, *changes, jobs=JOBS)
    assert column(site, "energy_lines_usd") == pytest.approx(0.08 * column(site, "energy_grid_kwh"), rel=1e-9)
    assert column(site, "price_usd_per_kwh") == pytest.approx(np.full(48 + bool(changes), 0.08), rel=1e-9)


def test_hours_of_a_tariff_sum_to_the_lines_of_energy(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(TARIFF, "utf-8")
    site = solved(tmp_path, ONE_SITE.replace("price: 0.08 USD/kWh", "tariff: mixed.yaml"), jobs=JOBS)
    lines = math.fsum(line.amount_usd for line in site.bill.lines if line.kind == "energy")
    assert math.fsum(column(site, "energy_lines_usd")) == pytest.approx(lines, rel=1e-9)


def test_what_is_contracted_counts_in_the_market_based_account(tmp_path: Path) -> None:
    """A quarter at 10 g, the rest at the residual mix; the average account knows no contracts."""
    (tmp_path / "mixed.yaml").write_text(TARIFF, "utf-8")
    text = ONE_SITE.replace("price: 0.08 USD/kWh", "tariff: mixed.yaml")
    text = text.replace("average: 0.3 kgCO2e/kWh", "average: 0.3 kgCO2e/kWh, market: 0.5 kgCO2e/kWh")
    site = solved(tmp_path, text, jobs=JOBS)
    energy_kwh = column(site, "energy_grid_kwh")
    hourly = column(site, "carbon_electricity_market_based_kgco2e")
    assert hourly == pytest.approx(energy_kwh * (0.25 * 0.01 + 0.75 * 0.5), rel=1e-9)
    total = site.value("carbon_electricity_market_based_kgco2e")
    assert total == pytest.approx(math.fsum(hourly), rel=1e-9)
    assert site.value("carbon_electricity_average_kgco2e") == pytest.approx(0.3 * energy_kwh.sum(), rel=1e-9)
    one = site.sites[0]
    purchases = [part for part in one.signals.tariff.parts if isinstance(part, PowerPurchase)]
    load = PowerSteps(breakpoints_s=one.grid[0], power_w=one.grid[1])
    account = market_account(load, purchases, one.signals.carbon["market-based"])
    assert total == pytest.approx(account.total_kgco2e, rel=1e-9), "as the account of the whole load says"
    names = [leaf.name for leaf in site.quantities["carbon_electricity_market_based_kgco2e"].inputs]
    assert "contracted intensity of wind farm" in names


def test_contracts_that_no_account_asks_for_are_said(tmp_path: Path) -> None:
    (tmp_path / "mixed.yaml").write_text(TARIFF, "utf-8")
    text = ONE_SITE.replace("price: 0.08 USD/kWh", "tariff: mixed.yaml")
    notes = solved(tmp_path, text, jobs=JOBS).notes
    assert any("wind farm" in note and "carbon.market" in note for note in notes)


def test_a_price_of_carbon_is_paid_once(tmp_path: Path) -> None:
    """On electricity where the tariff says that it does not contain it; on fuel always."""
    tariff = TARIFF.replace("parts:", "contains_carbon_price: false\nparts:")
    priced = ONE_SITE.replace("average: 0.3 kgCO2e/kWh", "average: 0.3 kgCO2e/kWh, price: 50 USD/tCO2e")
    apart = priced.replace("price: 0.08 USD/kWh", "tariff: mixed.yaml")
    (tmp_path / "mixed.yaml").write_text(tariff, "utf-8")
    site = solved(tmp_path, apart, jobs=JOBS)
    expected = 0.05 * site.value("carbon_electricity_average_kgco2e")
    assert site.value("cost_carbon_price_electricity_usd") == pytest.approx(expected, rel=1e-9)
    assert math.fsum(line.amount_usd for line in site.costs) == pytest.approx(
        site.value("cost_total_usd"), rel=1e-9
    )
    inside = solved(tmp_path, priced, jobs=JOBS)
    assert "cost_carbon_price_electricity_usd" not in inside.quantities
    supply = "supply: {import_limit: 10 kW, backup: {rated: 100 kW}}\n"
    fuel = solved(tmp_path, priced + supply, jobs=JOBS)
    assert fuel.value("cost_carbon_price_fuel_usd") == pytest.approx(
        0.05 * fuel.value("carbon_fuel_kgco2e"), rel=1e-9
    )
