"""The accounts of one site: power at the meter, supply, water, electricity bill, carbon."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from simtool.account.bill import Bill, bill
from simtool.account.carbon import CarbonLine
from simtool.account.costs import spread_over
from simtool.account.metered import PowerSteps
from simtool.facility import FacilitySeries
from simtool.facility.series import FloatArray, spread
from simtool.facility.site_balance import SiteBalance
from simtool.ledger import Ledger
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Derived, Input
from simtool.result.datacenter.emissions import contracted_inputs, emission
from simtool.result.datacenter.pools import PricedPool
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.signals import Place, Question, SiteSignals, site_signals
from simtool.result.datacenter.steps import Steps
from simtool.result.datacenter.supply import generator_of, supplied
from simtool.sim.fleet.outcome import FleetOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAccounts:
    """What one site drew, and what that costs and emits."""

    place: Place
    pools: tuple[PricedPool, ...]
    signals: SiteSignals
    series: FacilitySeries
    balance: SiteBalance | None
    """None where the grid alone supplies the site."""
    bill: Bill
    carbon: tuple[CarbonLine, ...]
    emissions: dict[Question, Steps]
    """Of what is taken from the grid, under every account [kg/s]."""
    fuel_kgco2e: float
    """Of the site's own generators."""

    @property
    def name(self) -> str:
        """Of the site; empty if there is only one."""
        return self.place.name

    @property
    def grid(self) -> tuple[FloatArray, FloatArray]:
        """Breakpoints [s], and power taken from the grid between them [W]."""
        if self.balance is None:
            return self.series.breakpoints_s, self.series.total_w
        return self.balance.breakpoints_s, self.balance.import_w


def site_accounts(
    site: PreparedSite, library: ProfileLibrary, outcome: FleetOutcome, name: str
) -> SiteAccounts:
    """The accounts of the site of this name.

    Raises:
        InputError: a series does not cover the run.
        InfeasibleError: a plant cannot cope, or the load cannot be supplied.
    """
    place = Place(site.loaded, name)
    pools = tuple(pool for pool in site.pools if pool.fleet.site == name)
    signals = site_signals(place, library, outcome.end_s)
    times, it_w = it_power([outcome.ledgers[pool.name] for pool in pools], outcome.end_s)
    series = site.facilities[name].over(times, it_w, signals.dry_bulb, signals.wet_bulb)
    balance = supplied(place, series, signals)
    grid_s, grid_w = (
        (series.breakpoints_s, series.total_w)
        if balance is None
        else (balance.breakpoints_s, balance.import_w)
    )
    found = bill(
        PowerSteps(breakpoints_s=grid_s, power_w=grid_w),
        signals.tariff,
        signals.clock.start,
        signals.clock.zone,
        after_end=place.terms.electricity.after_end,
    )
    weights = energy_by_state(outcome.ledgers[pool.name] for pool in pools)
    emissions = {
        question: emission(grid_s, grid_w, signal, signals.tariff)
        for question, signal in signals.carbon.items()
    }
    return SiteAccounts(
        place=place,
        pools=pools,
        signals=signals,
        series=series,
        balance=balance,
        bill=found,
        carbon=tuple(
            _electricity(question, signals, emissions[question], grid_s, grid_w, weights)
            for question in signals.carbon
        ),
        emissions=emissions,
        fuel_kgco2e=_fuel(place, balance),
    )


def it_power(ledgers: Sequence[Ledger], end_s: float) -> tuple[FloatArray, FloatArray]:
    """IT power of some pools over the union of their breakpoints, from 0 to the end."""
    if not ledgers:
        return np.array([0.0, end_s]), np.zeros(1)
    if len(ledgers) == 1:
        return ledgers[0].breakpoints_s, ledgers[0].power_w()
    times = np.unique(np.concatenate([ledger.breakpoints_s for ledger in ledgers]))
    powers = [spread(ledger.breakpoints_s, ledger.power_w(), times) for ledger in ledgers]
    return times, np.asarray(np.sum(powers, axis=0))


