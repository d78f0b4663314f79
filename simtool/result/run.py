"""One scenario, from its file to its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simtool.account.carbon import CarbonLine, carbon_embodied, carbon_operational, embodied_notes
from simtool.account.costs import CostLine, accelerator_hours, electricity_cost, rent_cost
from simtool.account.defaults import economics
from simtool.account.own import NEED_POWER, Hardware, own_cost, own_notes
from simtool.config.load import LoadedScenario
from simtool.config.scenario import Own, Rent
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Derived, Input
from simtool.result.explain import rooted
from simtool.result.plan import Plan, build_plan
from simtool.result.prepare import Prepared, prepare
from simtool.result.quantities import (
    carbon_quantities,
    energy_quantities,
    money_quantities,
    time_quantities,
)
from simtool.result.result import Comparison, Result
from simtool.result.site import located_signals
from simtool.result.standing import standing, unused_numbers
from simtool.sim.run import Outcome, simulate

Progress = Callable[[str, float], None]
"""Called with what is being done and the fraction done."""

OBSERVABLES = (
    ("accelerator_hours", "accelerator_hours", "h"),
    ("step_time", "step_time_s", "s"),
    ("duration", "duration_s", "s"),
    ("energy", "energy_facility_j", "J"),
    ("carbon", "carbon_total_kgco2e", "kgCO2e"),
    ("goodput", "goodput_frac", ""),
    ("interruptions", "num_interruptions", ""),
)
"""Field of ``observed``, the quantity it is compared with, its unit."""


def run(
    loaded: LoadedScenario,
    library: ProfileLibrary,
    *,
    seeds: int = 1,
    progress: Progress | None = None,
) -> Result:
    """Simulate a scenario, with its method and without.

    Args:
        loaded: the scenario.
        library: where profiles are found.
        seeds: number of runs that differ in their random numbers; more than one gives intervals.
        progress: told what is being done.

    Raises:
        InputError: the scenario does not fit together.
        InfeasibleError: no memory, no layout, or failures faster than progress.
    """
    prepared = prepare(loaded, library)
    result = _result(prepared, progress)
    if prepared.effect is not None:
        plain = prepare(loaded, library, with_method=False, layouts=prepared.layouts)
        reference = _result(plain, progress)
        if seeds > 1:
            reference = replace(reference, intervals=_intervals(plain, reference, seeds, progress))
        # What was observed was trained without the method.
        result = replace(result, reference=reference, observed=reference.observed)
    if seeds > 1:
        result = replace(result, intervals=_intervals(prepared, result, seeds, progress))
        # Beside what was published stands what the table shows: the median of the runs.
        asked = result.reference or result
        observed = tuple(replace(one, predicted=asked.typical(one.name)) for one in result.observed)
        result = replace(result, observed=observed)
    assumed = prepared.scenario.cluster.assume.power_limit
    if assumed is not None and prepared.machine.accelerator.power.limit is None:
        result = replace(result, ranges=_ranges(loaded, library, prepared))
    return result


def _result(prepared: Prepared, progress: Progress | None) -> Result:
    plan = build_plan(prepared)
    outcome = _simulated(prepared, plan, 0, progress)
    costs, operational, embodied, notes = _accounts(prepared, outcome)
    quantities = _quantities(prepared, plan, outcome, costs, operational, embodied)
    return Result(
        loaded=prepared.loaded,
        model=prepared.job.model,
        layout=prepared.layout,
        num_devices=int(prepared.layouts.num_devices),
        global_batch=int(prepared.layouts.global_batch),
        phases=prepared.phases,
        outcome=outcome,
        costs=costs,
        quantities=quantities,
        intervals={},
        ranges={},
        notes=(*prepared.notes, *notes),
        observed=_compare(prepared, quantities),
        reference=None,
        profile_digests=prepared.profile_digests,
        carbon=(*operational, *embodied),
        bill_lacks=_bill_lacks(prepared),
        software=standing(
            prepared.machine.software,
            prepared.machine.accelerator,
            unused_numbers(prepared.job, prepared.layouts),
        ),
    )


def _simulated(prepared: Prepared, plan: Plan, run_index: int, progress: Progress | None) -> Outcome:
    name = prepared.scenario.name if prepared.effect is None else f"{prepared.scenario.name}, with method"

    def report(fraction: float) -> None:
        if progress is not None:
            progress(f"simulating {name}", fraction)

    return simulate(
        (plan.job,),
        plan.cluster,
        plan.checkpoint,
        plan.failures,
        seed=prepared.scenario.seed,
        run=run_index,
        progress=report,
    )


def _accounts(
    prepared: Prepared, outcome: Outcome
) -> tuple[tuple[CostLine, ...], tuple[CarbonLine, ...], tuple[CarbonLine, ...], list[str]]:
    """Cost lines, carbon of electricity, carbon of making the hardware, and what they leave open."""
    scenario, machine, ledger = prepared.scenario, prepared.machine, outcome.ledger
    site = scenario.site
    signals = located_signals(prepared.loaded, outcome.end_s)
    hardware = Hardware(accelerator=machine.accelerator, node=machine.node)
    terms = scenario.economics
    notes: list[str] = list(embodied_notes(hardware))
    if not machine.knows_power:
        notes.append(
            f"no power of {machine.accelerator.name} is published: energy and its carbon are left out"
            f"{_missing_lines(terms)}; assume a range with cluster.assume.power_limit: [LOW W, HIGH W]"
        )
    costs: tuple[CostLine, ...] = ()
    if isinstance(terms, Rent):
        costs = rent_cost(ledger, terms.price, terms.money)
    else:
        costs = own_cost(ledger, terms, hardware, knows_power=machine.knows_power)
        notes += own_notes(terms, hardware, knows_power=machine.knows_power)
        if machine.knows_power:
            costs += electricity_cost(ledger, signals.price, site.cooling.pue, terms.money)
    operational: tuple[CarbonLine, ...] = ()
    if machine.knows_power:
        operational = tuple(carbon_operational(ledger, signal, site.cooling.pue) for signal in signals.carbon)
    if isinstance(terms, Own):
        lifetime, utilisation = terms.lifetime, terms.utilisation
    else:
        lifetime, utilisation = economics().hardware_lifetime, economics().utilisation
    embodied = carbon_embodied(ledger, hardware, lifetime, utilisation)
    return costs, operational, embodied, notes


def _bill_lacks(prepared: Prepared) -> tuple[str, ...]:
    """Lines of the bill that need a power nobody states; what is rented has its electricity in the price."""
    owns = isinstance(prepared.scenario.economics, Own)
    return NEED_POWER if owns and not prepared.machine.knows_power else ()


def _missing_lines(terms: Own | Rent) -> str:
    if isinstance(terms, Rent):
        return ""
    return ", and of the bill electricity and the building, which is priced by the watt: the cost is too low"


def _quantities(
    prepared: Prepared,
    plan: Plan,
    outcome: Outcome,
    costs: tuple[CostLine, ...],
    operational: tuple[CarbonLine, ...],
    embodied: tuple[CarbonLine, ...],
) -> dict[str, Derived]:
    time = time_quantities(prepared, plan, outcome)
    paid = replace(accelerator_hours(outcome.ledger), inputs=(time["duration_s"],))
    energy = energy_quantities(prepared, outcome, time["duration_s"])
    roots: dict[str, tuple[Derived | Input, ...]] = {paid.name: paid.inputs}
    if energy:
        roots["energy_it_j"] = energy["energy_it_j"].inputs
    bills = {
        **money_quantities(costs, prepared.scenario.workload.tokens, _bill_lacks(prepared)),
        **carbon_quantities(operational, embodied),
    }
    return {
        **time,
        paid.name: paid,
        **energy,
        **{name: rooted(amount, roots) for name, amount in bills.items()},
    }


def _values(prepared: Prepared, run_index: int) -> dict[str, float]:
    plan = build_plan(prepared)
    outcome = _simulated(prepared, plan, run_index, None)
    costs, operational, embodied, _ = _accounts(prepared, outcome)
    quantities = _quantities(prepared, plan, outcome, costs, operational, embodied)
    return {name: quantity.value for name, quantity in quantities.items()}


def _intervals(
    prepared: Prepared, first: Result, seeds: int, progress: Progress | None
) -> dict[str, tuple[float, float, float]]:
    """p10, p50 and p90 over runs 0 to seeds - 1; run 0 is the result itself."""
    runs = [{name: quantity.value for name, quantity in first.quantities.items()}]
    for index in range(1, seeds):
        if progress is not None:
            progress(f"run {index + 1} of {seeds}", index / seeds)
        runs.append(_values(prepared, index))
    intervals = {}
    for name in runs[0]:
        p10, p50, p90 = np.percentile([values[name] for values in runs], [10, 50, 90])
        intervals[name] = (float(p10), float(p50), float(p90))
    return intervals


def _ranges(
    loaded: LoadedScenario, library: ProfileLibrary, prepared: Prepared
) -> dict[str, tuple[float, float]]:
    """Quantities at both ends of the assumed power."""
    low, high = (
        _values(prepare(loaded, library, assumed_power=end, layouts=prepared.layouts), 0) for end in (0, 1)
    )
    return {
        name: (min(low[name], high[name]), max(low[name], high[name]))
        for name in low
        if low[name] != high[name]
    }


def _compare(prepared: Prepared, quantities: dict[str, Derived]) -> tuple[Comparison, ...]:
    observed = prepared.scenario.observed
    if observed is None:
        return ()
    found = []
    for field, name, unit in OBSERVABLES:
        value = getattr(observed, field)
        if value is None or name not in quantities:
            continue
        source = getattr(value, "source", "") or observed.source
        found.append(
            Comparison(
                name=name,
                unit=unit,
                predicted=quantities[name].value,
                observed=float(value),
                kind=observed.kind,
                source=source,
            )
        )
    return tuple(found)
