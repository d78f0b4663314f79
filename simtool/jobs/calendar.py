"""The rate of submissions through the week, hour by hour."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

_HOURS_PER_DAY, _DAYS_PER_WEEK = 24, 7


def week_offset_s(start: datetime | None) -> float:
    """Seconds from Monday 00:00 of the start's own clock; 0 without a calendar.

    >>> week_offset_s(datetime(2024, 1, 2, 1))  # a Tuesday
    90000.0
    """
    if start is None:
        return 0.0
    minutes = start.minute * SECONDS_PER_MINUTE + start.second + start.microsecond * 1e-6
    return start.weekday() * SECONDS_PER_DAY + start.hour * SECONDS_PER_HOUR + minutes


def hour_of_day(times_s: NDArray[np.float64], start: datetime | None) -> NDArray[np.int64]:
    """Hour of the day of times since the start, 0 to 23."""
    hours = np.floor((times_s + week_offset_s(start)) / SECONDS_PER_HOUR).astype(np.int64)
    return hours % _HOURS_PER_DAY


def weekday(times_s: NDArray[np.float64], start: datetime | None) -> NDArray[np.int64]:
    """Weekday of times since the start, 0 for Monday."""
    days = np.floor((times_s + week_offset_s(start)) / SECONDS_PER_DAY).astype(np.int64)
    return days % _DAYS_PER_WEEK


def profile_hours(
    hour_frac: Sequence[float], weekday_frac: Sequence[float], span_s: float, start: datetime | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Edges of the hours of a stretch [s], shape (hours + 1,), and the rate in each relative to the mean."""
    offset_s = week_offset_s(start)
    first = np.floor(offset_s / SECONDS_PER_HOUR)
    last = np.ceil((offset_s + span_s) / SECONDS_PER_HOUR)
    edges_s = np.arange(first, max(last, first + 1.0) + 1.0) * SECONDS_PER_HOUR - offset_s
    edges_s[0], edges_s[-1] = 0.0, span_s
    middle_s = (edges_s[:-1] + edges_s[1:]) / 2.0
    rate = (
        np.asarray(hour_frac)[hour_of_day(middle_s, start)]
        * np.asarray(weekday_frac)[weekday(middle_s, start)]
    )
    return edges_s, rate


def rate_integral(edges_s: NDArray[np.float64], per_day: NDArray[np.float64]) -> NDArray[np.float64]:
    """Events expected up to each edge, for a rate a day that is constant between the edges."""
    return np.concatenate([[0.0], np.cumsum(per_day * np.diff(edges_s) / SECONDS_PER_DAY)])
