"""Tariffs from files: every kind of part, what is wrong with them, and the two shipped ones against their source."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from simtool.account.bill import bill
from simtool.account.charge_table import read_charge_table
from simtool.account.metered import PowerSteps
from simtool.account.tariff_file import read_tariff
from simtool.account.tariffs.demand import Demand, Ratchet
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.signals import Signal

DAY_S = 86400.0
LIBRARY = default_library()
SOURCED = "kind: published, source: rate sheet"
USD_KWH = f"{{value: 1 USD/kWh, {SOURCED}}}"
USD_KW = f"{{value: 1 USD/kW, {SOURCED}}}"
HEAD = "schema: simtool/tariff/1\nname: mine\ntitle: Mine\n"
EVERY_KIND = f"""{HEAD}
timezone: America/Chicago
holidays: {{rules: [07-04], count_as: saturday}}
part_month: full
minimum: {{value: 100 USD, {SOURCED}}}
contract_power: {{value: 5 MW, {SOURCED}}}
contains_carbon_price: false
parts:
  - {{kind: flat, price: {{value: 12 USD/MWh, {SOURCED}}}, charged_on: all, name: delivery}}
  - {{kind: real_time, series: prices.csv, adder: {{value: 1 USD/MWh, {SOURCED}}}}}
  - kind: tiered
    name: blocks
    tiers:
      - {{up_to: {{value: 1 MWh, {SOURCED}}}, price: {{value: 0.2 USD/kWh, {SOURCED}}}}}
      - {{price: {{value: 0.1 USD/kWh, {SOURCED}}}}}
  - kind: time_of_use
    periods:
      - {{name: always, price: {{value: 0.05 USD/kWh, {SOURCED}}}}}
  - kind: demand
    when: [{{months: june-august, days: weekdays, hours: "08:00-20:00"}}, {{days: weekends}}]
    price: {{value: 10 USD/kW, {SOURCED}}}
    interval: 30 min
    ratchet: {{share: {{value: 0.8, {SOURCED}}}, num_months: 6, months: june-august}}
    contract_minimum: {{value: 0.5, {SOURCED}}}
  - {{kind: fixed, amount: {{value: 7 USD, {SOURCED}}}}}
  - kind: power_purchase
    profile: wind
    price: {{value: 0.03 USD/kWh, {SOURCED}}}
    intensity: {{value: 11 gCO2e/kWh, {SOURCED}}}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


def test_every_kind_of_part_is_read(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(
        "time_utc,price_usd_per_mwh\n2025-07-04T00:00Z,40\n2025-07-05T00:00Z,20\n", "utf-8"
    )
    wind = Signal.constant(1e3, "W")
    tariff = read_tariff(written(tmp_path, EVERY_KIND), LIBRARY, profiles={"wind": wind})
    assert (tariff.name, tariff.timezone, tariff.part_month) == ("mine", "America/Chicago", "full")
    assert (tariff.minimum_usd_per_month, tariff.contract_power_w) == (100.0, 5e6)
    assert not tariff.contains_carbon_price
    assert (tariff.holidays.rules, tariff.holidays.count_as) == (("07-04",), 5)
    demand = next(part for part in tariff.parts if isinstance(part, Demand))
    assert demand.ratchet == Ratchet(share=0.8, num_months=6, months=(6, 7, 8))
    assert (demand.interval_s, demand.contract_minimum_frac, len(demand.windows)) == (1800.0, 0.5, 2)
    load = PowerSteps(breakpoints_s=np.array([0.0, 36_000.0]), power_w=np.array([2e6]))  # 10 h at 2 MW
    found = bill(load, tariff, datetime(2025, 7, 4, 10, tzinfo=ZoneInfo("UTC")))
    shortfall = 20_000 - 10
    assert found.by_name() == pytest.approx(
        {
            "delivery": 20_000 * 0.012,
            "energy, real time": shortfall * 0.041,
            "blocks, block 1, to 1,000 kWh": 200.0,
            "blocks, block 2, above 1,000 kWh": (shortfall - 1000) * 0.1,
            "energy, always": shortfall * 0.05,
            "demand": 2_500 * 10.0,  # half of the contract; a holiday counts as a Saturday
            "customer charge": 7.0,
            "power purchase": 10 * 0.03,
        }
    )
    purchase = next(part for part in tariff.parts if isinstance(part, PowerPurchase))
    assert purchase.intensity is not None
    assert purchase.intensity.value == pytest.approx(0.011)
    with pytest.raises(InputError, match="found the profile 'wind', which nobody supplies"):
        read_tariff(tmp_path / "mine.yaml", LIBRARY)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            "{kind: flat, price: 0.05 USD/kWh}",
            r"mine\.yaml:5:\d+: parts\[0\]\.price: found '0.05 USD/kWh' without a source",
        ),
        (f"{{kind: flatt, price: {USD_KWH}}}", "did you mean 'flat'"),
        (f"{{kind: demand, price: {USD_KWH}}}", r"which is not in USD/kW"),
        (
            f"{{kind: demand, interval: 60 min, when: [{{hours: '08:30-12:00'}}], price: {USD_KW}}}",
            "turns at 08:30 and intervals of 60 min",
        ),
        (
            f"{{kind: demand, when: [{{months: smarch}}], price: {USD_KW}}}",
            "'smarch' is no month",
        ),
        (
            f"{{kind: demand, when: [{{hours: 8-12}}], price: {USD_KW}}}",
            "'8-12' is no span of the clock",
        ),
        (
            f"{{kind: time_of_use, periods: [{{name: day, hours: '06:00-22:00', price: {USD_KWH}}}]}}",
            "Mondays in January from 00:00 to 06:00: found no price",
        ),
        (
            f"{{kind: tiered, tiers: [{{up_to: {{value: 1 kWh, {SOURCED}}}, price: {USD_KWH}}}]}}",
            "a last block without an end",
        ),
        (f"{{kind: power_purchase, price: {USD_KWH}}}", "neither of share and profile"),
        (
            "{kind: fixed, amount: {value: 1 USD, kind: assumed, source: a guess}}",
            "assumed without a spread",
        ),
    ],
)
def test_what_is_wrong_with_a_part_is_told_at_its_place(tmp_path: Path, part: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_tariff(written(tmp_path, f"{HEAD}parts:\n  - {part}\n"), LIBRARY)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("timezone: America/Chicgo", "did you mean 'America/Chicago'"),
        ("holidays: {rules: [christmas]}", "'christmas' is no holiday"),
        ("parts: []", "parts"),
    ],
)
def test_what_is_wrong_with_the_whole_is_told(tmp_path: Path, line: str, message: str) -> None:
    parts = (
        "" if line.startswith("parts") else f"parts: [{{kind: fixed, amount: {{value: 1 USD, {SOURCED}}}}}]\n"
    )
    with pytest.raises(InputError, match=message):
        read_tariff(written(tmp_path, f"{HEAD}{line}\n{parts}"), LIBRARY)


