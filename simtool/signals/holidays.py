"""Holidays by rule: which days a tariff treats as another day of the week."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from simtool.signals.local_time import ClockReading

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
SUNDAY = 6
_RANKS = {"1st": 1, "2nd": 2, "3rd": 3, "4th": 4, "5th": 5, "last": -1}
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})\Z")
_RULE = re.compile(r"(1st|2nd|3rd|4th|5th|last) ([a-z]+) of ([a-z]+)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holidays:
    """Days that count as another day of the week."""

    rules: tuple[str, ...] = ()
    """``2025-12-26``, ``12-25`` (every year), or ``last monday of may``."""
    count_as: int = SUNDAY
    """Day of the week that they are charged as, Monday is 0."""

    def __post_init__(self) -> None:
        for rule in self.rules:
            holiday(rule, 2024)

    def weekday(self, reading: ClockReading) -> NDArray[np.int64]:
        """Day of the week that each moment counts as."""
        if not self.rules or reading.day.size == 0:
            return reading.weekday
        ends = int(reading.day.min()), int(reading.day.max())
        first, last = (date.fromordinal(day + _EPOCH_ORDINAL).year for day in ends)
        days = [
            found - _EPOCH_ORDINAL
            for year in range(first, last + 1)
            for rule in self.rules
            if (found := holiday(rule, year)) is not None
        ]
        return np.where(np.isin(reading.day, days), self.count_as, reading.weekday)


NO_HOLIDAYS = Holidays()


def holiday(rule: str, year: int) -> int | None:
    """The day of a rule in a year, as an ordinal; None where the year has none.

    Raises:
        ValueError: the rule cannot be read.

    >>> date.fromordinal(holiday("4th thursday of november", 2025)).isoformat()
    '2025-11-27'
    >>> date.fromordinal(holiday("last monday of may", 2025)).isoformat()
    '2025-05-26'
    """
    if match := _DATE.match(rule):
        if match[1] is not None and int(match[1]) != year:
            date(int(match[1]), int(match[2]), int(match[3]))  # a day of the calendar all the same
            return None
        month, day = int(match[2]), int(match[3])
        if match[1] is None and (month, day) == (2, 29):
            return date(year, 2, 29).toordinal() if monthrange(year, 2)[1] == 29 else None
        return date(year, month, day).toordinal()
    match = _RULE.match(rule.lower())
    if match is None or match[2] not in WEEKDAYS or match[3] not in MONTHS:
        raise ValueError(f"{rule!r} is no holiday")
    month, weekday, rank = MONTHS.index(match[3]) + 1, WEEKDAYS.index(match[2]), _RANKS[match[1]]
    first, length = date(year, month, 1), monthrange(year, month)[1]
    days = range(1 + (weekday - first.weekday()) % 7, length + 1, 7)
    if rank > len(days):
        return None
    return date(year, month, days[rank - 1 if rank > 0 else rank]).toordinal()
