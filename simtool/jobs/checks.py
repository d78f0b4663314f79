"""What a column of jobs may hold; every row that breaks a rule is told by file, row and column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

MAX_SHOWN = 10
"""Rows that a message lists for one rule before it only counts."""

Rule = tuple[str, NDArray[np.bool_], str, str]
"""Column, rows that break it, what is allowed, how to mend it."""


def check_columns(
    place: str,
    names: Sequence[str],
    columns: Mapping[str, NDArray[Any]],
    num_words: Mapping[str, int],
    lines: NDArray[Any] | None = None,
) -> None:
    """Refuse columns that are no table of jobs.

    Args:
        place: the file, or ``jobs``.
        names: of the jobs.
        columns: all numeric columns of `JobTable`.
        num_words: number of words of each column of codes.
        lines: line of each job in the file; rows are counted from 1 without.

    Raises:
        InputError: all problems at once.
    """
    lengths = {"name": len(names), **{column: len(values) for column, values in columns.items()}}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{column} {length}" for column, length in lengths.items())
        raise InputError(Problem(place, "", f"found columns of different length: {found}", "", ""))
    problems = [
        problem
        for column, broken, allowed, mend in _rules(columns, num_words)
        if broken.any()
        for problem in listed(place, column, columns[column], broken, names, allowed, mend, lines)
    ]
    nameless = np.array([not name for name in names], dtype=bool)
    problems += listed(place, "name", names, nameless, None, "a word", "", lines)
    problems += _doubled(place, names, lines)
    if problems:
        raise InputError(problems)


def listed(
    place: str,
    column: str,
    values: Sequence[Any] | NDArray[Any],
    broken: NDArray[np.bool_],
    names: Sequence[str] | None,
    allowed: str,
    mend: str,
    lines: NDArray[Any] | None = None,
) -> list[Problem]:
    """A problem for each of the first rows that break a rule, and one that counts the rest."""
    rows = np.flatnonzero(broken)
    problems = []
    for row in rows[:MAX_SHOWN].tolist():
        value = values[row]
        told = f"{value:g}" if isinstance(value, float | np.floating) else repr(value).partition("\n")[0][:60]
        told = str(value) if isinstance(value, np.integer | np.bool_) else told
        job = f" for job {names[row]!r}" if names is not None else ""
        problems.append(Problem(row_of(place, row, lines), column, f"found {told}{job}", allowed, mend))
    if len(rows) > MAX_SHOWN:
        problems.append(Problem(place, column, f"and {len(rows) - MAX_SHOWN} rows more like these"))
    return problems


def row_of(place: str, row: int, lines: NDArray[Any] | None) -> str:
    """Where a row stands: ``file:line``, or ``jobs, row 3``."""
    return f"{place}, row {row + 1}" if lines is None else f"{place}:{lines[row]}"


def _rules(columns: Mapping[str, NDArray[Any]], num_words: Mapping[str, int]) -> list[Rule]:
    c = columns
    submit, run, limit = c["submit_s"], c["run_s"], c["limit_s"]
    rose = np.ones(len(submit), dtype=bool)
    rose[1:] = ~(submit[1:] < submit[:-1])
    rules: list[Rule] = [
        ("submit_s", ~(np.isfinite(submit) & (submit >= 0.0)), "a finite time of at least 0 s", ""),
        ("submit_s", ~rose, "times that never go back", "sort the jobs by submission"),
        (
            "num_devices",
            c["num_devices"] < 1,
            "at least 1",
            "a job without accelerators does not belong here",
        ),
        ("run_s", ~(np.isfinite(run) & (run >= 0.0)), "a finite time above 0 s", ""),
        ("run_s", run == 0.0, "a time above 0 s", "leave out what never ran, or set drop_zero_length"),
        ("limit_s", ~(limit > 0.0), "a time above 0 s, or inf for none", ""),
        (
            "run_s",
            (run > limit) & (limit > 0.0),
            "at most limit_s: a job ends at its limit",
            "raise limit_s or cut run_s",
        ),
        (
            "deadline_s",
            ~(c["deadline_s"] > submit),
            "a time after submit_s, or inf for none",
            "count from the start of the table, as submit_s does",
        ),
        ("min_devices", c["min_devices"] < 1, "at least 1", ""),
        ("min_devices", c["min_devices"] > c["num_devices"], "at most num_devices", ""),
        ("max_devices", c["max_devices"] < c["num_devices"], "at least num_devices", ""),
        ("outcome", (c["outcome"] < 0) | (c["outcome"] > 2), "0 completed, 1 failed, 2 cancelled", ""),
        ("user", (c["user"] < 0) | (c["user"] >= num_words["user"]), "a code of users", ""),
    ]
    for column in ("accelerator", "group"):
        codes = c[column]
        broken = (codes < -1) | (codes >= num_words[column])
        rules.append((column, broken, f"a code of {column}s, or -1", ""))
    return rules


def _doubled(place: str, names: Sequence[str], lines: NDArray[Any] | None) -> list[Problem]:
    if len(set(names)) == len(names):
        return []
    seen: dict[str, int] = {}
    problems: list[Problem] = []
    num_doubled = 0
    for row, name in enumerate(names):
        first = seen.setdefault(name, row)
        if first != row:
            num_doubled += 1
            if num_doubled <= MAX_SHOWN:
                before = row_of("", first, lines).lstrip(", :")
                before = before if lines is None else f"line {before}"
                problems.append(
                    Problem(
                        row_of(place, row, lines),
                        "name",
                        f"found {name!r} again, first in {before}",
                        "each job once",
                        "",
                    )
                )
    if num_doubled > MAX_SHOWN:
        problems.append(Problem(place, "name", f"and {num_doubled - MAX_SHOWN} rows more like these"))
    return problems
