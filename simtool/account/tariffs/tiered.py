"""Blocks of energy: the first kilowatt-hours of a month at one price, the next ones at another."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from simtool.account.energy_lines import Charged, charged_kwh
from simtool.account.metered import BillLine
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.errors import InputError, Problem
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """One block."""

    up_to_kwh: float
    """Energy of a month at which it ends; infinite for the last block [kWh]."""
    price_usd_per_kwh: float


@TARIFFS.register("tiered")
@dataclass(frozen=True, slots=True, kw_only=True)
class Tiered:
    """Energy in blocks of the billing month; a part month has its share of every block, see `Tariff.part_month`.

    Raises:
        InputError: limits that do not rise, or a last block that ends.
    """

    tiers: tuple[Tier, ...]
    name: str = "energy"
    charged_on: Charged = "shortfall"

    def __post_init__(self) -> None:
        limits = [0.0, *(tier.up_to_kwh for tier in self.tiers)]
        problem = None
        if not self.tiers or not math.isinf(limits[-1]):
            found = f"found no price above {limits[-1]:g} kWh a month"
            problem = found, "a last block without an end", "leave 'up_to' out of the last block"
        elif not all(before < after for before, after in pairwise(limits)):
            found = f"found limits of {', '.join(f'{limit:g}' for limit in limits[1:])} kWh"
            problem = found, "limits that rise from above 0", "order the blocks"
        if problem:
            raise InputError(Problem("", f"{self.name}.tiers", *problem))

    @classmethod
    def example(cls) -> Tiered:
        """0.12 USD/kWh up to 100 MWh a month, 0.10 up to 400, 0.07 above."""
        blocks = ((1e5, 0.12), (4e5, 0.10), (math.inf, 0.07))
        return cls(tiers=tuple(Tier(up_to_kwh=limit, price_usd_per_kwh=price) for limit, price in blocks))

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """None besides the months."""
        return np.zeros(0)

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal:
        """The price of the last block: a datacenter's next kWh falls into it."""
        return Signal.constant(self.tiers[-1].price_usd_per_kwh, "USD/kWh")

    def charge(self, metered: Metered) -> Charge:
        """One line for every month and block that its energy reaches."""
        energy = charged_kwh(metered, self.charged_on)
        totals = metered.by_month(energy)
        lines: list[BillLine] = []
        means = np.zeros(totals.size)
        for month, total in enumerate(totals):
            limits = [0.0, *(tier.up_to_kwh * metered.month_frac[month] for tier in self.tiers)]
            found = [
                BillLine(
                    month=metered.months.labels[month],
                    name=f"{self.name}, {_words(index, low, high)}",
                    kind="energy",
                    quantity=float(quantity := min(total, high) - low),
                    unit="kWh",
                    rate_usd=tier.price_usd_per_kwh,
                    amount_usd=float(quantity * tier.price_usd_per_kwh),
                )
                for index, (tier, (low, high)) in enumerate(zip(self.tiers, pairwise(limits), strict=True))
                if total > low or index == 0
            ]
            means[month] = math.fsum(line.amount_usd for line in found) / total if total else 0.0
            lines += found
        # Within a month every kWh bears the mean: which of them came first says nothing of who caused it.
        return Charge(lines=tuple(lines), step_usd=np.asarray(energy * means[metered.month_of_step]))


def _words(index: int, low: float, high: float) -> str:
    return (
        f"block {index + 1}, above {low:,.0f} kWh"
        if math.isinf(high)
        else f"block {index + 1}, to {high:,.0f} kWh"
    )
