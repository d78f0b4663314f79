"""The clock on a site's wall: local days, months and hours as exact moments of the run.

Inside, time is seconds since the start, UTC. Where people charge by local clock, an hour may be missing in
spring and stand twice in autumn; here every question about the clock becomes edges in seconds since the start.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.errors import InputError, Problem, did_you_mean
from simtool.signals.signal import FloatArray
from simtool.units import SECONDS_PER_DAY

IntArray = NDArray[np.int64]

DAYS_PER_WEEK = 7
CLOCK_DECIMALS = 6
"""A clock is read to the microsecond."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_WEEKDAY = 3
"""1 January 1970 was a Thursday; Monday is 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Months:
    """Local calendar months, one after the other."""

    edges_s: FloatArray
    """Begin of every month and end of the last, since the start [s]."""
    numbers: IntArray
    """Months since January of year 0: ``12 x year + month - 1``."""

    @property
    def months(self) -> IntArray:
        """Month of the year, 1 to 12."""
        return np.asarray(self.numbers % 12 + 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """Year and month, ``2025-03``."""
        return tuple(month_label(int(number)) for number in self.numbers)


def month_label(number: int) -> str:
    """Year and month of a month's number.

    >>> month_label(12 * 2025 + 2)
    '2025-03'
    """
    return f"{number // 12:04d}-{number % 12 + 1:02d}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """What calendar and clock on the wall show at some moments; arrays of one shape."""

    day: IntArray
    """Days since 1 January 1970, by local date."""
    month: IntArray
    """1 to 12."""
    weekday: IntArray
    """Monday is 0, Sunday 6."""
    clock_s: FloatArray
    """Time of day that the clock shows [s]; on days that change the clock it is not the time since midnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalTime:
    """The local time of a site, daylight saving included.

    >>> berlin = LocalTime(start=datetime(2025, 3, 30, tzinfo=UTC), zone="Europe/Berlin")
    >>> (berlin.edges_at_s(0.0, 86400.0, [0.0]) / 3600).tolist()  # the clock is changed; midnight comes an hour early
    [1.0, 22.0]
    """

    start: datetime
    """The moment of second 0, with a time zone."""
    zone: str
    """Name in the IANA data base, e.g. ``America/New_York``."""

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("a start needs a time zone")
        time_zone(self.zone)

    @property
    def _start_epoch_s(self) -> float:
        return self.start.astimezone(UTC).timestamp()

    def offsets(self, begin_s: float, end_s: float) -> tuple[FloatArray, FloatArray]:
        """Pieces of constant offset from UTC.

        Args:
            begin_s: since the start [s].
            end_s: not before the begin [s].

        Returns:
            Edges of the pieces, n + 1 of them, the first at or before `begin_s` and the last at or after
            `end_s` [s], and local time minus UTC in each piece [s].
        """
        edges, offsets = self._offsets(begin_s, end_s)
        return edges - self._start_epoch_s, offsets

    def _offsets(self, begin_s: float, end_s: float) -> tuple[FloatArray, FloatArray]:
        """`offsets` with its edges in seconds since 1970, which are whole numbers."""
        first, last = (
            rounded((moment + self._start_epoch_s) / SECONDS_PER_DAY)
            for rounded, moment in ((math.floor, begin_s), (math.ceil, end_s))
        )
        try:
            # The margin lets questions about the month or interval around a moment be answered at once.
            return _pieces(self.zone, first - 2, last + 2)
        except (OverflowError, ValueError):
            found = f"found a run until {last:.3g} days after 1970"
            raise InputError(
                Problem("", "start", found, "years 1 to 9999", "begin earlier, or make it shorter")
            ) from None

    def read(self, time_s: ArrayLike) -> ClockReading:
        """What the wall shows at these moments [s since the start].

        >>> new_york = LocalTime(start=datetime(2025, 1, 1, tzinfo=UTC), zone="America/New_York")
        >>> reading = new_york.read([0.0])  # still New Year's Eve, a Tuesday, 19:00
        >>> reading.month.tolist(), reading.weekday.tolist(), (reading.clock_s / 3600).tolist()
        ([12], [1], [19.0])
        """
        times = np.asarray(time_s, dtype=np.float64)
        if times.size == 0:
            none = np.zeros(times.shape, dtype=np.int64)
            return ClockReading(day=none, month=none, weekday=none, clock_s=times)
        edges, offsets = self.offsets(float(times.min()), float(times.max()))
        piece = np.searchsorted(edges, times, side="right") - 1
        local = times + self._start_epoch_s + offsets[np.clip(piece, 0, offsets.size - 1)]
        # A start between two seconds leaves the last digit open; midnight must not read as 23:59:59.9999998.
        local = np.round(local, CLOCK_DECIMALS)
        day = np.floor(local / SECONDS_PER_DAY).astype(np.int64)
        return ClockReading(
            day=day,
            month=np.asarray(day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12 + 1),
            weekday=(day + _EPOCH_WEEKDAY) % DAYS_PER_WEEK,
            clock_s=local - day * SECONDS_PER_DAY,
        )

    def edges_at_s(self, begin_s: float, end_s: float, clock_s: Iterable[float]) -> FloatArray:
        """Moments at which the clock comes to one of these times of day, and those at which it is changed.

        Args:
            begin_s: since the start [s].
            end_s: [s].
            clock_s: times of day [s]; 0 is midnight.

        Returns:
            Rising, strictly between begin and end [s]. A time that spring leaves out is not there, one that
            autumn repeats is there twice.
        """
        edges, offsets = self._offsets(begin_s, end_s)
        wanted = np.unique(np.mod(np.asarray(list(clock_s), dtype=np.float64), SECONDS_PER_DAY))
        found = [edges[1:-1]]
        for low, high, offset in zip(edges[:-1], edges[1:], offsets, strict=True):
            first, last = (np.floor((moment + offset) / SECONDS_PER_DAY) for moment in (low, high))
            midnights = np.arange(first, last + 1) * SECONDS_PER_DAY - offset
            moments = (midnights[:, None] + wanted).ravel()
            found.append(moments[(moments >= low) & (moments < high)])
        every = np.unique(np.concatenate(found)) - self._start_epoch_s
        return np.asarray(every[(every > begin_s) & (every < end_s)])

    def intervals_s(self, begin_s: float, end_s: float, step_s: float) -> FloatArray:
        """Edges of the clock-aligned intervals that cover a span.

        An interval begins where the clock shows a multiple of `step_s` after midnight, and where the clock is
        changed in between.

        Args:
            begin_s: since the start [s].
            end_s: [s].
            step_s: a whole part of a day [s].

        Returns:
            Rising; the first edge is at or before the begin, the last at or after the end [s].
        """
        per_day = SECONDS_PER_DAY / step_s
        if per_day != round(per_day):
            raise ValueError(f"a day is no multiple of {step_s:g} s")
        margin = 2 * step_s
        every = self.edges_at_s(begin_s - margin, end_s + margin, step_s * np.arange(round(per_day)))
        first = np.searchsorted(every, begin_s, side="right") - 1
        last = np.searchsorted(every, end_s, side="left")
        return np.asarray(every[max(first, 0) : last + 1])

    def months(self, begin_s: float, end_s: float) -> Months:
        """The whole local months that a span touches; at least one."""
        edges, offsets = self.offsets(begin_s, end_s)
        epoch_s = self._start_epoch_s
        low = np.searchsorted(edges, begin_s, side="right") - 1
        high = np.searchsorted(edges, end_s, side="left") - 1
        first, last = (
            _month_number(float(time + epoch_s + offsets[piece]))
            for time, piece in ((begin_s, low), (end_s, high))
        )
        numbers = np.arange(first, last + 2)
        begins = (numbers - 12 * _EPOCH.year).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
        moments = self._first_moment(np.asarray(begins * SECONDS_PER_DAY, dtype=np.float64))
        if moments.size > 2 and moments[-2] >= end_s:  # the span ends with the month
            numbers, moments = numbers[:-1], moments[:-1]
        return Months(edges_s=moments, numbers=numbers[:-1])

    def _first_moment(self, local_s: FloatArray) -> FloatArray:
        """First moment at which the clock is at or past these local times (seconds since 1970 by the wall)."""
        epoch_s = self._start_epoch_s
        edges, offsets = self.offsets(float(local_s.min()) - epoch_s, float(local_s.max()) - epoch_s)
        wall_at_end = np.maximum.accumulate(edges[1:] + epoch_s + offsets)
        piece = np.minimum(np.searchsorted(wall_at_end, local_s, side="right"), offsets.size - 1)
        return np.asarray(np.maximum(local_s - offsets[piece] - epoch_s, edges[piece]))


