"""One datacenter, from its checked file to its result."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simtool.account.carbon import CarbonLine, carbon_embodied, embodied_notes
from simtool.account.costs import CostLine, rent_cost, spread_over
from simtool.account.defaults import economics
from simtool.account.own import Hardware, own_cost, own_notes
from simtool.config.datacenter_hire import Hire
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Money, Own, Rent
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Derived, Input, Sourced
from simtool.result.datacenter.accounts import (
    SiteAccounts,
    all_sites,
    energy_by_state,
    named,
    site_accounts,
)
from simtool.result.datacenter.campaign_quantities import campaign_quantities
from simtool.result.datacenter.check import check_site
from simtool.result.datacenter.cost_notes import cost_notes
from simtool.result.datacenter.hire import hire_cost
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.pools import PricedPool
from simtool.result.datacenter.prepare import PreparedSite, jobs_of, prepare_site, simulate_site
from simtool.result.datacenter.quantities import (
    carbon_costs,
    carbon_notes,
    carbon_quantities,
    fleet_quantities,
    money_quantities,
    power_quantities,
    supply_costs,
)
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.roots import with_roots
from simtool.result.datacenter.store import simulate_sharing
from simtool.result.datacenter.swing import swing_quantities
from simtool.result.datacenter.unused import unused_notes
from simtool.sim.fleet.outcome import FleetOutcome

Progress = Callable[[str, float], None]
WHOLE_TIME = Sourced(
    value=1.0,
    unit="",
    kind="assumed",
    source="the ledger of a datacenter holds every accelerator for all of its time, idle time included",
)
"""Utilisation by which a datacenter's own hardware is charged: what stands idle is in the ledger, and paid once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What follows from a run of the fleet."""

    sites: tuple[SiteAccounts, ...]
    costs: tuple[CostLine, ...]
    embodied: tuple[CarbonLine, ...]
    quantities: dict[str, Derived]
    notes: tuple[str, ...]


def run_datacenter(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    *,
    seeds: int = 1,
    progress: Progress | None = None,
) -> DatacenterResult:
    """Simulate a datacenter and draw up its accounts.

    Args:
        loaded: the file.
        library: where profiles are found.
        seeds: number of runs that differ in their random numbers; more than one gives intervals.
        progress: told what is being done.

    Raises:
        InputError: the file does not fit together.
        InfeasibleError: a job that fits no pool, a power limit below idle power, a plant that cannot cope.
    """
    site = prepare_site(loaded, library)
    jobs = jobs_of(site)
    check_site(site, jobs)
    jobs, outcome = _simulated(site, jobs, 0, seeds, progress)
    found = accounts(site, outcome)
    values: dict[str, list[float]] = {name: [number.value] for name, number in found.quantities.items()}
    for index in range(1, seeds):
        _, again = _simulated(site, jobs_of(site, index), index, seeds, progress)
        other = accounts(site, again)
        for name, number in other.quantities.items():
            values.setdefault(name, []).append(number.value)
    intervals = {}
    if seeds > 1:
        for name, numbers in values.items():
            if len(numbers) == seeds and name in found.quantities:
                low, middle, high = np.percentile(numbers, [10, 50, 90]).tolist()
                intervals[name] = (low, middle, high)
    return DatacenterResult(
        site=site,
        jobs=jobs,
        outcome=outcome,
        sites=found.sites,
        series=all_sites(found.sites),
        costs=found.costs,
        carbon=(*(line for one in found.sites for line in one.carbon), *found.embodied),
        quantities=found.quantities,
        intervals=intervals,
        notes=tuple(dict.fromkeys((*jobs.notes, *site.notes, *found.notes))),
        profile_digests=site.profile_digests,
    )


def _simulated(
    site: PreparedSite, jobs: SiteJobs, run: int, num_runs: int, progress: Progress | None
) -> tuple[SiteJobs, FleetOutcome]:
    """The jobs, with writes as long as the others' make them, and what becomes of them."""
    name = site.loaded.datacenter.name

    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"simulating {name}", (run + fraction) / num_runs)

    return simulate_sharing(site, jobs, lambda chosen: simulate_site(site, chosen, run, report))


def accounts(site: PreparedSite, outcome: FleetOutcome) -> Accounts:
    """Power at the meter, water, bill, carbon and costs of one run of the fleet."""
    sites = tuple(site_accounts(site, site.library, outcome, name) for name in site.loaded.datacenter.terms)
    costs, notes = _costs(site, outcome, sites)
    embodied, more = _embodied(site, outcome)
    quantities = {
        number.name: number
        for numbers in (
            fleet_quantities(outcome),
            power_quantities(site, outcome, sites),
            money_quantities(outcome, sites, costs),
            carbon_quantities(sites, embodied),
            campaign_quantities(site, outcome, sites, costs),
            swing_quantities(site, outcome),
        )
        for number in numbers
    }
    return Accounts(
        sites=sites,
        costs=costs,
        embodied=embodied,
        quantities=with_roots(site, outcome, sites, quantities),
        notes=(
            *notes,
            *more,
            *cost_notes(site.loaded, outcome.end_s, sites),
            *carbon_notes(sites),
            *unused_notes(site.loaded, outcome, sites),
        ),
    )


