"""The bill: lines that sum to it, each with its explanation and with the states in which it arose."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from simtool.account.energy import weighted_energy
from simtool.account.money import described, same_money
from simtool.config.scenario import Money
from simtool.ledger import Ledger
from simtool.provenance import Derived, Input, Sourced
from simtool.signals import Signal
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

Driver = Literal["energy", "device time"]
"""What a line grows with, and by what it is spread over the states of the ledger."""
Key = Literal["line", "state", "component"]
WHOLE_DEVICE = "device"
"""Component of what is paid for a device as a whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portion:
    """The part of a line that arose in one state and component."""

    state: str
    component: str
    amount: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """One line of the bill."""

    name: str
    amount: Derived
    """In USD; explains itself."""
    driver: Driver
    money: Money
    portions: tuple[Portion, ...]
    """Sum to the amount."""
    note: str = ""

    @property
    def amount_usd(self) -> float:
        """The amount."""
        return self.amount.value


def electricity_cost(ledger: Ledger, price: Signal, pue: Sourced, money: Money) -> tuple[CostLine, ...]:
    """Energy of the facility at its price; `simtool.account.electricity.tariff_cost` takes a whole tariff.

    ``sum over intervals of power x PUE x integral of the price``. Prices may be negative.

    Args:
        ledger: finished record of the run.
        price: in USD/kWh.
        pue: facility energy over IT energy.
        money: which money the prices are in.
    """
    if price.unit != "USD/kWh":
        raise ValueError(f"a price is in USD/kWh, not in {price.unit!r}")
    times = ledger.breakpoints_s
    first_s, last_s = (float(times[0]), float(times[-1])) if times.size else (0.0, 0.0)
    portions = tuple(
        Portion(state=state, component=component, amount=amount / JOULES_PER_KWH)
        for (state, component), amount in weighted_energy(ledger, price, pue.value).items()
    )
    it = Derived(
        name="energy_it_j", value=ledger.energy_j(), unit="J", formula="sum of power x time over the ledger"
    )
    energy = CostLine(
        name="electricity",
        amount=Derived(
            name="cost_electricity_usd",
            value=math.fsum(portion.amount for portion in portions),
            unit="USD",
            formula="integral of IT power x PUE x price",
            inputs=(it, Input("PUE", pue), Input("price", price.sourced(first_s, last_s))),
        ),
        driver="energy",
        money=money,
        portions=portions,
        note="price varies; the mean shown is over time" if not price.is_constant else "",
    )
    return (energy,)


def rent_cost(ledger: Ledger, price: Sourced, money: Money) -> tuple[CostLine, ...]:
    """Every accelerator of the cluster for every hour of the run, electricity included.

    Spare, idle and failed ones are rented as well: a reservation is paid for its wall time. That is
    accelerator-seconds over all states of the ledger.

    Args:
        ledger: finished record of the run.
        price: per accelerator-hour [USD/h].
        money: which money the price is in.
    """
    hours = accelerator_hours(ledger)
    return (
        device_time_line(
            ledger,
            "rent",
            Derived(
                name="cost_rent_usd",
                value=hours.value * price.value,
                unit="USD",
                formula="accelerator_hours x price per accelerator-hour",
                inputs=(hours, Input("price per accelerator-hour", price)),
            ),
            money,
            note="spare, idle and failed accelerators included; electricity is in the price",
        ),
    )


def accelerator_hours(ledger: Ledger) -> Derived:
    """Accelerator-hours in all states: wall time x accelerators of the cluster [h]."""
    return Derived(
        name="accelerator_hours_paid",
        value=ledger.device_s() / SECONDS_PER_HOUR,
        unit="h",
        formula="accelerator-seconds of the ledger, spares included",
    )


def device_time_line(ledger: Ledger, name: str, amount: Derived, money: Money, *, note: str = "") -> CostLine:
    """A line that grows with accelerator time, spread over the states by it."""
    return CostLine(
        name=name,
        amount=amount,
        driver="device time",
        money=money,
        portions=spread_over(amount.value, ledger.device_s_by("state"), WHOLE_DEVICE),
        note=note,
    )


def spread_over(amount: float, weights: Mapping[str, float], component: str) -> tuple[Portion, ...]:
    """An amount split over states in proportion to `weights`; the portions sum to it."""
    total = math.fsum(weights.values())
    if total <= 0:
        return (Portion(state="idle", component=component, amount=amount),) if amount else ()
    return tuple(
        Portion(state=state, component=component, amount=amount * (weight / total))
        for state, weight in weights.items()
    )


def total_cost(lines: Sequence[CostLine]) -> Derived:
    """The bill: the sum of its lines, which must be in one money."""
    money = same_money(line.money for line in lines)
    return Derived(
        name="cost_total_usd",
        value=math.fsum(line.amount_usd for line in lines),
        unit="USD",
        formula=f"{' + '.join(line.name for line in lines)}, in {described(money)}",
        inputs=tuple(line.amount for line in lines),
    )


def grouped(
    lines: Iterable[tuple[str, Sequence[Portion]]], by: Sequence[Key]
) -> dict[tuple[str, ...], float]:
    """Where it went: portions of named lines, summed by any of line, state and component.

    >>> grouped([("rent", [Portion(state="idle", component="device", amount=2.0)])], ["state"])
    {('idle',): 2.0}
    """
    found: dict[tuple[str, ...], list[float]] = {}
    for name, portions in lines:
        for portion in portions:
            words = {"line": name, "state": portion.state, "component": portion.component}
            found.setdefault(tuple(words[key] for key in by), []).append(portion.amount)
    return {key: math.fsum(amounts) for key, amounts in found.items()}
