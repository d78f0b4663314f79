"""What every job used, cost and emitted; what no job held stands apart, so that all of it sums to the whole.

Electricity is handed to those who drew it when it was drawn: an energy line of the bill by the power of each in every
step of the bill, a demand line by the power of each in the interval that set the peak, a fixed line by energy in
the month. Losses and cooling go with the power of the devices at the moment. What is paid by time goes by
accelerator-time in the pool, idle time to nobody; what is hired goes to the job that leased it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtool.account.costs import CostLine
from simtool.config.datacenter_hire import Hire
from simtool.ledger import LEDGER_STATES
from simtool.ledger.sums import FloatArray, sum_by_key
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.result.datacenter.hire import HIRE, hire_shares
from simtool.result.datacenter.history import GROUPS, job_rows, pool_names
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.result import DatacenterResult
from simtool.result.datacenter.steps import Steps, total
from simtool.sim.fleet.outcome import FleetOutcome

ELECTRICITY = "electricity, "
"""Cost lines that stand for the bill begin so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PerJob:
    """Arrays of shape (1 + jobs,): first what no job held, then every job in the order of the outcome."""

    device_s: FloatArray
    energy_j: dict[str, FloatArray]
    """IT energy by group of states."""
    energy_facility_j: FloatArray
    """With losses, cooling and the rest of the building."""
    electricity_usd: FloatArray
    """Of the bill, whether or not it is among the costs."""
    cost_usd: FloatArray
    """Of all cost lines."""
    carbon_kgco2e: dict[str, FloatArray]
    """Of electricity, by question."""

    @property
    def energy_it_j(self) -> FloatArray:
        """Of all groups."""
        return np.asarray(np.sum(list(self.energy_j.values()), axis=0))


def per_job(result: DatacenterResult) -> PerJob:
    """Shares of every job; they sum to the totals of the result."""
    return shares_of(result.site, result.outcome, result.sites, result.costs)


def shares_of(
    site: PreparedSite, outcome: FleetOutcome, views: Sequence[SiteAccounts], costs: Sequence[CostLine]
) -> PerJob:
    """Shares of every job in what the sites drew, in their bills and carbon, and in these costs."""
    num = len(outcome.names) + 1
    held, energy = np.zeros(num), {group: np.zeros(num) for group in GROUPS}
    by_pool: dict[str, FloatArray] = {}
    for pool, ledger in outcome.ledgers.items():
        rows = job_rows(outcome, pool) + 1
        of_pool = np.zeros(num)
        of_pool[rows] = ledger.by_job_and_state("device_s").sum(axis=1)
        by_pool[pool] = of_pool
        held += of_pool
        joules = ledger.by_job_and_state("energy_j")
        for group, states in GROUPS.items():
            energy[group][rows] += joules[:, [LEDGER_STATES.index(state) for state in states]].sum(axis=1)
    electricity = np.zeros(num)
    facility: dict[str, FloatArray] = {}
    carbon: dict[str, FloatArray] = {}
    for view in views:
        overhead, load = _overhead(view), _load(view)
        facility[view.name] = _weighed(outcome, view, overhead)
        _rest_to_nobody(facility[view.name], view.series.integral("total_w"))
        electricity += _weighed(outcome, view, _price(view, overhead))
        for question, emitted in view.emissions.items():
            load_w = load.values[np.searchsorted(load.times_s, emitted.times_s[:-1], side="right") - 1]
            per_joule = np.divide(emitted.values, load_w, out=np.zeros_like(load_w), where=load_w > 0.0)
            amount = _weighed(outcome, view, _product(overhead, Steps(emitted.times_s, per_joule)))
            carbon[question] = carbon.get(question, np.zeros(num)) + amount
    for asked, shares in carbon.items():
        _rest_to_nobody(shares, _carbon_total(views, asked))
    _rest_to_nobody(electricity, math.fsum(view.bill.total_usd for view in views))
    shared = _costs(costs, by_pool, electricity, facility)
    how = site.loaded.datacenter.economics
    if isinstance(how, Hire):
        shared += hire_shares(site.loaded, how, outcome)
    return PerJob(
        device_s=held,
        energy_j=energy,
        energy_facility_j=np.asarray(np.sum(list(facility.values()), axis=0)),
        electricity_usd=electricity,
        cost_usd=shared,
        carbon_kgco2e=carbon,
    )


def _rest_to_nobody(shares: FloatArray, whole: float) -> None:
    """What no device drew while it arose, such as the losses of a site whose devices are all off."""
    shares[0] += whole - math.fsum(shares.tolist())