def time_zone(name: str) -> ZoneInfo:
    """The time zone of a name.

    Raises:
        InputError: no such zone; near matches are named.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = available_timezones()
        hint = did_you_mean(name, known) if known else "install the time-zone data: pip install tzdata"
        allowed = "a zone of the IANA data base, e.g. America/Chicago"
        raise InputError(Problem("", "timezone", f"found {name!r}", allowed, hint)) from None


def _month_number(local_s: float) -> int:
    days = np.int64(np.floor(local_s / SECONDS_PER_DAY))
    return int(days.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)) + 12 * _EPOCH.year


@lru_cache(maxsize=128)
def _pieces(zone_name: str, first_day: int, last_day: int) -> tuple[FloatArray, FloatArray]:
    """Edges [s since 1970] and offsets [s] of the pieces between two days since 1970.

    A zone is looked at once a day; no zone of this century changes its clock twice within one.
    """
    zone = time_zone(zone_name)

    def offset_s(epoch_s: int) -> float:
        shift = (_EPOCH + timedelta(seconds=epoch_s)).astimezone(zone).utcoffset()
        return shift.total_seconds() if shift is not None else 0.0

    day_s = int(SECONDS_PER_DAY)
    edges, offsets = [first_day * day_s], [offset_s(first_day * day_s)]
    for day in range(first_day + 1, last_day + 1):
        after = offset_s(day * day_s)
        if after == offsets[-1]:
            continue
        low, high = (day - 1) * day_s, day * day_s
        while high - low > 1:  # the first second of the new offset
            middle = (low + high) // 2
            low, high = (middle, high) if offset_s(middle) == offsets[-1] else (low, middle)
        edges.append(high)
        offsets.append(after)
    edges.append(last_day * day_s)
    found = np.array(edges, dtype=np.float64), np.array(offsets)
    for array in found:
        array.setflags(write=False)
    return found
