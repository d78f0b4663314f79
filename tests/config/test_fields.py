"""Quantities, from what is written to a sourced number in base units."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from simtool.config.fields import Quantity, Strict, written_long
from simtool.config.times import parse_utc
from simtool.provenance import KINDS, Sourced

BARE = {"bare_kind": "assumed", "bare_source": "a test"}


class Row(Strict):
    """One of each."""

    duration: Annotated[Sourced, Quantity("s", above=0)] | None = None
    share: Annotated[Sourced, Quantity("", maximum=1.0)] | None = None
    trend: Annotated[Sourced, Quantity("", minimum=None)] | None = None
    pair: tuple[int, tuple[float, ...]] | None = None


def read(name: str, written: object) -> Any:
    return getattr(Row.model_validate({name: written}, context=BARE), name)


@pytest.mark.parametrize(
    ("name", "written", "value"),
    [
        ("duration", "24 h", 86400.0),
        ("duration", "1_000 ms", 1.0),
        ("duration", ".5 minute", 30.0),
        ("duration", "3 1/Hz", 3.0),
        ("duration", "2 m / (m/s)", 2.0),
        ("duration", "4 m^2/m^2*s", 4.0),
        ("share", 0.25, 0.25),
        ("share", 1, 1.0),
        ("share", "25 %", 0.25),
        ("share", "0.25", 0.25),
        ("trend", -0.5, -0.5),
    ],
)
def test_written_short(name: str, written: object, value: float) -> None:
    number = read(name, written)
    assert number.value == pytest.approx(value, rel=1e-15)
    assert (number.kind, number.source, number.spread) == ("assumed", "a test", None)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "1 s^9^9^9^9",
            "1 (9^9^9^9) s",
            "1 s^99",
            "1 s*9^9",
            "1 s squared squared",
            "1 cubic s",
            "1 s⁹⁹",
            "1 s**9",
        ),
        *(
            "1 s;s",
            "1 s!",
            "1 'a'",
            "1 [s]",
            "1 s.real",
            "nan s",
            "inf s",
            "1e999 s",
            "1" * 200 + " s",
            "s",
            "",
            " ",
        ),
        *(5, 5.0, True, [], ["1 s"], 10**400, float("nan")),
    ],
)
def test_what_is_no_duration(written: object) -> None:
    with pytest.raises(ValidationError, match="found"):
        read("duration", written)


@pytest.mark.parametrize(
    "written", [1.5, -0.1, "150 %", float("nan"), float("inf"), 2**1024 - 1, "1 s", True]
)
def test_what_is_no_share(written: object) -> None:
    with pytest.raises(ValidationError, match="allowed: a number from 0 to 1"):
        read("share", written)


def test_exclusive_bounds() -> None:
    with pytest.raises(ValidationError, match="allowed: a quantity in s above 0"):
        read("duration", "0 s")


def test_a_number_that_is_sourced_already_is_taken() -> None:
    number = Sourced(value=1.0, unit="s", kind="measured", source="clock")
    assert Row(duration=number).duration is number


def test_without_leave_a_source_is_asked_for_and_the_number_checked() -> None:
    with pytest.raises(ValidationError, match="without a source"):
        Row.model_validate({"duration": "1 s"})
    with pytest.raises(ValidationError, match="which is not in s"):
        Row.model_validate({"duration": "1 W"})


numbers = st.builds(
    Sourced,
    value=st.floats(1e-30, 1e30),
    unit=st.just("s"),
    kind=st.sampled_from(KINDS),
    source=st.text(min_size=1).filter(str.strip),
    date=st.sampled_from(["", "2025-01"]),
    spread=st.none() | st.floats(0, 9),
)


@pytest.mark.parametrize("written", ["1e300 s", "1e31 s"])
def test_sizes_beyond_any_use_are_refused(written: str) -> None:
    with pytest.raises(ValidationError, match="found"):
        read("duration", written)


@given(numbers)
def test_the_long_form_reads_back_equal(number: Sourced) -> None:
    assert Row.model_validate({"duration": written_long(number)}).duration == number
    assert Row(duration=number).model_dump()["duration"] == written_long(number)


def test_a_list_is_accepted_for_a_tuple_at_any_depth() -> None:
    assert Row.model_validate({"pair": [1, [0.5, 2.0]]}).pair == (1, (0.5, 2.0))


@pytest.mark.parametrize("pair", [[1], [1, "x"], ["1", [1.0]], {"a": 1}, "ab"])
def test_tuples_are_strict_inside(pair: object) -> None:
    with pytest.raises(ValidationError):
        Row.model_validate({"pair": pair})


def test_times_are_utc() -> None:
    assert parse_utc("2025-06-01T02:00+02:00") == datetime(2025, 6, 1, tzinfo=UTC)
    assert parse_utc("2025-06-01T00:00Z").tzinfo is UTC
    given_offset = datetime(2025, 6, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    assert parse_utc(given_offset) == datetime(2025, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", ["2025-06-01", "2025-06-01 00:00", "noon", "", 2025, None, "0001-01-01T00:00+14:00"]
)
def test_what_is_no_time(written: object) -> None:
    with pytest.raises(Exception, match="found"):
        parse_utc(written)
