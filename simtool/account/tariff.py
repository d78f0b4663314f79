"""What every electricity tariff answers, and the table of tariffs.

A tariff has an energy part, which is a price over time and therefore additive: an interval cut in two
costs the same, twice the power costs twice as much. Whatever is not additive (demand charges, tiers, fixed
fees, minimum bills) is a line of its own over the load as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.registry import Registry
from simtool.signals import Signal
from simtool.units import JOULES_PER_KWH


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSteps:
    """Power at the facility's meter: ``power_w[i]`` from ``breakpoints_s[i]`` to ``breakpoints_s[i + 1]``."""

    breakpoints_s: NDArray[np.float64]
    power_w: NDArray[np.float64]

    @property
    def peak_w(self) -> float:
        """Highest power; 0 without any interval."""
        return float(self.power_w.max(initial=0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffLine:
    """A line of the bill that depends on the load as a whole."""

    name: str
    amount_usd: float
    note: str


class Tariff(Protocol):
    """How electricity is charged. Implementations are frozen and pure."""

    @classmethod
    def example(cls) -> Tariff:
        """A small instance, valid for the first day, on which the contract tests of all tariffs run."""
        ...

    def energy_price(self, begin_s: float, end_s: float) -> Signal:
        """Price of energy over this span [USD/kWh]."""
        ...

    def load_lines(self, load: PowerSteps) -> tuple[TariffLine, ...]:
        """What the load as a whole costs on top of its energy."""
        ...


TARIFFS: Registry[type[Tariff]] = Registry("tariff", "simtool.account.tariffs", "simtool.tariffs")
"""Tariffs by name: the modules of ``simtool.account.tariffs`` and plug-ins of other distributions."""


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

    return Flat(price) if price.is_constant else RealTime(price)
