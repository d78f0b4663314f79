"""Checkpoints of a campaign's runs hold whatever stops the run: reclaims, preemption, a power limit, maintenance."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InputError
from simtool.result.datacenter.prepare import prepare_site
from simtool.result.datacenter.result import DatacenterResult
from simtool.sim.fleet.plan import PoolUse
from simtool.units import SECONDS_PER_DAY
from tests.result.datacenter.sites import LIBRARY, solved

FILE = """
schema: simtool/datacenter/1
name: saving
start: 2022-01-01T00:00Z
pools: [{name: main, accelerator: a100-sxm-80, num_nodes: 8}]
jobs:
  campaign:
    - name: long
      scenario: megatron-22b
      num_nodes: 1
      tokens: 0.05 Gtoken
      checkpoint: {write: 60 s, interval: INTERVAL}
      restart: 5 min
reliability: none
facility: {pue: 1.2}
electricity: {price: 0.08 USD/kWh}
"""
SPOT = "economics={mode: hire, spot: {price: 1 USD/h, reclaims_per_1000_node_days: 20000, back: 10 min}}"
URGENT = """    - name: urgent
      scenario: megatron-22b
      num_nodes: 8
      layout: auto
      tokens: 0.01 Gtoken
      submit: 2022-01-01T00:30Z
      priority: 1
"""
LONG = "jobs.campaign[0]."


def use(folder: Path, interval: str, *changes: str) -> PoolUse:
    path = folder / "site.yaml"
    path.write_text(FILE.replace("INTERVAL", interval), "utf-8")
    [run] = prepare_site(load_datacenter(path, changes), LIBRARY).campaign
    found = run.kind.uses[0]
    assert found is not None
    return found


def interval_s(folder: Path, interval: str, *changes: str) -> float | None:
    checkpoint = use(folder, interval, *changes).checkpoint
    return None if checkpoint is None else checkpoint.interval_s


def ran(folder: Path, interval: str, *changes: str) -> DatacenterResult:
    return solved(folder, FILE.replace("INTERVAL", interval), *changes)


def test_a_fixed_interval_and_the_restart_hold_where_nothing_fails(tmp_path: Path) -> None:
    found = use(tmp_path, "10 min")
    assert found.checkpoint is not None
    assert (found.checkpoint.interval_s, found.checkpoint.write_s, found.restart_s) == (600.0, 60.0, 300.0)


def test_an_optimum_follows_from_reclaims_where_nothing_else_has_a_rate(tmp_path: Path) -> None:
    mtbf_s = 1000.0 * SECONDS_PER_DAY / 20000.0
    assert interval_s(tmp_path, "young", SPOT) == pytest.approx(math.sqrt(2.0 * 60.0 * mtbf_s), rel=0.02)
    announced = SPOT.replace("back:", "notice: 5 min, back:")
    assert interval_s(tmp_path, "young", announced) == interval_s(tmp_path, "young", SPOT)


def test_reclaims_come_on_top_of_failures_unless_their_notice_is_enough(tmp_path: Path) -> None:
    breaks = "reliability={node_failures_per_1000_node_days: 20000, repair: 1 h}"
    alone = interval_s(tmp_path, "young", breaks)
    both = interval_s(tmp_path, "young", breaks, SPOT)
    assert alone is not None
    assert both == pytest.approx(alone / math.sqrt(2.0), rel=0.02)
    assert interval_s(tmp_path, "young", breaks, SPOT.replace("back:", "notice: 5 min, back:")) == alone
    assert interval_s(tmp_path, "young", breaks, SPOT.replace("back:", "notice: 30 s, back:")) == both


def test_without_a_rate_the_state_is_saved_only_where_something_asks_the_run_to_leave(tmp_path: Path) -> None:
    assert use(tmp_path, "daly").checkpoint is None
    maintenance = "reliability={maintenance: {weekly: {first: 1 h, length: 1 h}}}"
    for stop in (f"{LONG}preemptible=true", "power.limit=50 kW", maintenance):
        found = interval_s(tmp_path, "daly", stop)
        assert found is not None, stop
        assert found > 600.0, stop


def test_reclaimed_nodes_cost_no_more_than_the_work_since_the_last_checkpoint(tmp_path: Path) -> None:
    site = ran(tmp_path, "10 min", SPOT, f"{LONG}tokens=0.4 Gtoken")
    [interruptions] = site.outcome.num_interruptions
    assert interruptions > 0
    lost_s = site.outcome.ledgers["main"].device_s(state="lost_work")
    assert 0.0 < lost_s <= interruptions * 8 * (600.0 + 60.0)


def test_a_preempted_run_loses_no_work(tmp_path: Path) -> None:
    text = (
        FILE.replace("INTERVAL", "daly")
        .replace("restart: 5 min\n", "restart: 5 min\n      preemptible: true\n" + URGENT)
        .replace("reliability: none", "scheduler: {name: priority}\nreliability: none")
    )
    site = solved(tmp_path, text)
    assert site.outcome.num_preemptions.tolist() == [1, 0]
    ledger = site.outcome.ledgers["main"]
    assert ledger.device_s(state="lost_work") == 0.0
    assert ledger.device_s(state="restart") == pytest.approx(8 * 300.0)


def test_a_checkpoint_without_a_restart_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(FILE.replace("INTERVAL", "1 h").replace("      restart: 5 min\n", ""), "utf-8")
    loaded = load_datacenter(path)
    with pytest.raises(InputError, match=r"jobs\.campaign\[0\]\.restart: found none") as caught:
        prepare_site(loaded, LIBRARY)
    assert "write 'reliability: none'" not in str(caught.value)
    in_memory = "{kind: in-memory, write: 60 s, stall: 1 s, persistent_interval: 1 h}"
    with pytest.raises(InputError, match=r"jobs\.campaign\[0\]\.checkpoint\.kind: found 'in-memory'"):
        use(tmp_path, "1 h", f"{LONG}checkpoint={in_memory}")
