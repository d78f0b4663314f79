"""The quantities of a datacenter's run, each with its formula and what went in."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from simtool.account.carbon import CarbonLine
from simtool.account.carbon_accounts import CarbonAccount, CarbonAmount, carbon_price
from simtool.account.costs import CostLine
from simtool.facility import FacilitySeries
from simtool.ledger import COMPONENTS, LEDGER_STATES, WORK_STATES
from simtool.provenance import Derived, Input
from simtool.result.datacenter.accounts import SiteAccounts, all_sites, named
from simtool.result.datacenter.history import job_rows
from simtool.result.datacenter.prepare import PreparedSite
from simtool.sim.fleet.outcome import STATUSES, UNFINISHED, FleetOutcome
from simtool.units import JOULES_PER_KWH, KILOGRAMS_PER_TONNE, SECONDS_PER_HOUR

KEPT = (STATUSES.index("completed"), UNFINISHED)
"""Jobs whose work is of use: nobody keeps that of one that failed, was cancelled or was ended by its limit."""


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
    useful_s, discarded_s = work_s(outcome)
    yield _of(
        "accelerator_hours_useful",
        useful_s / SECONDS_PER_HOUR,
        "h",
        "of them, work that was kept, of jobs that completed or were unfinished at the end",
    )
    yield _of(
        "accelerator_hours_ended_early",
        discarded_s / SECONDS_PER_HOUR,
        "h",
        "of them, work of jobs that failed, were cancelled or were ended by their limit",
    )
    yield _of(
        "utilisation_frac", held_s / total_s, "", "accelerator-time that jobs held / all accelerator-time"
    )
    if held_s > 0.0:
        yield _of("goodput_frac", useful_s / held_s, "", "accelerator_hours_useful / accelerator_hours")
    for state in LEDGER_STATES:
        if state in by_state:
            share = by_state[state] / total_s
            yield _of(f"share_{state}_frac", share, "", f"accelerator-time in state {state} / all of it")
    started = ~np.isnan(outcome.start_s)
    waited_s = outcome.start_s[started] - outcome.submit_s[started]
    if waited_s.size:
        yield _of("wait_mean_s", float(waited_s.mean()), "s", "mean time from submission to first start")
        for percent in (50, 90, 99):
            value = float(np.percentile(waited_s, percent, method="inverted_cdf"))
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
        yield _of(
            "slowdown_p90",
            float(np.percentile(slowdown, 90, method="inverted_cdf")),
            "",
            "90 % of jobs have no larger one",
        )
    yield _of("num_waiting_mean", outcome.num_waiting_mean, "", "jobs in the queue, mean over time")
    yield _of("num_running_mean", outcome.num_running_mean, "", "jobs that hold accelerators, mean over time")
    yield _of("num_interruptions", float(outcome.num_interruptions.sum()), "", "of jobs, by whatever cause")
    if np.isfinite(outcome.deadline_s).any():
        missed = float(outcome.num_deadlines_missed)
        yield _of("num_deadlines_missed", missed, "", "jobs that had not ended by their deadline")
    yield _of("num_preemptions", float(outcome.num_preemptions.sum()), "", "of jobs, by others")
    yield _of(
        "num_moves",
        float(outcome.num_moves.sum()),
        "",
        "of running jobs, to other pools or numbers of accelerators",
    )


def power_quantities(
    site: PreparedSite, outcome: FleetOutcome, sites: Sequence[SiteAccounts]
) -> Iterable[Derived]:
    """Of energy, power and water; of every site too where there are several."""
    parts = {
        component: sum(ledger.energy_j(component=component) for ledger in outcome.ledgers.values())
        for component in COMPONENTS
    }
    it = _of("energy_it_j", math.fsum(parts.values()), "J", "sum of power x time over the ledger")
    yield _of("energy_accelerator_j", parts["accelerator"], "J", "accelerators alone")
    yield it
    unheld_j = sum(ledger.group("energy_j", ("job",)).get(("",), 0.0) for ledger in outcome.ledgers.values())
    yield _of("energy_unheld_j", unheld_j, "J", "IT energy of accelerators that no job held", it)
    lost_j = sum(ledger.energy_j(state="lost_work") for ledger in outcome.ledgers.values())
    yield _of("energy_lost_work_j", lost_j, "J", "IT energy of work that was undone", it)
    yield from _site_power(all_sites(sites), it, outcome.end_s, "")
    yield from _supply(sites, it)
    moving = site.loaded.datacenter.moving
    if moving is not None:
        amount = outcome.moved_bytes * float(moving.energy)
        yield _of(
            "energy_moving_j",
            amount,
            "J",
            "saved states x energy per byte",
            Input("moving.energy", moving.energy),
        )
    water = math.fsum(one.series.integral("water_kg_per_s") for one in sites)
    total = _of("water_site_kg", water, "kg", "evaporated, blown down and drifted")
    yield total
    yield _of(
        "wue_kg_per_kwh", water / (it.value / JOULES_PER_KWH), "kg/kWh", "water_site / energy_it", total, it
    )
    at_plants = [
        (grid, float(np.sum(power_w * np.diff(times_s))))
        for one in sites
        if (grid := one.place.terms.water.grid) is not None
        for times_s, power_w in (one.grid,)
    ]
    if at_plants:
        amount = math.fsum(float(grid) * energy_j / JOULES_PER_KWH for grid, energy_j in at_plants)
        leaves = tuple(Input("water.grid", grid) for grid, _ in at_plants)
        yield _of("water_grid_kg", amount, "kg", "energy from the grid x water of generation", *leaves)
    if len(sites) > 1:
        for one in sites:
            own = _of(
                named("energy_it_j", one.name, "j"), one.series.integral("it_w"), "J", "of this site", it
            )
            yield own
            yield from _site_power(one.series, own, outcome.end_s, one.name)


def _site_power(series: FacilitySeries, it: Derived, end_s: float, name: str) -> Iterable[Derived]:
    """Of one site, or of all together."""

    def of(quantity: str, value: float, unit: str, formula: str, *inputs: Derived | Input) -> Derived:
        return _of(named(quantity, name, unit.lower() if unit else ""), value, unit, formula, *inputs)

    total_j = series.integral("total_w")
    facility = of("energy_facility_j", total_j, "J", "IT, conversion losses, cooling and the rest", it)
    yield of("energy_chain_loss_j", series.integral("chain_loss_w"), "J", "losses of conversion", it)
    yield of("energy_cooling_j", series.integral("cooling_w"), "J", "cooling, over the hours' weather", it)
    yield facility
    yield of(
        "pue", total_j / it.value if it.value else math.nan, "", "energy_facility / energy_it", facility, it
    )
    peak_w, mean_w = float(series.total_w.max()), total_j / end_s
    yield of("power_it_peak_w", float(series.it_w.max()), "W", "highest IT power of any interval", it)
    yield of(
        "power_facility_peak_w",
        peak_w,
        "W",
        "highest power that the site drew in any interval, whoever supplied it",
        facility,
    )
    yield of("power_facility_mean_w", mean_w, "W", "energy_facility / duration", facility)
    yield of(
        "load_factor_frac", mean_w / peak_w if peak_w else 0.0, "", "mean power / highest power", facility
    )


def _supply(sites: Sequence[SiteAccounts], it: Derived) -> Iterable[Derived]:
    """Of grid, panels, turbines, batteries and generators, where there are any."""
    balances = [one.balance for one in sites if one.balance is not None]
    if not balances:
        return
    for column, words in (
        ("import", "taken from the grid"),
        ("export", "fed into the grid"),
        ("solar", "generated by panels"),
        ("wind", "generated by turbines"),
        ("generator", "generated by backup"),
        ("curtailed", "of sun and wind that nobody took"),
        ("unserved", "of the load that nobody supplied"),
        ("discharge", "given by batteries"),
    ):
        amount = math.fsum(balance.integral(f"{column}_w") for balance in balances)
        if column == "import":  # a site without a supply of its own takes all from the grid
            amount += math.fsum(one.series.integral("total_w") for one in sites if one.balance is None)
        if amount or column == "import":
            yield _of(f"energy_{column}_j", amount, "J", f"energy {words}", it)
    peak_w = max(float(one.grid[1].max(initial=0.0)) for one in sites)
    yield _of(
        "power_grid_peak_w", peak_w, "W", "highest power from the grid in any interval, of one site", it
    )
    runs = [balance.battery for balance in balances if balance.battery is not None]
    if runs:
        cycles = math.fsum(run.full_cycles for run in runs) / len(runs)
        used = math.fsum(run.life_used_frac for run in runs) / len(runs)
        stored_j = math.fsum(float(run.stored_j[-1]) for run in runs)
        yield _of(
            "energy_stored_end_j", stored_j, "J", "left in batteries at the end; at the begin they are empty"
        )
        yield _of("battery_cycles", cycles, "", "full cycles of the batteries, mean")
        yield _of("battery_life_used_frac", used, "", "share of their life, in cycles and in years, mean")


def supply_costs(
    one: SiteAccounts,
) -> Iterable[tuple[str, str, float, tuple[Derived | Input, ...]]]:
    """What a site's own supply costs or earns: name, formula, amount [USD], inputs."""
    supply, balance = one.place.terms.supply, one.balance
    if supply is None or balance is None:
        return
    if supply.export_price is not None:
        amount = -float(supply.export_price) * balance.integral("export_w") / JOULES_PER_KWH
        inputs = (Input("supply.export_price", supply.export_price),)
        yield "fed into the grid", "- energy fed in x export price", amount, inputs
    if supply.backup is not None and supply.backup.price is not None:
        amount = float(supply.backup.price) * balance.integral("generator_w") / JOULES_PER_KWH
        inputs = (Input("supply.backup.price", supply.backup.price),)
        yield "backup", "energy of generators x their price", amount, inputs
    if supply.battery is not None and supply.battery.price is not None and balance.battery is not None:
        amount = float(supply.battery.price) * balance.battery.life_used_frac
        life = Input("supply.battery.calendar_life", supply.battery.calendar_life)
        price = Input("supply.battery.price", supply.battery.price)
        yield "battery wear", "price x share of its life, in cycles and in years", amount, (price, life)


