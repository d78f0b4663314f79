"""What hired accelerators cost: a lease for every time that a job held some."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simtool.account.costs import CostLine, device_time_line
from simtool.account.price_table import read_price_table
from simtool.account.rent import BillingTerms, Leases, RentBill, Reservation, rent_bill
from simtool.config.datacenter_hire import Hire
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.ledger import Ledger
from simtool.provenance import Derived, Input, Sourced
from simtool.result.datacenter.signals import Place, series_of
from simtool.signals import Signal
from simtool.sim.fleet.outcome import FleetOutcome


def hire_cost(loaded: LoadedDatacenter, hire: Hire, outcome: FleetOutcome) -> tuple[CostLine, ...]:
    """Lines of the provider's bill.

    Raises:
        InputError: a price that is nowhere stated, a wrong price list, a spot price that does not cover the run.
    """
    on_demand, spot = _prices(loaded, hire, outcome.end_s)
    lines: list[CostLine] = []
    for pool, ledger in outcome.ledgers.items():
        bill = _bill(hire, ledger, outcome.end_s, on_demand, spot)
        suffix = f", {pool}" if len(outcome.ledgers) > 1 else ""
        word = f"_{pool.replace('-', '_').replace('.', '_')}" if suffix else ""
        for line in bill.lines:
            price = on_demand if line.name == "on demand" and on_demand is not None else None
            lines.append(
                device_time_line(
                    ledger,
                    f"hire, {line.name}{suffix}",
                    Derived(
                        name=f"cost_hire_{line.name.replace(' ', '_')}{word}_usd",
                        value=line.amount_usd,
                        unit="USD",
                        formula=f"{line.accelerator_hours:,.0f} accelerator-hours x "
                        f"{line.usd_per_accelerator_hour:.4g} USD/h",
                        inputs=() if price is None else (Input("price per accelerator-hour", price),),
                    ),
                    hire.money,
                    note=line.note,
                )
            )
    return tuple(lines)


def leases_of(ledger: Ledger, *, is_spot: bool = False) -> Leases:
    """Every stretch of time in which a job held the same number of accelerators."""
    segments = ledger.segments()
    held = segments["job"] != ""
    job, begin_s, end_s = segments["job"][held], segments["t0_s"][held], segments["t1_s"][held]
    num = segments["num_devices"][held]
    _, code = np.unique(job, return_inverse=True)
    order = np.lexsort((begin_s, code))
    code, begin_s, end_s, num = code[order], begin_s[order], end_s[order], num[order]
    if code.size == 0:
        return Leases.of(np.zeros(0), np.zeros(0), np.zeros(0, np.int64), is_spot=is_spot)
    goes_on = (code[1:] == code[:-1]) & (begin_s[1:] == end_s[:-1]) & (num[1:] == num[:-1])
    first = np.concatenate([[True], ~goes_on])
    last = np.concatenate([~goes_on, [True]])
    return Leases.of(begin_s[first], end_s[last], num[first], is_spot=is_spot)


def _bill(
    hire: Hire, ledger: Ledger, end_s: float, on_demand: Sourced | None, spot: Signal | None
) -> RentBill:
    reserved = hire.reserved
    return rent_bill(
        leases_of(ledger, is_spot=spot is not None),
        on_demand_usd_per_hour=None if on_demand is None else float(on_demand),
        spot_usd_per_hour=spot,
        reservation=None
        if reserved is None
        else Reservation(
            num_accelerators=reserved.num_accelerators,
            usd_per_accelerator_hour=float(reserved.price),
            term_s=float(reserved.term),
            commitment=reserved.commitment,
        ),
        terms=BillingTerms(
            step_s=0.0 if hire.billing_step is None else float(hire.billing_step),
            minimum_s=0.0 if hire.minimum is None else float(hire.minimum),
        ),
        end_s=end_s,
    )


def _prices(loaded: LoadedDatacenter, hire: Hire, end_s: float) -> tuple[Sourced | None, Signal | None]:
    """On demand, and on the spot market over time."""
    place = Place(loaded, next(iter(loaded.datacenter.terms)))
    on_demand = hire.price
    if on_demand is None and hire.prices is not None and hire.spot is None:
        on_demand = _listed(loaded, hire, "on demand")
    if hire.spot is None:
        return on_demand, None
    written: Sourced | Series | None = hire.spot.price
    if written is None:
        written = _listed(loaded, hire, "spot")
    if isinstance(written, Sourced):
        return on_demand, Signal.constant(written, name="economics.spot.price")
    found = series_of(place, written, "USD/h", "economics.spot.price", end_s)
    found.require(0.0, end_s)
    return on_demand, found


def _listed(loaded: LoadedDatacenter, hire: Hire, market: str) -> Sourced:
    prices = hire.prices
    if prices is None:
        where = loaded.locate("economics")
        mend = "add 'price', or 'prices: {file: ..., accelerator: ...}'"
        raise InputError(Problem(where, "economics", f"found no price {market}", "", mend))
    path = Path(prices.file).expanduser()
    table = read_price_table(path if path.is_absolute() else loaded.path.parent / path)
    return table.price(
        prices.accelerator,
        count=prices.count,
        region=prices.region,
        market="spot" if market == "spot" else "on demand",
    )
