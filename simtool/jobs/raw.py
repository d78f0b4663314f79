"""A table file as it was written: columns of text or of numbers, and the line of every row.

Cells are turned into numbers, times and truth values column by column; whatever cannot be is told by
file, line and column, never guessed.
"""

from __future__ import annotations

import gzip
import io
import stat
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.jobs.checks import listed
from simtool.units import BYTES_PER_GIB, SECONDS_PER_MINUTE

MAX_BYTES = int(2 * BYTES_PER_GIB)
"""Longest file that is read, after unpacking; Arrow counts the letters of a column in 32 bits."""
_MICROSECONDS = 1e6
_TRUTH = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawTable:
    """Rows of one file."""

    path: Path
    columns: Mapping[str, Any]
    """Arrow columns by name: text if the file is text."""
    lines: NDArray[np.int64]
    """Line (text) or row (Parquet) of every row."""

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns in the file's order."""
        return tuple(self.columns)

    def rows(self, mask: NDArray[np.bool_]) -> RawTable:
        """The rows that a mask picks."""
        picked = arrow.array(mask)
        columns = {name: column.filter(picked) for name, column in self.columns.items()}
        return RawTable(path=self.path, columns=columns, lines=self.lines[mask])

    def texts(self, column: str) -> list[str]:
        """A column as words; an empty cell is an empty word."""
        return cast("list[str]", compute.fill_null(self._text(column), "").to_pylist())

    def numbers(self, column: str, *, empty: float | None = None) -> NDArray[np.float64]:
        """A column of finite numbers or ``inf``, shape (rows,).

        Args:
            column: its name.
            empty: what an empty cell means; refused if not given.

        Raises:
            InputError: names the rows that hold none.
        """
        values = self.columns[column]
        if arrow.types.is_boolean(values.type) or arrow.types.is_temporal(values.type):
            raise self.wrong(column, f"found values of type {values.type}", "numbers", "")
        if _is_text(values.type):
            return self.parsed(column, _number(empty), "a number")
        numbers = np.array(values.cast(arrow.float64()).to_numpy(), dtype=float)
        if empty is not None:
            numbers[compute.is_null(values).to_numpy()] = empty
        self.refuse(column, np.isnan(numbers), "a number")
        return numbers

    def booleans(self, column: str) -> NDArray[np.bool_]:
        """A column of ``true`` and ``false``; an empty cell is false."""
        return self.parsed(column, lambda text: _TRUTH[(text or "false").lower()], "true or false").astype(
            bool
        )

    def parsed(
        self, column: str, parse: Callable[[str], float], allowed: str, mend: str = ""
    ) -> NDArray[np.float64]:
        """Numbers that a function makes of the words of a column; each different word is parsed once.

        Raises:
            InputError: names the rows at whose word `parse` raises KeyError or ValueError.
        """
        encoded = compute.fill_null(self._text(column), "").combine_chunks().dictionary_encode()
        words = encoded.dictionary.to_pylist()
        values = np.zeros(len(words))
        broken = np.zeros(len(words), dtype=bool)
        for place, word in enumerate(words):
            try:
                values[place] = parse(word.strip())
            except (KeyError, ValueError):
                broken[place] = True
        codes: NDArray[np.int32] = encoded.indices.to_numpy()
        self.refuse(column, broken[codes], allowed, mend)
        return values[codes]

    def epochs_s(self, column: str, zone: ZoneInfo | None) -> tuple[NDArray[np.float64], bool]:
        """Moments in seconds since 1970, and whether they were local times of `zone`.

        Args:
            column: ISO 8601 text with or without an offset, Unix seconds, or Arrow timestamps.
            zone: where times without an offset were written; UTC if not given.

        Raises:
            InputError: names the rows without a time, and local times that a clock change skips.
        """
        values = self.columns[column]
        if _is_text(values.type):
            values = self._moments(column, values)
        if not arrow.types.is_timestamp(values.type):  # Unix seconds have no zone
            return self.numbers(column), False
        self.refuse(column, compute.is_null(values).to_numpy(), "a time")
        local = values.type.tz is None
        count = values.cast(arrow.timestamp("us", tz=values.type.tz)).cast(arrow.int64())
        seconds: NDArray[np.float64] = count.to_numpy() / _MICROSECONDS
        if not local or zone is None:
            return seconds, local
        shifts, skipped = _offsets_s(seconds, zone)
        self.refuse(column, skipped, f"a time that the clocks of {zone.key} show", "give the right time zone")
        return seconds - shifts, True

    def _moments(self, column: str, values: Any) -> Any:
        for wanted in (arrow.timestamp("us", tz="UTC"), arrow.timestamp("us")):
            try:
                return values.cast(wanted)
            except arrow.ArrowInvalid:
                continue
        try:
            return values.cast(arrow.float64())
        except arrow.ArrowInvalid:
            pass
        offsets = set()

        def moment(text: str) -> float:
            when = datetime.fromisoformat(text)
            offsets.add(when.tzinfo is not None)
            return when.replace(tzinfo=when.tzinfo or UTC).timestamp()

        seconds = self.parsed(column, moment, "a time, e.g. 2022-01-31T08:00:00Z")
        if len(offsets) > 1:
            raise self.wrong(column, "found times with and without an offset", "one kind", "")
        stamps = arrow.array((seconds * _MICROSECONDS).astype(np.int64))
        return stamps.cast(arrow.timestamp("us", tz="UTC" if offsets == {True} else None))

    def _text(self, column: str) -> Any:
        values = self.columns[column]
        if arrow.types.is_floating(values.type):  # 8.0 of a nullable column is the word 8
            values = _whole(values)
        try:
            return values.cast(arrow.string())
        except arrow.ArrowException:
            raise self.wrong(column, f"found values of type {values.type}", "text", "") from None

    def refuse(self, column: str, broken: NDArray[np.bool_], allowed: str, mend: str = "") -> None:
        """Raise an error that names the broken rows, if there are any."""
        if broken.any():
            cells = _Cells(self.columns[column])
            problems = listed(
                str(self.path), column, cast("Any", cells), broken, None, allowed, mend, self.lines
            )
            raise InputError(problems)

    def wrong(self, column: str, found: str, allowed: str, mend: str) -> InputError:
        """What is wrong with a column, or with the file as a whole."""
        return InputError(Problem(str(self.path), column, found, allowed, mend))


