"""Renting: leases on demand, on the spot market and under a reservation, as a provider bills them.

A lease is so many accelerators from one moment to another. The provider rounds its duration up to its billing step,
and bills at least its minimum. A reservation is paid for its term whether it is used or not; leases take its
accelerators in the order in which they begin, and what does not fit is billed on demand for the lease's whole duration.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.units import SECONDS_PER_HOUR

Commitment = Literal["whole terms", "span"]
"""What a reservation costs a run: every term that it begins, or the run's own time, the rest being of use to others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingTerms:
    """How a provider counts time."""

    step_s: float = 0.0
    """Durations are rounded up to a multiple of it; 0 bills what was used [s]."""
    minimum_s: float = 0.0
    """Shortest duration that is billed [s]."""

    def __post_init__(self) -> None:
        if not (0 <= self.step_s < math.inf and 0 <= self.minimum_s < math.inf):
            raise ValueError("billing step and minimum are finite and not negative")

    def billed_s(self, duration_s: ArrayLike) -> FloatArray:
        """Duration that is billed [s]; broadcasts.

        >>> BillingTerms(step_s=60.0, minimum_s=600.0).billed_s([30.0, 601.0]).tolist()
        [600.0, 660.0]
        """
        duration = np.asarray(duration_s, dtype=np.float64)
        if self.step_s:
            steps = duration / self.step_s
            # An end that misses a step by rounding alone begins no further one.
            duration = np.ceil(steps - 1e-9 * np.maximum(steps, 1.0)) * self.step_s
        return np.asarray(np.maximum(duration, self.minimum_s))


EXACT = BillingTerms()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leases:
    """Accelerators that were held, one entry for each lease."""

    begin_s: FloatArray
    end_s: FloatArray
    num_accelerators: NDArray[np.int64]
    is_spot: NDArray[np.bool_]

    def __post_init__(self) -> None:
        sizes = {array.shape for array in (self.begin_s, self.end_s, self.num_accelerators, self.is_spot)}
        if len(sizes) != 1 or self.begin_s.ndim != 1:
            raise ValueError("a lease has a begin, an end, a number and a market")
        if not (np.isfinite(self.begin_s).all() and np.isfinite(self.end_s).all()):
            raise ValueError("leases begin and end")
        if (self.end_s < self.begin_s).any() or (self.num_accelerators < 0).any():
            raise ValueError("a lease ends after its begin and holds no negative number")

    @classmethod
    def of(
        cls, begin_s: ArrayLike, end_s: ArrayLike, num_accelerators: ArrayLike, *, is_spot: ArrayLike = False
    ) -> Leases:
        """From anything that broadcasts."""
        begin, end, num, spot = np.broadcast_arrays(
            np.atleast_1d(np.asarray(begin_s, dtype=np.float64)),
            np.asarray(end_s, dtype=np.float64),
            np.asarray(num_accelerators, dtype=np.int64),
            np.asarray(is_spot, dtype=bool),
        )
        return cls(begin_s=begin, end_s=end, num_accelerators=num, is_spot=spot)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """Accelerators that are paid for a term."""

    num_accelerators: int
    usd_per_accelerator_hour: float
    """With its discount, see `reserved_price`."""
    term_s: float
    begin_s: float = 0.0
    commitment: Commitment = "whole terms"

    def __post_init__(self) -> None:
        if self.num_accelerators < 0 or not 0 < self.term_s < math.inf:
            raise ValueError("a reservation has accelerators and a term")


@dataclass(frozen=True, slots=True, kw_only=True)
class RentLine:
    """One line of a rental bill: ``amount = accelerator-hours x rate``."""

    name: str
    accelerator_hours: float
    usd_per_accelerator_hour: float
    """The mean, where a price changes."""
    amount_usd: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RentBill:
    """Lines, and what each lease owes."""

    lines: tuple[RentLine, ...]
    lease_usd: FloatArray
    """On demand and spot, and the used part of a reservation."""
    unused_reservation_usd: float
    """Belongs to no lease; with the leases it sums to the bill."""

    @property
    def total_usd(self) -> float:
        """Sum of the lines."""
        return math.fsum(line.amount_usd for line in self.lines)


def reserved_price(on_demand_usd_per_hour: ArrayLike, reserved_frac: ArrayLike) -> FloatArray:
    """Price under a reservation, from the share of the on-demand price that it asks.

    `simtool.account.defaults.economics` has such shares for one and three years.
    """
    return np.asarray(np.asarray(on_demand_usd_per_hour) * np.asarray(reserved_frac))[()]


