"""What a datacenter's file asks for and a run of it never came to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.config.datacenter import moment
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.result.datacenter.accounts import SiteAccounts
from simtool.sim.fleet.outcome import FleetOutcome


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
        battery = None if one.balance is None else one.balance.battery
        if one.balance is not None and battery is not None and one.balance.integral("discharge_w") == 0.0:
            supply = one.place.terms.supply
            policy = "" if supply is None or supply.battery is None else supply.battery.policy
            yield (
                f"{one.place.field('supply.battery')}: nothing was ever taken from it; what its policy {policy} asks "
                "of it never came together with a charge"
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
