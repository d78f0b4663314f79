"""What jobs used and cost sums to what the site used and cost, and goes to those who caused it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.result.datacenter.history import GROUPS, devices, holdings, power, running, waiting
from simtool.result.datacenter.per_job import PerJob, per_job
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.tables import hour_columns, interruption_columns, job_columns, user_columns
from simtool.units import JOULES_PER_KWH
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, solved


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> DatacenterResult:
    return solved(tmp_path_factory.mktemp("pair"), TWO_SITES)


@pytest.fixture(scope="module")
def shares(pair: DatacenterResult) -> PerJob:
    return per_job(pair)


def test_shares_sum_to_the_whole(pair: DatacenterResult, shares: PerJob) -> None:
    assert shares.energy_it_j.sum() == pytest.approx(pair.value("energy_it_j"), rel=1e-9)
    assert shares.energy_facility_j.sum() == pytest.approx(pair.value("energy_facility_j"), rel=1e-9)
    assert shares.energy_j["lost_work"].sum() == pytest.approx(pair.value("energy_lost_work_j"), rel=1e-9)
    assert shares.energy_it_j[0] == pytest.approx(pair.value("energy_unheld_j"), rel=1e-9)
    assert shares.cost_usd.sum() == pytest.approx(pair.value("cost_total_usd"), rel=1e-9)
    billed = sum(pair.value(f"bill_{kind}_usd") for kind in ("energy", "demand", "fixed"))
    assert shares.electricity_usd.sum() == pytest.approx(billed, rel=1e-9)
    assert set(shares.carbon_kgco2e) == {"average", "marginal"}
    for question, amounts in shares.carbon_kgco2e.items():
        assert amounts.sum() == pytest.approx(pair.value(f"carbon_electricity_{question}_kgco2e"), rel=1e-9)
    held_h = shares.device_s[1:].sum() / 3600.0
    assert held_h == pytest.approx(pair.value("accelerator_hours"), rel=1e-9)


def test_nothing_that_is_shared_out_is_negative(shares: PerJob) -> None:
    for amounts in (
        *shares.energy_j.values(),
        shares.energy_facility_j,
        shares.cost_usd,
        shares.electricity_usd,
    ):
        assert amounts.min() >= -1e-6 * amounts.max()


def test_the_queue_and_the_running_are_those_of_the_outcome(pair: DatacenterResult) -> None:
    outcome, held = pair.outcome, holdings(pair.outcome)
    everything = [0.0, outcome.end_s]
    queue = waiting(outcome, held)
    unnoticed_s = 300.0 * outcome.num_interruptions.sum()
    extra_s = queue.integral(everything)[0] - outcome.waited_s.sum()
    assert -1e-6 <= extra_s <= unnoticed_s, "a job on failed nodes alone holds nothing until that is noticed"
    assert queue.values.min() >= 0.0
    both = running(outcome, held).mean(everything)[0] + queue.mean(everything)[0]
    assert both == pytest.approx(outcome.num_running_mean + outcome.num_waiting_mean, rel=1e-9)
    assert held.device_s.sum() == pytest.approx(3600.0 * pair.value("accelerator_hours"), rel=1e-9)
    again = np.bincount(held.job, minlength=len(outcome.names))
    stops = outcome.num_interruptions + outcome.num_preemptions
    assert (again > 1).any(), "the scene has interrupted jobs"
    assert np.all(again <= 1 + stops), "a job holds devices once, and once more after every stop"


def test_without_failures_the_queue_is_exactly_that_of_the_outcome(tmp_path: Path) -> None:
    result = solved(tmp_path, ONE_SITE, "pools[0].num_nodes=5", "scheduler.name=easy")
    outcome, held = result.outcome, holdings(result.outcome)
    everything = [0.0, outcome.end_s]
    assert outcome.waited_s.sum() > 0.0
    assert waiting(outcome, held).integral(everything)[0] == pytest.approx(outcome.waited_s.sum(), rel=1e-9)
    assert running(outcome, held).mean(everything)[0] == pytest.approx(outcome.num_running_mean, rel=1e-9)
    assert len(held.job) == int((~np.isnan(outcome.start_s)).sum())


def test_powers_and_devices_by_state_are_those_of_the_ledger(pair: DatacenterResult) -> None:
    outcome, everything = pair.outcome, [0.0, pair.outcome.end_s]
    pools = list(outcome.ledgers)
    for states in GROUPS.values():
        expected = sum(ledger.energy_j(state=list(states)) for ledger in outcome.ledgers.values())
        assert power(outcome, pools, states).integral(everything)[0] == pytest.approx(expected, rel=1e-9)
    down = sum(ledger.device_s(state="down") for ledger in outcome.ledgers.values())
    assert devices(outcome, pools, state="down").integral(everything)[0] == pytest.approx(down, rel=1e-9)


def test_users_jobs_and_hours_are_the_same_numbers(pair: DatacenterResult, shares: PerJob) -> None:
    jobs, users = job_columns(pair, shares), user_columns(pair, shares)
    assert next(iter(users["user"])) == "(no job)"
    assert np.asarray(users["num_jobs"]).sum() == len(pair.outcome.names)
    by_user, by_job = np.asarray(users["cost_usd"]), np.asarray(jobs["cost_usd"])
    assert by_user[1:].sum() == pytest.approx(by_job.sum(), rel=1e-9)
    assert by_user.sum() == pytest.approx(pair.value("cost_total_usd"), rel=1e-9)
    hours = hour_columns(pair, holdings(pair.outcome))
    energy = np.asarray(hours["energy_facility_kwh"]).sum() * JOULES_PER_KWH
    assert energy == pytest.approx(pair.value("energy_facility_j"), rel=1e-9)
    emitted = np.asarray(hours["carbon_electricity_average_kgco2e"]).sum()
    assert emitted == pytest.approx(pair.value("carbon_electricity_average_kgco2e"), rel=1e-9)
    bought = np.asarray(hours["energy_lines_usd"]).sum()
    assert bought == pytest.approx(pair.value("bill_energy_usd"), rel=1e-9)
    assert list(hours["begin_utc"])[:2] == ["2022-01-01T08:30:00Z", "2022-01-01T09:00:00Z"]
    assert np.asarray(hours["length_s"])[:2].tolist() == [1800.0, 3600.0]


def test_lost_work_is_laid_to_what_stopped_the_job(pair: DatacenterResult) -> None:
    found = interruption_columns(pair)
    lost = np.asarray(found["lost_work_accelerator_hours"])
    assert len(lost) == len(pair.outcome.interruptions) > 0
    whole = sum(ledger.device_s(state="lost_work") for ledger in pair.outcome.ledgers.values()) / 3600.0
    assert lost.sum() == pytest.approx(whole, rel=1e-9)
    assert lost.min() >= 0.0
    for event, hours in zip(pair.outcome.interruptions, lost.tolist(), strict=True):
        held = 32 * len(event.jobs)
        assert hours <= held * (1800.0 + 60.0 + 300.0) / 3600.0, "an interval, its write, and the detection"


def test_who_runs_when_power_is_dear_pays_for_it(tmp_path: Path) -> None:
    """Two equal jobs, one before and one after the price rises tenfold."""
    jobs = "name,submit_s,num_devices,run_s,user\ncheap,0,8,3600,a\ndear,14400,8,3600,b\n"
    prices = "".join(f"2022-01-01T{hour:02}:00Z,{0.1 if hour < 4 else 1.0}\n" for hour in range(10))
    (tmp_path / "price.csv").write_text(f"time_utc,price_usd_per_kwh\n{prices}", "utf-8")
    text = ONE_SITE.replace("{price: 0.08 USD/kWh}", "{price: {series: price.csv}}").replace("2 days", "8 h")
    result = solved(tmp_path, text, jobs=jobs)
    found = per_job(result)
    cheap, dear = found.electricity_usd[1:].tolist()
    assert dear == pytest.approx(10.0 * cheap, rel=1e-9)
    kwh = found.energy_it_j[1] / JOULES_PER_KWH
    assert cheap == pytest.approx(0.1 * 1.2 * kwh, rel=1e-9)


def test_a_demand_charge_goes_to_those_who_drew_the_peak(tmp_path: Path) -> None:
    tariff = """
schema: simtool/tariff/1
name: peak
title: a demand charge alone
utility: nobody
valid: for a test
timezone: UTC
parts:
  - kind: demand
    name: demand
    when: [{months: all, days: all, hours: all}]
    price: {value: 10 USD/kW, kind: assumed, source: a test, spread: 0.1}
"""
    (tmp_path / "peak.yaml").write_text(tariff, "utf-8")
    jobs = "name,submit_s,num_devices,run_s,user\nearly,0,8,7200,a\npeak,36000,16,7200,b\n"
    text = ONE_SITE.replace("{price: 0.08 USD/kWh}", "{tariff: peak.yaml}")
    found = per_job(solved(tmp_path, text, "pools[0].num_nodes=2", jobs=jobs))
    nobody, early, peak = found.electricity_usd.tolist()
    assert early == 0.0
    assert nobody == pytest.approx(0.0, abs=1e-9), "all devices are held at the peak"
    assert peak > 0.0
