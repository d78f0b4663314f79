"""One price for every kilowatt-hour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.energy_lines import Charged, energy_charge
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar


@TARIFFS.register("flat")
@dataclass(frozen=True, slots=True)
class Flat:
    """The same price at all times."""

    signal: Signal
    name: str = "energy"
    charged_on: Charged = "shortfall"

    def __post_init__(self) -> None:
        if not self.signal.is_constant or self.signal.unit != "USD/kWh":
            raise ValueError("a flat tariff takes a constant price in USD/kWh")

    @classmethod
    def example(cls) -> Flat:
        """0.08 USD/kWh."""
        return cls(Signal.constant(0.08, "USD/kWh"))

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """None: the price never changes."""
        return np.zeros(0)

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal:
        """The price, whatever the span."""
        return self.signal

    def charge(self, metered: Metered) -> Charge:
        """Energy of every month at the price."""
        rates = np.full(metered.energy_j.size, float(self.signal.values[0]))
        return energy_charge(metered, rates, self.name, self.charged_on)
