"""Prices by season, kind of day and hour of the local clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.energy_lines import Charged, charged_kwh
from simtool.account.metered import BillLine
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.errors import InputError, Problem
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.signals.windows import DAY_WORDS, LocalCalendar, Window, first_hole, parse_hours, parse_months


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One price and when it holds."""

    name: str
    window: Window
    price_usd_per_kwh: float


@TARIFFS.register("time_of_use")
@dataclass(frozen=True, slots=True, kw_only=True)
class TimeOfUse:
    """Every hour of the local calendar at the price of its period.

    Raises:
        InputError: an hour has no price, or two; the hour is named.
    """

    periods: tuple[Period, ...]
    name: str = "energy"
    charged_on: Charged = "shortfall"

    def __post_init__(self) -> None:
        hole = first_hole([period.window for period in self.periods])
        if hole is None:
            return
        names = " and ".join(repr(self.periods[index].name) for index in hole.takers)
        found = f"{hole.when}: found {f'two prices, {names}' if names else 'no price'}"
        mend = "let one of them end earlier" if names else "add a period for it, or make one longer"
        raise InputError(
            Problem("", f"{self.name}.periods", found, "one price for every hour of the year", mend)
        )

    @classmethod
    def example(cls) -> TimeOfUse:
        """Two seasons; a peak on the afternoons of summer's working days, and no price alike."""
        summer, winter = parse_months("june-september"), parse_months("october-may")
        week, peak = DAY_WORDS["weekdays"], parse_hours("12:00-18:30")

        def period(name: str, price: float, months: tuple[int, ...], days: str, hours: str) -> Period:
            window = Window(months=months, days=DAY_WORDS[days], clock_s=parse_hours(hours))
            return Period(name=name, window=window, price_usd_per_kwh=price)

        return cls(
            periods=(
                Period(
                    name="summer peak",
                    window=Window(months=summer, days=week, clock_s=peak),
                    price_usd_per_kwh=0.21,
                ),
                period("summer", 0.11, summer, "weekdays", "18:30-12:00"),
                period("summer weekend", 0.09, summer, "weekends", "all"),
                period("winter day", 0.10, winter, "all", "06:00-22:00"),
                period("winter night", 0.07, winter, "all", "22:00-06:00"),
            )
        )

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """Where the clock comes to the begin or the end of a period, and every midnight."""
        return calendar.edges_s([period.window for period in self.periods], begin_s, end_s)

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal:
        """The price over a span."""
        edges = np.concatenate(([begin_s], self.edges_s(calendar, begin_s, end_s)))
        prices = np.array([period.price_usd_per_kwh for period in self.periods])
        values = prices[self._period_of(calendar, edges)]
        return Signal.from_steps(
            edges, values, end_s=max(end_s, np.nextafter(begin_s, np.inf)), unit="USD/kWh"
        )

    def charge(self, metered: Metered) -> Charge:
        """One line for every month and period that it holds."""
        energy = charged_kwh(metered, self.charged_on)
        period_of = self._period_of(metered.calendar, metered.edges_s[:-1])
        prices = np.array([period.price_usd_per_kwh for period in self.periods])
        shape = (metered.months.numbers.size, prices.size)
        cell = np.ravel_multi_index((metered.month_of_step, period_of), shape)
        quantities = np.bincount(cell, weights=energy, minlength=cell.size and shape[0] * shape[1])
        occurs = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
        lines = tuple(
            BillLine(
                month=metered.months.labels[month],
                name=f"{self.name}, {self.periods[index].name}",
                kind="energy",
                quantity=float(quantity),
                unit="kWh",
                rate_usd=float(prices[index]),
                amount_usd=float(quantity * prices[index]),
            )
            for (month, index), quantity in np.ndenumerate(quantities.reshape(shape))
            if occurs[month, index]
        )
        return Charge(lines=lines, step_usd=np.asarray(energy * prices[period_of]))

    def _period_of(
        self, calendar: LocalCalendar, time_s: FloatArray
    ) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
        inside = np.array([calendar.inside(period.window, time_s) for period in self.periods])
        return np.asarray(inside.argmax(axis=0))
