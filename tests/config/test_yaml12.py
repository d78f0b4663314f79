"""YAML text to plain data with places, whichever of PyYAML's parsers cuts it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simtool.config.compose import FAST_LOADER, MAX_DEPTH, MAX_VALUES
from simtool.config.dump import dump_yaml
from simtool.config.marks import Mark
from simtool.config.yaml12 import load_yaml, parse
from simtool.errors import InputError, Problem
from tests.config.conftest import Write

PURE = yaml.SafeLoader


def data_of(text: str, loader: type[Any] = FAST_LOADER) -> Any:
    return parse(text, "a.yaml", loader=loader).data


def problems_of(text: str, loader: type[Any] = FAST_LOADER) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        parse(text, "a.yaml", loader=loader)
    return list(caught.value.problems)


def test_libyaml_is_used_where_pyyaml_has_it() -> None:
    assert FAST_LOADER is (yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)


def test_values_of_a_file() -> None:
    text = "a: {b: [1, 2.5, x y]}\nc: '5'\nd: NO\ne:\nf: |\n  two\n  lines\ng: >-\n  one\n  line\n"
    assert data_of(text) == {
        "a": {"b": [1, 2.5, "x y"]},
        "c": "5",
        "d": "NO",
        "e": None,
        "f": "two\nlines\n",
        "g": "one line",
    }


@pytest.mark.parametrize("loader", [FAST_LOADER, PURE])
def test_marks_of_values_and_keys(loader: type[Any]) -> None:
    document = parse("top:\n  inner: [1, {k: v}]\n  'q': \"t\"\nlast:\n", "a.yaml", loader=loader)
    assert document.marks[()] == Mark(1, 1, "a.yaml")
    assert document.marks["top",] == Mark(2, 3, "a.yaml")
    assert document.key_marks["top",] == Mark(1, 1, "a.yaml")
    assert document.marks["top", "inner"] == Mark(2, 10, "a.yaml")
    assert document.marks["top", "inner", 0] == Mark(2, 11, "a.yaml")
    assert document.marks["top", "inner", 1, "k"] == Mark(2, 18, "a.yaml")
    assert document.key_marks["top", "inner", 1, "k"] == Mark(2, 15, "a.yaml")
    assert document.marks["top", "q"] == Mark(3, 8, "a.yaml")
    assert document.key_marks["last",] == Mark(4, 1, "a.yaml")


def test_what_is_not_there_has_the_place_of_what_is_around_it(write: Write) -> None:
    document = load_yaml(write("top:\n  inner: 1\n"))
    assert str(document.mark(("top", "nowhere", "deeper"))) == "a.yaml:2:3"
    assert str(document.key_mark(("nowhere",))) == "a.yaml:1:1"


def test_a_byte_order_mark_moves_nothing(write: Write) -> None:
    document = load_yaml(write(b"\xef\xbb\xbfa: 1\n"))
    assert document.data == {"a": 1}
    assert document.key_marks["a",] == Mark(1, 1, "a.yaml")


def test_columns_count_characters() -> None:
    assert parse("ä: ü\n", "a.yaml").marks["ä",] == Mark(1, 4, "a.yaml")


def test_every_duplicate_key_is_named_with_both_places() -> None:
    first, second = problems_of("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\na: 2\n")
    assert (first.where, first.field) == ("a.yaml:5:3", "b.c")
    assert "first at a.yaml:3:3" in first.found
    assert (second.where, second.field) == ("a.yaml:6:1", "a")
    assert "first at a.yaml:1:1" in second.found


def test_keys_are_equal_by_meaning_not_by_quotes() -> None:
    assert [problem.where for problem in problems_of("a: 1\n'a': 2\n\"\\x61\": 3\n")] == [
        "a.yaml:2:1",
        "a.yaml:3:1",
    ]


@pytest.mark.parametrize("key", ["1", "1.5", "true", "null", "~", "[a]", "{a: b}"])
def test_keys_that_are_not_text(key: str) -> None:
    (problem,) = problems_of(f"ok: 1\n? {key}\n: 2\n")
    assert (problem.where, problem.allowed) == ("a.yaml:2:3", "allowed: text")


@pytest.mark.parametrize("key", ["NO", "on", "'1'", "12:30", "2022-01-01"])
def test_keys_that_yaml_1_1_would_not_leave_alone(key: str) -> None:
    assert list(data_of(f"{key}: 1\n")) == [key.strip("'")]


def test_merge_keys_are_refused_with_a_mend() -> None:
    (problem,) = problems_of("base: &b {x: 1}\nother:\n  <<: *b\n")
    assert (problem.where, problem.field) == ("a.yaml:3:3", "other.<<")
    assert "extends:" in problem.mend
    assert data_of('"<<": 1\n') == {"<<": 1}


@pytest.mark.parametrize(
    "tagged",
    [
        "!!python/object/apply:os.system [ls]",
        "!!python/name:os.system ''",
        "!!binary aGk=",
        "!!timestamp 2022-01-01",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!mine x",
        "! x",
        "!<tag:example.org,2000:x> y",
    ],
)
def test_tags_are_refused(tagged: str) -> None:
    (problem, *_) = problems_of(f"a: 1\nb: {tagged}\n")
    assert (problem.where, problem.field) == ("a.yaml:2:4", "b")
    assert problem.mend == "remove the tag"


def test_a_tag_directive_does_not_hide_a_tag() -> None:
    (problem,) = problems_of("%TAG !p! tag:yaml.org,2002:python/\n---\na: !p!name:os.system ''\n")
    assert problem.where == "a.yaml:3:4"


@pytest.mark.parametrize(
    ("tagged", "value"),
    [
        ("!!str 5", "5"),
        ("!!int '5'", 5),
        ("!!float 5", 5.0),
        ("!!bool true", True),
        ("!!null ''", None),
        ("!!map {b: 1}", {"b": 1}),
        ("!!seq [1]", [1]),
    ],
)
def test_core_tags_are_understood(tagged: str, value: object) -> None:
    assert data_of(f"a: {tagged}\n") == {"a": value}


@pytest.mark.parametrize(
    "tagged", ["!!int x", "!!int 1.5", "!!bool yes", "!!null x", "!!seq {a: 1}", "!!map [1]"]
)
def test_core_tags_that_do_not_fit(tagged: str) -> None:
    assert [problem.where for problem in problems_of(f"a: {tagged}\n")] == ["a.yaml:1:4"]


def test_aliases_are_written_out_at_their_own_places() -> None:
    value = parse("a: &x {k: [1]}\nb: *x\n", "a.yaml")
    assert value.data == {"a": {"k": [1]}, "b": {"k": [1]}}
    value.data["b"]["k"].append(2)
    assert value.data["a"]["k"] == [1]
    assert value.marks["b",] == Mark(2, 4, "a.yaml")
    assert value.marks["b", "k"] == Mark(1, 11, "a.yaml")


def test_the_latest_anchor_holds() -> None:
    assert data_of("a: &x 1\nb: &x 2\nc: *x\n") == {"a": 1, "b": 2, "c": 2}
    assert data_of("a: &x [&x 1, *x]\nb: *x\n") == {"a": [1, 1], "b": 1}


@pytest.mark.parametrize("text", ["a: *x\n", "a: *x\nb: &x 1\n"])
def test_alias_without_anchor(text: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.where, problem.field) == ("a.yaml:1:4", "a")


def test_alias_inside_itself() -> None:
    (problem,) = problems_of("a: &x\n  b: [*x]\n")
    assert (problem.where, problem.field) == ("a.yaml:2:7", "a.b[0]")


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a: [1, 2\nb: 3\n", "a.yaml:2:2"),
        ("a: b: c\n", "a.yaml:1:5"),
        ("a: 'x\nb: 1\n", "a.yaml:1:4"),
        ("a:\n\tb: 1\n", "a.yaml:2:1"),
        ("a: @x\n", "a.yaml:1:4"),
        ("a: }\n", "a.yaml:1:4"),
        ("a: 1\n b: 2\n", "a.yaml:2:3"),
        ("plain\n", ""),
    ],
)
def test_text_that_is_not_yaml_is_placed(text: str, where: str) -> None:
    if not where:
        assert data_of(text) == "plain"
        return
    (problem,) = problems_of(text)
    assert problem.where == where
    assert problem.found.startswith("found ")
    assert problem.mend


@pytest.mark.parametrize("loader", [FAST_LOADER, PURE])
@pytest.mark.parametrize("escape", ["\\ud800", "\\UFFFFFFFF", "\\U00110000", "\\xZZ", "\\q"])
def test_escapes_that_are_no_character(escape: str, loader: type[Any]) -> None:
    (problem,) = problems_of(f'a: "{escape}"\n', loader)
    assert problem.where.startswith("a.yaml:1:")


def test_several_documents() -> None:
    (problem,) = problems_of("a: 1\n---\nb: 2\n")
    assert problem.where == "a.yaml:2:1"


def test_other_versions_of_yaml() -> None:
    assert data_of("%YAML 1.2\n---\na: 1\n") == {"a": 1}
    (problem,) = problems_of("%YAML 1.1\n---\na: 1\n")
    assert problem.where == "a.yaml:1:1"


def test_depth_is_bounded() -> None:
    assert data_of("a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1) + "\n")
    (problem,) = problems_of("a: " + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "\n")
    assert problem.where == f"a.yaml:1:{3 + MAX_DEPTH}"


def test_depth_counts_what_an_alias_brings() -> None:
    deep = "[" * (MAX_DEPTH - 5) + "]" * (MAX_DEPTH - 5)
    assert data_of(f"a: &x {deep}\nb: [[*x]]\n")
    (problem,) = problems_of(f"a: &x {deep}\nb: [[[[[*x]]]]]\n")
    assert problem.where == "a.yaml:2:9"


def test_number_of_values_is_bounded() -> None:
    enough = ",".join("1" * (MAX_VALUES - 3))
    assert len(data_of(f"a: [{enough}]\n")["a"]) == MAX_VALUES - 3
    (problem,) = problems_of(f"a: [{enough},1,1]\n")
    assert problem.found.startswith("found more than 100,000 values")


def test_many_problems_are_counted_not_listed() -> None:
    problems = problems_of("a: 1\n" * 5000)
    assert len(problems) == 51
    assert problems[-1].found == "found 4949 more problems"


PIECES = st.sampled_from(
    [
        *"ab:-?,[]{}#&*!|>'\"%@ \n\n\t0",
        ": ",
        "- ",
        "? ",
        "\n  ",
        "\n- ",
        "&a ",
        "*a",
        "!!str ",
        "...",
        "---\n",
        "1e3",
        "~",
        "\\x",
        "ä",
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_both_parsers_agree(text: str) -> None:
    """What both can read is the same; "
    "each is stricter than the other in corners, e.g. about tabs at a line's end."""
    outcomes: list[Any] = []
    for loader in (FAST_LOADER, PURE):
        try:
            outcomes.append(parse(text, "a.yaml", loader=loader).data)
        except InputError:
            return
    assert outcomes[0] == outcomes[1]


plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), plain_data, max_size=4))
def test_both_parsers_agree_on_what_is_dumped(data: dict[str, Any]) -> None:
    text = dump_yaml(data)
    assert parse(text, "a.yaml", loader=PURE) == parse(text, "a.yaml")
