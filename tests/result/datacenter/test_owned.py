"""A whole site that is owned is paid for the time that passes: idle time is in the ledger, and paid once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.result.datacenter.sites import ONE_SITE, solved

OWNED = """
economics:
  mode: own
  accelerator_price: 36500 USD
  network_share: 0
  lifetime: 5 year
  interest_per_year: 0
  residual_value: 0
  utilisation: {utilisation}
  maintenance_per_year: 0.1
  facility_price: 10 USD/W
  facility_lifetime: 10 year
"""
JOBS = "name,submit_s,num_devices,run_s\na,0,8,3600\n"


@pytest.mark.parametrize("utilisation", ["1", "0.5"])
def test_two_days_of_a_site_cost_two_days_of_its_lifetime(tmp_path: Path, utilisation: str) -> None:
    """36,500 USD over 5 years are 20 USD a day: 32 accelerators for 2 days cost 1,280 USD, used or not."""
    site = solved(tmp_path, ONE_SITE + OWNED.replace("{utilisation}", utilisation), jobs=JOBS)
    assert site.value("cost_hardware_usd") == pytest.approx(1280.0, rel=1e-9)
    assert site.value("cost_maintenance_usd") == pytest.approx(0.1 * 5 * 1280.0, rel=1e-9)
    building = 10.0 * site.site.pools[0].capacity_w
    assert site.value("cost_facility_usd") == pytest.approx(building / 10.0 * 2.0 / 365.0, rel=1e-9)
    told = any("economics.utilisation" in note for note in site.notes)
    assert told == (utilisation != "1")


def test_a_building_is_paid_for_as_large_as_it_is_made(tmp_path: Path) -> None:
    """Two pools share it by what they could draw."""
    text = ONE_SITE.replace(
        "pools: [{name: main, accelerator: h100-sxm, num_nodes: 4}]",
        "pools: [{name: a, accelerator: h100-sxm, num_nodes: 3}, {name: b, accelerator: h100-sxm, num_nodes: 1}]",
    ).replace("pue: 1.2", "profile: tower-economiser, weather: {place: leesburg}, it_capacity: 1 MW")
    site = solved(tmp_path, text + OWNED.replace("{utilisation}", "1"), jobs=JOBS)
    parts = [site.value(f"cost_facility_{pool}_usd") for pool in ("a", "b")]
    assert sum(parts) == pytest.approx(10.0 * 1e6 / 10.0 * 2.0 / 365.0, rel=1e-9)
    assert parts[0] == pytest.approx(3.0 * parts[1], rel=1e-9)


def test_making_the_hardware_is_shared_over_its_lifetime_alone(tmp_path: Path) -> None:
    text = ONE_SITE + OWNED.replace("{utilisation}", "0.5")
    site = solved(tmp_path, text, jobs=JOBS)
    embodied = site.site.pools[0].machine.accelerator.embodied
    assert embodied is not None
    expected = 32 * float(embodied) * 2.0 / (5 * 365.0)
    assert site.value("carbon_embodied_accelerators_kgco2e") == pytest.approx(expected, rel=1e-9)
