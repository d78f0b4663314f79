"""Windows of local time: months, days and clock hours, as tariffs write them.

A window is `months` x `days` x `hours`; holidays count as the day of the week that the tariff says. A set of
windows that is to price every hour is checked once, hour by hour of every kind of day, and what is left open or
taken twice is named.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simtool.signals.holidays import MONTHS, NO_HOLIDAYS, WEEKDAYS, Holidays
from simtool.signals.local_time import ClockReading, LocalTime
from simtool.signals.signal import FloatArray
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

ALL_MONTHS = tuple(range(1, 13))
ALL_DAYS = tuple(range(7))
ALL_DAY = ((0.0, SECONDS_PER_DAY),)
DAY_WORDS: dict[str, tuple[int, ...]] = {
    "all": ALL_DAYS,
    "weekdays": tuple(range(5)),
    "weekends": (5, 6),
    **{name: (index,) for index, name in enumerate(WEEKDAYS)},
}
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Part of the local calendar."""

    months: tuple[int, ...] = ALL_MONTHS
    """1 to 12."""
    days: tuple[int, ...] = ALL_DAYS
    """Days of the week, Monday is 0."""
    clock_s: tuple[tuple[float, float], ...] = ALL_DAY
    """Begin and end by the clock, end excluded [s after midnight]."""

    def contains(self, reading: ClockReading, weekday: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether moments lie in the window.

        Args:
            reading: of the moments.
            weekday: day that each counts as, holidays included.
        """
        of_month, of_day = np.zeros(13, dtype=bool), np.zeros(7, dtype=bool)
        of_month[list(self.months)] = True
        of_day[list(self.days)] = True
        inside = np.zeros(reading.clock_s.shape, dtype=bool)
        for begin, end in self.clock_s:
            inside |= (reading.clock_s >= begin) & (reading.clock_s < end)
        return np.asarray(of_month[reading.month] & of_day[weekday] & inside)

    @property
    def turns_s(self) -> tuple[float, ...]:
        """Times of day at which it may begin or end [s]."""
        return tuple(sorted({time for span in self.clock_s for time in span} | {0.0}))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalCalendar:
    """The local time of a site with its holidays: all that a window needs to know."""

    clock: LocalTime
    holidays: Holidays = NO_HOLIDAYS

    def inside(self, window: Window, time_s: FloatArray) -> NDArray[np.bool_]:
        """Whether moments [s since the start] lie in a window.

        >>> from datetime import UTC, datetime
        >>> clock = LocalTime(start=datetime(2025, 7, 4, tzinfo=UTC), zone="UTC")
        >>> work = Window(days=DAY_WORDS["weekdays"], clock_s=((8 * 3600.0, 20 * 3600.0),))
        >>> LocalCalendar(clock=clock).inside(work, np.array([9 * 3600.0, 20 * 3600.0])).tolist()
        [True, False]
        >>> free = Holidays(rules=("07-04",))
        >>> LocalCalendar(clock=clock, holidays=free).inside(work, np.array([9 * 3600.0])).tolist()
        [False]
        """
        reading = self.clock.read(time_s)
        return window.contains(reading, self.holidays.weekday(reading))

    def edges_s(self, windows: Sequence[Window], begin_s: float, end_s: float) -> FloatArray:
        """Moments strictly inside a span at which one of the windows may begin or end [s since the start]."""
        turns = {turn for window in windows for turn in window.turns_s} | {0.0}
        return self.clock.edges_at_s(begin_s, end_s, turns)


class Hole(NamedTuple):
    """An hour of the calendar that no window takes, or two do."""

    when: str
    """In words, e.g. ``Saturdays in January from 05:00 to 08:00``."""
    takers: tuple[int, ...]
    """Indices of the windows that take it."""


def first_hole(windows: Sequence[Window]) -> Hole | None:
    """The first stretch of the calendar that is not taken by exactly one window; None if there is none.

    >>> day = Window(clock_s=((6 * 3600.0, 22 * 3600.0),))
    >>> first_hole([day]).when
    'Mondays in January from 00:00 to 06:00'
    """
    turns = sorted({turn for window in windows for turn in window.turns_s} | {0.0, SECONDS_PER_DAY})
    for month in ALL_MONTHS:
        for day in ALL_DAYS:
            for begin, end in pairwise(turns):
                takers = tuple(
                    index
                    for index, window in enumerate(windows)
                    if month in window.months
                    and day in window.days
                    and any(low <= begin < high for low, high in window.clock_s)
                )
                if len(takers) != 1:
                    where = f"{WEEKDAYS[day].capitalize()}s in {MONTHS[month - 1].capitalize()}"
                    return Hole(f"{where} from {clock_text(begin)} to {clock_text(end)}", takers)
    return None


def clock_text(time_s: float) -> str:
    """A time of day as a clock shows it.

    >>> clock_text(8.5 * 3600)
    '08:30'
    """
    hours, rest = divmod(time_s, SECONDS_PER_HOUR)
    return f"{int(hours):02d}:{int(rest // SECONDS_PER_MINUTE):02d}"


def parse_months(written: str) -> tuple[int, ...]:
    """Months as people write them: ``all``, ``june``, ``june-september``, ``november-april``, lists by comma.

    Raises:
        ValueError: what is wrong.

    >>> parse_months("november-february")
    (1, 2, 11, 12)
    """
    if written.strip() == "all":
        return ALL_MONTHS
    found: set[int] = set()
    for part in written.split(","):
        first, _, last = (word.strip().lower() for word in part.partition("-"))
        begin = _month(first)
        end = _month(last) if last else begin
        found |= {(begin - 1 + step) % 12 + 1 for step in range((end - begin) % 12 + 1)}
    return tuple(sorted(found))


def _month(word: str) -> int:
    fitting = [index for index, name in enumerate(MONTHS) if name == word or name[:3] == word]
    if not fitting:
        raise ValueError(f"{word!r} is no month")
    return fitting[0] + 1


def parse_days(written: str) -> tuple[int, ...]:
    """Days of the week: ``all``, ``weekdays``, ``weekends``, or names by comma.

    Raises:
        ValueError: what is wrong.

    >>> parse_days("saturday, sunday") == parse_days("weekends")
    True
    """
    found: set[int] = set()
    for part in written.split(","):
        word = part.strip().lower()
        if word not in DAY_WORDS:
            raise ValueError(f"{word!r} is no day")
        found |= set(DAY_WORDS[word])
    return tuple(sorted(found))


def parse_hours(written: str) -> tuple[tuple[float, float], ...]:
    """Clock hours: ``all``, ``08:30-12:00``, several by comma; ``22:00-06:00`` goes over midnight.

    Raises:
        ValueError: what is wrong.

    >>> parse_hours("22:00-06:00")
    ((0.0, 21600.0), (79200.0, 86400.0))
    """
    if written.strip() == "all":
        return ALL_DAY
    spans: list[tuple[float, float]] = []
    for part in written.split(","):
        match = _CLOCK.match(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is no span of the clock")
        begin, end = (
            int(hour) * SECONDS_PER_HOUR + int(minute) * SECONDS_PER_MINUTE
            for hour, minute in (match.group(1, 2), match.group(3, 4))
        )
        if max(begin, end) > SECONDS_PER_DAY or int(match[2]) > 59 or int(match[4]) > 59 or begin == end:
            raise ValueError(f"{part.strip()!r} is no span of the clock")
        spans += [(begin, end)] if begin < end else [(begin, SECONDS_PER_DAY), *([(0.0, end)] if end else [])]
    spans.sort()
    if any(before[1] > after[0] for before, after in pairwise(spans)):
        raise ValueError(f"the spans of {written!r} overlap")
    return tuple(spans)
