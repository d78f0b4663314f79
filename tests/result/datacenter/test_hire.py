"""Hired accelerators: leases are what jobs held, and the spot market's reclaims are really suffered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.result.datacenter.hire import leases_of
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
    leases = leases_of(site.outcome.ledgers["main"])
    assert len(leases.begin_s) == int(np.isfinite(site.outcome.start_s).sum())


def test_a_billing_step_costs_more_and_a_reservation_is_paid_in_any_case(tmp_path: Path) -> None:
    exact = hired(tmp_path, "price: 2 USD/h").value("cost_total_usd")
    assert hired(tmp_path, "price: 2 USD/h, billing_step: 1 h").value("cost_total_usd") > exact
    reserved = hired(
        tmp_path,
        "price: 2 USD/h, reserved: {num_accelerators: 128, price: 1 USD/h, term: 3 days, commitment: span}",
    )
    assert reserved.value("cost_hire_reserved_usd") == pytest.approx(128 * 72 * 1.0, rel=1e-9)


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
