"""A time axis with calendar dates, for figures of a site."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.units import MEGA, SECONDS_PER_DAY

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def moments(start: str, times_s: FloatArray) -> Any:
    """Times as matplotlib counts dates."""
    first = datetime.fromisoformat(start)
    origin = np.datetime64(first.replace(tzinfo=None), "us")
    return origin + np.round(times_s * MEGA).astype("timedelta64[us]")


def calendar(axes: Axes) -> None:
    """Ticks at days, weeks or months, with the year once."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=4, maxticks=9)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def day(start: str, time_s: float) -> str:
    """A date as a title writes it.

    >>> day("2022-01-01T00:00:00+00:00", 86400.0)
    '2 January 2022'
    """
    moment = datetime.fromisoformat(start) + timedelta(seconds=time_s)
    return f"{moment.day} {moment:%B %Y}"


WEEK_S = 7 * SECONDS_PER_DAY
