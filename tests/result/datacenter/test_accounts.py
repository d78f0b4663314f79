"""A site's accounts: all sums up, nothing depends on a sampling interval, one run is what a scenario says."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from simtool.config.load import load_scenario
from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InfeasibleError, InputError
from simtool.profiles.find import default_library, find_scenario
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.run import run_datacenter
from simtool.result.run import run
from simtool.units import JOULES_PER_KWH

LIBRARY = default_library()
FILE = """
schema: simtool/datacenter/1
name: small
start: 2022-01-01T08:00Z
duration: 3 days
time_zone: America/Los_Angeles
pools:
  - {name: main, accelerator: h100-sxm, num_nodes: 16, spare_nodes: 1}
jobs:
  generator: {profile: philly-2017, num_jobs: 400}
  work: {activity: 0.4, limit: 2}
reliability: {preset: rsc-1}
facility: {profile: tower-economiser, weather: {place: san-jose}}
electricity: {tariff: pge-industrial-tou}
carbon: {average: {series: carbon-caiso}, marginal: 450 gCO2e/kWh}
water: {grid: 1.8 l/kWh}
"""


def solved(folder: Path, *changes: str, text: str = FILE, seeds: int = 1) -> DatacenterResult:
    path = folder / "site.yaml"
    path.write_text(text, "utf-8")
    return run_datacenter(load_datacenter(path, changes), LIBRARY, seeds=seeds)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> DatacenterResult:
    return solved(tmp_path_factory.mktemp("small"))


def test_jobs_idle_and_overhead_are_what_the_meter_reads(small: DatacenterResult) -> None:
    ledger = small.outcome.ledgers["main"]
    by_job = ledger.group("energy_j", ("job",))
    it = small.value("energy_it_j")
    assert math.fsum(by_job.values()) == pytest.approx(it, rel=1e-9)
    assert by_job[("",)] == pytest.approx(small.value("energy_unheld_j"), rel=1e-12)
    parts = it + small.value("energy_chain_loss_j") + small.value("energy_cooling_j")
    parts += small.series.integral("other_w")
    assert parts == pytest.approx(small.value("energy_facility_j"), rel=1e-9)
    metered = float(small.bill.energy_j.sum())
    assert metered == pytest.approx(small.value("energy_facility_j"), rel=1e-9)


def test_lines_of_the_bill_are_the_bill(small: DatacenterResult) -> None:
    assert math.fsum(line.amount_usd for line in small.bill.lines) == pytest.approx(
        small.bill.total_usd, rel=1e-12
    )
    assert small.value("cost_total_usd") == pytest.approx(small.bill.total_usd, rel=1e-9)
    for line in small.costs:
        assert math.fsum(portion.amount for portion in line.portions) == pytest.approx(
            line.amount_usd, rel=1e-9
        )


def test_states_are_wall_time_times_devices(small: DatacenterResult) -> None:
    shares = [value.value for name, value in small.quantities.items() if name.startswith("share_")]
    assert math.fsum(shares) == pytest.approx(1.0, rel=1e-9)
    assert sum(
        small.value(f"num_jobs_{word}")
        for word in ("completed", "failed", "cancelled", "over_limit", "unfinished", "never_started")
    ) == small.value("num_jobs")


def test_carbon_accounts_are_apart(small: DatacenterResult) -> None:
    energy_kwh = small.value("energy_facility_j") / JOULES_PER_KWH
    assert small.value("carbon_electricity_marginal_kgco2e") == pytest.approx(0.45 * energy_kwh, rel=1e-9)
    assert small.value("carbon_marginal_kgco2e") == small.value("carbon_electricity_marginal_kgco2e")
    making = small.value("carbon_average_kgco2e") - small.value("carbon_electricity_average_kgco2e")
    assert making > 0.0
    assert "carbon_total_kgco2e" not in small.quantities


def test_water_follows_heat_and_energy(small: DatacenterResult) -> None:
    assert small.value("water_site_kg") == pytest.approx(
        small.value("wue_kg_per_kwh") * small.value("energy_it_j") / JOULES_PER_KWH, rel=1e-12
    )
    grid = 1.8 * small.value("energy_facility_j") / JOULES_PER_KWH
    assert small.value("water_grid_kg") == pytest.approx(grid, rel=1e-9)


def test_nothing_depends_on_how_finely_a_signal_is_given(tmp_path: Path, small: DatacenterResult) -> None:
    """Four equal quarters of an hour in place of an hour change no figure."""
    carbon = small.sites[0].signals.carbon["average"]
    times = [f"2022-01-01T{h:02}:{m:02}:00Z" for h in range(24) for m in (0, 15, 30, 45)]
    rows = []
    for day in range(1, 6):
        for time in times:
            stamp = time.replace("2022-01-01", f"2022-01-{day:02}")
            seconds = (np.datetime64(stamp[:-1]) - np.datetime64("2022-01-01T08:00:00")).astype(int)
            value = float(carbon.at(max(float(seconds), 0.0))) if seconds < 4 * 86400 else 0.3
            rows.append(f"{stamp},{value!r}")
    path = tmp_path / "fine.csv"
    path.write_text("time_utc,carbon_kgco2e_per_kwh\n" + "\n".join(rows) + "\n", "utf-8")
    finer = solved(tmp_path, f"carbon.average={{series: {path}}}")
    for name, number in small.quantities.items():
        if math.isfinite(number.value):
            assert finer.value(name) == pytest.approx(number.value, rel=1e-9), name


def test_the_same_file_gives_the_same_numbers_and_seeds_differ(
    tmp_path: Path, small: DatacenterResult
) -> None:
    again = solved(tmp_path)
    assert {name: number.value for name, number in again.quantities.items()} == {
        name: number.value for name, number in small.quantities.items()
    }
    several = solved(tmp_path, seeds=3)
    assert several.value("energy_it_j") == small.value("energy_it_j")
    low, middle, high = several.intervals["energy_it_j"]
    assert low < middle < high


def test_a_power_limit_is_kept_and_costs_time(tmp_path: Path, small: DatacenterResult) -> None:
    limit_w = 0.8 * small.value("power_it_peak_w")
    limited = solved(tmp_path, f"power.limit={limit_w} W")
    assert limited.value("power_it_peak_w") <= limit_w * (1 + 1e-12)
    assert limited.value("accelerator_hours_useful") <= small.value("accelerator_hours_useful") * 1.02


def test_a_limit_below_idle_power_is_infeasible_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="power limit"):
        solved(tmp_path, "power.limit=10 kW")


def test_a_campaign_of_one_run_is_what_its_scenario_says(tmp_path: Path) -> None:
    scenario = load_scenario(
        find_scenario("quickstart"), ["method=none", "reliability=none", "site.cooling.pue=1.2"]
    )
    alone = run(scenario, LIBRARY)
    cluster = scenario.scenario.cluster
    text = f"""
