"""Time in figures of a site: equal stretches that a page can tell apart, and an axis with calendar dates."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.units import MEGA, SECONDS_PER_DAY, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WEEK_S = 7 * SECONDS_PER_DAY
MOST_STRETCHES = 504
"""That a page can tell apart: 20 minutes each in a week."""
LENGTHS_S = (
    *(1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(number * SECONDS_PER_MINUTE for number in (1, 2, 5, 10, 15, 20, 30)),
    *(number * SECONDS_PER_HOUR for number in (1, 2, 3, 4, 6, 8, 12)),
    *(number * SECONDS_PER_DAY for number in (1, 2, 7, 14, 28)),
)
"""Of a stretch: they divide a day or are whole days, so that day and night never beat with them."""

DAYS = (1, 2, 3, 5, 7, 14)
"""Between ticks."""
MOST_TICKS = 8


def stretches(begin_s: float, end_s: float) -> FloatArray:
    """Edges of equal stretches of a round length; the last one may be shorter.

    >>> np.diff(stretches(0.0, 4 * 86400.0)).tolist() == 384 * [900.0]
    True
    """
    span_s = end_s - begin_s
    finest_s = span_s / MOST_STRETCHES
    length_s = next(
        (one for one in LENGTHS_S if one >= finest_s), LENGTHS_S[-1] * np.ceil(finest_s / LENGTHS_S[-1])
    )
    num = max(1, int(np.ceil(span_s / length_s - 1e-9)))
    return np.append(begin_s + length_s * np.arange(num), end_s)


def length_words(edges_s: FloatArray) -> str:
    """How long a stretch is.

    >>> length_words(stretches(0.0, 4 * 86400.0)), length_words(stretches(0.0, 400 * 86400.0))
    ('15 min', '1 day')
    """
    length_s = float(edges_s[1] - edges_s[0])
    for unit_s, word in ((SECONDS_PER_DAY, "day"), (SECONDS_PER_HOUR, "h"), (SECONDS_PER_MINUTE, "min")):
        if length_s >= unit_s:
            number = length_s / unit_s
            return f"{number:.3g} {word}{'s' if word == 'day' and number != 1.0 else ''}"
    return f"{length_s:.3g} s"


def moments(start: str, times_s: FloatArray) -> Any:
    """Times as matplotlib counts dates."""
    first = datetime.fromisoformat(start)
    origin = np.datetime64(first.astimezone(UTC).replace(tzinfo=None), "us")
    return origin + np.round(times_s * MEGA).astype("timedelta64[us]")


def calendar(axes: Axes) -> None:
    """Ticks at hours, days or months of an axis that has its limits; its label says the year and UTC.

    Axes above that share the dates take the ticks over, without label.
    """
    from matplotlib.dates import AutoDateLocator, num2date

    first, last = (num2date(limit) for limit in axes.get_xlim())  # type: ignore[no-untyped-call]
    ticks: Any = _days(first, last)
    if not ticks:
        locator: Any = AutoDateLocator(minticks=4, maxticks=8)  # type: ignore[no-untyped-call]
        found = [num2date(tick) for tick in locator.tick_values(first, last)]  # type: ignore[no-untyped-call]
        ticks = [tick for tick in found if first <= tick <= last]
    axes.set_xticks(ticks, tick_words(ticks))
    final = last - timedelta(seconds=1)
    years = str(first.year) if first.year == final.year else f"{first.year} to {final.year}"
    axes.set_xlabel(f"{years}, UTC")


def _days(first: datetime, last: datetime) -> list[datetime]:
    """Midnights at equal distances; none where hours or months are better ticks."""
    span = (last - first) / timedelta(days=1)
    step = next((days for days in DAYS if span / days <= MOST_TICKS), 0)
    if span < 3.0 or not step:
        return []
    midnight = first.replace(hour=0, minute=0, second=0, microsecond=0)
    begin = midnight if midnight == first else midnight + timedelta(days=1)
    num = int((last - begin) / timedelta(days=step)) + 1
    return [begin + timedelta(days=step * place) for place in range(num)]


def tick_words(ticks: list[datetime]) -> list[str]:
    r"""Dates as an axis writes them: day and month; hours with the day below where it is a new one.

    The year stands where it is a new one and the ticks are of two years.

    >>> tick_words([datetime(2022, 1, 1), datetime(2022, 1, 8)])
    ['1 Jan', '8 Jan']
    >>> tick_words([datetime(2022, 1, 1, 18), datetime(2022, 1, 2), datetime(2022, 1, 2, 6)])
    ['18:00\n1 Jan', '00:00\n2 Jan', '06:00']
    >>> tick_words([datetime(2022, 11, 1), datetime(2022, 12, 1), datetime(2023, 1, 1)])
    ['Nov\n2022', 'Dec', 'Jan\n2023']
    """
    has_hours = any((tick.hour, tick.minute, tick.second) != (0, 0, 0) for tick in ticks)
    by_month = len(ticks) > 1 and all(tick.day == 1 for tick in ticks) and not has_hours
    several_years = len({tick.year for tick in ticks}) > 1
    words = []
    for place, tick in enumerate(ticks):
        before = ticks[place - 1] if place else None
        day_month = f"{tick:%b}" if by_month else f"{tick.day} {tick:%b}"
        lines = [f"{tick:%H:%M}"] if has_hours else [day_month]
        if has_hours and (before is None or before.date() != tick.date()):
            lines.append(day_month)
        if several_years and (before is None or before.year != tick.year):
            lines.append(str(tick.year))
        words.append("\n".join(lines))
    return words


def day(start: str, time_s: float) -> str:
    """A date as a title writes it.

    >>> day("2022-01-01T00:00:00+00:00", 86400.0)
    '2 January 2022'
    """
    moment = datetime.fromisoformat(start).astimezone(UTC) + timedelta(seconds=time_s)
    return f"{moment.day} {moment:%B %Y}"
