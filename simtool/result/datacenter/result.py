"""What a datacenter's run gives: the fleet's outcome, the site's power and water, the bill, and quantities."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.account.bill import Bill
from simtool.account.carbon import CarbonLine
from simtool.account.costs import CostLine
from simtool.config.datacenter import Datacenter
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem, did_you_mean
from simtool.facility import FacilitySeries
from simtool.provenance import Derived
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import PreparedSite
from simtool.sim.fleet.outcome import FleetOutcome

HEADLINE = (
    "duration_s",
    "num_jobs_completed",
    "utilisation_frac",
    "wait_mean_s",
    "energy_facility_j",
    "pue",
    "power_facility_peak_w",
    "cost_total_usd",
    "carbon_average_kgco2e",
    "water_site_kg",
)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class DatacenterResult:
    """The answer to one datacenter file."""

    site: PreparedSite
    jobs: SiteJobs
    outcome: FleetOutcome
    sites: tuple[SiteAccounts, ...]
    """Power, supply, bill and carbon of every site."""
    series: FacilitySeries
    """Of all sites together, over the union of all breakpoints."""
    costs: tuple[CostLine, ...]
    carbon: tuple[CarbonLine, ...]
    quantities: dict[str, Derived]
    intervals: dict[str, tuple[float, float, float]]
    """p10, p50, p90 over seeds, by quantity; empty with one seed."""
    notes: tuple[str, ...]
    profile_digests: dict[str, str]

    @property
    def loaded(self) -> LoadedDatacenter:
        """The file."""
        return self.site.loaded

    @property
    def bill(self) -> Bill:
        """The electricity bill of the first site, which is the only one of most."""
        return self.sites[0].bill

    @property
    def datacenter(self) -> Datacenter:
        """What it says."""
        return self.site.loaded.datacenter

    def value(self, name: str) -> float:
        """One quantity, of the first seed.

        Raises:
            InputError: no quantity is called so.
        """
        if name not in self.quantities:
            hint = did_you_mean(name, self.quantities)
            raise InputError(Problem("", name, "found no quantity of this name", "", hint))
        return self.quantities[name].value

    def typical(self, name: str) -> float:
        """The median over seeds where there are several, else the value."""
        return self.intervals[name][1] if name in self.intervals else self.value(name)

    def __repr__(self) -> str:
        names = [name for name in HEADLINE if name in self.quantities]
        shown = ", ".join(f"{name}={self.typical(name):.6g}" for name in names)
        return f"DatacenterResult({self.datacenter.name}: {shown})"
