"""The shipped datacenter on two coasts: its battery does what its file is about."""

from __future__ import annotations

from simtool.config.load_datacenter import load_datacenter
from simtool.profiles.find import find_scenario
from simtool.result.datacenter.prepare import jobs_of, prepare_site, simulate_site
from simtool.result.datacenter.run import accounts
from tests.result.datacenter.sites import LIBRARY


def test_shaving_its_peaks_lowers_the_bill_of_the_east() -> None:
    path = find_scenario("two-coasts")
    shaved = prepare_site(load_datacenter(path, ()), LIBRARY)
    plain = prepare_site(load_datacenter(path, ("sites.east.supply=null",)), LIBRARY)
    outcome = simulate_site(shaved, jobs_of(shaved))
    with_battery, without = accounts(shaved, outcome), accounts(plain, outcome)
    threshold_w = 400e3
    highest_w = [found.sites[0].grid[1].max() for found in (without, with_battery)]
    assert highest_w[1] <= threshold_w < highest_w[0], "there are peaks to shave, and all of them are shaved"
    cost_usd = [found.quantities["cost_total_usd"].value for found in (without, with_battery)]
    assert cost_usd[1] < cost_usd[0], "wear and losses of the battery included"
