"""What is written reads back to the same, and is pleasant to read."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.dump import Inline, dump_yaml
from simtool.config.load import load_document
from simtool.config.yaml12 import parse
from tests.config.conftest import Write

text = st.text(st.characters(exclude_categories=["Cs"]))
tricky = st.sampled_from(
    [
        *[
            "yes",
            "NO",
            "true",
            "null",
            "~",
            "",
            " ",
            "010",
            "0o17",
            "0x1f",
            "1e12",
            "1e999",
            "-1",
            ".5",
            "+.inf",
            ".nan",
        ],
        *[
            "17:00",
            "2022-01-01",
            "a: b",
            "a:b",
            "http://x/y?z=1",
            "- a",
            "-",
            "-1 s",
            "? a",
            "#",
            "a #b",
            "&a",
            "*a",
            "!a",
        ],
        *[
            "[",
            "{a: 1}",
            "a,b",
            "a, b",
            "'",
            '"',
            "it's",
            "\\n",
            "a\nb",
            "a\n",
            "\n",
            "\t",
            "a\t",
            " a",
            "a ",
            "%x",
            "@x",
        ],
        *[
            "---",
            "...",
            "<<",
            "=",
            "|",
            ">",
            "`",
            "\x00",
            "\x1b[31m",
            "\x7f",
            "\x85",
            "\u2028",
            "\ufeff",
            "\ufffe",
            "😀",
        ],
        *["scenarios/x.yaml:12:9", "0.08 USD/kWh", "40 %", "100%", "x" * 2000],
    ]
)
scalars = (
    st.none() | st.booleans() | st.integers(-(2**1000), 2**1000) | st.floats(allow_nan=False) | tricky | text
)
data = st.dictionaries(
    tricky | text,
    st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(tricky | text, inner, max_size=4),
        max_leaves=15,
    ),
    max_size=5,
)


@given(data)
def test_round_trip(value: dict[str, Any]) -> None:
    assert parse(dump_yaml(value), "a.yaml").data == value


@given(data)
def test_plain_pyyaml_reads_the_same(value: dict[str, Any]) -> None:
    assert yaml.safe_load(dump_yaml(value)) == value


@given(data)
def test_round_trip_keeps_types_and_order(value: dict[str, Any]) -> None:
    assert repr(parse(dump_yaml(value), "a.yaml").data) == repr(value)


@given(st.dictionaries(text, scalars, max_size=4), text)
def test_inline_mappings_and_comments_change_nothing(value: dict[str, Any], comment: str) -> None:
    comment = comment if comment.isprintable() else "shown"
    written = dump_yaml({"a": Inline(value), "b": [Inline(value)]}, {("a",): comment, ("b", 0): comment})
    assert parse(written, "a.yaml").data == {"a": value, "b": [value]}
    assert len(written.splitlines()) <= 3 + 2 * len(value)


def test_not_a_number() -> None:
    assert math.isnan(parse(dump_yaml({"a": math.nan}), "a.yaml").data["a"])


def test_a_file_of_it_loads(write: Write) -> None:
    value = {"a": {"b": [1, {"c": "NO"}, []]}, "d": {}}
    assert load_document(write(dump_yaml(value))).data == value


def test_it_reads_like_a_file_that_people_write() -> None:
    value = {
        "name": "llama3-70b-h100",
        "workload": {"tokens": "15 T", "price": "0.08 USD/kWh", "seq_len": 8192},
        "question": "What does it cost: this?",
        "phases": [{"progress": [0, 0.3], "frac": 0.31}, "x"],
        "none": {"a": {}, "b": [], "c": None},
        "time": "2025-01-01T00:00Z",
        "date": "2025-01-01",
    }
    assert dump_yaml(value) == (
        "name: llama3-70b-h100\n"
        "workload:\n"
        "  tokens: 15 T\n"
        "  price: 0.08 USD/kWh\n"
        "  seq_len: 8192\n"
        'question: "What does it cost: this?"\n'
        "phases:\n"
        "  - progress:\n"
        "      - 0\n"
        "      - 0.3\n"
        "    frac: 0.31\n"
        "  - x\n"
        "none:\n"
        "  a: {}\n"
        "  b: []\n"
        "  c: null\n"
        "time: 2025-01-01T00:00Z\n"
        'date: "2025-01-01"\n'
    )


@pytest.mark.parametrize("value", [{1: 2}, {"a": {1: 2}}, {"a": object()}, {"a": {1, 2}}, {"a": b"x"}])
def test_what_cannot_be_written(value: Any) -> None:
    with pytest.raises(TypeError):
        dump_yaml(value)


def test_half_a_surrogate_pair_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="surrogate"):
        dump_yaml({"a": "\ud800"})
