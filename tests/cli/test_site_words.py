"""How the report of a datacenter calls and writes things, and what it notes of costs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from simtool.cli.show_run import spread
from simtool.facility.battery import Battery
from simtool.facility.policies import OwnUse
from simtool.facility.site_balance import site_balance
from simtool.signals import Signal
from simtool.units import display
from tests.cli.conftest import Called
from tests.result.datacenter.sites import ONE_SITE, solved, written

Call = Callable[..., Called]

TWO_POOLS = """
schema: simtool/datacenter/1
name: words
start: 2022-01-01T00:00Z
duration: 2 days
pools:
  - {name: a, accelerator: h100-sxm, num_nodes: 2}
  - {name: b, accelerator: h100-sxm, num_nodes: 4}
jobs:
  campaign:
    - {name: large-run, scenario: megatron-22b, tokens: 1 Gtoken, num_nodes: 2, layout: auto, restart: 5 min}
facility: {pue: 1.2}
electricity: {price: {series: price-ercot}}
carbon: {average: 0.3 kgCO2e/kWh, shadow_price: 75 USD/tCO2e}
"""


def flat(text: str) -> str:
    return " ".join(text.split())


def test_the_report_uses_the_words_of_the_file(simtool: Call, tmp_path: Path) -> None:
    written(tmp_path, TWO_POOLS)
    called = simtool("run", "site.yaml")
    assert called.code == 0, called.err
    text = flat(called.out)
    assert "on a: 16 h100-sxm (2 nodes), b: 32 h100-sxm (4 nodes)" in text
    assert "electricity by price-ercot" in text
    assert "training run large-run" in text
    assert "large_run" not in text
    assert "at 75 USD/tCO2e, in no bill" in text


def test_a_spread_of_many_times_the_value_is_not_told_to_the_tenth() -> None:
    assert spread({"value": 1.0, "p10": 0.5, "p90": 190.5}) == "-50.0/>+1,000 %"
    assert spread({"value": 1.0, "p10": 0.9, "p90": 11.0}) == "-10.0/+1000.0 %"


def test_a_ramp_is_written_in_a_unit_that_suits_it() -> None:
    assert display(8_693_619.0, "W/s") == "8.694 MW/s"


def test_what_a_battery_makes_even_leaves_no_residue() -> None:
    chance = np.random.Generator(np.random.PCG64(1))
    hours = np.arange(49, dtype=np.float64) * 3600.0
    sun = Signal.from_steps(hours[:-1], chance.uniform(0.0, 3e6, 48), end_s=float(hours[-1]), unit="W")
    battery = Battery.lithium(5e10, initial_frac=0.0)
    found = site_balance(
        hours,
        chance.uniform(0.5e6, 1.5e6, 48),
        solar=sun,
        battery=battery,
        policy=OwnUse(),
        shortage="unserved",
    )
    for values in (found.curtailed_w, found.import_w, found.export_w):
        assert ((values == 0.0) | (values > 1e-3)).all()


@pytest.mark.parametrize(
    ("reserved", "said"),
    [
        ("term: 30 d", "a whole term of 30 d is billed for a run of 2 d"),
        ("term: 36 h", "2 whole terms of 36 h are billed for a run of 2 d"),
        ("term: 1 d", ""),
        ("term: 30 d, commitment: span", ""),
    ],
)
def test_a_term_that_outlasts_the_run_is_noted(reserved: str, said: str, tmp_path: Path) -> None:
    terms = f"{{num_accelerators: 8, price: 1 USD/h, {reserved}}}"
    text = f"{ONE_SITE}economics: {{mode: hire, price: 2 USD/h, reserved: {terms}}}\n"
    notes = [note for note in solved(tmp_path, text).notes if note.startswith("economics.reserved")]
    assert len(notes) == (1 if said else 0)
    assert not said or said in notes[0]


@pytest.mark.parametrize(("contract", "is_noted"), [("1 MW", True), ("20 kW", False)])
def test_contracted_power_that_nobody_draws_is_noted(contract: str, is_noted: bool, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        """schema: simtool/tariff/1
name: own
title: own
timezone: UTC
parts:
  - {kind: flat, price: {value: 0.1 USD/kWh, kind: assumed, source: mine, spread: 0}}
  - kind: demand
    name: demand
    price: {value: 10 USD/kW, kind: assumed, source: mine, spread: 0}
    contract_minimum: {value: 0.6, kind: assumed, source: mine, spread: 0}
""",
        "utf-8",
    )
    electricity = f"electricity: {{tariff: own.yaml, contract_power: {contract}}}"
    text = ONE_SITE.replace("electricity: {price: 0.08 USD/kWh}", electricity)
    notes = [note for note in solved(tmp_path, text).notes if "contract_power" in note]
    assert len(notes) == int(is_noted)
    if is_noted:
        assert "bills 600 kW of the contract's 1 MW in any case, while at most" in notes[0]
