"""The electricity of a ledger under a whole tariff: cost lines that know in which state and component they arose."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import datetime

import numpy as np

from simtool.account.bill import AfterEnd, Bill, bill
from simtool.account.costs import WHOLE_DEVICE, CostLine, Portion
from simtool.account.energy import FACILITY
from simtool.account.metered import PowerSteps
from simtool.account.split import split
from simtool.account.tariff import Tariff
from simtool.config.scenario import Money
from simtool.ledger import Ledger
from simtool.provenance import Derived, Input, Sourced
from simtool.signals.signal import FloatArray

_WORDS = re.compile(r"[^a-z0-9]+")


def tariff_cost(
    ledger: Ledger,
    tariff: Tariff,
    start: datetime,
    timezone: str,
    pue: Sourced,
    money: Money,
    *,
    after_end: AfterEnd = "left out",
) -> tuple[CostLine, ...]:
    """One cost line for the energy, and one for each demand charge and fee, over all months of the bill.

    Args:
        ledger: finished record of the run.
        tariff: how its electricity is charged.
        start: the moment of the ledger's second 0, with a time zone.
        timezone: of the site.
        pue: facility energy over IT energy.
        money: which money the tariff is in.
        after_end: see `simtool.account.bill.bill`.
    """
    times = ledger.breakpoints_s
    load = PowerSteps(breakpoints_s=times, power_w=ledger.power_w() * pue.value)
    found = bill(load, tariff, start, timezone, after_end=after_end)
    it = Derived(
        name="energy_it_j", value=ledger.energy_j(), unit="J", formula="sum of power x time over the ledger"
    )
    return bill_lines(found, times, _powers(ledger, pue.value), money, inputs=(it, Input("PUE", pue)))


def bill_lines(
    found: Bill,
    breakpoints_s: FloatArray,
    power_w: Mapping[tuple[str, str], FloatArray],
    money: Money,
    *,
    inputs: tuple[Derived | Input, ...] = (),
) -> tuple[CostLine, ...]:
    """A bill as cost lines, each split by state and component; see `simtool.account.split`.

    Args:
        found: the bill.
        breakpoints_s: n + 1 times [s].
        power_w: power at the meter by state and component, n values each; they sum to the billed load [W].
        money: which money the tariff is in.
        inputs: numbers behind the load, for explanations.
    """
    lines = []
    for name, by_key in split(found, breakpoints_s, power_w).items():
        portions = tuple(_portion(key, amount) for key, amount in by_key.items())
        label = "electricity" if name == "energy" else name
        lines.append(
            CostLine(
                name=label,
                amount=Derived(
                    name=f"cost_{_WORDS.sub('_', label.lower())}_usd",
                    value=math.fsum(portion.amount for portion in portions),
                    unit="USD",
                    formula=f"lines of the bill by {found.tariff}, all months",
                    inputs=inputs,
                ),
                driver="energy",
                money=money,
                portions=portions,
                note=f"{found.tariff}, by month in {found.timezone}",
            )
        )
    return tuple(lines)


def _powers(ledger: Ledger, pue: float) -> Mapping[tuple[str, str], FloatArray]:
    """Power at the meter by state and component; what the building adds stands under `FACILITY`."""
    names = ledger.group("energy_j", ("state", "component"))
    powers = {(key[0], key[1]): ledger.power_w(state=key[0], component=key[1]) for key in names}
    states = dict.fromkeys(state for state, _ in powers)
    overhead = {
        (state, FACILITY): np.asarray(
            (pue - 1.0) * sum((power for (at, _), power in powers.items() if at == state), np.zeros(1))
        )
        for state in states
    }
    return powers | overhead


def _portion(key: tuple[str, str] | str, amount: float) -> Portion:
    state, component = ("idle", WHOLE_DEVICE) if isinstance(key, str) else key
    return Portion(state=state, component=component, amount=amount)
