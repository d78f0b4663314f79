"""What can be found wrong with a datacenter and its jobs before anything is simulated."""

from __future__ import annotations

import math

from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.signals import Place, site_signals
from simtool.sim.fleet.plan import FleetPlan
from simtool.sim.fleet.run import refuse_too_large


def check_site(site: PreparedSite, jobs: SiteJobs) -> None:
    """Read every series and every tariff, and find the jobs that fit nowhere.

    Where no length is given, series are read as far as the last submission: how long jobs then go on is not known.

    Raises:
        InputError: a series or a tariff that cannot be read, or does not cover the time.
        InfeasibleError: a job does not fit any of its pools.
    """
    end_s = site.end_s if site.end_s < math.inf else max(1.0, float(jobs.table.submit_s[-1]))
    for name in site.loaded.datacenter.terms:
        site_signals(Place(site.loaded, name), site.library, end_s)
    plan = FleetPlan(pools=tuple(pool.fleet for pool in site.pools), kinds=jobs.kinds)
    refuse_too_large(jobs.table, plan, jobs.kind)
