"""A load as a meter sees it: energy by the steps of the local calendar.

All parts of a tariff are charged on one set of steps, the union of the moments at which any of them may change its
price. Inside a step every price is constant, so its energy is all that the load needs to say, and two million
breakpoints become some tens of thousands of steps once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.signals.local_time import IntArray, Months
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

WATTS_PER_KILOWATT = JOULES_PER_KWH / SECONDS_PER_HOUR

ROUNDING = 1e-9
"""Relative to the peak: what sums of powers that come and go may leave below zero."""

LineKind = Literal["energy", "demand", "fixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerSteps:
    """Power at the facility's meter: ``power_w[i]`` from ``breakpoints_s[i]`` to ``breakpoints_s[i + 1]``.

    Raises:
        ValueError: the arrays do not fit, times do not rise, or power is negative: what a site gives back is a load
            of its own.
    """

    breakpoints_s: NDArray[np.float64]
    power_w: NDArray[np.float64]

    def __post_init__(self) -> None:
        times, power = self.breakpoints_s, self.power_w
        if times.ndim != 1 or power.ndim != 1 or max(times.size - 1, 0) != power.size:
            raise ValueError(f"n + 1 breakpoints hold n powers, not {times.shape} and {power.shape}")
        if power.size and not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
            raise ValueError("breakpoints must rise and be finite")
        if power.size and not (np.isfinite(power).all() and power.min() >= -ROUNDING * power.max()):
            raise ValueError("power must be finite and not negative")

    @property
    def peak_w(self) -> float:
        """Highest power; 0 without any interval."""
        return float(self.power_w.max(initial=0.0))

    @property
    def span_s(self) -> tuple[float, float]:
        """First and last moment; both 0 without any interval [s]."""
        return (
            (float(self.breakpoints_s[0]), float(self.breakpoints_s[-1])) if self.power_w.size else (0.0, 0.0)
        )

    @property
    def energy_j(self) -> float:
        """Energy of the whole load [J]."""
        return float(np.sum(self.power_w * np.diff(self.breakpoints_s))) if self.power_w.size else 0.0

    def less(self, part: PowerSteps) -> PowerSteps:
        """What remains of the load without a part of it, whose breakpoints contain its own."""
        piece = np.searchsorted(self.breakpoints_s, part.breakpoints_s[:-1], side="right") - 1
        rest = np.maximum(self.power_w[piece] - part.power_w, 0.0)
        return PowerSteps(breakpoints_s=part.breakpoints_s, power_w=rest)


@dataclass(frozen=True, slots=True, kw_only=True)
class BillLine:
    """One line of a bill: ``amount = quantity x rate x month_frac``."""

    month: str
    """Year and month, ``2025-03``."""
    name: str
    kind: LineKind
    quantity: float
    unit: str
    rate_usd: float
    """USD per unit, and per month where it is charged by the month."""
    amount_usd: float
    month_frac: float = 1.0
    """Share of the month that is charged; 1 for energy."""
    note: str = ""
    peak_s: tuple[float, float] | None = None
    """Interval that set the billed demand [s since the start]; None where no interval of the load did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one part of a tariff charges."""

    lines: tuple[BillLine, ...] = ()
    step_usd: FloatArray | None = None
    """Amount of its energy lines in every step; None where it charges no energy."""
    after: tuple[BillLine, ...] = ()
    """What months after the load's end still owe to its peaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """A load, metered in steps of the local calendar."""

    tariff_name: str
    calendar: LocalCalendar
    months: Months
    month_frac: FloatArray
    """Share of each month that monthly amounts are charged for."""
    edges_s: FloatArray
    """Of the steps, n + 1; months and changes of price are among them."""
    energy_j: FloatArray
    """Of every step."""
    shortfall_j: FloatArray
    """The same, as far as no power purchase agreement covers it."""
    contracted: Mapping[str, Contracted] = field(default_factory=dict)
    """What each power purchase agreement delivers, by its name."""
    contract_power_w: float | None = None
    standing: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Peaks of the months before, by demand charge, the latest last [W]."""

    @property
    def month_of_step(self) -> IntArray:
        """Index of the month of every step."""
        return np.asarray(np.searchsorted(self.months.edges_s, self.edges_s[:-1], side="right") - 1)

    def by_month(self, amounts: FloatArray) -> FloatArray:
        """Sums of the steps' amounts in every month."""
        sums = np.bincount(self.month_of_step, weights=amounts, minlength=self.months.numbers.size)
        return np.asarray(sums, dtype=np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contracted:
    """What one power purchase agreement delivers in every step [J]."""

    used_j: FloatArray
    """To the load."""
    surplus_j: FloatArray
    """Beyond the load."""


def step_energy_j(load: PowerSteps, edges_s: FloatArray) -> FloatArray:
    """Energy of a load between edges [J].

    Each step is the sum of its own pieces, not a difference of two long sums: no digits of a year are lost in a
    quarter of an hour.

    Args:
        load: the load; outside its span it draws nothing.
        edges_s: n + 1 rising times [s].

    >>> load = PowerSteps(breakpoints_s=np.array([0.0, 10.0, 20.0]), power_w=np.array([1.0, 3.0]))
    >>> step_energy_j(load, np.array([-5.0, 5.0, 15.0, 30.0])).tolist()
    [5.0, 20.0, 15.0]
    """
    return energies_j(load.breakpoints_s, (load.power_w,), edges_s)[0]


def energies_j(
    breakpoints_s: FloatArray, powers_w: Sequence[FloatArray], edges_s: FloatArray
) -> list[FloatArray]:
    """`step_energy_j` of several loads on common breakpoints; the times are merged once."""
    num = edges_s.size - 1
    if breakpoints_s.size < 2:
        return [np.zeros(num) for _ in powers_w]
    low, high = max(breakpoints_s[0], edges_s[0]), min(breakpoints_s[-1], edges_s[-1])
    if high <= low:
        return [np.zeros(num) for _ in powers_w]
    inner = np.concatenate((breakpoints_s, edges_s))
    inner.sort(kind="stable")  # two sorted runs: a merge
    times = inner[(inner >= low) & (inner <= high)]
    lengths = np.diff(times)
    # A time that stands twice is a piece without length; at the very end it belongs to the last of all.
    piece = np.minimum(np.searchsorted(breakpoints_s, times[:-1], side="right"), breakpoints_s.size - 1) - 1
    step = np.minimum(np.searchsorted(edges_s, times[:-1], side="right"), num) - 1
    starts = np.flatnonzero(np.diff(step, prepend=-1))
    found = []
    for power in powers_w:
        energy = np.zeros(num)
        energy[step[starts]] = np.add.reduceat(power[piece] * lengths, starts)
        found.append(energy)
    return found
