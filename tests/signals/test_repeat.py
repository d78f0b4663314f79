"""Calendar years of a series used again, only when asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.signals.calendar import repeat_yearly

HOUR_S = 3600.0


def series(begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
    first, last = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (begin, end))
    times = np.arange(first, last, HOUR_S)
    return times, np.arange(times.size, dtype=float)


def at(times: np.ndarray, values: np.ndarray, moment: datetime) -> float:
    return float(values[np.searchsorted(times, moment.timestamp(), side="right") - 1])


@pytest.mark.parametrize("year", [2019, 2022, 2023, 2024, 2030])
def test_the_same_date_and_hour_has_the_same_value(year: int) -> None:
    times, values = series(2022, 2023)
    start = datetime(year, 2, 1, tzinfo=UTC)
    again, repeated = repeat_yearly(times, values, HOUR_S, start, start + timedelta(days=400))
    assert np.all(np.diff(again) == HOUR_S)
    for month, day, hour in ((2, 1, 0), (2, 28, 23), (3, 1, 0), (12, 31, 23)):
        source = datetime(2022, month, day, hour, tzinfo=UTC)
        assert at(again, repeated, source.replace(year=year)) == at(times, values, source)
    assert again[-1] + HOUR_S == datetime(year + 2, 1, 1, tzinfo=UTC).timestamp()


def test_a_leap_day_repeats_the_day_before_or_is_left_out() -> None:
    times, values = series(2022, 2023)
    leap, repeated = repeat_yearly(
        times, values, HOUR_S, datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
    )
    assert at(leap, repeated, datetime(2024, 2, 29, 5, tzinfo=UTC)) == at(
        times, values, datetime(2022, 2, 28, 5, tzinfo=UTC)
    )
    times, values = series(2024, 2025)
    plain, repeated = repeat_yearly(
        times, values, HOUR_S, datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 6, 1, tzinfo=UTC)
    )
    assert repeated.size == 365 * 24
    assert at(plain, repeated, datetime(2023, 3, 1, tzinfo=UTC)) == at(
        times, values, datetime(2024, 3, 1, tzinfo=UTC)
    )


def test_several_years_take_turns_and_own_years_stay() -> None:
    times, values = series(2022, 2025)
    again, repeated = repeat_yearly(
        times, values, HOUR_S, datetime(2022, 6, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
    )
    moments = [datetime(year, 7, 1, tzinfo=UTC) for year in range(2022, 2027)]
    found = [at(again, repeated, moment) for moment in moments]
    own = [at(times, values, moment) for moment in moments[:3]]
    assert found == [*own, *own[:2]]


def test_a_part_of_a_year_cannot_stand_for_a_year() -> None:
    times, values = series(2022, 2023)
    start = datetime(2023, 1, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="whole calendar years"):
        repeat_yearly(times[1:], values[1:], HOUR_S, start, start)
    with pytest.raises(InputError, match="whole calendar years"):
        repeat_yearly(times[:-24], values[:-24], HOUR_S, start, start)


def test_the_last_year_of_the_calendar() -> None:
    times, values = series(2022, 2023)
    start = datetime(9999, 12, 1, tzinfo=UTC)
    again, repeated = repeat_yearly(times, values, HOUR_S, start, start + timedelta(days=30))
    assert at(again, repeated, datetime(9999, 12, 31, 23, tzinfo=UTC)) == values[-1]


def test_a_series_beyond_the_calendar_is_refused() -> None:
    times = datetime(9999, 12, 31, 22, tzinfo=UTC).timestamp() + HOUR_S * np.arange(2)
    start = datetime(2025, 1, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="leaves the years 1 to 9999"):
        repeat_yearly(times, np.ones(2), HOUR_S, start, start)


def test_a_run_of_millennia_is_refused_before_it_takes_memory() -> None:
    times, values = series(2022, 2023)
    start, until = (datetime(year, 1, 1, tzinfo=UTC) for year in (2025, 9000))
    with pytest.raises(InputError, match="takes the years 2025 to 9000"):
        repeat_yearly(times, values, HOUR_S, start, until)
