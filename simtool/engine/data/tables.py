"""Tables: CSV and Parquet as columns; a table becomes features and class labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.engine.data.arrays import classes, read_arrays
from simtool.engine.data.bundled import digits
from simtool.engine.data.files import MAX_BYTES, check_file, data_error, read_bytes
from simtool.engine.plan import FloatArray, IntArray
from simtool.errors import InputError, Problem, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Columns by name, all equally long; a column is floats, or texts where one value is no number."""

    values: dict[str, NDArray[Any]]
    path: Path

    def numbers(self, names: Sequence[str]) -> FloatArray:
        """Some columns side by side, shape (rows, columns).

        Raises:
            InputError: a column of texts, or a value that is missing or not finite; every one is named.
        """
        problems = []
        for name in names:
            column = self.values[name]
            if column.dtype.kind != "f":
                example = next(value for value in column if not _is_number(value))
                problems.append(
                    Problem(
                        str(self.path),
                        f"column {name}",
                        f"found {example[:40]!r}" if example else "found an empty value",
                        "numbers",
                        f"mend the value, or leave the column out with drop={name}",
                    )
                )
            elif not np.isfinite(column).all():
                bad = np.flatnonzero(~np.isfinite(column))
                problems.append(
                    Problem(
                        str(self.path),
                        f"column {name}",
                        f"{len(bad)} values are missing or not finite, the first in row {bad[0] + 1}",
                        "finite numbers",
                        f"mend the values, or leave the column out with drop={name}",
                    )
                )
        if problems:
            raise InputError(problems)
        return np.stack([self.values[name].astype(np.float64) for name in names], axis=1)

    def without(self, names: Sequence[str]) -> Columns:
        """The columns that are not named.

        Raises:
            InputError: a name that is no column.
        """
        for name in names:
            self.check(name)
        return Columns(
            values={name: column for name, column in self.values.items() if name not in names}, path=self.path
        )

    def check(self, name: str) -> str:
        """The name, if there is such a column.

        Raises:
            InputError: there is none.
        """
        if name not in self.values:
            raise InputError(
                Problem(str(self.path), "column", f"no column {name!r}", "", did_you_mean(name, self.values))
            )
        return name

    def row_numbers(self) -> list[str]:
        """Columns that only count the rows: 1, 2, 3, ..."""
        return [
            name
            for name, column in self.values.items()
            if column.dtype.kind == "f" and len(column) > 2 and bool(np.all(np.diff(column) == 1.0))
        ]


def read_columns(path: Path) -> Columns:
    """The columns of a CSV (plain or gzip) or Parquet file.

    Raises:
        InputError: not readable, ragged, or without rows.
    """
    if path.name.endswith((".parquet", ".pq")):
        return _parquet(path)
    return _csv(path)


def _csv(path: Path) -> Columns:
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise data_error(path, "is not UTF-8 text", "a CSV, NPZ or Parquet file", "") from None
    if "\0" in text:
        raise data_error(path, "is not text", "a CSV, NPZ or Parquet file", "")
    delimiter = ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        numbered = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise data_error(path, f"line {reader.line_num}: {error}", "a CSV file", "") from None
    num_columns = len(numbered[0][1]) if numbered else 0
    ragged = [line for line, row in numbered if len(row) != num_columns]
    if ragged:
        raise data_error(
            path,
            f"{len(ragged)} rows have not {num_columns} values as the first has, line {ragged[0]} before all",
            "one value a column",
            "mend the rows",
        )
    rows = [row for _, row in numbered]
    names = [f"column {index + 1}" for index in range(num_columns)]
    if rows and _has_header(rows):
        names, rows = [name or f"column {index + 1}" for index, name in enumerate(rows[0])], rows[1:]
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise data_error(path, f"the column {twice!r} is there twice", "each column once", "rename one")
    if not rows:
        raise data_error(path, "holds no row of values", "", "name a file with data")
    columns = zip(*rows, strict=True)
    return Columns(
        values={name: _typed(list(cells)) for name, cells in zip(names, columns, strict=True)}, path=path
    )


