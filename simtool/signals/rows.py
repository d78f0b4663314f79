"""The rows of a series file as written, before anything is made of them."""

from __future__ import annotations

import csv
import gzip
import io
import stat
import zlib
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem

MAX_BYTES = 64 * 2**20
"""Longest file that is read, after unpacking: four years of one-minute prices."""

Rows = tuple[list[str], Sequence[int], Mapping[str, Sequence[Any]]]
"""Column names, line or row number of every row, and the columns as written."""


def read_csv(path: Path, field: str) -> Rows:
    """Rows of a CSV file, plain or gzip."""
    try:
        _refuse_other_than_files(path, field)
        with path.open("rb") as raw:
            opened = cast("io.BufferedIOBase", gzip.GzipFile(fileobj=raw)) if path.suffix == ".gz" else raw
            content = opened.read(MAX_BYTES + 1)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise series_error(path, field, f"cannot be read: {reason}", "a CSV or Parquet file", "") from None
    if len(content) > MAX_BYTES:
        raise series_error(
            path, field, "the file is too long", f"{MAX_BYTES // 2**20} MiB unpacked", "cut it"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise series_error(path, field, "the file is not UTF-8 text", "a CSV or Parquet file", "") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        numbered = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise series_error(path, field, f"line {reader.line_num}: {error}", "a CSV file", "") from None
    if len(set(header)) != len(header):
        raise series_error(path, field, f"found columns {', '.join(header[:8])}", "each column once", "")
    ragged = [line for line, row in numbered if len(row) != len(header)]
    if ragged:
        found = f"{len(ragged)} rows without {len(header)} values, first line {ragged[0]}"
        raise series_error(path, field, found, "one value per column", "")
    columns = {name: [row[index] for _, row in numbered] for index, name in enumerate(header)}
    return header, [line for line, _ in numbered], columns


def read_parquet(path: Path, field: str, wanted: Collection[str]) -> Rows:
    """Rows of a Parquet file; of its columns only those `wanted`."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        _refuse_other_than_files(path, field)
        with path.open("rb") as file:
            opened = parquet.ParquetFile(file)
            header = list(opened.schema_arrow.names)
            groups = range(opened.num_row_groups)
            if sum(opened.metadata.row_group(group).total_byte_size for group in groups) > MAX_BYTES:
                raise series_error(
                    path, field, "the file is too long", f"{MAX_BYTES // 2**20} MiB unpacked", "cut it"
                )
            table = opened.read([name for name in header if name in wanted])
    except (OSError, ValueError, arrow.ArrowException) as error:
        reason = str(error).partition("\n")[0]
        raise series_error(path, field, f"cannot be read: {reason}", "a CSV or Parquet file", "") from None
    columns: dict[str, Sequence[Any]] = {}
    for name in table.column_names:
        column = table.column(name)
        if name == "time_utc" and arrow.types.is_timestamp(column.type) and column.null_count == 0:
            if column.type.tz is None:
                raise series_error(path, field, "time_utc has no time zone", "timestamps in UTC", "")
            try:
                columns[name] = _datetimes(column.cast(arrow.timestamp("us", tz="UTC")))
            except (OverflowError, arrow.ArrowException):
                found = "time_utc leaves the years 1 to 9999"
                raise series_error(path, field, found, "years of the calendar", "correct it") from None
        else:
            columns[name] = column.to_pylist()
    return header, range(1, table.num_rows + 1), columns


def _refuse_other_than_files(path: Path, field: str) -> None:
    """A pipe or a device might never end, or never begin."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a folder says so itself
        raise series_error(path, field, "found a device or pipe", "a CSV or Parquet file", "name a file")


def _datetimes(column: Any) -> list[datetime]:
    epoch_us: NDArray[np.int64] = column.cast("int64").to_numpy()
    zero = datetime(1970, 1, 1, tzinfo=UTC)
    return [zero + timedelta(microseconds=int(moment)) for moment in epoch_us]


def local_times(written: Sequence[Any], lines: Sequence[int]) -> tuple[str, str, str] | None:
    """What is wrong where every time of a column is one of a clock on the wall; None where one has an offset.

    Such a column has one mistake, not one a row: what was found, what is allowed, and how to mend it.
    """
    seen: set[datetime] = set()
    twice = ""
    for text, line in zip(written, lines, strict=True):
        try:
            moment = text if isinstance(text, datetime) else datetime.fromisoformat(str(text).strip())
        except ValueError:
            return None
        if moment.tzinfo is not None:
            return None
        if moment in seen and not twice:
            twice = f"; {moment:%Y-%m-%dT%H:%M} stands twice, again in line {line}: clocks were set back"
        seen.add(moment)
    if not seen:
        return None
    first = min(seen)
    mend = (
        "write the offset of that night behind each of the two, the first is summer time"
        if twice
        else f"write it behind every time: {first:%Y-%m-%dT%H:%M}Z if they are in UTC"
    )
    found = f"found times without an offset, e.g. {first:%Y-%m-%dT%H:%M}{twice}"
    return found, "ISO 8601 with an offset, e.g. 2022-01-01T00:00Z or 2022-07-01T00:00+02:00", mend


def series_error(path: Path, field: str, found: str, allowed: str, mend: str) -> InputError:
    """What is wrong with the file as a whole."""
    return InputError(Problem(str(path), field, found, allowed, mend))
