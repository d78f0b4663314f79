"""What hired accelerators cost: a lease for every time that a job held some."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from simtool.account.costs import WHOLE_DEVICE, CostLine, spread_over
from simtool.account.price_table import read_price_table
from simtool.account.rent import BillingTerms, Leases, RentBill, Reservation, rent_bill
from simtool.config.datacenter_hire import Hire
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.scenario import Series
from simtool.errors import InputError, Problem
from simtool.ledger import Ledger
from simtool.ledger.sums import FloatArray, IntArray, sum_by_key
from simtool.provenance import Derived, Input, Sourced
from simtool.result.datacenter.history import job_rows
from simtool.result.datacenter.signals import Place, series_of
from simtool.signals import Signal
from simtool.sim.fleet.outcome import FleetOutcome

HIRE = "hire, "
"""Lines of the provider's bill begin so."""


def hire_cost(loaded: LoadedDatacenter, hire: Hire, outcome: FleetOutcome) -> tuple[CostLine, ...]:
    """Lines of the provider's bill, which is one for all pools: so is a reservation.

    Raises:
        InputError: a price that is nowhere stated, a wrong price list, a spot price that does not cover the run.
    """
    bill, _, price = _bill(loaded, hire, outcome)
    while_held: dict[str, float] = {}
    for ledger in outcome.ledgers.values():
        for (job, state), seconds in ledger.group("device_s", ("job", "state")).items():
            if job:
                while_held[state] = while_held.get(state, 0.0) + seconds
    lines = []
    for line in bill.lines:
        amount = Derived(
            name=f"cost_hire_{line.name.replace(' ', '_')}_usd",
            value=line.amount_usd,
            unit="USD",
            formula=f"{line.accelerator_hours:,.0f} accelerator-hours x "
            f"{line.usd_per_accelerator_hour:.4g} USD/h",
            inputs=(Input("price per accelerator-hour", price),)
            if line.name == "on demand" and price is not None
            else (),
        )
        lines.append(
            CostLine(
                name=f"{HIRE}{line.name}",
                amount=amount,
                driver="device time",
                money=hire.money,
                portions=spread_over(amount.value, while_held, WHOLE_DEVICE),
                note=line.note,
            )
        )
    return tuple(lines)


def hire_shares(loaded: LoadedDatacenter, hire: Hire, outcome: FleetOutcome) -> FloatArray:
    """What the leases of every job cost, shape (1 + jobs,); first what no job leased.

    Only the part of a reservation that stayed unused is nobody's.
    """
    bill, rows, _ = _bill(loaded, hire, outcome)
    shares = sum_by_key(rows + 1, bill.lease_usd, 1 + len(outcome.names))
    shares[0] += bill.unused_reservation_usd
    return shares


def leases_of(ledger: Ledger, *, is_spot: bool = False) -> tuple[Leases, IntArray]:
    """Leases, and the number of the job that holds each, from 1 on in the order of the ledger's jobs.

    Where a job gets more accelerators a further lease begins, of the difference. Where it gives some back, those
    that it took last are given back first; the leases of the others go on.
    """
    table = ledger.table
    held = table.job > 0
    num = table.num_devices[held].astype(np.int64)
    num_times = len(table.breakpoints_s) + 1
    job = table.job[held].astype(np.int64) * num_times
    keys, place = np.unique(
        np.concatenate([job + table.begins[held], job + table.ends[held]]), return_inverse=True
    )
    changes = np.zeros(keys.size, np.int64)
    np.add.at(changes, place, np.concatenate([num, -num]))
    stack: list[tuple[int, int]] = []
    found: list[tuple[int, int, int, int]] = []
    for key, change in zip(keys[changes != 0].tolist(), changes[changes != 0].tolist(), strict=True):
        if change > 0:
            stack.append((key, change))
            continue
        left = -change
        while left:
            begin, size = stack.pop()
            ended = min(left, size)
            found.append((begin // num_times, begin % num_times, key % num_times, ended))
            left -= ended
            if size > ended:
                stack.append((begin, size - ended))
    holder, begins, ends, sizes = np.array(found, np.int64).reshape(-1, 4).T
    times_s = table.breakpoints_s
    return Leases.of(times_s[begins], times_s[ends], sizes, is_spot=is_spot), holder


def _bill(
    loaded: LoadedDatacenter, hire: Hire, outcome: FleetOutcome
) -> tuple[RentBill, IntArray, Sourced | None]:
    """The bill, the row of every lease's job among the outcome's, and the price on demand."""
    on_demand, spot = _prices(loaded, hire, outcome.end_s)
    parts, rows = [], []
    for pool, ledger in outcome.ledgers.items():
        leases, job = leases_of(ledger, is_spot=spot is not None)
        parts.append(leases)
        rows.append(job_rows(outcome, pool)[job])
    reserved = hire.reserved
    bill = rent_bill(
        Leases.of(
            *(
                np.concatenate([getattr(part, column) for part in parts])
                for column in ("begin_s", "end_s", "num_accelerators")
            ),
            is_spot=spot is not None,
        ),
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
        end_s=outcome.end_s,
    )
    return bill, np.concatenate(rows), on_demand


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
