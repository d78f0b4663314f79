"""What a training run of a campaign costs is one number, in the summary as in the table of jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simtool.result.datacenter.per_job import per_job
from simtool.result.datacenter.tables import job_columns
from tests.result.datacenter.sites import solved

CAMPAIGN = """
schema: simtool/datacenter/1
name: two-runs
start: 2022-01-01T00:00Z
duration: 2 days
pools:
  - {name: main, accelerator: h100-sxm, num_nodes: 4}
  - {name: rest, accelerator: a100-sxm-80, num_nodes: 2}
jobs:
  campaign:
    - {name: first, scenario: megatron-22b, num_nodes: 2, tokens: 1 Gtoken, layout: auto, pool: main}
    - {name: later, scenario: megatron-22b, num_nodes: 4, tokens: 1 Gtoken, layout: auto, pool: main}
facility: {pue: 1.2}
electricity: {price: 0.08 USD/kWh}
"""
OWN = """
economics:
  mode: own
  accelerator_price: 30000 USD
  network_share: 0.2
  lifetime: 5 year
  interest_per_year: 0.08
  residual_value: 0.1
  utilisation: 1
  maintenance_per_year: 0.03
"""
HIRE = """
economics: {mode: hire, price: 2 USD/h, billing_step: 1 h}
"""


@pytest.mark.parametrize("economics", ["", OWN, HIRE], ids=["power alone", "own", "hire"])
def test_summary_and_table_of_jobs_say_the_same(tmp_path: Path, economics: str) -> None:
    site = solved(tmp_path, CAMPAIGN + economics)
    shares = per_job(site)
    assert shares.cost_usd.sum() == pytest.approx(site.value("cost_total_usd"), rel=1e-9)
    table = job_columns(site, shares)
    for row, name in enumerate(site.outcome.names):
        cost = site.value(f"job_{name}_cost_usd")
        assert cost == pytest.approx(np.asarray(table["cost_usd"])[row], rel=1e-9)
        per_token = site.value(f"job_{name}_cost_per_million_tokens_usd")
        assert per_token == pytest.approx(cost / 1000.0, rel=1e-9)
    if economics == HIRE:
        assert shares.cost_usd[0] == 0.0


def test_a_run_pays_for_the_pool_that_it_stood_in(tmp_path: Path) -> None:
    """Hardware of the other pool, and of this one while nobody held it, is nobody's."""
    site = solved(tmp_path, CAMPAIGN + OWN)
    held_s = float(per_job(site).device_s[1])
    of_pool = sum(site.value(f"cost_{line}_main_usd") for line in ("hardware", "facility", "maintenance"))
    power = per_job(site).electricity_usd[1]
    all_s = site.outcome.ledgers["main"].device_s()
    assert site.value("job_first_cost_usd") == pytest.approx(of_pool * held_s / all_s + power, rel=1e-9)