def test_an_unknown_name_is_told() -> None:
    with pytest.raises(InputError, match="did you mean 'pge-industrial-tou'"):
        read_tariff("pge-industrial", LIBRARY)


@pytest.mark.parametrize(
    ("name", "file", "zone"),
    [
        ("pge-industrial-tou", "tariff_pge_industrial_tou.csv", "America/Los_Angeles"),
        ("pnm-large-power-tou", "tariff_pnm_large_power_tou.csv", "America/Denver"),
    ],
)
def test_a_shipped_tariff_bills_what_its_table_says(
    name: str, file: str, zone: str, reference_data: Path
) -> None:
    path = reference_data / "data" / "facility" / "we3lab_tariffs" / file
    table = read_charge_table(path, timezone=zone)
    shipped = read_tariff(name, LIBRARY)
    rng = np.random.Generator(np.random.PCG64(5))
    times = np.sort(rng.uniform(0.0, 365 * DAY_S, 4000))
    load = PowerSteps(breakpoints_s=times, power_w=rng.uniform(1e6, 9e6, times.size - 1))
    start = datetime(2025, 1, 1, tzinfo=ZoneInfo(zone))
    ours, theirs = bill(load, shipped, start), bill(load, table.tariff, start)
    for kind, usd in ours.by_kind().items():
        # The winter's demand charge, which the table writes once for each end of the year, is one part of ours.
        assert usd == pytest.approx(theirs.by_kind()[kind], rel=1e-12)
    if name == "pge-industrial-tou":
        assert len(table.notes) == 3
        assert table.notes[0].startswith("left out, line 25: electric export")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("electric,energy,,0,,1,12,0,24,0,6,0.05,$/therm", r"table\.csv:2: units: found '\$/therm'"),
        ("electric,energy,,500,,1,12,0,24,0,6,0.05,$/kWh", "basic_charge_limit: found 500"),
        ("electric,demand,,0,daily,1,12,0,24,0,6,5,$/kW", "assessed: found 'daily'"),
        ("electric,energy,,0,,1,13,0,24,0,6,0.05,$/kWh", "month_end: found 1 to 13"),
        ("electric,energy,,0,,1,12,8,6,0,6,0.05,$/kWh", "hour_end: found 8 to 6"),
        ("electric,energy,,0,,1,12,0,24,0,6,x,$/kWh", "charge: found 'x'"),
        ("electric,tax,,0,,1,12,0,24,0,6,1,$/kWh", "type: found 'tax'"),
        (
            "electric,energy,,0,,1,12,0,24,0,4,0.05,$/kWh",
            "Saturdays in January from 00:00 to 24:00: found no price",
        ),
        ("electric,energy,0", "found 3 values"),
    ],
)
def test_bad_rows_of_a_table_are_named(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "table.csv"
    header = (
        "utility,type,name,basic_charge_limit,assessed,month_start,month_end,hour_start,hour_end,"
        "weekday_start,weekday_end,charge,units"
    )
    path.write_text(f"{header}\n{row}\n", "utf-8")
    with pytest.raises(InputError, match=message):
        read_charge_table(path, timezone="UTC")


def test_a_table_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_charge_table(tmp_path / "absent.csv", timezone="UTC")
    (tmp_path / "other.csv").write_text("type,charge\nenergy,1\n", "utf-8")
    with pytest.raises(InputError, match="add month_start"):
        read_charge_table(tmp_path / "other.csv", timezone="UTC")