def carbon_costs(one: SiteAccounts) -> Iterable[tuple[str, str, float, tuple[Derived | Input, ...]]]:
    """What a price of carbon costs a site: name, formula, amount [USD], inputs. Nothing is paid twice."""
    price = one.place.terms.carbon.price
    if price is None:
        return
    paying = ("market-based", "average")  # what is contracted, where that is known
    line = next(
        line
        for question in paying
        for line in one.carbon
        if line.basis is not None and line.basis.question == question
    )
    if line.basis is None:
        raise ValueError("an account of electricity has a basis")
    grid = CarbonAccount(
        basis=line.basis, amounts=(CarbonAmount(name="electricity", kgco2e=line.amount_kgco2e),)
    )
    paid = carbon_price(
        grid,
        float(price) * KILOGRAMS_PER_TONNE,
        fuel_kgco2e=one.fuel_kgco2e,
        tariff_contains_it=one.signals.tariff.contains_carbon_price,
    )
    for source, amount in paid.billed_usd.items():
        word = "electricity" if source == "electricity" else "fuel"
        formula = f"carbon of {source} x carbon.price, which is in no other line"
        inputs = (*((line.amount,) if word == "electricity" else ()), Input("carbon.price", price))
        yield f"carbon price, {word}", formula, amount, inputs


