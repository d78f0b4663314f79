"""The clock on the wall: days of 23 and 25 hours, months, holidays, windows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.signals.holidays import Holidays, holiday
from simtool.signals.local_time import LocalTime
from simtool.signals.windows import (
    LocalCalendar,
    Window,
    first_hole,
    parse_days,
    parse_hours,
    parse_months,
)

HOUR_S, DAY_S = 3600.0, 86400.0
ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # half an hour of daylight saving
    "Asia/Kathmandu",  # three quarters of an hour from the rest
    "America/Havana",  # the clock is changed at midnight
    "Asia/Tokyo",
    "UTC",
)
zones = st.sampled_from(ZONES)
moments = st.integers(1_546_300_800, 1_893_456_000).map(lambda epoch_s: datetime.fromtimestamp(epoch_s, UTC))


def clock(zone: str, *day: int) -> LocalTime:
    return LocalTime(start=datetime(*day, tzinfo=ZoneInfo(zone)), zone=zone)  # type: ignore[misc]


@given(zones, moments, st.floats(-3e7, 3e7))
def test_the_wall_shows_what_the_standard_library_says(zone: str, start: datetime, time_s: float) -> None:
    time_s = round(time_s)
    wall = (start + timedelta(seconds=time_s)).astimezone(ZoneInfo(zone))
    reading = LocalTime(start=start, zone=zone).read([time_s])
    assert reading.month.tolist() == [wall.month]
    assert reading.weekday.tolist() == [wall.weekday()]
    assert reading.clock_s[0] == pytest.approx(wall.hour * HOUR_S + wall.minute * 60 + wall.second, abs=1e-6)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("America/New_York", (2025, 3, 9), 23),
        ("America/New_York", (2025, 11, 2), 25),
        ("Europe/Berlin", (2024, 3, 31), 23),
        ("Europe/Berlin", (2024, 10, 27), 25),
        ("Australia/Lord_Howe", (2025, 4, 6), 24.5),
        ("America/Havana", (2025, 3, 9), 23),
        ("Asia/Tokyo", (2025, 3, 9), 24),
    ],
)
def test_days_have_their_hours(zone: str, day: tuple[int, int, int], hours: float) -> None:
    local = clock(zone, *day)
    midnights = [
        float(edge)
        for edge in local.edges_at_s(0.0, 2 * DAY_S, [0.0])
        if local.read([edge]).day[0] != local.read([edge - 1.0]).day[0]
    ]
    assert midnights[0] == hours * HOUR_S


@given(zones, moments, st.floats(1.0, 4e7))
def test_months_cover_the_span_and_begin_where_the_month_changes(
    zone: str, start: datetime, length_s: float
) -> None:
    local = LocalTime(start=start, zone=zone)
    months = local.months(0.0, length_s)
    assert months.edges_s[0] <= 0.0 < months.edges_s[1]
    assert months.edges_s[-2] < length_s <= months.edges_s[-1]
    inside = (months.edges_s[:-1] + months.edges_s[1:]) / 2
    assert local.read(inside).month.tolist() == months.months.tolist()
    before, at = local.read(months.edges_s - 1.0).month, local.read(months.edges_s).month
    assert ((at - before) % 12 == 1).all()
    assert months.labels[0] == f"{start.astimezone(ZoneInfo(zone)):%Y-%m}"


def test_a_span_of_whole_months_touches_no_other() -> None:
    local = clock("America/Chicago", 2025, 1, 1)
    year_s = 365 * DAY_S
    assert len(local.months(0.0, year_s).labels) == 12
    assert len(local.months(0.0, np.nextafter(year_s, np.inf)).labels) == 13
    assert local.months(0.0, 0.0).labels == ("2025-01",)
    hours = dict(
        zip(
            local.months(0.0, year_s).labels, np.diff(local.months(0.0, year_s).edges_s) / HOUR_S, strict=True
        )
    )
    assert (hours["2025-03"], hours["2025-11"], hours["2025-02"]) == (743, 721, 672)


@given(zones, moments, st.sampled_from([300.0, 900.0, 1800.0, 3600.0]), st.floats(0.0, 4e5))
def test_intervals_of_a_meter_follow_the_clock(
    zone: str, start: datetime, step_s: float, length_s: float
) -> None:
    local = LocalTime(start=start, zone=zone)
    edges = local.intervals_s(0.0, length_s, step_s)
    assert edges[0] <= 0.0
    assert edges[-1] >= length_s
    assert (np.diff(edges) > 0).all()
    assert (np.diff(edges) <= step_s + 1e-6).all()
    aligned = np.isclose(np.mod(local.read(edges).clock_s + 1e-7, step_s), 0.0, atol=1e-6)
    changes, _ = local.offsets(0.0, length_s)
    assert all(fits or edge in changes for fits, edge in zip(aligned, edges, strict=True))


@given(zones, moments, st.integers(1, 999_999))
def test_a_start_between_two_seconds_changes_no_reading(zone: str, start: datetime, micro: int) -> None:
    shifted = LocalTime(start=start + timedelta(microseconds=micro), zone=zone)
    whole = LocalTime(start=start, zone=zone)
    edges, expected = (
        shifted.intervals_s(0.0, 4e5, 900.0),
        whole.intervals_s(micro / 1e6, 4e5 + micro / 1e6, 900.0),
    )
    assert edges == pytest.approx(expected - micro / 1e6, abs=1e-5)
    assert (np.diff(edges) > 899.0).all()  # no slivers
    assert shifted.read(edges).clock_s.tolist() == whole.read(expected).clock_s.tolist()
    assert shifted.read(edges).day.tolist() == whole.read(expected).day.tolist()


def test_an_hour_that_spring_leaves_out_and_autumn_repeats() -> None:
    night = Window(clock_s=((HOUR_S, 3 * HOUR_S),))  # 01:00 to 03:00
    lengths = []
    for day in ((2025, 3, 9), (2025, 6, 1), (2025, 11, 2)):
        calendar = LocalCalendar(clock=clock("America/New_York", *day))
        edges = np.array([0.0, *calendar.edges_s([night], 0.0, 12 * HOUR_S), 12 * HOUR_S])
        lengths.append(float(np.diff(edges)[calendar.inside(night, edges[:-1])].sum()) / HOUR_S)
    assert lengths == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("rule", "day"),
    [
        ("07-04", "2025-07-04"),
        ("2025-12-26", "2025-12-26"),
        ("2024-12-26", None),
        ("02-29", None),
        ("1st monday of september", "2025-09-01"),
        ("4th thursday of november", "2025-11-27"),
        ("last monday of may", "2025-05-26"),
        ("5th monday of february", None),
    ],
)
def test_holidays_by_rule(rule: str, day: str | None) -> None:
    found = holiday(rule, 2025)
    assert (datetime.fromordinal(found).date().isoformat() if found else None) == day


@pytest.mark.parametrize("rule", ["christmas", "13-01", "6th monday of may", "last day of may", "2025-02-30"])
def test_what_is_no_holiday(rule: str) -> None:
    with pytest.raises(ValueError, match=r"day|month"):
        Holidays(rules=(rule,))


def test_a_holiday_counts_as_another_day_by_local_date() -> None:
    local = clock("America/Los_Angeles", 2025, 7, 3)
    calendar = LocalCalendar(clock=local, holidays=Holidays(rules=("07-04",)))
    work = Window(days=parse_days("weekdays"))
    times = np.array([23.9, 24.0, 47.9, 48.0]) * HOUR_S  # around a Friday of local time
    assert calendar.inside(work, times).tolist() == [True, False, False, False]  # Saturday follows
    as_monday = LocalCalendar(clock=local, holidays=Holidays(rules=("07-05",), count_as=0))
    assert as_monday.inside(work, np.array([50 * HOUR_S])).tolist() == [True]


def test_windows_as_people_write_them() -> None:
    assert parse_months("jan, oct-december") == (1, 10, 11, 12)
    assert parse_months("november-april") == (1, 2, 3, 4, 11, 12)
    assert parse_days("weekdays, sunday") == (0, 1, 2, 3, 4, 6)
    assert parse_hours("18:00-21:30, 08:30-12:00") == ((30600.0, 43200.0), (64800.0, 77400.0))
    assert parse_hours("20:00-24:00") == ((72000.0, 86400.0),)
    assert parse_hours("18:00-00:00") == ((64800.0, 86400.0),)


@pytest.mark.parametrize(
    "hours", ["8-12", "08:00-25:00", "08:00-08:00", "08:75-09:00", "08:00-12:00, 11:00-13:00", ""]
)
def test_what_is_no_span_of_the_clock(hours: str) -> None:
    with pytest.raises(ValueError, match=r"clock|overlap"):
        parse_hours(hours)


def test_what_is_no_month_and_no_day() -> None:
    with pytest.raises(ValueError, match="'smarch' is no month"):
        parse_months("smarch")
    with pytest.raises(ValueError, match="'funday' is no day"):
        parse_days("weekdays, funday")


def test_holes_and_overlaps_are_found() -> None:
    day, night = (Window(clock_s=parse_hours(hours)) for hours in ("06:00-22:00", "22:00-06:00"))
    assert first_hole([day, night]) is None
    summer = Window(months=parse_months("june-august"), clock_s=parse_hours("22:00-06:00"))
    hole = first_hole([day, summer])
    assert hole is not None
    assert (hole.when, hole.takers) == ("Mondays in January from 00:00 to 06:00", ())
    both = first_hole([day, night, Window(days=(5,), months=(7,), clock_s=parse_hours("12:00-13:00"))])
    assert both is not None
    assert (both.when, both.takers) == ("Saturdays in July from 12:00 to 13:00", (0, 2))


def test_an_unknown_zone_is_named() -> None:
    with pytest.raises(InputError, match="did you mean 'America/New_York'"):
        LocalTime(start=datetime(2025, 1, 1, tzinfo=UTC), zone="America/NewYork")
    with pytest.raises(InputError, match="IANA"):
        LocalTime(start=datetime(2025, 1, 1, tzinfo=UTC), zone="../../etc/passwd")
    with pytest.raises(ValueError, match="time zone"):
        LocalTime(start=datetime(2025, 1, 1), zone="UTC")  # noqa: DTZ001


def test_the_end_of_the_calendar_is_an_error_of_the_input() -> None:
    with pytest.raises(InputError, match="years 1 to 9999"):
        clock("UTC", 9999, 12, 1).months(0.0, 400 * DAY_S)
