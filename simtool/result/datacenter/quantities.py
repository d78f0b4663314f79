"""The quantities of a datacenter's run, each with its formula and what went in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from simtool.account.bill import Bill
from simtool.account.carbon import CarbonLine
from simtool.account.costs import CostLine
from simtool.facility import FacilitySeries
from simtool.ledger import LEDGER_STATES
from simtool.provenance import Derived, Input
from simtool.result.datacenter.prepare import PreparedSite
from simtool.sim.fleet.outcome import STATUSES, FleetOutcome
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

USEFUL = ("compute", "exposed_communication", "bubble")
"""States of a job that gets on."""


def fleet_quantities(outcome: FleetOutcome) -> Iterable[Derived]:
    """Of jobs and devices."""
    yield _of("duration_s", outcome.end_s, "s", "when the last job ended, or the time that was asked for")
    yield _of("num_jobs", float(len(outcome.names)), "", "jobs of the file, the generator and the campaign")
    for index, status in enumerate(STATUSES):
        name = f"num_jobs_{status.replace(' ', '_')}"
        yield _of(name, float((outcome.status == index).sum()), "", f"jobs that ended {status}")
    held_s, by_state = _device_s(outcome)
    total_s = sum(by_state.values())
    hours = _of(
        "accelerator_hours", held_s / SECONDS_PER_HOUR, "h", "accelerator-seconds that jobs held, all states"
    )
    yield hours
    useful_s = sum(by_state.get(state, 0.0) for state in USEFUL)
    yield _of("accelerator_hours_useful", useful_s / SECONDS_PER_HOUR, "h", "of them, work that was kept")
    yield _of(
        "utilisation_frac", held_s / total_s, "", "accelerator-time that jobs held / all accelerator-time"
    )
    if held_s > 0.0:
        yield _of(
            "goodput_frac", useful_s / held_s, "", "work that was kept / accelerator-time that jobs held"
        )
    for state in LEDGER_STATES:
        if state in by_state:
            share = by_state[state] / total_s
            yield _of(f"share_{state}_frac", share, "", f"accelerator-time in state {state} / all of it")
    started = ~np.isnan(outcome.start_s)
    waited_s = outcome.start_s[started] - outcome.submit_s[started]
    if waited_s.size:
        yield _of("wait_mean_s", float(waited_s.mean()), "s", "mean time from submission to first start")
        for percent in (50, 90, 99):
            value = float(np.percentile(waited_s, percent))
            yield _of(
                f"wait_p{percent}_s",
                value,
                "s",
                f"{percent} % of jobs waited no longer for their first start",
            )
    slowdown = outcome.slowdown()
    if slowdown.size:
        yield _of(
            "slowdown_mean", float(slowdown.mean()), "", "mean bounded slowdown (10 s) of jobs that ended"
        )
        yield _of("slowdown_p90", float(np.percentile(slowdown, 90)), "", "90 % of jobs have a smaller one")
    yield _of("num_waiting_mean", outcome.num_waiting_mean, "", "jobs in the queue, mean over time")
    yield _of("num_running_mean", outcome.num_running_mean, "", "jobs that hold accelerators, mean over time")
    yield _of("num_interruptions", float(outcome.num_interruptions.sum()), "", "of jobs, by whatever cause")
    yield _of("num_preemptions", float(outcome.num_preemptions.sum()), "", "of jobs, by others")


def power_quantities(site: PreparedSite, outcome: FleetOutcome, series: FacilitySeries) -> Iterable[Derived]:
    """Of energy, power and water."""
    boards = tuple(
        Input(f"board power limit of {pool.machine.accelerator.name}", pool.machine.accelerator.power.limit)
        for pool in site.pools
        if pool.machine.accelerator.power.limit is not None
    )
    parts = {
        component: sum(ledger.energy_j(component=component) for ledger in outcome.ledgers.values())
        for component in ("accelerator", "host", "network")
    }
    it = _of("energy_it_j", math.fsum(parts.values()), "J", "sum of power x time over the ledger", *boards)
    yield _of("energy_accelerator_j", parts["accelerator"], "J", "accelerators alone", *boards)
    yield it
    idle_j = sum(ledger.group("energy_j", ("job",)).get(("",), 0.0) for ledger in outcome.ledgers.values())
    yield _of("energy_unheld_j", idle_j, "J", "IT energy of accelerators that no job held", it)
    lost_j = sum(ledger.energy_j(state="lost_work") for ledger in outcome.ledgers.values())
    yield _of("energy_lost_work_j", lost_j, "J", "IT energy of work that was undone", it)
    facility = _of(
        "energy_facility_j",
        series.integral("total_w"),
        "J",
        "IT, conversion losses, cooling and the rest",
        it,
    )
    yield _of("energy_chain_loss_j", series.integral("chain_loss_w"), "J", "losses of conversion", it)
    yield _of("energy_cooling_j", series.integral("cooling_w"), "J", "cooling, over the hours' weather", it)
    yield facility
    yield _of("pue", facility.value / it.value, "", "energy_facility / energy_it", facility, it)
    peak_w = float(series.total_w.max())
    yield _of("power_it_peak_w", float(series.it_w.max()), "W", "highest IT power of any interval", it)
    yield _of("power_facility_peak_w", peak_w, "W", "highest power at the meter of any interval", facility)
    mean_w = facility.value / outcome.end_s
    yield _of("power_facility_mean_w", mean_w, "W", "energy_facility / duration", facility)
    yield _of(
        "load_factor_frac", mean_w / peak_w if peak_w else 0.0, "", "mean power / highest power", facility
    )
    water = _of(
        "water_site_kg", series.integral("water_kg_per_s"), "kg", "evaporated, blown down and drifted"
    )
    yield water
    wue = water.value / (it.value / JOULES_PER_KWH)
    yield _of("wue_kg_per_kwh", wue, "kg/kWh", "water_site / energy_it", water, it)
    grid = site.loaded.datacenter.water.grid
    if grid is not None:
        amount = float(grid) * facility.value / JOULES_PER_KWH
        inputs = (facility, Input("water.grid", grid))
        yield _of("water_grid_kg", amount, "kg", "energy_facility x water of generation", *inputs)


def money_quantities(
    outcome: FleetOutcome,
    bill: Bill,
    costs: Sequence[CostLine],
) -> Iterable[Derived]:
    """Of money."""
    total = Derived(
        name="cost_total_usd",
        value=math.fsum(line.amount_usd for line in costs),
        unit="USD",
        formula=" + ".join(line.name for line in costs),
        inputs=tuple(line.amount for line in costs),
    )
    yield total
    yield from (line.amount for line in costs)
    for kind, amount in bill.by_kind().items():
        yield _of(f"bill_{kind}_usd", amount, "USD", f"{kind} lines of the electricity bill, all months")
    yield _of(
        "bill_after_end_usd", bill.after_usd, "USD", "what ratchets ask for in the months after the end"
    )
    kwh = float(bill.energy_j.sum()) / JOULES_PER_KWH
    if kwh > 0.0:
        price = bill.total_usd / kwh
        yield _of("price_mean_usd_per_kwh", price, "USD/kWh", "electricity bill / energy at the meter")
    _, by_state = _device_s(outcome)
    useful_h = sum(by_state.get(state, 0.0) for state in USEFUL) / SECONDS_PER_HOUR
    if useful_h > 0.0:
        per_hour = total.value / useful_h
        formula = "cost_total / accelerator-hours of work that was kept"
        yield _of("cost_per_useful_accelerator_hour_usd", per_hour, "USD/h", formula, total)


def carbon_quantities(
    site: PreparedSite, lines: Sequence[CarbonLine], embodied: Sequence[CarbonLine]
) -> Iterable[Derived]:
    """Of carbon: one total for every question, and never one of several."""
    for line in lines:
        question = (line.basis.question if line.basis else "").replace("-", "_")
        yield line.amount
        with_making = () if question == "marginal" else embodied
        amount = math.fsum((line.amount_kgco2e, *(one.amount_kgco2e for one in with_making)))
        formula = " + ".join(one.name for one in (line, *with_making))
        inputs = (line.amount, *(one.amount for one in with_making))
        total = Derived(
            name=f"carbon_{question}_kgco2e", value=amount, unit="kgCO2e", formula=formula, inputs=inputs
        )
        yield total
        price = site.loaded.datacenter.carbon.shadow_price
        if price is not None:
            yield Derived(
                name=f"carbon_shadow_cost_{question}_usd",
                value=float(price) * line.amount_kgco2e,
                unit="USD",
                formula="carbon of electricity x shadow price; in no bill",
                inputs=(line.amount, Input("carbon.shadow_price", price)),
            )
    yield from (one.amount for one in embodied)


def _of(name: str, value: float, unit: str, formula: str, *inputs: Derived | Input) -> Derived:
    return Derived(name=name, value=value, unit=unit, formula=formula, inputs=inputs)


def _device_s(outcome: FleetOutcome) -> tuple[float, dict[str, float]]:
    """Accelerator-seconds that jobs held, and those of every state."""
    held_s = 0.0
    by_state: dict[str, float] = {}
    for ledger in outcome.ledgers.values():
        for (state,), amount in ledger.group("device_s", ("state",)).items():
            by_state[state] = by_state.get(state, 0.0) + amount
        held_s += ledger.device_s() - ledger.group("device_s", ("job",)).get(("",), 0.0)
    return held_s, by_state
