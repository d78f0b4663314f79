"""Rows as plain Python, columns as Arrow.

Arrow's own conversion imports pandas wherever it is installed, half a second and a hundred megabytes
that no training process has to spare: columns are put together from buffers.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.trace.schema import Column, Stream

if TYPE_CHECKING:
    import pyarrow as pa

MAX_TEXT = 65_536
"""Characters of a cell."""
_INTEGERS = range(-(2**63), 2**63)
Row = tuple[Any, ...]


class RowTaker:
    """Turns mappings into tuples in the order of a stream's columns.

    Raises:
        ValueError: for a column that the stream lacks, a value of another kind, or a value left out
            that the stream needs.

    >>> from simtool.trace.schema import EVENTS
    >>> RowTaker(EVENTS)({"time_s": 2, "kind": "start", "detail": {}})
    (2.0, None, 'start', '{}')
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._takers = [(column.name, _TAKERS[column.kind], column.is_optional) for column in stream.columns]

    def __call__(self, row: Mapping[str, Any]) -> Row:
        values: list[Any] = []
        num_found = 0
        for name, take, is_optional in self._takers:
            value = row.get(name)
            if value is not None:
                num_found += 1
                try:
                    values.append(take(value))
                except (TypeError, ValueError, OverflowError) as error:
                    raise ValueError(f"column {name!r} of {self._stream.name}: {error}") from error
            elif is_optional:
                num_found += name in row
                values.append(None)
            else:
                raise ValueError(f"column {name!r} of {self._stream.name} is missing")
        if num_found != len(row):
            unknown = sorted(row.keys() - {column.name for column in self._stream.columns})
            raise ValueError(f"{self._stream.name} has no column {', '.join(map(repr, unknown))}")
        return tuple(values)


def _take_text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > MAX_TEXT:
        raise ValueError(f"text of {len(text)} characters, at most {MAX_TEXT} are kept")
    return text


def _take_integer(value: Any) -> int:
    number = operator.index(value)
    if number not in _INTEGERS:
        raise OverflowError(f"{number} does not fit in 64 bits")
    return number


_TAKERS: dict[str, Callable[[Any], Any]] = {
    "text": _take_text,
    "integer": _take_integer,
    "real": float,
    "flag": bool,
}


@cache
def arrow_schema(stream: Stream) -> pa.Schema:
    """The Arrow schema of a stream, without metadata, so that its bytes never change."""
    import pyarrow as pa

    types = {"text": pa.utf8(), "integer": pa.int64(), "real": pa.float64(), "flag": pa.bool_()}
    return pa.schema(
        [pa.field(column.name, types[column.kind], column.is_optional) for column in stream.columns]
    )


def record_batch(stream: Stream, rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as one Arrow record batch."""
    import pyarrow as pa

    by_column = zip(*rows, strict=True) if rows else iter([()] * len(stream.columns))
    arrays = [column_array(column, values) for column, values in zip(stream.columns, by_column, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=arrow_schema(stream))


def empty_table(stream: Stream) -> pa.Table:
    """A stream without rows."""
    import pyarrow as pa

    return pa.Table.from_batches([], arrow_schema(stream))


def column_array(column: Column, values: Sequence[Any]) -> pa.Array:
    """One column of an Arrow table; None is null."""
    import pyarrow as pa

    valid = None
    if None in values:
        valid = _bits([value is not None for value in values])
    match column.kind:
        case "text":
            # Half a surrogate pair, as paths can hold, is no text that a file may contain: it is escaped.
            encoded = [
                ("" if value is None else value).encode("utf-8", "backslashreplace") for value in values
            ]
            ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
            buffers = [valid, pa.py_buffer(ends.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
            return pa.Array.from_buffers(pa.utf8(), len(values), buffers)
        case "integer":
            numbers = np.fromiter((0 if value is None else value for value in values), np.int64, len(values))
            return pa.Array.from_buffers(pa.int64(), len(values), [valid, pa.py_buffer(numbers)])
        case "real":
            reals = np.fromiter(
                (0.0 if value is None else value for value in values), np.float64, len(values)
            )
            return pa.Array.from_buffers(pa.float64(), len(values), [valid, pa.py_buffer(reals)])
        case "flag":
            return pa.Array.from_buffers(
                pa.bool_(), len(values), [valid, _bits([bool(value) for value in values])]
            )


def _bits(flags: Sequence[bool]) -> pa.Buffer:
    import pyarrow as pa

    return pa.py_buffer(np.packbits(np.array(flags, bool), bitorder="little").tobytes())
