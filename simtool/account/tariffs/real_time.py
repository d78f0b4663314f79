"""A price that changes with the wholesale market."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import numpy as np

from simtool.account.energy_lines import Charged, energy_charge
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.signals import Signal, find_series
from simtool.signals.local_time import LocalTime
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar
from simtool.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSeries:
    """A price by the name of its series, found once the start of the load is known."""

    series: str
    """Name of a shipped series, or the path of a file."""
    folder: Path | None = None
    """Where relative paths begin."""
    repeat: Literal["yearly"] | None = None

    def found(self, clock: LocalTime, end_s: float) -> Signal:
        """The series in seconds since the clock's start.

        Raises:
            InputError: no such series, or it cannot be read.
        """
        until = clock.start + timedelta(seconds=end_s)
        return find_series(
            self.series,
            clock.start,
            "USD/kWh",
            field="series",
            folder=self.folder,
            repeat=self.repeat,
            until=until,
        )


@TARIFFS.register("real_time")
@dataclass(frozen=True, slots=True)
class RealTime:
    """Every moment at its own price; negative prices pay the buyer."""

    price: Signal | NamedSeries
    name: str = "energy, real time"
    charged_on: Charged = "shortfall"
    adder_usd_per_kwh: float = 0.0
    """Comes on top of the market's price at all times."""

    def __post_init__(self) -> None:
        if isinstance(self.price, Signal) and self.price.unit != "USD/kWh":
            raise ValueError(f"a price is in USD/kWh, not in {self.price.unit!r}")

    @classmethod
    def example(cls) -> RealTime:
        """Two years of hours, some of them negative."""
        hours = np.arange(2 * 366 * 24) - 30 * 24
        values = 0.05 + 0.08 * np.sin(hours * np.pi / 12.0) + 0.01 * np.sin(hours * np.pi / 84.0)
        edges = hours * SECONDS_PER_HOUR
        end_s = float(edges[-1] + SECONDS_PER_HOUR)
        return cls(Signal.from_steps(edges, values, end_s=end_s, unit="USD/kWh"))

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """The steps of the series."""
        edges = self._signal(calendar, end_s).edges_s
        return np.asarray(edges[(edges > begin_s) & (edges < end_s)])

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal:
        """The series with the adder; asking outside its range is an error of the input."""
        signal = self._signal(calendar, end_s)
        return replace(signal, values=signal.values + self.adder_usd_per_kwh)

    def charge(self, metered: Metered) -> Charge:
        """Energy of every step at its price."""
        edges = metered.edges_s
        signal = self._signal(metered.calendar, float(edges[-1]))
        signal.require(edges[:-1], edges[1:])
        rates = signal.at(edges[:-1]) + self.adder_usd_per_kwh
        return energy_charge(metered, rates, self.name, self.charged_on)

    def _signal(self, calendar: LocalCalendar, end_s: float) -> Signal:
        return self.price if isinstance(self.price, Signal) else self.price.found(calendar.clock, end_s)
