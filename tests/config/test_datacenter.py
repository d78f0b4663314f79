"""What contradicts itself inside a datacenter's file, or asks for what can do nothing, is refused at its field."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InputError
from tests.result.datacenter.sites import ONE_SITE, TWO_SITES, written

RECLAIMED = "reclaims_per_1000_node_days: 9, back: 1 h"
RUN = "scenario: megatron-22b, tokens: 1 Mtoken, num_nodes: 1, layout: auto"
REFUSED = [
    ("supply={export_price: 0.05 USD/kWh}", "supply.export_price: found it without a limit"),
    (
        "supply={battery: {energy: 1 kWh, policy: own-use}}",
        "supply.battery: found the policy own-use without",
    ),
    ("facility={pue: 1.2, it_capacity: 1 MW}", "facility.it_capacity: found it beside a PUE"),
    (
        "electricity={price: 0.08 USD/kWh, contract_power: 1 MW}",
        "electricity.contract_power: found it beside a price",
    ),
    ("carbon={shadow_price: 50 USD/tCO2e}", "carbon.shadow_price: found it without an intensity"),
    ("carbon={marginal: 0.3 kgCO2e/kWh, price: 50 USD/tCO2e}", "carbon.price: found it without an average"),
    ("economics={mode: hire}", "economics: found no price"),
    (
        "economics={mode: hire, spot: {reclaims_per_1000_node_days: 9, back: 1 h}}",
        "economics.spot: found no price on the spot market",
    ),
    (
        f"economics={{mode: hire, price: 2 USD/h, spot: {{price: 1 USD/h, {RECLAIMED}}}}}",
        "economics.price: found it beside spot, on which all jobs run",
    ),
    (
        "economics={mode: hire, price: 2 USD/h, prices: {file: p.csv, accelerator: H100}}",
        "economics.price: found it beside a price list",
    ),
    (
        f"economics={{mode: hire, prices: {{file: p.csv, accelerator: H100}}, spot: {{price: 1 USD/h, {RECLAIMED}}}}}",
        "economics.prices: found a price list beside spot.price",
    ),
    ("moving={bandwidth: 1 GB/s}", "moving: found it without 'sites'"),
    (
        "pools=[{name: a-b, accelerator: h100-sxm, num_nodes: 2}, {name: a_b, accelerator: h100-sxm, num_nodes: 2}]",
        "pools: found 'a-b' and 'a_b', which are one in names of quantities",
    ),
    (
        f"jobs.campaign=[{{name: x.1, {RUN}}}, {{name: x-1, {RUN}}}]",
        "jobs: found 'x.1' and 'x-1', which are one",
    ),
]


def refused(path: Path, *changes: str) -> str:
    with pytest.raises(InputError) as caught:
        load_datacenter(path, changes)
    return str(caught.value)


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[said[:40] for _, said in REFUSED])
def test_what_contradicts_itself_is_refused(change: str, said: str, tmp_path: Path) -> None:
    assert said in refused(written(tmp_path, ONE_SITE), change)


def test_a_site_without_a_pool_is_refused(tmp_path: Path) -> None:
    said = refused(written(tmp_path, TWO_SITES.replace("site: west", "site: east")))
    assert "sites: found no pool at site 'west'; add one, or leave the site out" in said


def test_sites_that_results_could_not_tell_apart_are_refused(tmp_path: Path) -> None:
    text = (
        TWO_SITES.replace("east", "the-west")
        .replace("  west:", "  the.west:")
        .replace("site: west", "site: the.west")
    )
    assert "sites: found 'the-west' and 'the.west', which are one" in refused(written(tmp_path, text))
