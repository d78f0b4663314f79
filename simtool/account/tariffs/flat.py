"""One price for every kilowatt-hour."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.account.tariff import TARIFFS, PowerSteps, TariffLine
from simtool.signals import Signal


@TARIFFS.register("flat")
@dataclass(frozen=True, slots=True)
class Flat:
    """The same price at all times."""

    signal: Signal

    def __post_init__(self) -> None:
        if not self.signal.is_constant or self.signal.unit != "USD/kWh":
            raise ValueError("a flat tariff takes a constant price in USD/kWh")

    @classmethod
    def example(cls) -> Flat:
        """0.08 USD/kWh."""
        return cls(Signal.constant(0.08, "USD/kWh"))

    def energy_price(self, begin_s: float, end_s: float) -> Signal:
        """The price, whatever the span."""
        del begin_s, end_s
        return self.signal

    def load_lines(self, load: PowerSteps) -> tuple[TariffLine, ...]:
        """Nothing beyond the energy."""
        del load
        return ()