schema: simtool/datacenter/1
name: alone
start: 2022-01-01T00:00Z
pools:
  - name: main
    accelerator: {cluster.accelerator}
    num_nodes: {cluster.num_nodes}
    spare_nodes: {cluster.spare_nodes}
jobs: {{campaign: [{{name: only, scenario: quickstart, method: false}}]}}
facility: {{pue: 1.2}}
electricity: {{price: 0.1 USD/kWh}}
"""
    site = solved(tmp_path, text=text)
    assert site.value("duration_s") == pytest.approx(alone.value("duration_s"), rel=1e-9)
    assert site.value("energy_it_j") == pytest.approx(alone.value("energy_it_j"), rel=1e-9)
    assert site.value("energy_facility_j") == pytest.approx(alone.value("energy_facility_j"), rel=1e-9)
    price = 0.1 * site.value("energy_facility_j") / JOULES_PER_KWH
    assert site.value("cost_total_usd") == pytest.approx(price, rel=1e-9)
    ledger = site.outcome.ledgers["main"]
    for state, energy in alone.outcome.ledger.energy_j_by("state").items():
        assert ledger.energy_j(state=state) == pytest.approx(energy, rel=1e-9)


def test_two_sites_are_the_sum_of_both(tmp_path: Path) -> None:
    text = FILE.replace("time_zone: America/Los_Angeles\n", "")
    start = text.index("facility:")
    own = "".join(f"    {line}\n" for line in text[start:].splitlines())
    text = text[:start] + f"sites:\n  east:\n{own}  west:\n{own}"
    pool = "{name: main, accelerator: h100-sxm, num_nodes: 16, spare_nodes: 1}"
    pools = ", ".join(
        pool.replace("main", name).replace("}", f", site: {name}}}") for name in ("east", "west")
    )
    text = text.replace(f"\n  - {pool}", f" [{pools}]").replace(
        "tariff: pge-industrial-tou", "price: 0.1 USD/kWh"
    )
    both = solved(tmp_path, text=text)
    assert both.value("energy_it_j") == pytest.approx(
        both.value("energy_it_east_j") + both.value("energy_it_west_j"), rel=1e-9
    )
    assert both.value("cost_total_usd") == pytest.approx(
        0.1 * both.value("energy_facility_j") / JOULES_PER_KWH, rel=1e-9
    )
    assert min(both.value("pue_east"), both.value("pue_west")) <= both.value("pue")
    assert both.value("pue") <= max(both.value("pue_east"), both.value("pue_west"))


def test_own_supply_is_balanced_and_only_the_grid_is_billed(tmp_path: Path) -> None:
    """A job on half of the site, then hours without any in which the battery charges, then a job on all of it."""
    rows = "name,submit_s,num_devices,run_s\nhalf,0,64,3600\nall,43200,128,3600\n"
    (tmp_path / "jobs.csv").write_text(rows, "utf-8")
    jobs = "jobs={trace: {file: jobs.csv}, work: {activity: 1}}"
    battery = "supply={battery: {energy: 200 kWh, policy: peak-shaving, threshold: 110 kW}}"
    alone, site = solved(tmp_path, jobs), solved(tmp_path, jobs, battery)
    balance = site.sites[0].balance
    assert balance is not None
    assert np.abs(balance.imbalance_w()).max() < 1e-6
    assert balance.import_w.max() <= 110e3 < balance.load_w.max()
    assert float(site.bill.energy_j.sum()) == pytest.approx(site.value("energy_import_j"), rel=1e-9)
    assert site.value("energy_facility_j") == pytest.approx(alone.value("energy_facility_j"), rel=1e-9)
    assert site.value("bill_demand_usd") < alone.value("bill_demand_usd")


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ("scheduler.name=eazy", "scheduler.name", "easy"),
        ("facility.profile=tower", "facility.profile", "tower-economiser"),
        ("facility.weather.place=leesberg", "facility.weather.place", "leesburg"),
        ("electricity.tariff=pge", "electricity.tariff", "pge-industrial-tou"),
        ("reliability.preset=rsc1", "reliability.preset", "rsc-1"),
        ("jobs.generator.profile=philly", "jobs.generator.profile", "philly-2017"),
        ("time_zone=America/Los_Angles", "time_zone", "Los_Angeles"),
        ("jobs.generator.pool=other", "jobs", "main"),
        ("electricity.price=0.1 USD/kWh", "electricity", "tariff"),
        ("facility.pue=1.2", "facility", "pue"),
    ],
)
def test_a_wrong_name_is_told_at_its_place_with_near_matches(
    tmp_path: Path, change: str, field: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        solved(tmp_path, change)
    problem = caught.value.problems[0]
    assert problem.field.startswith(field), problem
    assert problem.where, problem
    assert words in str(caught.value)
