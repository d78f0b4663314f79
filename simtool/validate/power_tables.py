"""Reading tables of measured power: columns by name, damaged cells told by line."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simtool.errors import InputError, Problem

MAX_PROBLEMS = 20


@dataclass(frozen=True, slots=True)
class PowerRow:
    """One line of a table."""

    text: dict[str, str]
    number: dict[str, float]
    """NaN where a cell that may be blank is blank."""


def read_power_table(
    path: Path, *, texts: Sequence[str], numbers: Sequence[str], optional: Sequence[str] = ()
) -> list[PowerRow]:
    """Rows of a CSV table, plain or gzipped.

    Args:
        path: the table.
        texts: columns kept as written.
        numbers: columns that hold a finite number in every row.
        optional: columns of numbers that may be blank.

    Raises:
        InputError: the file cannot be read, lacks a column or has a cell that is no number.
    """
    try:
        packed = path.read_bytes()
        text = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text)))
    except (OSError, UnicodeDecodeError, csv.Error, EOFError, zlib.error) as error:
        raise _refused(path, "", f"cannot be read: {error}", "give a table of measured power") from None
    if not rows:
        raise _refused(path, "", "found no rows", "give a table of measured power with a header")
    for name in (*texts, *numbers, *optional):
        if name not in rows[0]:
            raise _refused(path, name, "column is missing", "add it")
    problems: list[Problem] = []
    read = []
    for line, row in enumerate(rows, start=2):
        values = {}
        for name in (*numbers, *optional):
            cell = (row[name] or "").strip()
            values[name] = _number(cell)
            if not math.isfinite(values[name]) and (name in numbers or cell):
                problems.append(
                    Problem(f"{path}:{line}", name, f"found {cell[:40]!r}", "a number", "mend it")
                )
        read.append(PowerRow({name: (row[name] or "").strip() for name in texts}, values))
    if problems:
        raise InputError(problems[:MAX_PROBLEMS])
    return read


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _refused(path: Path, field: str, found: str, mend: str) -> InputError:
    return InputError(Problem(str(path), field, found, "", mend))
