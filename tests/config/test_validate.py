"""Checking a document against a model: only our words, only places that exist, for any model and data."""

from __future__ import annotations

import copy
import re
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field, field_validator, model_validator

from simtool.config import mistakes
from simtool.config.dump import dump_yaml
from simtool.config.fields import Fraction, Quantity, Strict, Watts
from simtool.config.load import load_document, load_scenario, validate
from simtool.config.marks import MAX_PROBLEMS, walk
from simtool.config.yaml12 import parse
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Sourced
from tests.config.conftest import SCENARIO, Write, problems_in

VALID: dict[str, Any] = parse(SCENARIO, "a.yaml").data
PLACES = [keys for keys, _ in walk(VALID) if keys]
PYDANTIC = re.compile(
    r"[Ii]nput should|validation error|function-|constrained|literal\[|tagged|\bValue error|model_type|"
    r"dict\[|union|MethodUse|Reliability\b|Layout\b|Series\b|Sourced|NoneType|Unable to|pydantic"
)

junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 10**400)
    | st.floats()
    | st.sampled_from(
        ["", "auto", "none", "daly", "5 W", "1 h", "-1 s", "0.5", "rent", "own", "x" * 200, "é\n"]
    )
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["value", "kind", "source", "mode", "price", "series", "tp", "write", "pue", "Lay", "x y"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)