def energy_by_state(ledgers: Iterator[Ledger]) -> dict[str, float]:
    """IT energy of some pools by state [J]."""
    found: dict[str, float] = {}
    for ledger in ledgers:
        for state, amount in ledger.energy_j_by("state").items():
            found[state] = found.get(state, 0.0) + amount
    return found


def all_sites(sites: Sequence[SiteAccounts]) -> FacilitySeries:
    """The series of all sites together, over the union of their breakpoints."""
    if len(sites) == 1:
        return sites[0].series
    times = np.unique(np.concatenate([one.series.breakpoints_s for one in sites]))

    def total(column: str) -> FloatArray:
        parts = [spread(one.series.breakpoints_s, getattr(one.series, column), times) for one in sites]
        return np.asarray(np.sum(parts, axis=0))

    heat = total("it_w")
    free = [spread(one.series.breakpoints_s, one.series.free_frac * one.series.it_w, times) for one in sites]
    warmest = [spread(one.series.breakpoints_s, one.series.excursion_k, times) for one in sites]
    return FacilitySeries(
        breakpoints_s=times,
        it_w=heat,
        chain_loss_w=total("chain_loss_w"),
        cooling_w=total("cooling_w"),
        other_w=total("other_w"),
        evaporation_kg_per_s=total("evaporation_kg_per_s"),
        blowdown_kg_per_s=total("blowdown_kg_per_s"),
        drift_kg_per_s=total("drift_kg_per_s"),
        free_frac=np.asarray(np.sum(free, axis=0) / np.maximum(heat, 1e-300)),
        excursion_k=np.asarray(np.max(warmest, axis=0)),
    )


def named(name: str, place: str, unit: str = "") -> str:
    """Name of a quantity of one of several sites.

    >>> named("cost_electricity_energy_usd", "north-1", "usd"), named("pue", "")
    ('cost_electricity_energy_north_1_usd', 'pue')
    """
    if not place:
        return name
    word = place.replace("-", "_").replace(".", "_")
    return f"{name.removesuffix(f'_{unit}')}_{word}_{unit}" if unit else f"{name}_{word}"


def _electricity(
    question: Question,
    signals: SiteSignals,
    emitted: Steps,
    times_s: FloatArray,
    power_w: FloatArray,
    weights: Mapping[str, float],
) -> CarbonLine:
    """Of what is taken from the grid: integral of power x intensity."""
    signal, contracts = signals.carbon[question], contracted_inputs(signals.tariff, signals.carbon[question])
    amount = float(emitted.integral([emitted.times_s[0], emitted.times_s[-1]])[0])
    first_s, last_s = float(times_s[0]), float(times_s[-1])
    energy = Derived(
        name="energy_grid_j",
        value=float(np.sum(power_w * np.diff(times_s))),
        unit="J",
        formula="power taken from the grid x time",
    )
    words = signal.basis.value if signal.basis is not None else question
    formula = f"integral of power taken from the grid x {words} carbon intensity"
    if contracts:
        formula = (
            "what power purchases cover x what was contracted, the rest x the residual mix, moment by moment"
        )
    return CarbonLine(
        name=f"electricity, {question}",
        amount=Derived(
            name=f"carbon_electricity_{question.replace('-', '_')}_kgco2e",
            value=amount,
            unit="kgCO2e",
            formula=formula,
            inputs=(energy, Input(f"{words} carbon intensity", signal.sourced(first_s, last_s)), *contracts),
        ),
        basis=signal.basis,
        driver="energy",
        portions=spread_over(amount, dict(weights), "device"),
    )


def _fuel(place: Place, balance: SiteBalance | None) -> float:
    """What the site's own generators emit [kgCO2e]."""
    generator = generator_of(None if place.terms.supply is None else place.terms.supply.backup)
    if generator is None or balance is None:
        return 0.0
    rate = np.where(balance.generator_w > 0.0, generator.carbon_kg_per_s(balance.generator_w), 0.0)
    return math.fsum((rate * np.diff(balance.breakpoints_s)).tolist())
