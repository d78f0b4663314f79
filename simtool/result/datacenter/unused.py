"""What a datacenter's file asks for and a run of it never came to, or did not reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.config.datacenter import moment
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.units import SECONDS_PER_HOUR, display

ROUNDING = 1e-9


def unused_notes(
    loaded: LoadedDatacenter, outcome: FleetOutcome, sites: Sequence[SiteAccounts]
) -> Iterator[str]:
    """One sentence each."""
    if num_late := int((outcome.submit_s >= outcome.end_s).sum()):
        yield f"{num_late:,} of {len(outcome.submit_s):,} jobs are submitted after the end of the run"
    for field, begin_s, over_s in _written_times(loaded):
        if begin_s >= outcome.end_s:
            yield f"{field} begins after the end of the run: it changes nothing"
        elif over_s <= 0.0:
            yield f"{field} is over before the start of the run: it changes nothing"
    for one in sites:
        bought = [part for part in one.signals.tariff.parts if isinstance(part, PowerPurchase)]
        named = ", ".join(part.name for part in bought if part.intensity is not None)
        if named and "market-based" not in one.signals.carbon:
            yield (
                f"what {named} contracts as its carbon intensity counts in the market-based account alone, which needs "
                f"{one.place.field('carbon.market')}, the residual mix"
            )
        yield from _supply_notes(one)
        battery = None if one.balance is None else one.balance.battery
        if one.balance is not None and battery is not None and one.balance.integral("discharge_w") == 0.0:
            supply = one.place.terms.supply
            policy = "" if supply is None or supply.battery is None else supply.battery.policy
            yield (
                f"{one.place.field('supply.battery')}: nothing was ever taken from it; what its policy {policy} asks "
                "of it never came together with a charge"
            )


def _supply_notes(one: SiteAccounts) -> Iterator[str]:
    """What a site's own supply leaves out of the costs, and a threshold that its battery could not hold."""
    supply, balance = one.place.terms.supply, one.balance
    if supply is None or balance is None:
        return
    plants = [name for name in ("battery", "solar", "wind", "backup") if getattr(supply, name) is not None]
    if plants:
        yield (
            f"{one.place.field('supply')}: costs hold no capital of {', '.join(plants)}, but of a battery with a price "
            "the share of its life, without interest"
        )
    if supply.battery is None or supply.battery.policy != "peak-shaving" or supply.battery.threshold is None:
        return
    threshold_w = float(supply.battery.threshold)
    above = balance.import_w > threshold_w * (1.0 + ROUNDING)
    if above.any():
        hours = float(np.diff(balance.breakpoints_s)[above].sum()) / SECONDS_PER_HOUR
        limit, highest = display(threshold_w, "W"), display(float(balance.import_w.max()), "W")
        yield (
            f"{one.place.field('supply.battery.threshold')}: {limit} was exceeded for {hours:,.4g} h, up to {highest}: "
            "the battery was empty, or too weak"
        )


def _written_times(loaded: LoadedDatacenter) -> Iterator[tuple[str, float, float]]:
    """Fields of which each has a time, when it begins and when it is over."""
    power, reliability, start = (
        loaded.datacenter.power,
        loaded.datacenter.reliability,
        loaded.datacenter.start,
    )
    begins_s = [moment(change.begin, start) for change in power.changes]
    for index, begin_s in enumerate(begins_s):
        yield f"power.changes[{index}]", begin_s, float("inf")
    for index, call in enumerate(power.curtailments):
        begin_s = moment(call.begin, start)
        yield f"power.curtailments[{index}]", begin_s, begin_s + float(call.length)
    planned = None if reliability == "none" else reliability.maintenance
    for name, window in (planned or {}).items():
        yield f"reliability.maintenance.{name}", float(window.first), float("inf")
