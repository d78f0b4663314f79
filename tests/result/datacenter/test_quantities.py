"""What the quantities of a datacenter's run count, and what they do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.ledger import WORK_STATES
from simtool.result.datacenter.overview import by_size
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.swing import load_of
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, solved
from tests.result.datacenter.test_campaign_costs import CAMPAIGN


def test_work_of_jobs_that_end_badly_is_of_no_use(tmp_path: Path) -> None:
    """Of three equal jobs one completes, one fails, one is cancelled."""
    jobs = (
        "name,submit_s,num_devices,run_s,outcome\na,0,8,3600,completed\nb,0,8,3600,failed\n"
        "c,0,8,3600,cancelled\n"
    )
    site = solved(tmp_path, ONE_SITE, jobs=jobs)
    assert site.value("accelerator_hours") == pytest.approx(24.0, rel=1e-9)
    assert site.value("accelerator_hours_useful") == pytest.approx(8.0, rel=1e-9)
    assert site.value("accelerator_hours_ended_early") == pytest.approx(16.0, rel=1e-9)
    assert site.value("goodput_frac") == pytest.approx(1.0 / 3.0, rel=1e-9)
    per_hour = site.value("cost_total_usd") / 8.0
    assert site.value("cost_per_useful_accelerator_hour_usd") == pytest.approx(per_hour, rel=1e-9)


def test_work_of_a_job_that_still_runs_counts(tmp_path: Path) -> None:
    site = solved(tmp_path, ONE_SITE, jobs="name,submit_s,num_devices,run_s\na,0,8,1e6\n")
    assert site.value("num_jobs_unfinished") == 1.0
    assert site.value("accelerator_hours_useful") == pytest.approx(8 * 48.0, rel=1e-9)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> DatacenterResult:
    return solved(tmp_path_factory.mktemp("pair"), TWO_SITES)


def test_work_is_of_use_or_not(pair: DatacenterResult) -> None:
    worked_s = sum(ledger.device_s(state=WORK_STATES) for ledger in pair.outcome.ledgers.values())
    useful_h, other_h = pair.value("accelerator_hours_useful"), pair.value("accelerator_hours_ended_early")
    assert other_h > 0.0
    assert useful_h + other_h == pytest.approx(worked_s / SECONDS_PER_HOUR, rel=1e-9)


def test_what_is_taken_from_the_grid_is_that_of_all_sites(pair: DatacenterResult) -> None:
    """One of the two has a battery and panels, the other the grid alone."""
    metered = sum(float(view.bill.energy_j.sum()) for view in pair.sites)
    assert pair.value("energy_import_j") == pytest.approx(metered, rel=1e-9)


def test_a_battery_gives_nothing_that_it_did_not_take(pair: DatacenterResult) -> None:
    balance = pair.sites[0].balance
    assert balance is not None
    assert balance.battery is not None
    assert balance.battery.stored_j[0] == 0.0
    assert pair.value("energy_stored_end_j") == balance.battery.stored_j[-1]
    lost_j = float(balance.battery.conversion_loss_j.sum() + balance.battery.self_discharge_j.sum())
    given_j = pair.value("energy_discharge_j") + pair.value("energy_stored_end_j") + lost_j
    assert balance.integral("charge_w") == pytest.approx(given_j, rel=1e-9)


@pytest.mark.parametrize("policy", ["policy: reserve", "policy: peak-shaving, threshold: 1 kW"])
def test_no_policy_makes_a_site_cheaper_by_what_stood_in_its_store(tmp_path: Path, policy: str) -> None:
    """At one price at all times a battery can only cost: no less is bought with it than without."""
    jobs = "name,submit_s,num_devices,run_s\na,0,8,3600\n"
    alone = solved(tmp_path, ONE_SITE, jobs=jobs)
    site = solved(tmp_path, f"{ONE_SITE}supply: {{battery: {{energy: 20 kWh, {policy}}}}}\n", jobs=jobs)
    assert site.value("cost_total_usd") >= alone.value("cost_total_usd") * (1.0 - 1e-12)
    extra_kwh = (site.value("energy_import_j") - alone.value("energy_facility_j")) / JOULES_PER_KWH
    assert extra_kwh >= site.value("energy_stored_end_j") / JOULES_PER_KWH - 1e-9


def test_a_swing_is_told_on_both_sides_of_the_mean(tmp_path: Path) -> None:
    site = solved(tmp_path, CAMPAIGN)
    below_w, above_w = site.value("power_swing_below_w"), site.value("power_swing_above_w")
    assert below_w > 0.0
    assert above_w > 0.0
    assert site.value("power_swing_std_w") <= max(below_w, above_w)
    num = site.site.campaign[1].row.num_devices
    wave = load_of(site.site, "later", num).waveform
    assert below_w + above_w <= num * (wave.peak_w - wave.trough_w) * (1.0 + 1e-9)


def test_the_swing_is_that_of_the_accelerators_that_a_run_holds(tmp_path: Path) -> None:
    """An elastic run on half of what it asks for swings half as much."""
    run = "{name: r, scenario: megatron-22b, num_nodes: 4, min_nodes: 1, layout: auto, tokens: 1 Gtoken}"
    change = (f"jobs={{campaign: [{run}]}}", "scheduler.name=elastic")
    whole = solved(tmp_path, ONE_SITE, *change)
    half = solved(tmp_path, ONE_SITE, *change, "pools[0].num_nodes=2")
    assert half.outcome.devices.tolist() == [16]
    assert half.value("power_swing_std_w") == pytest.approx(
        0.5 * whole.value("power_swing_std_w"), rel=0.02
    )  # jitter averages out


def test_fuel_of_the_generator_is_in_the_shadow_cost(tmp_path: Path) -> None:
    """The grid gives 10 kW, the generator the rest."""
    priced = ONE_SITE.replace("kgCO2e/kWh}", "kgCO2e/kWh, shadow_price: 100 USD/tCO2e}")
    text = f"{priced}supply: {{import_limit: 10 kW, backup: {{rated: 100 kW, fuel: natural-gas}}}}\n"
    site = solved(tmp_path, text, jobs="name,submit_s,num_devices,run_s\na,0,8,3600\n")
    fuel, grid = site.value("carbon_fuel_kgco2e"), site.value("carbon_electricity_average_kgco2e")
    assert fuel > 0.0
    assert grid == pytest.approx(0.3 * 10.0 * 48.0, rel=1e-9)
    assert site.value("carbon_shadow_cost_average_usd") == pytest.approx(0.1 * (fuel + grid), rel=1e-9)


def test_an_account_that_one_site_cannot_draw_up_is_said(tmp_path: Path, pair: DatacenterResult) -> None:
    assert not any("carbon account" in note for note in pair.notes)
    text = TWO_SITES.replace(
        "{average: 0.3 kgCO2e/kWh, marginal: 0.5 kgCO2e/kWh}", "{average: 0.3 kgCO2e/kWh}"
    )
    site = solved(tmp_path, text)
    assert "carbon_marginal_kgco2e" not in site.quantities
    assert any(note.startswith("no marginal carbon account: of west no marginal") for note in site.notes)


def test_a_percentile_is_a_wait_that_a_job_had(tmp_path: Path) -> None:
    """Four whole-site jobs of an hour at once wait 0, 1, 2 and 3 h: half wait at most 1 h, 90 % at most 3 h."""
    rows = "name,submit_s,num_devices,run_s\n" + "".join(f"{name},0,32,3600\n" for name in "abcd")
    site = solved(tmp_path, ONE_SITE, jobs=rows)
    waits_h = [site.value(f"wait_p{percent}_s") / SECONDS_PER_HOUR for percent in (50, 90, 99)]
    assert waits_h == pytest.approx([1.0, 3.0, 3.0], rel=1e-12)
    assert site.value("slowdown_p90") == pytest.approx(4.0, rel=1e-12)
    (row,) = by_size(site)
    assert [row[f"wait_p{percent}_s"] / SECONDS_PER_HOUR for percent in (50, 90)] == pytest.approx([1.0, 3.0])