class _Cells:
    """Single cells of an Arrow column as Python values."""

    def __init__(self, column: Any) -> None:
        self._column = column

    def __getitem__(self, row: int) -> Any:
        value = self._column[row].as_py()
        return "" if value is None else value


def read_raw(path: Path) -> RawTable:
    """The rows of a CSV file (comma, tab, semicolon or bar between cells; plain or gzip) or a Parquet file.

    Raises:
        InputError: the file cannot be read as one.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(
            mode
        ):  # a pipe might never end; a folder says so itself
            raise _file_error(path, "found a device or pipe", "name a file")
        if path.suffix == ".parquet":
            return _read_parquet(path)
        with path.open("rb") as file:
            opened = cast("io.BufferedIOBase", gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError, EOFError, zlib.error, arrow.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise _file_error(path, f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise _file_error(path, "the file is too long", "keep the columns that are needed, or write Parquet")
    return _read_text(path, content.removeprefix(b"\xef\xbb\xbf"))


def _read_parquet(path: Path) -> RawTable:
    import pyarrow.parquet as parquet

    with path.open("rb") as file:
        opened = parquet.ParquetFile(file)
        groups = range(opened.num_row_groups)
        if sum(opened.metadata.row_group(group).total_byte_size for group in groups) > MAX_BYTES:
            raise _file_error(path, "the file is too long", "keep the columns that are needed, or split it")
        table = opened.read()
    return _of_arrow(path, table, np.arange(1, table.num_rows + 1))


def _read_text(path: Path, content: bytes) -> RawTable:
    from pyarrow import csv

    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _file_error(path, f"line {line} is not UTF-8 text", "save it as UTF-8") from None
    if not content.strip():
        raise _file_error(path, "the file is empty")
    line_texts = content.split(b"\n")
    filled = np.fromiter((bool(text.strip()) for text in line_texts), dtype=bool, count=len(line_texts))
    lines = np.flatnonzero(filled) + 1
    if len(lines) != lines[-1]:  # blank lines would be rows
        content = b"\n".join(text for text in line_texts if text.strip()) + b"\n"
    first = line_texts[lines[0] - 1].decode("utf-8")
    delimiter = max("|\t;,", key=first.count)
    ragged: list[Any] = []

    def remember(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = csv.read_csv(
            io.BytesIO(content),
            read_options=csv.ReadOptions(use_threads=False),
            parse_options=csv.ParseOptions(delimiter=delimiter, invalid_row_handler=remember),
            convert_options=csv.ConvertOptions(
                column_types={name.strip().strip('"'): arrow.string() for name in first.split(delimiter)}
            ),
        )
    except (arrow.ArrowException, ValueError) as error:
        raise _file_error(path, f"cannot be read: {str(error).partition(chr(10))[0]}") from None
    if ragged:
        row = ragged[0]
        where = f"{path}:{lines[row.number - 1]}" if row.number else str(path)
        found = f"found {row.actual_columns} values; {len(ragged)} such rows"
        raise InputError(Problem(where, "", found, f"{row.expected_columns} values, as in the header", ""))
    if table.num_rows != len(lines) - 1:
        raise _file_error(path, "cells that hold line breaks", "one line a row")
    return _of_arrow(path, table, lines[1:])


def _of_arrow(path: Path, table: Any, lines: NDArray[Any]) -> RawTable:
    names = [str(name).strip() for name in table.column_names]
    if len(set(names)) != len(names):
        raise _file_error(path, f"found the columns {', '.join(names[:12])}", "name each column once")
    if table.num_rows == 0:
        raise _file_error(path, "found a header and no rows")
    columns = {name: table.column(place) for place, name in enumerate(names)}
    return RawTable(path=path, columns=columns, lines=lines.astype(np.int64))


def _file_error(path: Path, found: str, mend: str = "") -> InputError:
    return InputError(Problem(str(path), "", found, "allowed: a CSV or Parquet file of jobs", mend))


def _is_text(kind: Any) -> bool:
    return bool(
        arrow.types.is_string(kind) or arrow.types.is_large_string(kind) or arrow.types.is_dictionary(kind)
    )


def _whole(values: Any) -> Any:
    whole = compute.equal(values, compute.floor(values))
    return values.cast(arrow.int64()) if compute.all(whole).as_py() else values


def _number(empty: float | None) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not text and empty is not None:
            return empty
        if "_" in text or (number := float(text)) != number:
            raise ValueError(text)
        return number

    return parse


def _offsets_s(local_s: NDArray[np.float64], zone: ZoneInfo) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Offset from UTC of local times, the first where a clock change repeats an hour; and which do not exist."""
    minutes, places = np.unique(np.floor(local_s / SECONDS_PER_MINUTE), return_inverse=True)
    offsets = np.empty(len(minutes))
    skipped = np.zeros(len(minutes), dtype=bool)
    for place, minute in enumerate((minutes * SECONDS_PER_MINUTE).tolist()):
        local = datetime.fromtimestamp(minute, UTC).replace(tzinfo=zone)
        offset = local.utcoffset()
        offsets[place] = offset.total_seconds() if offset else 0.0
        skipped[place] = local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != local.replace(
            tzinfo=None
        )
    return offsets[places], skipped[places]


def names_of(words: Sequence[str]) -> list[str]:
    """Names made unique: the second ``a`` becomes ``a#2``.

    >>> names_of(["a", "b", "a"])
    ['a', 'b', 'a#2']
    """
    seen: dict[str, int] = {}
    unique = []
    for word in words:
        seen[word] = count = seen.get(word, 0) + 1
        unique.append(word if count == 1 else f"{word}#{count}")
    return unique
