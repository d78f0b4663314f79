"""A bill as a utility would print it: by month, line by line.

``bill(load, tariff, start, timezone)`` is all; `simtool.account.split` hands its amounts to those who drew the power.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np

from simtool.account.metered import BillLine, Contracted, Metered, PowerSteps, step_energy_j
from simtool.account.tariff import Tariff
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.signals.local_time import LocalTime, Months
from simtool.signals.signal import FloatArray

AfterEnd = Literal["left out", "charged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Lines of all months, and what it takes to split them."""

    tariff: str
    timezone: str
    lines: tuple[BillLine, ...]
    """In the order of months, within a month in that of the tariff's parts. They sum to the bill."""
    after: tuple[BillLine, ...]
    """What ratchets still ask for in the months after the end of the load, if no other load takes its place."""
    after_is_charged: bool
    """Whether those are among `lines`."""
    months: Months | None
    """None for a load without any interval."""
    edges_s: FloatArray
    """Of the steps in which energy was priced, n + 1 [s since the start]."""
    energy_usd: FloatArray
    """All lines of energy in every step; they sum to those lines."""
    energy_j: FloatArray
    """Of every step."""

    @property
    def total_usd(self) -> float:
        """Sum of the lines."""
        return math.fsum(line.amount_usd for line in self.lines)

    @property
    def after_usd(self) -> float:
        """Sum of what ratchets still ask for after the end."""
        return math.fsum(line.amount_usd for line in self.after)

    def month_usd(self) -> dict[str, float]:
        """Total by month."""
        months = dict.fromkeys(line.month for line in self.lines)
        return {
            month: math.fsum(line.amount_usd for line in self.lines if line.month == month)
            for month in months
        }

    def by_name(self) -> dict[str, float]:
        """Total by name of the line, over all months."""
        names = dict.fromkeys(line.name for line in self.lines)
        return {
            name: math.fsum(line.amount_usd for line in self.lines if line.name == name) for name in names
        }

    def by_kind(self) -> dict[str, float]:
        """Total of energy, demand and fixed lines."""
        return {
            kind: math.fsum(line.amount_usd for line in self.lines if line.kind == kind)
            for kind in ("energy", "demand", "fixed")
        }


def bill(
    load: PowerSteps,
    tariff: Tariff,
    start: datetime,
    timezone: str = "UTC",
    *,
    after_end: AfterEnd = "left out",
) -> Bill:
    """The bill of a load.

    The load is metered from its first to its last breakpoint. What a part month is charged is the tariff's
    `part_month`; what a ratchet asks for after the end is in `Bill.after`, and among the lines only with
    ``after_end="charged"``: a site goes on with other loads, a contract that ends with this one is paid to its end.

    Args:
        load: power at the meter, seconds since `start`.
        tariff: how it is charged.
        start: the moment of second 0, with a time zone.
        timezone: of the site, where the tariff names none.
        after_end: what becomes of a ratchet that outlives the load.

    Raises:
        InputError: a series of prices does not cover the load, or a contracted power is missing.

    >>> from datetime import UTC
    >>> from simtool.account.tariffs.flat import Flat
    >>> from simtool.signals import Signal
    >>> load = PowerSteps(breakpoints_s=np.array([0.0, 3600.0]), power_w=np.array([2000.0]))
    >>> flat = Tariff(parts=(Flat(Signal.constant(0.1, "USD/kWh")),))
    >>> round(bill(load, flat, datetime(2025, 1, 1, tzinfo=UTC)).total_usd, 12)  # 2 kWh
    0.2
    """
    clock = LocalTime(start=start, zone=timezone)
    zone = tariff.calendar(clock).clock.zone
    if load.power_w.size == 0:
        return Bill(
            tariff=tariff.name,
            timezone=zone,
            lines=(),
            after=(),
            after_is_charged=False,
            months=None,
            edges_s=np.zeros(0),
            energy_usd=np.zeros(0),
            energy_j=np.zeros(0),
        )
    metered = meter(load, tariff, clock)
    charges = [part.charge(metered) for part in tariff.parts]
    lines = [line for charge in charges for line in charge.lines]
    lines += _minimum(tariff, metered, lines)
    after = tuple(line for charge in charges for line in charge.after)
    charged = after_end == "charged"
    usd = np.zeros(metered.energy_j.size)
    for charge in charges:
        usd += charge.step_usd if charge.step_usd is not None else 0.0
    return Bill(
        tariff=tariff.name,
        timezone=zone,
        lines=tuple(sorted([*lines, *(after if charged else ())], key=lambda line: line.month)),
        after=after,
        after_is_charged=charged,
        months=metered.months,
        edges_s=metered.edges_s,
        energy_usd=usd,
        energy_j=metered.energy_j,
    )


def meter(load: PowerSteps, tariff: Tariff, clock: LocalTime) -> Metered:
    """A load on the steps of a tariff; the load has at least one interval."""
    calendar = tariff.calendar(clock)
    begin_s, end_s = load.span_s
    months = calendar.clock.months(begin_s, end_s)
    inner = [part.edges_s(calendar, begin_s, end_s) for part in tariff.parts]
    turns = months.edges_s[(months.edges_s > begin_s) & (months.edges_s < end_s)]
    edges = np.unique(np.concatenate([[begin_s, end_s], turns, *inner]))
    energy = step_energy_j(load, edges)
    contracted: dict[str, Contracted] = {}
    rest = load
    for part in tariff.parts:
        if isinstance(part, PowerPurchase):
            used = part.used(rest)
            contracted[part.name] = part.contracted(used, edges)
            rest = rest.less(used)
    spans = np.minimum(months.edges_s[1:], end_s) - np.maximum(months.edges_s[:-1], begin_s)
    frac = spans / np.diff(months.edges_s)
    return Metered(
        tariff_name=tariff.name,
        calendar=calendar,
        months=months,
        month_frac=frac if tariff.part_month == "prorated" else np.ones(frac.size),
        edges_s=edges,
        energy_j=energy,
        shortfall_j=energy if rest is load else step_energy_j(rest, edges),
        contracted=contracted,
        contract_power_w=tariff.contract_power_w,
        standing=tariff.standing,
    )


def _minimum(tariff: Tariff, metered: Metered, lines: list[BillLine]) -> list[BillLine]:
    if not tariff.minimum_usd_per_month:
        return []
    found = []
    for label, frac in zip(metered.months.labels, metered.month_frac, strict=True):
        least = tariff.minimum_usd_per_month * float(frac)
        missing = least - math.fsum(line.amount_usd for line in lines if line.month == label)
        if missing > 0:
            found.append(
                BillLine(
                    month=label,
                    name="minimum bill",
                    kind="fixed",
                    quantity=1.0,
                    unit="month",
                    rate_usd=missing,
                    amount_usd=missing,
                    note=f"up to {least:,.2f} USD",
                )
            )
    return found