def _has_header(rows: list[list[str]]) -> bool:
    """Whether the first row names the columns: text above numbers, or no number at all."""
    first, rest = rows[0], rows[1:]
    if not any(_is_number(cell) for cell in first):
        return True
    return any(
        not _is_number(cell) and cell and bool(rest) and all(_is_number(row[index]) for row in rest)
        for index, cell in enumerate(first)
    )


def _typed(cells: list[str]) -> NDArray[Any]:
    """Floats where every value is a number or missing, else texts."""
    try:
        return np.array([cell or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        return np.array(cells, dtype=np.str_)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parquet(path: Path) -> Columns:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    check_file(path)
    try:
        opened = parquet.ParquetFile(path)
        groups = range(opened.num_row_groups)
        size_bytes = sum(opened.metadata.row_group(group).total_byte_size for group in groups)
        if size_bytes > MAX_BYTES:
            raise data_error(
                path, f"unpacks to {size_bytes:,} bytes", f"at most {MAX_BYTES:,}", "name a part of it"
            )
        table = opened.read()
    except (OSError, arrow.ArrowException) as error:
        raise data_error(
            path, f"cannot be read: {str(error).partition(chr(10))[0]}", "a Parquet file", ""
        ) from None
    if table.num_rows == 0:
        raise data_error(path, "holds no row of values", "", "name a file with data")
    values: dict[str, NDArray[Any]] = {}
    for name in table.column_names:
        column = table.column(name)
        is_number = (
            arrow.types.is_integer(column.type)
            or arrow.types.is_floating(column.type)
            or arrow.types.is_boolean(column.type)
        )
        if is_number:
            as_float = column.cast("int8") if arrow.types.is_boolean(column.type) else column
            values[name] = as_float.cast("float64", safe=False).to_numpy()
        else:
            values[name] = np.array(["" if value is None else str(value) for value in column.to_pylist()])
    return Columns(values=values, path=path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Features and classes of every row."""

    features: FloatArray
    """Shape (rows, features)."""
    labels: IntArray
    """Shape (rows,), from 0."""
    num_classes: int
    source: str
    left_out: tuple[str, ...] = ()
    """Columns that were not used."""


def load_table(path: Path | None, label: str | None = None, drop: Sequence[str] = ()) -> Table:
    """A table of classes: a CSV, NPZ or Parquet file, or scikit-learn's handwritten digits.

    Args:
        path: the file; None takes the digits.
        label: column of the classes; by default the only column without a number, else the last.
        drop: columns that are left out, beside those that only count the rows.

    Raises:
        InputError: not readable, or a column that is no feature.
    """
    if path is None:
        images, digit = digits()
        return Table(
            features=images.reshape(len(images), -1).astype(np.float64),
            labels=digit,
            num_classes=10,
            source="scikit-learn digits, 64 grey values as columns",
        )
    if path.suffix == ".npz":
        features, raw = read_arrays(path)
        if not np.isfinite(features).all():
            raise data_error(path, "some features are missing or not finite", "finite numbers", "mend them")
        labels, num_classes = classes(raw, str(path))
        flat = features.reshape(len(features), -1).astype(np.float64)
        return Table(features=flat, labels=labels, num_classes=num_classes, source=path.name)
    columns = read_columns(path).without(drop)
    # a column of numbers with one stray word is a mistake, not the classes
    texts = [
        name
        for name, column in columns.values.items()
        if column.dtype.kind != "f" and not any(map(_is_number, column))
    ]
    if label is None:
        label = texts[0] if len(texts) == 1 else list(columns.values)[-1]
    raw = columns.values[columns.check(label)]
    if raw.dtype.kind == "f":
        raw = columns.numbers([label])[:, 0]
    counting = [name for name in columns.row_numbers() if name != label]
    names = [name for name in columns.values if name not in {label, *counting}]
    if not names:
        raise data_error(path, "holds no column beside the classes", "at least one feature", "")
    features = columns.numbers(names)
    labels, num_classes = classes(raw, str(path))
    return Table(
        features=features,
        labels=labels,
        num_classes=num_classes,
        source=path.name,
        left_out=(*drop, *counting),
    )