def bent(keys: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(VALID)
    here: Any = data
    for key in keys[:-1]:
        here = here[key]
    here[keys[-1]] = value
    return data


@given(st.sampled_from(PLACES), junk)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_anywhere_in_a_scenario(write: Write, keys: tuple[Any, ...], value: Any) -> None:
    """A scenario or problems at or below the place that was bent, or in the section around it."""
    try:
        text = dump_yaml(bent(keys, value))
    except ValueError:
        return
    lines = text.splitlines()
    for problem in problems_in(lambda: load_scenario(write(text))):
        assert PYDANTIC.search(str(problem).replace(repr(value), "")) is None
        _, line, column = problem.where.split(":")
        assert 1 <= int(line) <= len(lines)
        assert 1 <= int(column) <= len(lines[int(line) - 1]) + 1
        assert problem.field.split(".")[0].split("[")[0] in VALID
        assert problem.found.startswith("found ")


@given(st.sampled_from(PLACES), st.sampled_from(["seq", "price", "kind", "é", "x.y", "schema", "mode"]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_key_anywhere_in_a_scenario(write: Write, keys: tuple[Any, ...], name: str) -> None:
    """A key that was added, or took the place of another, is found where it stands."""
    data = copy.deepcopy(VALID)
    here: Any = data
    for key in keys:
        here = here[key]
    if not isinstance(here, dict) or name in here:
        return
    here[name] = 1
    text = dump_yaml(data)
    with pytest.raises(InputError) as caught:
        load_scenario(write(text))
    places = [problem.where for problem in caught.value.problems if problem.field.endswith(name)]
    rows = [n for n, line in enumerate(text.splitlines(), 1) if line.strip() == f"{name}: 1"]
    assert any(place.startswith(f"a.yaml:{row}:") for place in places for row in rows)


# ------------------------------------------------------------------------------- models of other rooms


class Inner(Strict):
    """A section."""

    size: Annotated[int, Field(ge=1, le=8)] = 1
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    words: tuple[Annotated[str, Field(min_length=2)], ...] = Field(default=(), strict=False)


class Other(Strict):
    """Another section."""

    size: str
    on: bool = False


class File(Strict):
    """A file."""

    limit: Watts | None = None
    by_name: dict[str, Fraction] = Field(default={})
    either: Inner | Other | None = None
    many: Annotated[tuple[Inner, ...], Field(strict=False, max_length=2)] = ()
    half: float = 0.5
    even: Annotated[int, Field(multiple_of=2)] = 2
    kind: Literal["a"] = "a"
    deep: dict[str, dict[str, list[int]]] = Field(default={})
    count: int | None = None

    @field_validator("half")
    @classmethod
    def _is_half(cls, value: float) -> float:
        if value != 0.5:
            raise ValueError(f"found {value}; write 0.5")
        return value

    @model_validator(mode="after")
    def _limit_needs_count(self) -> File:
        if self.limit is not None and self.count is None:
            raise ValueError("found a limit without a count")
        return self


def problems_of(write: Write, text: str, context: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InputError) as caught:
        validate(load_document(write(text)), File, context)
    return [str(problem) for problem in caught.value.problems]


LONG = "{value: 5 W, kind: measured, source: meter}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("even: 3", "a.yaml:1:7: even: found 3; allowed: a whole number a multiple of 2"),
        ("kind: b", "a.yaml:1:7: kind: found 'b'; allowed: 'a'"),
        ("count: x", "a.yaml:1:8: count: found 'x'; allowed: a whole number"),
        ("half: 0.4", "a.yaml:1:7: half: found 0.4; write 0.5"),
        ("half: .nan", "a.yaml:1:7: half: found nan; allowed: a number"),
        ("half: 1 W", "a.yaml:1:7: half: found '1 W'; allowed: a number"),
        ("half: '0.5'", "a.yaml:1:7: half: found '0.5'; allowed: a number; write 0.5 without quotes"),
        (f"limit: {LONG}", "a.yaml:1:1: found a limit without a count"),
        ("many: [{}, {size: 9}]", "a.yaml:1:19: many[1].size: found 9; allowed: a whole number from 1 to 8"),
        ("many: [{}, {}, {}]", "a.yaml:1:7: many: found a list of 3; allowed: a list of at most 2"),
        ("many: {}", "a.yaml:1:7: many: found an empty mapping; allowed: a list of at most 2"),
        ("many: [{share: 1}]", "a.yaml:1:16: many[0].share: found 1; allowed: a number above 0 and below 1"),
        (
            "many: [{words: [a]}]",
            "a.yaml:1:17: many[0].words[0]: found 'a'; allowed: text, at least 2 characters",
        ),
        ("deep: {a: {b: [1, x]}}", "a.yaml:1:19: deep.a.b[1]: found 'x'; allowed: a whole number"),
        ("deep: {a: [1]}", "a.yaml:1:11: deep.a: found a list of 1; allowed: a mapping"),
        ("either: {size: 1, on: yes}", "a.yaml:1:16: either.size: found 1; allowed: text; put it in quotes"),
        (
            "either: {size: 0, share: 0.5}",
            "a.yaml:1:16: either.size: found 0; allowed: a whole number from 1 to 8",
        ),
        ("either: x", "a.yaml:1:9: either: found 'x'; allowed: a mapping or a mapping with size"),
        (
            "by_name: {a: {value: 0.5, kind: assumed, source: x}, b: {value: 2, kind: assumed, source: x}}",
            "a.yaml:1:65: by_name.b.value: found 2; allowed: a number from 0 to 1; write e.g. 0.5",
        ),
        (
            "limit: 5 W",
            (
                "a.yaml:1:8: limit: found '5 W' without a source; allowed: a sourced quantity; "
                "write {value: 5 W, "
                "kind: measured | calibrated | datasheet | published | assumed, source: ...}"
            ),
        ),
        (
            "limit: {value: 5 W, kind: measured, source: ''}",
            "a.yaml:1:45: limit.source: found ''; allowed: text; write where the number can be looked up",
        ),
        (
            "limit: {value: 5 W, kind: measured, source: x, date: 2025}",
            "a.yaml:1:54: limit.date: found 2025; allowed: text; put it in quotes, e.g. '2025-01-31'",
        ),
        (
            "limit: {value: 5 W, kind: measured, source: x, spread: -1}",
            (
                "a.yaml:1:56: limit.spread: found -1; "
                "allowed: a relative standard deviation from 0 to below 10; "
                "write e.g. 0.1 for 10 %"
            ),
        ),
        (
            "limit: {vlaue: 5 W, kind: measured, source: x}",
            (
                "a.yaml:1:9: limit.vlaue: found the unknown key 'vlaue'; "
                "allowed: value, kind, source, date, spread; "
                "did you mean 'value'?"
            ),
        ),
    ],
)
def test_any_model_is_told_in_the_same_words(write: Write, text: str, message: str) -> None:
    assert message in problems_of(write, text)


@given(st.dictionaries(st.sampled_from([*File.model_fields, "x"]), junk, max_size=4))
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_data_for_any_model(write: Write, data: dict[str, Any]) -> None:
    try:
        text = dump_yaml(data)
    except ValueError:
        return
    problems = problems_in(lambda: validate(load_document(write(text)), File, {"bare_kind": "assumed"}))
    assert all(problem.found.startswith("found ") for problem in problems)


def test_bare_quantities_in_mappings_and_lists_get_their_places(write: Write) -> None:
    class Curve(Strict):
        """Quantities in containers."""

        points: Annotated[tuple[tuple[Watts, Fraction], ...], Field(strict=False)]
        by_name: dict[str, Watts]

    path = write("points: [[1 W, 0.5], [2 W, 0.6]]\nby_name: {a: 3 W}\n")
    with pytest.raises(InputError):
        validate(load_document(path), Curve)
    curve = validate(load_document(path), Curve, {"bare_kind": "assumed"})
    assert curve.points[1][0] == Sourced(value=2.0, unit="W", kind="assumed", source="a.yaml:1:23")
    assert curve.by_name["a"].source == "a.yaml:2:14"


def test_a_section_is_told_with_its_whole_path(write: Write) -> None:
    part = load_document(write("top:\n  below:\n    half: 0.4\n    sise: 1\n")).part(("top", "below"))
    with pytest.raises(InputError) as caught:
        validate(part, File)
    assert [(problem.where, problem.field) for problem in caught.value.problems] == [
        ("a.yaml:3:11", "top.below.half"),
        ("a.yaml:4:5", "top.below.sise"),
    ]


def test_hundreds_of_problems_are_counted(write: Write) -> None:
    problems = problems_of(write, "".join(f"k{n}: 1\n" for n in range(200)))
    assert len(problems) == 51
    assert problems[-1] == "a.yaml: found 150 more problems"


def test_of_thousands_of_problems_few_are_put_into_words(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        mistakes, "did_you_mean", lambda word, known: asked.append(word) or did_you_mean(word, known)
    )
    path = write("".join(f"unknown_{number}: 1\n" for number in range(20_000)))
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    problems = caught.value.problems
    assert len(asked) <= MAX_PROBLEMS
    assert len(problems) == MAX_PROBLEMS + 1
    assert problems[MAX_PROBLEMS - 1].where.startswith(str(path))
    assert re.fullmatch("found 19[0-9]+ more problems", problems[-1].found)


def test_a_word_of_megabytes_is_not_repeated() -> None:
    problem = Problem("a.yaml:1:1", "name", "x" * 3_000_000)
    assert len(str(problem)) < 3000
    assert did_you_mean("h" * 3_000_000, ["h100-sxm"]) == "known: h100-sxm"


def test_a_file_may_be_opened_again_after_an_error(write: Write) -> None:
    """Nothing is kept between two readings."""
    assert problems_of(write, "even: 3") == problems_of(write, "even: 3")
    assert validate(load_document(write("even: 4")), File).even == 4


@pytest.mark.parametrize(
    "quantity", [Quantity("s"), Quantity("", maximum=1.0), Quantity("W", minimum=None, above=-3)]
)
def test_the_example_of_a_quantity_is_one(write: Write, quantity: Quantity) -> None:
    class One(Strict):
        """One quantity."""

        one: Annotated[Sourced, quantity]

    document = load_document(write(f"one: {quantity.example()}\n"))
    assert validate(document, One, {"bare_kind": "assumed"}).one.unit == quantity.unit


def test_problems_rebuild_from_their_arguments() -> None:
    error = InputError([Problem("a.yaml:1:1", "x", "found y")])
    assert str(InputError(*error.args)) == str(error)
