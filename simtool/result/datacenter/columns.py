"""Columns to Parquet and CSV, without a Python object for every number."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simtool.result.summary import DIGITS

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = 250_000
"""Rows of a group of a Parquet file."""


@dataclass(frozen=True, slots=True)
class Words:
    """A column of few different texts: a code for every row."""

    codes: NDArray[Any]
    words: Sequence[str]


Column = NDArray[Any] | Words | Sequence[str]
"""Numbers, codes, or one text a row. NaN is written as nothing."""


def write_parquet(path: Path, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length in one piece."""
    write_parquet_parts(path, iter([columns]))


def write_parquet_parts(path: Path, parts: Iterator[Mapping[str, Column]]) -> None:
    """Write parts that have the same columns one after the other; at least one part, and one in memory at a time."""
    import pyarrow.parquet as parquet

    with path.open("wb") as file:  # Arrow itself opens no path that is not text
        writer: Any = None
        try:
            for part in parts:
                table = _table(part)
                if writer is None:
                    writer = parquet.ParquetWriter(file, table.schema, compression="zstd")
                writer.write_table(table, row_group_size=CHUNK)
        finally:
            if writer is not None:
                writer.close()


def write_csv(path: Path, columns: Mapping[str, Column]) -> None:
    """Write columns of equal length; numbers have 12 digits, and what is not known is empty."""
    names = list(columns)
    texts = [_texts(columns[name]) for name in names]
    with path.open("w", encoding="utf-8", newline="") as file:
        import csv

        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(zip(*texts, strict=True))


def _texts(column: Column) -> Sequence[str]:
    if isinstance(column, Words):
        return [column.words[code] if code >= 0 else "" for code in column.codes.tolist()]
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind in "iub":
        return [str(value) for value in column.tolist()]
    return [_number(value) for value in column.tolist()]


def _number(value: float) -> str:
    """A number to 12 significant digits, whole ones without a point.

    >>> _number(0.1 + 0.2), _number(3600.0), _number(float("nan"))
    ('0.3', '3600', '')
    """
    if value != value:
        return ""
    text = f"{value:.{DIGITS}g}"
    return text if text != "-0" else "0"


def _table(columns: Mapping[str, Column]) -> pa.Table:
    import pyarrow as pa

    return pa.Table.from_arrays([_array(column) for column in columns.values()], names=list(columns))


def _array(column: Column) -> pa.Array:
    """Without `pyarrow.array` on numpy arrays, which would import pandas wherever it is installed."""
    import pyarrow as pa

    if isinstance(column, Words):
        codes = np.ascontiguousarray(column.codes, np.int32)
        known = codes >= 0
        bits = None if known.all() else pa.py_buffer(np.packbits(known, bitorder="little"))
        indices = pa.Array.from_buffers(pa.int32(), len(codes), [bits, pa.py_buffer(np.maximum(codes, 0))])
        return pa.DictionaryArray.from_arrays(indices, _strings(column.words))
    if not isinstance(column, np.ndarray):
        return _strings(column)
    if column.dtype.kind in "iub":
        numbers = np.ascontiguousarray(column, np.int64)
        return pa.Array.from_buffers(pa.int64(), len(numbers), [None, pa.py_buffer(numbers)])
    values = np.ascontiguousarray(column, np.float64)
    absent = np.isnan(values)
    bits = pa.py_buffer(np.packbits(~absent, bitorder="little")) if absent.any() else None
    return pa.Array.from_buffers(pa.float64(), len(values), [bits, pa.py_buffer(values)])


def _strings(texts: Sequence[str]) -> pa.Array:
    import pyarrow as pa

    encoded = [text.encode("utf-8", "backslashreplace") for text in texts]
    ends = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=ends[1:])
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(encoded))]
    whole = pa.Array.from_buffers(pa.large_utf8(), len(encoded), buffers)
    return whole if ends[-1] >= 2**31 else whole.cast(pa.utf8())