def _costs(
    site: PreparedSite, outcome: FleetOutcome, sites: tuple[SiteAccounts, ...]
) -> tuple[tuple[CostLine, ...], tuple[str, ...]]:
    how = site.loaded.datacenter.economics
    lines: list[CostLine] = []
    notes: list[str] = []
    if how is None:
        notes.append("no 'economics': costs are of electricity alone")
    if isinstance(how, Rent | Hire):
        notes.append(
            "rented by the hour: electricity is in the price, its bill is shown for comparison alone"
        )
    else:
        for one in sites:
            lines += _electricity(one, outcome, Money() if how is None else how.money)
    if isinstance(how, Hire):
        lines += hire_cost(site.loaded, how, outcome)
    several = len(site.pools) > 1
    for pool in site.pools:
        ledger = outcome.ledgers[pool.name]
        hardware = Hardware(accelerator=pool.machine.accelerator, node=pool.machine.node)
        if isinstance(how, Rent):
            found = rent_cost(ledger, how.price, how.money)
        elif isinstance(how, Own):
            paid = how.model_copy(update={"utilisation": WHOLE_TIME})
            found = own_cost(ledger, paid, hardware, it_capacity_w=_built_w(site, pool))
            notes += own_notes(how, hardware)
            if float(how.utilisation) != 1.0:
                notes.append(_simulated_utilisation(how))
        else:
            found = ()
        lines += [_of_pool(line, pool.name) if several else line for line in found]
    return tuple(lines), tuple(dict.fromkeys(notes))


def _built_w(site: PreparedSite, pool: PricedPool) -> float:
    """A pool's part of the IT power that its building is made for [W]."""
    written = site.loaded.datacenter.terms[pool.fleet.site].facility.it_capacity
    if written is None:
        return pool.capacity_w
    return (
        float(written)
        * pool.capacity_w
        / math.fsum(other.capacity_w for other in site.pools if other.fleet.site == pool.fleet.site)
    )


def _simulated_utilisation(own: Own) -> str:
    """That a written utilisation has nothing to say where the real one is simulated."""
    return (
        f"economics.utilisation {float(own.utilisation):g} is not applied: what is owned is charged for all the time "
        "that passes, and how much of it is used is simulated"
    )


def _electricity(one: SiteAccounts, outcome: FleetOutcome, money: Money) -> list[CostLine]:
    """The bill by kind of line, and what the site's own supply costs or earns."""
    weights = energy_by_state(outcome.ledgers[pool.name] for pool in one.pools)
    amounts: list[tuple[str, str, float, tuple[Derived | Input, ...]]] = [
        (f"electricity, {kind}", f"{kind} lines of the bill by {one.bill.tariff}, all months", amount, ())
        for kind, amount in one.bill.by_kind().items()
        if amount
    ]
    amounts += [*supply_costs(one), *carbon_costs(one)]
    lines = []
    for name, formula, amount, inputs in amounts:
        word = name.replace(", ", "_").replace(" ", "_").replace("-", "_")
        lines.append(
            CostLine(
                name=f"{name}, {one.name}" if one.name else name,
                amount=Derived(
                    name=named(f"cost_{word}_usd", one.name, "usd"),
                    value=amount,
                    unit="USD",
                    formula=formula,
                    inputs=inputs,
                ),
                driver="energy",
                money=money,
                portions=spread_over(amount, weights, "device"),
            )
        )
    return lines


def _of_pool(line: CostLine, pool: str) -> CostLine:
    name = line.amount.name.removesuffix("_usd")
    amount = replace(line.amount, name=f"{name}_{pool.replace('-', '_').replace('.', '_')}_usd")
    return replace(line, name=f"{line.name}, {pool}", amount=amount)


def _embodied(site: PreparedSite, outcome: FleetOutcome) -> tuple[tuple[CarbonLine, ...], tuple[str, ...]]:
    how = site.loaded.datacenter.economics
    lifetime = how.lifetime if isinstance(how, Own) else economics().hardware_lifetime
    several = len(site.pools) > 1
    lines: list[CarbonLine] = []
    notes: list[str] = []
    for pool in site.pools:
        hardware = Hardware(accelerator=pool.machine.accelerator, node=pool.machine.node)
        notes += embodied_notes(hardware)
        for line in carbon_embodied(outcome.ledgers[pool.name], hardware, lifetime, WHOLE_TIME):
            name = f"{line.amount.name.removesuffix('_kgco2e')}_{pool.name.replace('-', '_')}_kgco2e"
            amount = replace(line.amount, name=name) if several else line.amount
            lines.append(replace(line, amount=amount))
    return tuple(lines), tuple(dict.fromkeys(notes))
