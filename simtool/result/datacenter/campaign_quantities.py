"""The quantities of every training run of a campaign: when it ran, how well, and its part of all accounts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from simtool.account.costs import CostLine
from simtool.ledger import WORK_STATES
from simtool.provenance import Derived, Input
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.campaign import CampaignRun
from simtool.result.datacenter.per_job import PerJob, shares_of
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.quantities import KEPT
from simtool.result.explain import explain_step_time
from simtool.result.quantities import utilisation
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.units import MEGA, SECONDS_PER_HOUR


def campaign_quantities(
    site: PreparedSite, outcome: FleetOutcome, sites: Sequence[SiteAccounts], costs: Sequence[CostLine]
) -> Iterable[Derived]:
    """Of every training run of the campaign."""
    if not site.campaign:
        return
    shares = shares_of(site, outcome, sites, costs)
    places = {name: index for index, name in enumerate(outcome.names)}
    for run in site.campaign:
        word = f"job_{run.row.name.replace('-', '_').replace('.', '_')}"
        found = (
            *_times(run, outcome, places[run.row.name]),
            *_efficiency(run, outcome, places[run.row.name]),
        )
        yield from (replace(number, name=f"{word}_{number.name}") for number in found)
        own = _accounts(run, outcome, places[run.row.name], shares, has_costs=bool(costs))
        yield from (replace(number, name=f"{word}_{number.name}") for number in own)


def _times(run: CampaignRun, outcome: FleetOutcome, index: int) -> Iterable[Derived]:
    name, finish_s = run.row.name, float(outcome.finish_s[index])
    if math.isfinite(finish_s):
        span_s = finish_s - float(outcome.submit_s[index])
        yield _of("time_s", span_s, "s", f"from submission to end of {name}")
    yield _of("waited_s", float(outcome.waited_s[index]), "s", f"time that {name} stood in the queue, in all")
    yield _of("num_devices", float(outcome.devices[index]), "", "accelerators that it held last, or asks for")


def _efficiency(run: CampaignRun, outcome: FleetOutcome, index: int) -> Iterable[Derived]:
    step = explain_step_time(run.prepared)
    yield replace(step, formula=f"{step.formula}; at full speed on the first pool where it can run")
    num_devices = _of("num_devices", float(run.row.num_devices), "", "accelerators that it asks for")
    yield utilisation(run.prepared, step, num_devices)[0]
    held = [ledger for ledger in outcome.ledgers.values() if run.row.name in ledger.jobs]
    device_s = sum(ledger.device_s(job=run.row.name) for ledger in held)
    yield _of("accelerator_hours", device_s / SECONDS_PER_HOUR, "h", "accelerator-time that it held")
    if device_s:
        worked_s = sum(ledger.device_s(job=run.row.name, state=WORK_STATES) for ledger in held)
        useful_s = worked_s if int(outcome.status[index]) in KEPT else 0.0
        yield _of("goodput_frac", useful_s / device_s, "", "work kept / accelerator-time that it held")


def _accounts(
    run: CampaignRun, outcome: FleetOutcome, index: int, shares: PerJob, *, has_costs: bool
) -> Iterable[Derived]:
    name = run.row.name
    energy_j = sum(ledger.energy_j(job=name) for ledger in outcome.ledgers.values() if name in ledger.jobs)
    yield _of("energy_it_j", energy_j, "J", f"IT energy of {name}")
    for question, amounts in shares.carbon_kgco2e.items():
        yield _of(
            f"carbon_electricity_{question.replace('-', '_')}_kgco2e",
            float(amounts[1 + index]),
            "kgCO2e",
            f"carbon of the electricity that {name} drew and cooling took for it, {question}",
        )
    if not has_costs:
        return
    formula = (
        "electricity as it was drawn + leases + the rest by accelerator-time in the pool; not what stood idle"
    )
    share = _of("cost_usd", float(shares.cost_usd[1 + index]), "USD", formula)
    yield share
    tokens = run.prepared.scenario.workload.tokens
    if math.isfinite(float(outcome.finish_s[index])):
        yield _of(
            "cost_per_million_tokens_usd",
            share.value / float(tokens) * MEGA,
            "USD",
            "cost of the run / tokens",
            share,
            Input("tokens", tokens),
        )


def _of(name: str, value: float, unit: str, formula: str, *inputs: Derived | Input) -> Derived:
    return Derived(name=name, value=value, unit=unit, formula=formula, inputs=inputs)