def money_quantities(
    outcome: FleetOutcome, sites: Sequence[SiteAccounts], costs: Sequence[CostLine]
) -> Iterable[Derived]:
    """Of money."""
    total = Derived(
        name="cost_total_usd",
        value=math.fsum(line.amount_usd for line in costs),
        unit="USD",
        formula=" + ".join(line.name for line in costs) or "nothing",
        inputs=tuple(line.amount for line in costs),
    )
    yield total
    yield from (line.amount for line in costs)
    for kind in ("energy", "demand", "fixed"):
        amount = math.fsum(one.bill.by_kind()[kind] for one in sites)
        yield _of(f"bill_{kind}_usd", amount, "USD", f"{kind} lines of the electricity bill, all months")
    after = math.fsum(one.bill.after_usd for one in sites)
    yield _of("bill_after_end_usd", after, "USD", "what ratchets ask for in the months after the end")
    kwh = math.fsum(float(one.bill.energy_j.sum()) for one in sites) / JOULES_PER_KWH
    if kwh > 0.0:
        price = math.fsum(one.bill.total_usd for one in sites) / kwh
        yield _of("price_mean_usd_per_kwh", price, "USD/kWh", "electricity bill / energy at the meter")
    useful_h = work_s(outcome)[0] / SECONDS_PER_HOUR
    if useful_h > 0.0 and costs:
        per_hour = total.value / useful_h
        formula = "cost_total / accelerator_hours_useful"
        yield _of("cost_per_useful_accelerator_hour_usd", per_hour, "USD/h", formula, total)


