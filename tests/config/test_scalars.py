"""Plain scalars mean what the core schema of YAML 1.2 says, and nothing that YAML 1.1 added."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.scalars import resolve


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("NULL", None),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("0", 0),
        ("-17", -17),
        ("+5", 5),
        ("010", 10),
        ("0o17", 15),
        ("0xFf", 255),
        ("1e12", 1e12),
        ("1E-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0.25", -0.25),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_core_schema(text: str, meaning: object) -> None:
    assert resolve(text) == meaning
    assert type(resolve(text)) is type(meaning)


def test_not_a_number() -> None:
    assert math.isnan(resolve(".nan"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        *(
            "17:00",
            "2022-01-01",
            "2022-01-01T00:00Z",
            "NO",
            "no",
            "yes",
            "on",
            "off",
            "y",
            "n",
            "tRUE",
            "nULL",
        ),
        *(
            "0b11",
            "1_000",
            "nan",
            "inf",
            "NaN",
            "-0o7",
            "-0x7",
            "0o8",
            "0xg",
            "1e",
            "e5",
            ".e5",
            "+",
            "-",
            ".",
        ),
        *("1.2.3", "1,5", "--1", "=", "<<"),
    ],
)
def test_text_stays_text(text: str) -> None:
    assert resolve(text) == text


@pytest.mark.parametrize("text", ["1e999", "-1e999", "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 309])
def test_numbers_that_no_float_holds(text: str) -> None:
    with pytest.raises(ValueError, match=r"[0-9]"):
        resolve(text)


@given(
    st.integers(min_value=-(2**1023), max_value=2**1023) | st.floats(allow_nan=False, allow_infinity=False)
)
def test_numbers_read_back(number: float) -> None:
    meaning = resolve(repr(number))
    assert (meaning, type(meaning)) == (number, type(number))


@given(st.text())
def test_any_text_has_a_meaning_or_is_too_large(text: str) -> None:
    try:
        meaning = resolve(text)
    except ValueError:
        assert text.lstrip("+-")[0] in "0123456789."
    else:
        assert meaning == text or not isinstance(meaning, str)