def rent_bill(
    leases: Leases,
    *,
    on_demand_usd_per_hour: float | None = None,
    spot_usd_per_hour: Signal | None = None,
    reservation: Reservation | None = None,
    terms: BillingTerms = EXACT,
    end_s: float | None = None,
) -> RentBill:
    """What leases cost.

    Args:
        leases: all of them.
        on_demand_usd_per_hour: price of an accelerator-hour that neither spot nor reservation covers.
        spot_usd_per_hour: spot price of an accelerator-hour over time [USD/h].
        reservation: accelerators that are paid in any case.
        terms: billing step and minimum, of on-demand and spot leases.
        end_s: how long the reservation is needed; until the last lease ends if not given [s].

    Raises:
        InputError: a lease has no price, or the spot price does not cover it.

    >>> leases = Leases.of([0.0], [5400.0], [8])  # 8 accelerators for an hour and a half
    >>> rent_bill(leases, on_demand_usd_per_hour=2.0, terms=BillingTerms(step_s=3600.0)).total_usd
    32.0
    """
    num = leases.num_accelerators.astype(np.float64)
    plain = ~leases.is_spot
    covered = _covered(leases, reservation) if reservation is not None else np.zeros(num.size)
    billed_s = terms.billed_s(leases.end_s - leases.begin_s)
    usd = np.zeros(num.size)
    lines = []
    excess_hours = np.where(plain, (num - covered) * billed_s, 0.0) / SECONDS_PER_HOUR
    if excess_hours.any():
        price = _needed(on_demand_usd_per_hour, "on_demand")
        usd += excess_hours * price
        lines.append(_line("on demand", float(excess_hours.sum()), float((excess_hours * price).sum())))
    if leases.is_spot.any():
        spot = _spot_usd(leases, billed_s, spot_usd_per_hour)
        usd += spot
        hours = float(np.where(leases.is_spot, num * billed_s, 0.0).sum()) / SECONDS_PER_HOUR
        lines.append(_line("spot", hours, float(spot.sum())))
    unused = 0.0
    if reservation is not None:
        line = _reserved_line(leases, reservation, end_s)
        used_hours = covered * (leases.end_s - leases.begin_s) / SECONDS_PER_HOUR
        usd += used_hours * reservation.usd_per_accelerator_hour
        unused = line.amount_usd - float(used_hours.sum()) * reservation.usd_per_accelerator_hour
        lines.append(line)
    return RentBill(lines=tuple(lines), lease_usd=usd, unused_reservation_usd=unused)


def _line(name: str, hours: float, amount: float, note: str = "") -> RentLine:
    rate = amount / hours if hours else 0.0
    return RentLine(
        name=name, accelerator_hours=hours, usd_per_accelerator_hour=rate, amount_usd=amount, note=note
    )


def _needed(price: float | None, name: str) -> float:
    if price is None:
        found = "found leases that neither the spot market nor a reservation covers"
        raise InputError(Problem("", f"rent.{name}", found, "a price", "write e.g. 2.50 USD/h"))
    return price


def _spot_usd(leases: Leases, billed_s: FloatArray, price: Signal | None) -> FloatArray:
    if price is None:
        found = "found spot leases and no spot price"
        raise InputError(Problem("", "rent.spot", found, "a price over time", "give a series or a number"))
    if price.unit != "USD/h":
        raise ValueError(f"a spot price is in USD/h, not in {price.unit!r}")
    begin = leases.begin_s[leases.is_spot]
    usd = np.zeros(leases.begin_s.size)
    hours = price.integral(begin, begin + billed_s[leases.is_spot]) / SECONDS_PER_HOUR
    usd[leases.is_spot] = leases.num_accelerators[leases.is_spot] * hours
    return usd


def _covered(leases: Leases, reservation: Reservation) -> FloatArray:
    """Accelerators of each lease that the reservation holds, first come first served."""
    covered = np.zeros(leases.begin_s.size)
    free = reservation.num_accelerators
    running: list[tuple[float, int]] = []
    for index in np.argsort(leases.begin_s, kind="stable"):
        if leases.is_spot[index]:
            continue
        begin = float(leases.begin_s[index])
        while running and running[0][0] <= begin:
            free += heapq.heappop(running)[1]
        taken = min(free, int(leases.num_accelerators[index])) if begin >= reservation.begin_s else 0
        if taken:
            free -= taken
            heapq.heappush(running, (float(leases.end_s[index]), taken))
        covered[index] = taken
    return covered


def _reserved_line(leases: Leases, reservation: Reservation, end_s: float | None) -> RentLine:
    last = float(leases.end_s.max(initial=reservation.begin_s)) if end_s is None else end_s
    needed_s = max(last - reservation.begin_s, 0.0)
    terms = max(1, math.ceil(needed_s / reservation.term_s - 1e-12))
    paid_s = terms * reservation.term_s if reservation.commitment == "whole terms" else needed_s
    hours = reservation.num_accelerators * paid_s / SECONDS_PER_HOUR
    whole = reservation.commitment == "whole terms"
    return _line(
        "reserved",
        hours,
        hours * reservation.usd_per_accelerator_hour,
        note=f"{terms} whole term{'s' if terms > 1 else ''}" if whole else "the run's own time",
    )
