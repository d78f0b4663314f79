"""From streams to Parquet: what a finished trace consists of.

Each file is written beside its place, flushed to the disk and renamed; only then is the stream
removed. A kill at any moment leaves the stream, the Parquet file, or both, and never neither.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.errors import OutputError
from simtool.trace.manifest_file import write_whole
from simtool.trace.schema import MAX_FILE_BYTES, Stream
from simtool.trace.stream_file import part_path, read_stream_file

if TYPE_CHECKING:
    import pyarrow as pa


def compact_part(folder: Path, name: str, stream: Stream, part: int) -> None:
    """Replace one part of a stream by a Parquet file.

    Raises:
        OutputError: if it cannot be written; the stream is kept.
    """
    source = part_path(folder, name, part, "arrow")
    table, _ = read_stream_file(source, stream)
    _write(part_path(folder, name, part, "parquet"), table, stream)
    _remove(source)


def compact_revised(folder: Path, name: str, stream: Stream, num_parts: int) -> None:
    """Replace all parts of a revised stream by one Parquet file with the rows that hold.

    Raises:
        OutputError: if it cannot be written; the stream is kept.
    """
    import pyarrow as pa

    sources = [part_path(folder, name, part, "arrow") for part in range(1, num_parts + 1)]
    table = pa.concat_tables([read_stream_file(source, stream)[0] for source in sources])
    _write(part_path(folder, name, 1, "parquet"), latest(table), stream)
    for source in sources:
        _remove(source)


def _remove(source: Path) -> None:
    try:
        source.unlink()
    except OSError as error:
        raise OutputError(
            str(source), f"cannot be removed: {error.strerror}", "the trace is readable"
        ) from error


def latest(table: pa.Table) -> pa.Table:
    """Of each signature the rows of its highest revision, in their order."""
    newest: dict[str, int] = {}
    pairs = list(zip(table["signature"].to_pylist(), table["revision"].to_pylist(), strict=True))
    for signature, revision in pairs:
        newest[signature] = max(revision, newest.get(signature, revision))
    runs: list[tuple[int, int]] = []
    for place, (signature, revision) in enumerate(pairs):
        if revision == newest[signature]:
            if runs and runs[-1][1] == place:
                runs[-1] = (runs[-1][0], place + 1)
            else:
                runs.append((place, place + 1))
    if runs == [(0, table.num_rows)]:
        return table
    return (
        table.slice(0, 0) if not runs else _joined([table.slice(begin, end - begin) for begin, end in runs])
    )


def _joined(tables: list[pa.Table]) -> pa.Table:
    import pyarrow as pa

    return pa.concat_tables(tables).combine_chunks()


def _write(path: Path, table: pa.Table, stream: Stream) -> None:
    import pyarrow.parquet as parquet

    buffer = io.BytesIO()
    texts = [column.name for column in stream.columns if column.kind == "text"]
    parquet.write_table(table, buffer, compression="zstd", use_dictionary=texts, store_schema=False)
    if buffer.tell() > MAX_FILE_BYTES:
        raise OutputError(
            str(path), f"would be larger than {MAX_FILE_BYTES} bytes", "the stream is kept as it is"
        )
    write_whole(path, buffer.getvalue())
