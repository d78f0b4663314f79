"""One datacenter, from its checked file to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simtool.account.bill import Bill, bill
from simtool.account.carbon import CarbonLine, carbon_embodied, embodied_notes
from simtool.account.costs import CostLine, rent_cost, spread_over
from simtool.account.defaults import economics
from simtool.account.metered import PowerSteps
from simtool.account.own import Hardware, own_cost, own_notes
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Money, Own, Rent
from simtool.facility import FacilitySeries
from simtool.facility.series import FloatArray, spread
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Derived, Input
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import PreparedSite, all_signals, jobs_of, prepare_site, simulate_site
from simtool.result.datacenter.quantities import (
    carbon_quantities,
    fleet_quantities,
    money_quantities,
    power_quantities,
)
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.signals import Question, SiteSignals
from simtool.signals import Signal
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.units import JOULES_PER_KWH

Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """What follows from a run of the fleet."""

    series: FacilitySeries
    bill: Bill
    costs: tuple[CostLine, ...]
    electricity_carbon: tuple[CarbonLine, ...]
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
    outcome = _simulated(site, jobs, 0, seeds, progress)
    found = accounts(site, outcome)
    values: dict[str, list[float]] = {name: [number.value] for name, number in found.quantities.items()}
    for index in range(1, seeds):
        again = jobs_of(site, index)
        other = accounts(site, _simulated(site, again, index, seeds, progress))
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
        series=found.series,
        bill=found.bill,
        costs=found.costs,
        carbon=(*found.electricity_carbon, *found.embodied),
        quantities=found.quantities,
        intervals=intervals,
        notes=tuple(dict.fromkeys((*jobs.notes, *site.notes, *found.notes))),
        profile_digests=site.profile_digests,
    )


def _simulated(
    site: PreparedSite, jobs: SiteJobs, run: int, num_runs: int, progress: Progress | None
) -> FleetOutcome:
    name = site.loaded.datacenter.name

    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"simulating {name}", (run + fraction) / num_runs)

    return simulate_site(site, jobs, run, report)


def accounts(site: PreparedSite, outcome: FleetOutcome) -> Accounts:
    """Power at the meter, water, bill, carbon and costs of one run of the fleet."""
    signals = all_signals(site, outcome.end_s)
    times, it_w = site_power(outcome)
    series = site.facility.over(times, it_w, signals.dry_bulb, signals.wet_bulb)
    electricity = site.loaded.datacenter.electricity
    found = bill(
        PowerSteps(breakpoints_s=series.breakpoints_s, power_w=series.total_w),
        signals.tariff,
        signals.clock.start,
        signals.clock.zone,
        after_end=electricity.after_end,
    )
    costs, notes = _costs(site, outcome, found)
    electricity_carbon = tuple(
        _carbon(question, signal, series, outcome) for question, signal in signals.carbon.items()
    )
    embodied, more = _embodied(site, outcome)
    quantities = {
        number.name: number
        for numbers in (
            fleet_quantities(outcome),
            power_quantities(site, outcome, series),
            money_quantities(outcome, found, costs),
            carbon_quantities(site, electricity_carbon, embodied),
        )
        for number in numbers
    }
    return Accounts(
        series=series,
        bill=found,
        costs=costs,
        electricity_carbon=electricity_carbon,
        embodied=embodied,
        quantities=quantities,
        notes=(*notes, *more),
    )


def site_power(outcome: FleetOutcome) -> tuple[FloatArray, FloatArray]:
    """IT power of all pools over the union of their breakpoints, from 0 to the end."""
    ledgers = list(outcome.ledgers.values())
    if len(ledgers) == 1:
        return ledgers[0].breakpoints_s, ledgers[0].power_w()
    times = np.unique(np.concatenate([ledger.breakpoints_s for ledger in ledgers]))
    return times, np.sum(
        [spread(ledger.breakpoints_s, ledger.power_w(), times) for ledger in ledgers], axis=0
    )


def _costs(
    site: PreparedSite, outcome: FleetOutcome, electricity: Bill
) -> tuple[tuple[CostLine, ...], tuple[str, ...]]:
    datacenter = site.loaded.datacenter
    how = datacenter.economics
    money = Money() if how is None else how.money
    weights = _energy_by_state(outcome)
    lines: list[CostLine] = []
    notes: list[str] = []
    if isinstance(how, Rent):
        notes.append(
            "rented by the hour: electricity is in the price, the bill of it is shown for comparison alone"
        )
    else:
        for kind, amount in electricity.by_kind().items():
            if amount:
                lines.append(
                    CostLine(
                        name=f"electricity, {kind}",
                        amount=Derived(
                            name=f"cost_electricity_{kind}_usd",
                            value=amount,
                            unit="USD",
                            formula=f"{kind} lines of the bill by {electricity.tariff}, all months",
                        ),
                        driver="energy",
                        money=money,
                        portions=spread_over(amount, weights, "device"),
                    )
                )
    several = len(site.pools) > 1
    for pool in site.pools:
        ledger = outcome.ledgers[pool.name]
        hardware = Hardware(accelerator=pool.machine.accelerator, node=pool.machine.node)
        if isinstance(how, Rent):
            found = rent_cost(ledger, how.price, how.money)
        elif isinstance(how, Own):
            found = own_cost(ledger, how, hardware, it_capacity_w=pool.capacity_w)
            notes += own_notes(how, hardware)
        else:
            found = ()
        lines += [_of_pool(line, pool.name) if several else line for line in found]
    return tuple(lines), tuple(dict.fromkeys(notes))


def _of_pool(line: CostLine, pool: str) -> CostLine:
    name = line.amount.name.removesuffix("_usd")
    amount = replace(line.amount, name=f"{name}_{pool.replace('-', '_').replace('.', '_')}_usd")
    return replace(line, name=f"{line.name}, {pool}", amount=amount)


def _energy_by_state(outcome: FleetOutcome) -> dict[str, float]:
    found: dict[str, float] = {}
    for ledger in outcome.ledgers.values():
        for state, amount in ledger.energy_j_by("state").items():
            found[state] = found.get(state, 0.0) + amount
    return found


def _carbon(question: Question, signal: Signal, series: FacilitySeries, outcome: FleetOutcome) -> CarbonLine:
    """Of the electricity at the meter: integral of power x intensity."""
    amount = float(signal.integrate_product(series.breakpoints_s, series.total_w)) / JOULES_PER_KWH
    first_s, last_s = float(series.breakpoints_s[0]), float(series.breakpoints_s[-1])
    energy = Derived(
        name="energy_facility_j",
        value=series.integral("total_w"),
        unit="J",
        formula="power at the meter x time",
    )
    words = signal.basis.value if signal.basis is not None else question
    return CarbonLine(
        name=f"electricity, {question}",
        amount=Derived(
            name=f"carbon_electricity_{question.replace('-', '_')}_kgco2e",
            value=amount,
            unit="kgCO2e",
            formula=f"integral of power at the meter x {words} carbon intensity",
            inputs=(energy, Input(f"{words} carbon intensity", signal.sourced(first_s, last_s))),
        ),
        basis=signal.basis,
        driver="energy",
        portions=spread_over(amount, _energy_by_state(outcome), "device"),
    )


def _embodied(site: PreparedSite, outcome: FleetOutcome) -> tuple[tuple[CarbonLine, ...], tuple[str, ...]]:
    how = site.loaded.datacenter.economics
    known = economics()
    lifetime = how.lifetime if isinstance(how, Own) else known.hardware_lifetime
    utilisation = how.utilisation if isinstance(how, Own) else known.utilisation
    several = len(site.pools) > 1
    lines: list[CarbonLine] = []
    notes: list[str] = []
    for pool in site.pools:
        hardware = Hardware(accelerator=pool.machine.accelerator, node=pool.machine.node)
        notes += embodied_notes(hardware)
        for line in carbon_embodied(outcome.ledgers[pool.name], hardware, lifetime, utilisation):
            name = f"{line.amount.name.removesuffix('_kgco2e')}_{pool.name.replace('-', '_')}_kgco2e"
            amount = replace(line.amount, name=name) if several else line.amount
            lines.append(replace(line, amount=amount))
    return tuple(lines), tuple(dict.fromkeys(notes))


__all__ = ["Accounts", "DatacenterResult", "SiteSignals", "accounts", "run_datacenter", "site_power"]