def carbon_quantities(sites: Sequence[SiteAccounts], embodied: Sequence[CarbonLine]) -> Iterable[Derived]:
    """Of carbon: one total for every question, and never one of several."""
    for question in dict.fromkeys(question for one in sites for question in one.signals.carbon):
        lines = [
            line for one in sites for line in one.carbon if line.basis and line.basis.question == question
        ]
        if len(lines) < len(sites):
            continue  # a total of some sites would be none
        word = question.replace("-", "_")
        with_making = () if question == "marginal" else tuple(one.amount for one in embodied)
        grid = _of(
            f"carbon_electricity_{word}_kgco2e",
            math.fsum(line.amount_kgco2e for line in lines),
            "kgCO2e",
            lines[0].amount.formula,
            *(lines[0].amount.inputs if len(lines) == 1 else (line.amount for line in lines)),
        )
        fuel = _of(
            "carbon_fuel_kgco2e",
            math.fsum(one.fuel_kgco2e for one in sites),
            "kgCO2e",
            "fuel of backup generators",
        )
        yield grid
        if fuel.value:
            yield fuel
        inputs = (grid, *((fuel,) if fuel.value else ()), *with_making)
        yield Derived(
            name=f"carbon_{word}_kgco2e",
            value=math.fsum(number.value for number in inputs),
            unit="kgCO2e",
            formula=" + ".join(number.name for number in inputs),
            inputs=inputs,
        )
        prices = [one.place.terms.carbon.shadow_price for one in sites]
        if any(price is not None for price in prices):
            amount = math.fsum(
                float(price) * (line.amount_kgco2e + one.fuel_kgco2e)
                for price, line, one in zip(prices, lines, sites, strict=True)
                if price is not None
            )
            yield _of(
                f"carbon_shadow_cost_{word}_usd",
                amount,
                "USD",
                "carbon of electricity and of fuel of backup generators x shadow price; in no bill, and not on what "
                "making the hosts took",
                grid,
                *((fuel,) if fuel.value else ()),
                *(Input("carbon.shadow_price", price) for price in prices if price is not None),
            )
    yield from (one.amount for one in embodied)


def carbon_notes(sites: Sequence[SiteAccounts]) -> Iterable[str]:
    """Accounts that cannot be drawn up because a site lacks their intensity."""
    for question in dict.fromkeys(question for one in sites for question in one.signals.carbon):
        lacking = [one.name for one in sites if question not in one.signals.carbon]
        if lacking:
            yield (
                f"no {question} carbon account: of {', '.join(lacking)} no {question} intensity is known, and a total "
                "of some sites would be none"
            )


def _of(name: str, value: float, unit: str, formula: str, *inputs: Derived | Input) -> Derived:
    return Derived(name=name, value=value, unit=unit, formula=formula, inputs=inputs)


def work_s(outcome: FleetOutcome) -> tuple[float, float]:
    """Accelerator-seconds of work that is of use, and of work whose job then failed or was ended."""
    columns = [LEDGER_STATES.index(state) for state in WORK_STATES]
    of_job = np.zeros(len(outcome.names))
    for pool, ledger in outcome.ledgers.items():
        of_job[job_rows(outcome, pool)[1:]] += ledger.by_job_and_state("device_s")[1:, columns].sum(axis=1)
    kept = np.isin(outcome.status, KEPT)
    return math.fsum(of_job[kept].tolist()), math.fsum(of_job[~kept].tolist())


def _device_s(outcome: FleetOutcome) -> tuple[float, dict[str, float]]:
    """Accelerator-seconds that jobs held, and those of every state."""
    held_s = 0.0
    by_state: dict[str, float] = {}
    for ledger in outcome.ledgers.values():
        for (state,), amount in ledger.group("device_s", ("state",)).items():
            by_state[state] = by_state.get(state, 0.0) + amount
        held_s += ledger.device_s() - ledger.group("device_s", ("job",)).get(("",), 0.0)
    return held_s, by_state