def _carbon_total(views: Sequence[SiteAccounts], question: str) -> float:
    """Of electricity, by question [kgCO2e]."""
    return math.fsum(
        line.amount_kgco2e
        for view in views
        for line in view.carbon
        if line.basis is not None and line.basis.question == question
    )


def _overhead(view: SiteAccounts) -> Steps:
    """Power of the site over that of its devices."""
    it_w = view.series.it_w
    ratio = np.divide(view.series.total_w, it_w, out=np.ones_like(it_w), where=it_w > 0.0)
    return Steps(view.series.breakpoints_s, ratio)


def _load(view: SiteAccounts) -> Steps:
    """Power of the site, whoever supplies it [W]."""
    if view.balance is None:
        return Steps(view.series.breakpoints_s, view.series.total_w)
    return Steps(view.balance.breakpoints_s, view.balance.load_w)


def _product(one: Steps, other: Steps) -> Steps:
    if one.times_s is other.times_s:
        return Steps(one.times_s, one.values * other.values)
    begin_s, end_s = float(one.times_s[0]), float(one.times_s[-1])
    still = [Steps(steps.times_s, np.zeros_like(steps.values)) for steps in (one, other)]
    first, second = total([one, still[1]], begin_s, end_s), total([still[0], other], begin_s, end_s)
    return Steps(first.times_s, first.values * second.values)


def _price(view: SiteAccounts, overhead: Steps) -> Steps:
    """USD for every joule that devices draw: all lines of the bill, over those who caused them."""
    bill, load = view.bill, Steps(view.series.breakpoints_s, view.series.total_w)
    if bill.months is None:
        return Steps(load.times_s, np.zeros_like(load.values))
    windows = [
        (bill.edges_s, np.divide(bill.energy_usd, joules, out=np.zeros_like(joules), where=joules > 0.0))
        for joules in (load.integral(bill.edges_s),)
    ]
    months = np.clip(bill.months.edges_s, load.times_s[0], load.times_s[-1])
    for line in bill.lines:
        if line.kind == "energy":
            continue
        edges = np.array(line.peak_s) if line.peak_s is not None else None
        if edges is None or load.integral(edges)[0] <= 0.0:
            labels = bill.months.labels
            place = labels.index(line.month) if line.month in labels else -1
            edges = months[place : place + 2] if place >= 0 else months[[0, -1]]
        joules = load.integral(edges)
        if joules[0] > 0.0:
            windows.append((edges, line.amount_usd / joules))
    begin_s, end_s = float(load.times_s[0]), float(load.times_s[-1])
    price = total([Steps(edges, values) for edges, values in windows], begin_s, end_s)
    return _product(overhead, price)


def _weighed(outcome: FleetOutcome, view: SiteAccounts, weight: Steps) -> FloatArray:
    """Integral of the power of every job x a weight; shape (1 + jobs,)."""
    num = len(outcome.names) + 1
    sums = np.zeros(num)
    for pool in pool_names(view):
        ledger = outcome.ledgers[pool]
        table = ledger.table
        watts = np.array([pattern.power_w for pattern in ledger.patterns])
        weights = np.diff(weight.cumulative(table.breakpoints_s), prepend=0.0)
        passed = np.cumsum(weights)
        amounts = table.num_devices * watts[table.pattern] * (passed[table.ends] - passed[table.begins])
        sums += sum_by_key(job_rows(outcome, pool)[table.job] + 1, amounts, num)
    return sums


def _costs(
    costs: Sequence[CostLine],
    by_pool: dict[str, FloatArray],
    electricity: FloatArray,
    facility: dict[str, FloatArray],
) -> FloatArray:
    """All cost lines but those of a hire.

    The bill as it is shared, other lines of energy by energy at their site, the rest by time in its pool.
    """
    cost = np.zeros_like(electricity)
    billed = math.fsum(line.amount_usd for line in costs if line.name.startswith(ELECTRICITY))
    whole = math.fsum(electricity.tolist())
    if billed and whole:
        cost += electricity * (billed / whole)
    elif billed:
        cost[0] += billed
    for line in costs:
        if line.name.startswith((ELECTRICITY, HIRE)):
            continue
        weights = facility if line.driver == "energy" else by_pool
        mine = next(
            (found for name, found in weights.items() if name and line.name.endswith(f", {name}")),
            np.asarray(np.sum(list(weights.values()), axis=0)),
        )
        total_weight = math.fsum(mine.tolist())
        if total_weight > 0.0:
            cost += line.amount_usd * mine / total_weight
        else:
            cost[0] += line.amount_usd
    return cost
