"""A price that changes with the wholesale market."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.tariff import TARIFFS, PowerSteps, TariffLine
from simtool.signals import Signal
from simtool.units import SECONDS_PER_HOUR


@TARIFFS.register("real_time")
@dataclass(frozen=True, slots=True)
class RealTime:
    """Every moment at its own price; negative prices pay the buyer."""

    signal: Signal

    def __post_init__(self) -> None:
        if self.signal.unit != "USD/kWh":
            raise ValueError(f"a price is in USD/kWh, not in {self.signal.unit!r}")

    @classmethod
    def example(cls) -> RealTime:
        """Two days of hours, some of them negative."""
        hours = np.arange(48)
        values = 0.05 + 0.08 * np.sin(hours * np.pi / 12.0)
        return cls(
            Signal.from_steps(hours * SECONDS_PER_HOUR, values, end_s=48 * SECONDS_PER_HOUR, unit="USD/kWh")
        )

    def energy_price(self, begin_s: float, end_s: float) -> Signal:
        """The series; integrating it outside its range is an error of the input."""
        del begin_s, end_s
        return self.signal

    def load_lines(self, load: PowerSteps) -> tuple[TariffLine, ...]:
        """Nothing beyond the energy."""
        del load
        return ()
