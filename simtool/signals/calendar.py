"""Using the calendar years of a series for other years, when a scenario asks for it."""

from __future__ import annotations

from calendar import isleap
from datetime import UTC, datetime, timedelta

import numpy as np

from simtool.errors import InputError, Problem
from simtool.signals.signal import FloatArray
from simtool.units import SECONDS_PER_DAY

_DAYS_TO_LEAP_DAY = 31 + 28
"""Days of a year before 29 February."""
_DAYS_PER_YEAR = 365
MAX_STEPS = 20_000_000
"""Of a repeated series: 2,000 years of hours; more is a mistake, and takes the memory of a machine."""


def repeat_yearly(
    times_s: FloatArray,
    values: FloatArray,
    step_s: float,
    start: datetime,
    until: datetime,
    *,
    where: str = "",
    field: str = "",
) -> tuple[FloatArray, FloatArray]:
    """The same calendar date and UTC hour of the series' own years, over all years of a run.

    A year that the series holds is taken as it is; another takes year ``first + (year - first) mod n`` of
    its n years. 29 February repeats the 28th where the source year has none. Days of the week shift.

    Args:
        times_s: begin of every step [s since 1970, UTC], equally spaced.
        values: value of every step.
        step_s: length of a step [s].
        start: begin of the run.
        until: end of the run.
        where: name of the series, for messages.
        field: the scenario's field, for messages.

    Raises:
        InputError: the series is not made of whole calendar years, or a day not of whole steps; the run
            is too long.
    """
    try:
        begin, end = _moment(times_s[0]), _moment(times_s[-1] + step_s)
    except OverflowError:
        found, allowed = "the series leaves the years 1 to 9999", "years of the calendar"
        raise InputError(Problem(where, field, found, allowed, "correct its times")) from None
    whole = all(moment == _new_year(moment.year) for moment in (begin, end)) and end > begin
    steps_per_day = SECONDS_PER_DAY / step_s
    if not whole or steps_per_day != round(steps_per_day):
        raise InputError(
            Problem(
                where,
                field,
                f"the series runs from {begin:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}",
                "'repeat: yearly' needs whole calendar years in UTC",
                "give a series from 1 January 00:00Z to the next",
            )
        )
    num_years = end.year - begin.year
    years = range(start.astimezone(UTC).year, until.astimezone(UTC).year + 1)
    if len(years) * steps_per_day * _DAYS_PER_YEAR > MAX_STEPS:
        found = f"the run takes the years {years[0]} to {years[-1]}, in steps of {step_s:g} s"
        allowed = f"at most {MAX_STEPS:,} steps"
        raise InputError(Problem(where, field, found, allowed, "make the run shorter, or give one number"))
    pieces = [
        _as_year(times_s, values, step_s, begin.year + (year - begin.year) % num_years, year)
        for year in years
    ]
    repeated = np.concatenate(pieces)
    begins = _new_year(years[0]).timestamp() + step_s * np.arange(repeated.size, dtype=np.float64)
    return np.asarray(begins, dtype=np.float64), repeated


def _as_year(times_s: FloatArray, values: FloatArray, step_s: float, source: int, target: int) -> FloatArray:
    first, last = np.searchsorted(times_s, [_new_year(year).timestamp() for year in (source, source + 1)])
    year = values[first:last]
    per_day = round(SECONDS_PER_DAY / step_s)
    leap_day = slice(_DAYS_TO_LEAP_DAY * per_day, (_DAYS_TO_LEAP_DAY + 1) * per_day)
    if isleap(source) and not isleap(target):
        return np.delete(year, leap_day)
    if isleap(target) and not isleap(source):
        day_before = year[leap_day.start - per_day : leap_day.start]
        return np.insert(year, leap_day.start, day_before)
    return year


def _new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def _moment(epoch_s: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=float(epoch_s))
