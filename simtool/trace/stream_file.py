"""One stream on disk while a run goes on: an Arrow IPC stream that grows by whole record batches.

A batch reaches the file in one write, so whatever ends the process, everything up to the last batch
can be read. A write that fails, on a full disk say, is taken back.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.errors import InputError, OutputError, Problem, output_error
from simtool.trace.columns import Row, arrow_schema, record_batch
from simtool.trace.schema import MAX_FILE_BYTES, Stream

if TYPE_CHECKING:
    import pyarrow as pa

MAX_PART_BYTES = MAX_FILE_BYTES - 2**20
"""Where a stream goes on in its next part; the margin is for the Parquet file that it becomes."""
END = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_CONTINUED = b"\xff\xff\xff\xff"
_ALIGNMENT = 8


def part_path(folder: Path, name: str, part: int, kind: str) -> Path:
    """File of a part of a stream; the first part carries no number.

    >>> part_path(Path(), "steps", 1, "arrow").name, part_path(Path(), "steps", 2, "parquet").name
    ('steps.arrow', 'steps.0002.parquet')
    """
    return folder / (f"{name}.{kind}" if part == 1 else f"{name}.{part:04}.{kind}")


class StreamFile:
    """The growing file of one stream, in parts; `on_full` is told the number of each part that is full.

    Raises:
        OutputError: if a part exists already or cannot be written; what was there before stays whole.
    """

    def __init__(
        self, folder: Path, name: str, stream: Stream, on_full: Callable[[int], None] | None = None
    ) -> None:
        self._folder, self._name, self._stream, self._on_full = folder, name, stream, on_full
        self.num_parts = 0
        self.num_writes = 0
        self._descriptor = -1
        self._size_bytes = 0

    def append(self, rows: list[Row]) -> None:
        """Write rows as one batch, or as several where one would not fit into a part."""
        if not rows:
            return
        message = bytes(record_batch(self._stream, rows).serialize())
        if len(message) > MAX_PART_BYTES // 2 and len(rows) > 1:
            middle = len(rows) // 2
            self.append(rows[:middle])
            self.append(rows[middle:])
            return
        if self._descriptor < 0 or self._size_bytes + len(message) + len(END) > MAX_PART_BYTES:
            self._next_part()
        self._write(message)

    def close(self) -> None:
        """End the part that is open."""
        if self._descriptor >= 0:
            try:
                self._write(END)
            finally:
                self.abandon()

    def abandon(self) -> None:
        """Let go of the file as it is."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _next_part(self) -> None:
        is_full = self._descriptor >= 0
        self.close()
        if is_full and self._on_full is not None:
            self._on_full(self.num_parts)
        path = part_path(self._folder, self._name, self.num_parts + 1, "arrow")
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError as error:
            raise plain(error, path) from error
        self.num_parts += 1
        self._size_bytes = 0
        self._write(bytes(arrow_schema(self._stream).serialize()))

    def _write(self, data: bytes) -> None:
        """All of the data, or none of it."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as error:
            with suppress(OSError):  # a torn batch at the end does not keep the rest from being read
                os.ftruncate(self._descriptor, self._size_bytes)
            raise plain(error, part_path(self._folder, self._name, self.num_parts, "arrow")) from error
        self._size_bytes += len(data)
        self.num_writes += 1


def read_stream_file(path: Path, stream: Stream) -> tuple[pa.Table, int]:
    """Everything up to the last whole batch, and how many bytes lie behind it.

    Raises:
        InputError: for a file that is not the beginning of such a stream.
    """
    import pyarrow as pa

    data = read_bytes(path)
    expected = arrow_schema(stream)
    batches: list[pa.RecordBatch] = []
    begin = 0
    is_first = True
    for end in message_ends(data, path):
        try:
            if is_first:
                found = pa.ipc.read_schema(pa.py_buffer(data[begin:end]))
                check_columns(path, stream, found)
            else:
                batch = pa.ipc.read_record_batch(pa.py_buffer(data[begin:end]), expected)
                batch.validate(full=True)
                batches.append(batch)
        except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
            raise damaged(path, f"byte {begin}: {_first_line(error)}") from error
        begin, is_first = end, False
    rest = len(data) - begin
    return pa.Table.from_batches(batches, expected), 0 if data[begin:] == END else rest


def message_ends(data: bytes, path: Path) -> Iterator[int]:
    """Ends of the whole messages of an Arrow IPC stream.

    A message is four bytes of ones, the length of its metadata, the metadata (a flatbuffer, whose table
    tells the length of the body in its fourth field) and the body. Source: Apache Arrow, Columnar Format,
    "Encapsulated message format".
    """
    begin = 0
    while begin < len(data):
        rest = data[begin : begin + 8]
        if not any(rest) and not any(data[begin:]):  # a file system that lost power may leave zeros behind
            return
        if not (_CONTINUED.startswith(rest[:4])):
            raise damaged(path, f"byte {begin}: no Arrow message begins here")
        if len(rest) < 8 or rest == END:
            return
        (length,) = struct.unpack("<i", rest[4:])
        if length <= 0 or length % _ALIGNMENT:
            raise damaged(path, f"byte {begin}: metadata of {length} bytes")
        metadata = data[begin + 8 : begin + 8 + length]
        if len(metadata) < length:
            return
        body = _body_bytes(metadata)
        if body is None or not 0 <= body <= MAX_FILE_BYTES:
            raise damaged(path, f"byte {begin}: metadata that cannot be read")
        end = begin + 8 + length + body
        if end > len(data):
            return
        yield end
        begin = end


def _body_bytes(metadata: bytes) -> int | None:
    """Length of a message's body from its metadata, or None where that is no flatbuffer."""
    try:
        (table,) = struct.unpack_from("<I", metadata, 0)
        (back,) = struct.unpack_from("<i", metadata, table)
        place = table - back
        if place < 0:
            return None
        (size,) = struct.unpack_from("<H", metadata, place)
        if size < 4 + 2 * 4:  # the field is left out where it is zero
            return 0
        (offset,) = struct.unpack_from("<H", metadata, place + 4 + 2 * 3)
        return struct.unpack_from("<q", metadata, table + offset)[0] if offset else 0
    except struct.error:
        return None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file of a trace.

    Raises:
        InputError: if it is no plain file, too large, or cannot be read.
    """
    try:
        if not path.is_file():
            raise damaged(path, "is no plain file")
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise damaged(path, error.strerror or str(error)) from error
    if len(data) > MAX_FILE_BYTES:
        raise damaged(path, f"is larger than {MAX_FILE_BYTES} bytes, which no file of a trace is")
    return data


def check_columns(path: Path, stream: Stream, found: pa.Schema) -> None:
    """Refuse a table whose columns are not those of the stream.

    Raises:
        InputError: with the first column that differs.
    """
    expected = arrow_schema(stream)
    for column in expected:
        if column.name not in found.names:
            raise damaged(path, f"lacks the column {column.name!r}")
    for name in found.names:
        if name not in expected.names:
            raise damaged(path, f"has a column {name!r}, which {stream.name} does not have")
    if len(set(found.names)) != len(found.names) or found.names != expected.names:
        raise damaged(path, "has its columns in another order")
    for name in expected.names:
        if found.field(name).type != expected.field(name).type:
            raise damaged(
                path, f"column {name!r} is of type {found.field(name).type}, not {expected.field(name).type}"
            )


def damaged(path: Path, found: str) -> InputError:
    """A file of a trace that cannot be read."""
    return InputError(
        Problem(
            str(path), "", found, "", "record again, or take the file from an undamaged copy of the trace"
        )
    )


def plain(error: OSError, path: Path) -> OutputError:
    """The refusal of the file system; what was written before is kept."""
    if isinstance(error, FileExistsError):
        return OutputError(str(path), "exists already", "name another folder with -o")
    told = output_error(error, path, "name another folder with -o")
    return OutputError(told.path, told.reason, f"what was written before is kept; {told.mend}")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
