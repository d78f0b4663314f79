"""Hired accelerators: leases are what jobs held, and the spot market's reclaims are really suffered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simtool.account.rent import BillingTerms, rent_bill
from simtool.errors import InputError
from simtool.ledger import Ledger, Pattern, Share
from simtool.result.datacenter.hire import leases_of
from simtool.result.datacenter.per_job import per_job
from simtool.result.datacenter.result import DatacenterResult
from tests.result.datacenter.test_accounts import FILE, solved

PLAIN = FILE.replace("reliability: {preset: rsc-1}", "reliability: none")
WORK = "work: {activity: 0.4, limit: 2, checkpoint: {write: 20 s, interval: 30 min}, restart: 2 min}"


def hired(folder: Path, economics: str, *changes: str) -> DatacenterResult:
    text = (
        PLAIN.replace("work: {activity: 0.4, limit: 2}", WORK) + f"economics: {{mode: hire, {economics}}}\n"
    )
    return solved(folder, *changes, text=text)


def test_every_accelerator_hour_that_a_job_held_is_paid_once(tmp_path: Path) -> None:
    site = hired(tmp_path, "price: 2 USD/h")
    assert site.value("cost_total_usd") == pytest.approx(2.0 * site.value("accelerator_hours"), rel=1e-9)
    leases, job = leases_of(site.outcome.ledgers["main"])
    assert len(leases.begin_s) == int(np.isfinite(site.outcome.start_s).sum())
    assert np.unique(job).size == job.size


def test_what_a_job_keeps_goes_on_under_its_lease() -> None:
    """16 accelerators, 8 of them until 3600 s, then 8 further ones, then all up to 9000 s; another job beside it."""
    ledger = Ledger()
    pattern = Pattern(
        name="work", shares=(Share(state="compute", device_frac=1.0, power_w=(500.0, 60.0, 5.0)),)
    )
    for begin_s, end_s, num in ((0.0, 3600.0, 16), (3600.0, 5400.0, 8), (5400.0, 9000.0, 16)):
        ledger.append(begin_s, end_s, "a", pattern, num)
    ledger.append(3600.0, 5400.0, "", pattern, 8)
    ledger.append(100.0, 700.0, "b", pattern, 4)
    ledger.append(100.0, 700.0, "b", replace(pattern, name="wait"), 4)
    leases, job = leases_of(ledger)
    columns = (job, leases.begin_s, leases.end_s, leases.num_accelerators)
    found = sorted(zip(*(column.tolist() for column in columns), strict=True))
    a, b = ledger.jobs.index("a") + 1, ledger.jobs.index("b") + 1
    assert found == sorted(
        [(a, 0.0, 3600.0, 8), (a, 0.0, 9000.0, 8), (a, 5400.0, 9000.0, 8), (b, 100.0, 700.0, 8)]
    )
    billed_h = rent_bill(leases, on_demand_usd_per_hour=1.0, terms=BillingTerms(step_s=7200.0)).total_usd
    assert billed_h == 8 * 2 + 8 * 4 + 8 * 2 + 8 * 2


def test_a_site_that_is_hired_has_nothing_to_pay_for_nobody(tmp_path: Path) -> None:
    site = hired(tmp_path, "price: 2 USD/h, billing_step: 1 h")
    shares = per_job(site).cost_usd
    assert shares[0] == 0.0
    assert shares.sum() == pytest.approx(site.value("cost_total_usd"), rel=1e-9)
    states = {portion.state for line in site.costs for portion in line.portions if portion.amount}
    assert "idle" not in states


def test_a_billing_step_costs_more_and_a_reservation_is_paid_in_any_case(tmp_path: Path) -> None:
    exact = hired(tmp_path, "price: 2 USD/h").value("cost_total_usd")
    assert hired(tmp_path, "price: 2 USD/h, billing_step: 1 h").value("cost_total_usd") > exact
    reserved = hired(
        tmp_path,
        "price: 2 USD/h, reserved: {num_accelerators: 128, price: 1 USD/h, term: 3 days, commitment: span}",
    )
    assert reserved.value("cost_hire_reserved_usd") == pytest.approx(128 * 72 * 1.0, rel=1e-9)


def test_a_reservation_is_paid_once_for_all_pools(tmp_path: Path) -> None:
    pools = "pools=[{name: a, accelerator: h100-sxm, num_nodes: 8}, {name: b, accelerator: h100-sxm, num_nodes: 8}]"
    terms = "price: 2 USD/h, reserved: {num_accelerators: 64, price: 1 USD/h, term: 3 days, commitment: span}"
    site = hired(tmp_path, terms, pools)
    assert site.value("cost_hire_reserved_usd") == pytest.approx(64 * 72 * 1.0, rel=1e-9)
    shares = per_job(site).cost_usd
    assert shares.sum() == pytest.approx(site.value("cost_total_usd"), rel=1e-9)
    assert 0.0 <= shares[0] < 64 * 72 * 1.0


def test_spot_is_cheaper_by_the_hour_and_its_reclaims_cost_work(tmp_path: Path) -> None:
    calm = hired(tmp_path, "spot: {price: 1 USD/h, reclaims_per_1000_node_days: 0, back: 1 h}")
    rough = hired(tmp_path, "spot: {price: 1 USD/h, reclaims_per_1000_node_days: 2000, back: 1 h}")
    warned = hired(
        tmp_path, "spot: {price: 1 USD/h, reclaims_per_1000_node_days: 2000, back: 1 h, notice: 2 min}"
    )
    assert calm.value("num_interruptions") == 0.0
    assert calm.value("goodput_frac") > warned.value("goodput_frac") > rough.value("goodput_frac")
    assert rough.value("share_lost_work_frac") > 0.0
    assert {event.cause for event in rough.outcome.interruptions} == {"spot reclaim"}
    assert rough.value("cost_total_usd") == pytest.approx(rough.value("accelerator_hours"), rel=1e-9)


def test_prices_come_from_a_list_in_skypilots_columns(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(
        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,SpotPrice,Region\n"
        "big,H100,8,96,1000,24.0,10.0,here\nbig,H100,8,96,1000,700.0,700.0,there\n",
        "utf-8",
    )
    prices = f"prices: {{file: {tmp_path}/prices.csv, accelerator: H100}}"
    plain = hired(tmp_path, prices)
    assert plain.value("cost_total_usd") == pytest.approx(3.0 * plain.value("accelerator_hours"), rel=1e-9)
    spot = hired(tmp_path, f"{prices}, spot: {{reclaims_per_1000_node_days: 100, back: 1 h}}")
    assert spot.value("cost_total_usd") == pytest.approx(1.25 * spot.value("accelerator_hours"), rel=1e-9)


@pytest.mark.parametrize(
    ("economics", "words"),
    [
        ("money: {year: 2025}", "price"),
        ("prices: {file: none.csv, accelerator: H100}", "none.csv"),
        ("spot: {price: 1 USD/h, reclaims_per_1000_node_days: 1}", "back"),
    ],
)
def test_what_cannot_be_billed_is_refused(tmp_path: Path, economics: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        hired(tmp_path, economics)
