"""A charge on the highest mean power of a month, with ratchet and contracted minimum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.metered import WATTS_PER_KILOWATT, BillLine
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.errors import InputError, Problem
from simtool.signals import Signal
from simtool.signals.local_time import month_label
from simtool.signals.signal import FloatArray
from simtool.signals.windows import ALL_MONTHS, LocalCalendar, Window, clock_text
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_MINUTE

QUARTER_HOUR_S = 15 * SECONDS_PER_MINUTE
SAME_PEAK = 1e-12
"""Relative: intervals that differ by less are one peak, of which the first counts, however the load is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratchet:
    """A peak that is billed on for months: at least a share of the highest of the months before."""

    share: float
    """Of the highest peak, 0 to 1."""
    num_months: int = 11
    """How long a peak is remembered, the month of the bill not counted."""
    months: tuple[int, ...] = ALL_MONTHS
    """Months of the year whose peaks are remembered, 1 to 12: in many tariffs those of summer alone."""


@TARIFFS.register("demand")
@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Highest mean power over the meter's intervals inside its windows, by month.

    ``billed = max(peak, ratchet share x highest peak of the months before, contracted minimum)``. The meter's
    intervals follow the local clock; an interval that the load covers in part is divided by its whole length, as a
    meter does it that sees nothing else.

    Raises:
        InputError: a window that begins or ends inside an interval of the meter.
    """

    price_usd_per_kw_month: float
    name: str = "demand"
    windows: tuple[Window, ...] = (Window(),)
    """Taken together; their months are those in which the charge exists at all."""
    interval_s: float = QUARTER_HOUR_S
    """Of the meter, a whole part of a day [s]."""
    ratchet: Ratchet | None = None
    contract_minimum_frac: float = 0.0
    """Share of the contracted power that is billed in any case."""

    def __post_init__(self) -> None:
        per_day = SECONDS_PER_DAY / self.interval_s
        if per_day != round(per_day):
            found, allowed = f"found {self.interval_s:g} s", "a whole part of a day"
            raise InputError(Problem("", f"{self.name}.interval", found, allowed, "write e.g. 15 min"))
        uneven = [turn for window in self.windows for turn in window.turns_s if turn % self.interval_s]
        if uneven:
            minutes = self.interval_s / SECONDS_PER_MINUTE
            found = f"found a window that turns at {clock_text(uneven[0])} and intervals of {minutes:g} min"
            mend = "let windows begin and end with an interval, or shorten the interval"
            raise InputError(Problem("", f"{self.name}.hours", found, "whole intervals", mend))

    @classmethod
    def example(cls) -> Demand:
        """18 USD/kW a month, on working hours, with a ratchet of 80 % and a contracted minimum of 60 %."""
        hours = ((8 * 4 * QUARTER_HOUR_S, 20 * 4 * QUARTER_HOUR_S),)
        return cls(
            price_usd_per_kw_month=18.0,
            windows=(Window(clock_s=hours),),
            ratchet=Ratchet(share=0.8),
            contract_minimum_frac=0.6,
        )

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """The meter's intervals."""
        edges = calendar.clock.intervals_s(begin_s, end_s, self.interval_s)
        return np.asarray(edges[(edges > begin_s) & (edges < end_s)])

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal | None:
        """None: a kWh as such costs nothing here."""
        return None

    def charge(self, metered: Metered) -> Charge:
        """One line for every month in which the charge exists, and what the ratchet still asks for afterwards."""
        if self.contract_minimum_frac and metered.contract_power_w is None:
            found = f"{self.name} bills {self.contract_minimum_frac:g} of the contracted power, which is not stated"
            raise InputError(
                Problem(metered.tariff_name, "contract_power", found, "a power", "write e.g. 100 MW")
            )
        past = self._past(metered)
        lines = [
            self._line(metered, month, past)
            for month, number in enumerate(metered.months.numbers)
            if self._exists(int(number))
        ]
        return Charge(lines=tuple(lines), after=self._after(past))

    def _past(self, metered: Metered) -> _Past:
        """Highest mean power inside the windows in every month, those before the load included."""
        begin_s, end_s = float(metered.edges_s[0]), float(metered.edges_s[-1])
        edges = metered.calendar.clock.intervals_s(begin_s, end_s, self.interval_s)
        interval_of = np.searchsorted(edges, metered.edges_s[:-1], side="right") - 1
        energy = np.bincount(interval_of, weights=metered.energy_j, minlength=edges.size - 1)
        mean_w = energy / np.diff(edges)
        # An interval that reaches into the span counts with the month of its part inside.
        month_of = metered.months.edges_s.searchsorted(np.maximum(edges[:-1], begin_s), side="right") - 1
        inside = np.any([metered.calendar.inside(window, edges[:-1]) for window in self.windows], axis=0)
        num = metered.months.numbers.size
        peaks, intervals = np.zeros(num), np.full((num, 2), np.nan)
        for month in range(num):
            candidates = np.flatnonzero(inside & (month_of == month))
            if candidates.size and (highest := mean_w[candidates].max()) > 0:
                first = candidates[np.argmax(mean_w[candidates] >= highest * (1.0 - SAME_PEAK))]
                peaks[month], intervals[month] = highest, (edges[first], edges[first + 1])
        standing = np.array([float(peak) for peak in metered.standing.get(self.name, ())])
        return _Past(
            peaks_w=np.concatenate((standing, peaks)),
            intervals_s=np.concatenate((np.full((standing.size, 2), np.nan), intervals)),
            first=int(metered.months.numbers[0]) - standing.size,
            num_before=standing.size,
        )

    def _line(self, metered: Metered, month: int, past: _Past) -> BillLine:
        at = past.num_before + month
        contract_w = metered.contract_power_w or 0.0
        remembered_w, remembered_at = self._remembered(past, at)
        share = f"{self.ratchet.share:.0%}" if self.ratchet else ""
        reasons = (
            (float(past.peaks_w[at]), at, "highest interval of the month" if past.peaks_w[at] else ""),
            (remembered_w, remembered_at, f"ratchet: {share} of the peak of {past.label(remembered_at)}"),
            (
                self.contract_minimum_frac * contract_w,
                None,
                f"contracted minimum: {self.contract_minimum_frac:.0%} of {contract_w / WATTS_PER_KILOWATT:,.0f} kW",
            ),
        )
        billed_w, source, note = max(reasons, key=lambda reason: reason[0])  # the first of equals
        interval = np.full(2, np.nan) if source is None else past.intervals_s[source]
        quantity, frac = billed_w / WATTS_PER_KILOWATT, float(metered.month_frac[month])
        return BillLine(
            month=metered.months.labels[month],
            name=self.name,
            kind="demand",
            quantity=quantity,
            unit="kW",
            rate_usd=self.price_usd_per_kw_month,
            month_frac=frac,
            amount_usd=quantity * self.price_usd_per_kw_month * frac,
            note=note,
            peak_s=None if np.isnan(interval[0]) else (float(interval[0]), float(interval[1])),
        )

    def _exists(self, number: int) -> bool:
        """Whether a month, given by its number, is one of the charge's season."""
        return any(number % 12 + 1 in window.months for window in self.windows)

    def _remembered(self, past: _Past, at: int) -> tuple[float, int]:
        """What the ratchet bills at least in the month `at` of the past [W], and the month that set it."""
        if self.ratchet is None:
            return 0.0, at
        before = [
            index
            for index in range(max(0, at - self.ratchet.num_months), min(at, past.peaks_w.size))
            if (past.first + index) % 12 + 1 in self.ratchet.months
        ]
        if not before:
            return 0.0, at
        highest = max(before, key=lambda index: past.peaks_w[index])
        return self.ratchet.share * float(past.peaks_w[highest]), highest

    def _after(self, past: _Past) -> tuple[BillLine, ...]:
        """Lines of the whole months after the last one, without any load, as long as the ratchet remembers."""
        lines = []
        for at in range(
            past.peaks_w.size, past.peaks_w.size + (self.ratchet.num_months if self.ratchet else 0)
        ):
            billed_w, _ = self._remembered(past, at)
            if billed_w > 0 and self._exists(past.first + at):
                quantity = billed_w / WATTS_PER_KILOWATT
                lines.append(
                    BillLine(
                        month=past.label(at),
                        name=self.name,
                        kind="demand",
                        quantity=quantity,
                        unit="kW",
                        rate_usd=self.price_usd_per_kw_month,
                        amount_usd=quantity * self.price_usd_per_kw_month,
                        note="ratchet after the end of the load",
                    )
                )
        return tuple(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Past:
    """Peaks month by month, those before the load first."""

    peaks_w: FloatArray
    intervals_s: FloatArray
    """Begin and end of the interval of each peak; NaN where it is not known."""
    first: int
    """Number of the first month."""
    num_before: int
    """Months before the load."""

    def label(self, at: int) -> str:
        """Year and month of an entry, and of months after the last."""
        return month_label(self.first + at)
