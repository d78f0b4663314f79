"""What an electricity tariff is: a list of parts, each of which charges for a load in its own way.

A part sees the load as a meter does (`simtool.account.metered`): energy by steps of the local calendar, months, and
what the site drew before. It answers with lines. Lines of energy that know a price at every moment are additive, an
interval cut in two costs the same; whatever depends on the load as a whole (demand, tiers, fees) is a line by month.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.account.metered import BillLine, Charge, Metered, PowerSteps
from simtool.errors import InputError, Problem
from simtool.provenance import Kind
from simtool.registry import Registry
from simtool.signals import Signal
from simtool.signals.holidays import NO_HOLIDAYS, Holidays
from simtool.signals.local_time import LocalTime
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar
from simtool.units import JOULES_PER_KWH

__all__ = [
    "TARIFFS",
    "BillLine",
    "Charge",
    "Metered",
    "Part",
    "PowerSteps",
    "Tariff",
    "energy_usd",
    "tariff_of",
]


class Part(Protocol):
    """One way in which electricity is charged. Implementations are frozen and pure."""

    @property
    def name(self) -> str:
        """What its lines are called; unique within a tariff."""
        ...

    @classmethod
    def example(cls) -> Self:
        """A small instance, valid for the years 2024 and 2025, on which the contract tests of all parts run."""
        ...

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """Moments strictly inside a span at which what it charges may change [s since the start]."""
        ...

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal | None:
        """What one more kWh costs over a span [USD/kWh]; None where it charges nothing for a kWh."""
        ...

    def charge(self, metered: Metered) -> Charge:
        """What it charges for a load."""
        ...


TARIFFS: Registry[type[Part]] = Registry("tariff", "simtool.account.tariffs", "simtool.tariffs")
"""Parts of tariffs by kind: the modules of ``simtool.account.tariffs`` and plug-ins of other distributions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """All that a utility or supplier charges for one site.

    Raises:
        InputError: two parts of one name.
    """

    name: str = "tariff"
    parts: tuple[Part, ...]
    timezone: str = ""
    """Zone of the clock that it charges by; the site's where empty."""
    holidays: Holidays = NO_HOLIDAYS
    part_month: Literal["prorated", "full"] = "prorated"
    """What a month is charged in which the load runs for a part only: monthly amounts (fees, USD per kW, limits of
    tiers, minimum) by its share of the month's seconds, or in full."""
    minimum_usd_per_month: float = 0.0
    """Least total of a month; the missing amount is a line of its own."""
    contract_power_w: float | None = None
    """Contracted power, where a part charges a share of it in any case."""
    contains_carbon_price: bool = True
    """Whether a price on carbon is in its prices already; where not, it comes on top of the bill."""
    kind: Kind = "assumed"
    """The weakest of what its numbers are."""
    source: str = ""
    """Where they come from."""
    standing: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Peaks of the months before the load, by name of the demand charge, the latest last [W]: a ratchet stands on
    them."""

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            found = f"found two parts called {doubled[0]!r}"
            raise InputError(
                Problem(self.name, "parts", found, "one name for one line", "rename one of them")
            )
        unknown = sorted(set(self.standing) - set(names))
        if unknown:
            found, allowed = f"found peaks of {unknown[0]!r}", f"parts: {', '.join(names)}"
            raise InputError(
                Problem(self.name, "standing", found, allowed, "name a demand charge of the tariff")
            )

    def calendar(self, clock: LocalTime) -> LocalCalendar:
        """The calendar that it charges by, given the site's clock."""
        zone = self.timezone or clock.zone
        return LocalCalendar(clock=LocalTime(start=clock.start, zone=zone), holidays=self.holidays)

    def marginal_price(self, clock: LocalTime, begin_s: float, end_s: float) -> Signal:
        """What one more kWh costs over a span, without demand charges [USD/kWh].

        A tiered part counts with its last block, which is where a datacenter's next kWh falls; what a power
        purchase agreement covers is not on offer for the next one.
        """
        calendar = self.calendar(clock)
        prices = [part.marginal_price(calendar, begin_s, end_s) for part in self.parts]
        return sum_of([price for price in prices if price is not None], begin_s, end_s)

    @property
    def charges_contract(self) -> bool:
        """Whether a part charges a share of the contracted power in any case."""
        return any(getattr(part, "contract_minimum_frac", 0.0) > 0.0 for part in self.parts)

    def with_contract(self, power_w: float) -> Tariff:
        """The same tariff with another contracted power [W]."""
        return replace(self, contract_power_w=power_w)


def sum_of(signals: Sequence[Signal], begin_s: float, end_s: float) -> Signal:
    """Sum of prices over a span [USD/kWh]; a constant where all of them are."""
    if len(signals) == 1:
        return signals[0]
    if all(signal.is_constant for signal in signals):
        return Signal.constant(float(sum(float(signal.values[0]) for signal in signals)), "USD/kWh")
    inner = [edges[(edges > begin_s) & (edges < end_s)] for edges in (signal.edges_s for signal in signals)]
    edges = np.unique(np.concatenate([[begin_s], *inner]))
    values = np.sum([signal.at(edges) for signal in signals], axis=0)
    sources = dict.fromkeys(signal.source or signal.name for signal in signals)
    return Signal.from_steps(
        edges, values, end_s=end_s, unit="USD/kWh", source=" + ".join(source for source in sources if source)
    )


def energy_usd(
    price: Signal, begin_s: ArrayLike, end_s: ArrayLike, power_w: ArrayLike
) -> NDArray[np.float64]:
    """Energy charge of intervals of constant power: power x integral of the price. Broadcasts.

    >>> float(energy_usd(Signal.constant(0.1, "USD/kWh"), 0.0, 3600.0, 2000.0))  # 2 kWh
    0.2
    """
    return np.asarray(np.asarray(power_w) * price.integral(begin_s, end_s) / JOULES_PER_KWH)[()]


def tariff_of(price: Signal) -> Tariff:
    """The tariff that a scenario's bare ``price`` means: flat for a number, real-time for a series."""
    from simtool.account.tariffs.flat import Flat
    from simtool.account.tariffs.real_time import RealTime

    part = Flat(price) if price.is_constant else RealTime(price)
    return Tariff(parts=(part,), kind=price.kind, source=price.source or price.name)
