"""What the quantities of a datacenter rest on in the end: its jobs, its powers, its tariffs, its weather."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from simtool.ledger import COMPONENTS
from simtool.provenance import Derived, Input, Sourced
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.explain import rooted
from simtool.result.watts import machine_roots
from simtool.sim.fleet.outcome import FleetOutcome

Leaves = tuple[Derived | Input, ...]
BILLS = ("bill_", "cost_electricity", "price_mean")
"""How names of quantities begin that rest on tariffs."""
FROM_ENERGY = ("energy_", "power_", "water_", "carbon_", "battery_")
"""How names of quantities begin that rest on what devices drew."""


def with_roots(
    site: PreparedSite, outcome: FleetOutcome, sites: Sequence[SiteAccounts], found: Mapping[str, Derived]
) -> dict[str, Derived]:
    """The same quantities, with what those rest on that state no inputs of their own.

    Energies rest on the powers of boards, hosts and network by state, and on the jobs; bills on tariffs and energy;
    water on weather and energy; all else that a run counts on the jobs.
    """
    jobs = job_inputs(site, outcome)
    parts = energies(site, outcome, jobs)
    energy = Derived(
        name="energy_it_j",
        value=math.fsum(part.value for part in parts),
        unit="J",
        formula=" + ".join(part.name for part in parts),
        inputs=parts,
    )
    bills = tuple(_tariff(one, outcome.end_s) for one in sites)
    weather = tuple(leaf for one in sites for leaf in _weather(one, outcome.end_s))
    known: dict[str, Leaves] = {
        "energy_it_j": parts,
        "energy_accelerator_j": parts[0].inputs,
        "water_site_kg": (energy, *weather),
        "duration_s": _duration(site) or jobs,
    }

    def leaves(name: str) -> Leaves:
        if name in known:
            return known[name]
        if name.startswith(BILLS):
            return (*bills, energy)
        return (energy,) if name.startswith(FROM_ENERGY) else jobs

    bare = {
        node.name
        for tree in found.values()
        for _, node in tree.walk()
        if isinstance(node, Derived) and not node.inputs
    }
    roots = {name: leaves(name) for name in bare}
    return {name: rooted(tree, roots) for name, tree in found.items()}


def job_inputs(site: PreparedSite, outcome: FleetOutcome) -> tuple[Input, ...]:
    """The jobs, and what is said of what they do."""
    jobs = site.loaded.datacenter.jobs
    sources = [] if jobs.trace is None else [jobs.trace.file]
    sources += [] if jobs.generator is None else [f"{jobs.generator.profile}, drawn"]
    sources += [run.row.name for run in site.campaign]
    number = Sourced(
        value=float(len(outcome.names)), unit="", kind="assumed", source=f"jobs: {', '.join(sources)}"
    )
    work = () if jobs.work is None else (Input("jobs.work.activity", jobs.work.activity),)
    return (Input("jobs", number), *work)


def energies(site: PreparedSite, outcome: FleetOutcome, jobs: tuple[Input, ...]) -> tuple[Derived, ...]:
    """IT energy by component, down to the powers of every pool's devices."""
    roots = [(pool, machine_roots(pool.machine, outcome.ledgers[pool.name])) for pool in site.pools]
    several = len(roots) > 1
    found = []
    for component, word in zip(
        COMPONENTS, ("accelerator", "host_component", "network_component"), strict=True
    ):
        name = f"energy_{word}_j"
        powers = [(pool.name, power) for pool, by_name in roots for power in by_name[name]]
        leaves = tuple(
            Derived(
                name=f"{power.name.removesuffix('_w')}, {pool}" if several else power.name,
                value=power.value,
                unit=power.unit,
                formula=power.formula,
                inputs=power.inputs,
            )
            for pool, power in powers
        )
        value = math.fsum(ledger.energy_j(component=component) for ledger in outcome.ledgers.values())
        formula = "mean power by state x time of the accelerators in it"
        found.append(Derived(name=name, value=value, unit="J", formula=formula, inputs=(*leaves, *jobs)))
    return tuple(found)


def _tariff(one: SiteAccounts, end_s: float) -> Input:
    """What one more kWh costs, mean over the run, with the kind of the tariff's weakest number."""
    tariff = one.signals.tariff
    price = tariff.marginal_price(one.signals.clock, 0.0, end_s)
    number = Sourced(
        value=float(price.mean(0.0, end_s)),
        unit="USD/kWh",
        kind=tariff.kind,
        source=tariff.source or tariff.name,
    )
    return Input(f"price of one more kWh{f', {one.name}' if one.name else ''}", number)


def _weather(one: SiteAccounts, end_s: float) -> tuple[Input, ...]:
    if one.signals.weather is None:
        return ()
    return (Input("dry bulb", one.signals.weather.dry_bulb.sourced(0.0, end_s)),)


def _duration(site: PreparedSite) -> tuple[Input, ...]:
    duration = site.loaded.datacenter.duration
    return () if duration is None else (Input("duration", duration),)
