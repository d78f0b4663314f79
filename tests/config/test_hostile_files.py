"""Whatever a path leads to: data or one clear error, and never much time or memory.

The bounds hold by construction: a file is measured before it is opened, and a text is left at the
first event beyond a bound. A reader without them would not come back from most of these tests.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simtool.config.files import MAX_FILE_BYTES
from simtool.config.load import load_document, load_scenario
from simtool.errors import InputError, Problem
from tests.config.conftest import SCENARIO, Write, problems_in


def problem_of(path: Path | str) -> Problem:
    """The only problem of a file."""
    with pytest.raises(InputError) as caught:
        load_document(Path(path))
    (problem,) = caught.value.problems
    return problem


def test_missing_file_names_its_neighbours(write: Write) -> None:
    write(SCENARIO, "quickstart.yaml")
    problem = problem_of("quikstart.yaml")
    assert (problem.where, problem.found) == ("quikstart.yaml", "found no such file")
    assert problem.mend == "did you mean 'quickstart.yaml'?"


def test_missing_file_in_an_empty_folder() -> None:
    assert problem_of("a.yaml").mend == "'.' holds no YAML file"


def test_missing_folder() -> None:
    assert problem_of("nowhere/a.yaml").mend == "there is no folder 'nowhere'"


def test_a_file_where_a_folder_should_be(write: Write) -> None:
    write("a: 1\n", "b.yaml")
    assert problem_of("b.yaml/a.yaml").found == "found no such file"


def test_a_folder(write: Write) -> None:
    write(SCENARIO, "folder/b.yaml")
    problem = problem_of("folder")
    assert (problem.where, problem.found) == ("folder", "found a folder")
    assert problem.mend == "name one of its files: b.yaml"


def test_no_permission(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(SCENARIO)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    problem = problem_of(path)
    assert (problem.where, problem.found) == ("a.yaml", "found a file that may not be read")


def test_a_folder_that_cannot_be_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert problem_of("a.yaml").found == "found no such file"


def test_a_link_to_itself() -> None:
    Path("a.yaml").symlink_to("a.yaml")
    assert problem_of("a.yaml").found.startswith("found a path that cannot be read")


@pytest.mark.parametrize("path", ["a\0b.yaml", "x" * 5000])
def test_paths_that_no_file_has(path: str) -> None:
    assert problem_of(path).found.startswith("found a path that cannot be read")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null"])
def test_a_device(device: str) -> None:
    assert problem_of(device).found == "found a device or pipe"


def test_a_pipe_is_not_waited_for() -> None:
    os.mkfifo("a.yaml")
    assert problem_of("a.yaml").found == "found a device or pipe"


def test_five_gigabytes_are_not_read() -> None:
    with Path("a.yaml").open("wb") as file:
        file.truncate(5 * 10**9)
    problem = problem_of("a.yaml")
    assert problem.found == "found a file of 4,768 MiB"
    assert problem.mend.startswith("at most 4 MiB are read")


def test_the_size_that_is_just_read(write: Write) -> None:
    comment = "#" + "x" * (MAX_FILE_BYTES - 7) + "\n"
    assert load_document(write(comment + "a: 1\n")).data == {"a": 1}
    assert problem_of(write(comment + "a: 11\n")).where == "a.yaml"


def test_an_empty_file(write: Write) -> None:
    for text in ("", "\n\n", "# nothing\n", "---\n", "\ufeff"):
        problem = problem_of(write(text))
        assert (problem.found, problem.allowed) == ("found an empty file", "allowed: a mapping")


@pytest.mark.parametrize("text", ["- a\n- b\n", "text\n", "5\n", "[]\n"])
def test_the_top_is_no_mapping(write: Write, text: str) -> None:
    problem = problem_of(write(text))
    assert (problem.where, problem.allowed) == ("a.yaml:1:1", "allowed: a mapping")


def test_latin_1(write: Write) -> None:
    problem = problem_of(write("a: 1\nb: ü-".encode() + "é\n".encode("latin-1")))
    assert problem.where == "a.yaml:2:6"
    assert problem.found == "found byte 0xe9 at offset 11, which is not UTF-8"


def test_utf_16(write: Write) -> None:
    assert problem_of(write("a: 1\n".encode("utf-16"))).found == "found UTF-16 text"


def test_a_binary_file(write: Write) -> None:
    problem = problem_of(write(b"\x7fELF\x02\x01\x01\0\0\0"))
    assert problem.found == "found a binary file (a NUL byte at offset 7)"


@pytest.mark.parametrize("letter", ["\x1b", "\x7f", "\x85", "\u2028", "\ufeff", "\uffff"])
def test_characters_that_are_no_text(write: Write, letter: str) -> None:
    problem = problem_of(write(f"a: 1\nb: x{letter}y\n"))
    assert problem.where == "a.yaml:2:5"
    assert f"U+{ord(letter):04X}" in problem.found


def test_an_alias_bomb(write: Write) -> None:
    lines = ["a0: &a0 [" + ",".join("x" * 10) + "]"]
    lines += [f"a{n}: &a{n} [" + ",".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 10)]
    problem = problem_of(write("\n".join(lines)))
    # Keys and lists count: a0 to a3 are 11, 111, 1,111 and 11,111 values, so the eighth *a3 is too much.
    assert problem.where == "a.yaml:5:38"
    assert problem.found.startswith("found more than 100,000 values")


def test_an_alias_bomb_of_mappings(write: Write) -> None:
    lines = ["a0: &a0 {x: 1}"]
    lines += [f"a{n}: &a{n} {{" + ", ".join(f"k{k}: *a{n - 1}" for k in range(9)) + "}" for n in range(1, 40)]
    assert problem_of(write("\n".join(lines))).found.startswith("found more than 100,000 values")


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "a: [", "{[", "&a [", "!!seq [", "[\n"])
def test_a_hundred_thousand_brackets(write: Write, opening: str) -> None:
    problem = problem_of(write(opening * 100_000))
    assert problem.where.startswith("a.yaml:")


def test_very_long_keys_and_values_are_cut_in_messages(write: Write) -> None:
    with pytest.raises(InputError) as caught:
        load_scenario(write(SCENARIO + f"{'k' * 900}: {'v' * 100_000}\n" + f"projection: {'w' * 10**6}\n"))
    assert all(len(str(problem)) < 800 for problem in caught.value.problems)


def test_a_hundred_thousand_digits(write: Write) -> None:
    assert problem_of(write("a: " + "9" * 100_000)).where == "a.yaml:1:4"


@given(st.binary(max_size=200))
@example(b'a: "\\ud800"')
@example(b'a: "\\UFFFFFFFF"')
@example(b"%YAML 1.99999999999999999999999999999\n---\na: 1")
@example(b"%YAML 99999\n---\n")
@example(b"!<%ff> x")
@example(b"a: !!str%zz b")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes(write: Write, content: bytes) -> None:
    problems = problems_in(lambda: load_document(write(content)))
    assert all(problem.where.startswith("a.yaml") and problem.found for problem in problems)


@given(st.binary(min_size=1, max_size=8), st.integers(0, len(SCENARIO)), st.integers(0, 8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_scenario_with_a_few_bytes_overwritten(write: Write, patch: bytes, start: int, cut: int) -> None:
    text = SCENARIO.encode()
    problems = problems_in(lambda: load_scenario(write(text[:start] + patch + text[start + cut :])))
    assert all(problem.where.startswith("a.yaml") and problem.found for problem in problems)
