"""What the check of a datacenter finds is what a run would refuse, at its field and before anything is simulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.config.datacenter_site import SiteTerms
from simtool.config.load_datacenter import load_datacenter
from simtool.errors import SimtoolError
from simtool.result.datacenter import run as runs
from simtool.result.datacenter.check import check_site
from simtool.result.datacenter.prepare import jobs_of, prepare_site
from tests.result.datacenter.sites import LIBRARY, ONE_SITE, TWO_SITES, written

HEAD = "time_utc,price_usd_per_kwh\n"
SHORT = HEAD + "".join(f"2022-01-01T{hour:02}:00Z,0.1\n" for hour in range(24))
LATE = HEAD + "".join(f"2022-01-0{day}T{hour:02}:00Z,0.1\n" for day in (2, 3, 4) for hour in range(24))
SERIES = "electricity={price: {series: price.csv}}"
BATTERY = "supply={battery: {energy: 1 MWh, policy: price, low: 0.3 USD/kWh, high: 0.1 USD/kWh}}"
DRY = "facility={profile: liquid-dry-cooler, weather: {place: san-jose}, it_capacity: 1 kW}"
CURTAILED = "power={curtailments: [{begin: 2022-01-01T06:00Z, length: 1 h, power: 1 kW}]}"
MINIMUM = """
schema: simtool/tariff/1
name: minimum
title: A contract with a minimum
timezone: America/Chicago
parts:
  - kind: demand
    price: {value: 14.2 USD/kW, kind: published, source: "a sheet"}
    contract_minimum: {value: 0.6, kind: published, source: "a sheet"}
"""
REFUSED = [
    (SERIES, SHORT, 2, "electricity.price: price.csv: the run takes 2022-01-01T00:00Z to 2022-01-03T00:00Z"),
    (SERIES, LATE, 2, "electricity.price: price.csv: the run takes 2022-01-01T00:00Z to 2022-01-03T00:00Z"),
    (BATTERY, "", 2, "supply.battery.high: found a high of 0.1 USD/kWh for a low of 0.3 USD/kWh"),
    ("power={limit: 1 kW}", "", 3, "power.limit: 1 kW from 0 s on is less than"),
    (CURTAILED, "", 3, "power.curtailments[0].power: 1 kW from 6 h on is less than"),
    ("power={changes: [{begin: 2022-01-02T00:00Z, power: 2 kW}]}", "", 3, "power.changes[0].power: 2 kW"),
    ("scheduler={name: carbon-aware}", "", 2, "carbon: found no intensity of the grid"),
    ("scheduler={name: cleanest-site}", "", 2, "carbon: found no intensity of the grid"),
    ("start=9999-12-31T00:00Z", "", 2, "start: found a time that leaves the calendar"),
    (DRY, "", 2, "facility.it_capacity: "),
    ("electricity={tariff: minimum.yaml}", "", 2, "electricity.contract_power: found none, of which minimum"),
    (
        "electricity={tariff: pge-industrial-tou, contract_power: 1 MW}",
        "",
        2,
        "electricity.contract_power: found it beside pge-industrial-tou, which charges no share of it",
    ),
    ("supply={solar: {rated: 1 kW}}", "", 2, "supply.solar: found a plant at a site without weather"),
    (
        "supply={battery: {energy: 1 kWh, policy: carbon, low: 0.1 kgCO2e/kWh, high: 0.2 kgCO2e/kWh}}",
        "",
        2,
        "carbon",
    ),
]


@pytest.mark.parametrize(
    ("change", "price", "code", "said"), REFUSED, ids=[said[:30] for *_, said in REFUSED]
)
def test_the_check_refuses_what_a_run_does(
    change: str, price: str, code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "simulate_site", None)  # nothing gets as far as that
    (tmp_path / "price.csv").write_text(price, "utf-8")
    (tmp_path / "minimum.yaml").write_text(MINIMUM, "utf-8")
    path = written(tmp_path, ONE_SITE.replace("carbon: {average: 0.3 kgCO2e/kWh}\n", ""))

    def checked() -> None:
        site = prepare_site(load_datacenter(path, [change]), LIBRARY)
        check_site(site, jobs_of(site))

    def run() -> None:
        runs.run_datacenter(load_datacenter(path, [change]), LIBRARY)

    for verb in (checked, run):
        with pytest.raises(SimtoolError) as caught:
            verb()
        assert caught.value.exit_code == code
        assert said in str(caught.value)


def test_a_series_may_end_with_the_run_and_a_limit_may_lie_behind_it(tmp_path: Path) -> None:
    (tmp_path / "price.csv").write_text(SHORT, "utf-8")
    path = written(tmp_path, ONE_SITE, "name,submit_s,num_devices,run_s\na,0,8,60\n")
    late = "power={changes: [{begin: 2022-01-02T00:00Z, power: 1 kW}]}"
    site = prepare_site(load_datacenter(path, [SERIES, "duration=24 h", late]), LIBRARY)
    check_site(site, jobs_of(site))


BESIDE_SITES = {
    "time_zone": "Europe/Berlin",
    "facility": "{pue: 1.2}",
    "electricity": "{price: 0.08 USD/kWh}",
    "carbon": "{average: 0.3 kgCO2e/kWh}",
    "water": "{grid: 2 l/kWh}",
    "supply": "{solar: {rated: 20 kW}}",
    "store_bandwidth": "1 GB/s",
}


def test_a_run_that_nothing_ends_is_refused(tmp_path: Path) -> None:
    text = ONE_SITE.replace("duration: 2 days\n", "")
    path = written(tmp_path, text, "name,submit_s,num_devices,run_s\na,0,8,60\nb,0,8,1e12\n")

    def checked(*changes: str) -> None:
        site = prepare_site(load_datacenter(path, changes), LIBRARY)
        check_site(site, jobs_of(site))

    with pytest.raises(SimtoolError, match=r"duration: found none, and job 'b' goes on for 3\.1.* years"):
        checked()
    checked("duration=30 d")


def test_what_holds_at_a_site_is_refused_beside_several(tmp_path: Path) -> None:
    assert set(BESIDE_SITES) == set(SiteTerms.model_fields)
    path = written(tmp_path, TWO_SITES)
    for member, value in BESIDE_SITES.items():
        with pytest.raises(SimtoolError, match=f"{member}: .*beside 'sites'"):
            load_datacenter(path, [f"{member}={value}"])
