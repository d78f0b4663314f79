"""A whole trace folder written at once: beside its place, then renamed, so that it is there whole or not at all."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.errors import OutputError, output_error
from simtool.trace import manifest_file
from simtool.trace.manifest import Manifest
from simtool.trace.schema import MAX_FILE_BYTES, SCHEMA, STREAMS, Stream
from simtool.trace.stream_file import part_path

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_PER_PART = 2**18


def write_folder(
    folder: Path, manifest: Manifest, tables: Mapping[str, pa.Table], *, force: bool = False
) -> None:
    """Write a trace.

    Args:
        folder: where it goes.
        manifest: of the trace.
        tables: by name of the stream; those without a row are left out.
        force: whether a trace that is there may be replaced. What is no trace never is.

    Raises:
        OutputError: if something is there, or it cannot be written; then nothing is changed.
    """
    _check_place(folder, force)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    above = [path for path in (folder.parent, *folder.parent.parents) if not path.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        for name, table in tables.items():
            if table.num_rows:
                _write_parts(beside, name, STREAMS["power" if name.startswith("power-") else name], table)
        manifest_file.replace(beside, manifest)
        _swap(beside, folder)
    except (OSError, OutputError) as error:
        refused = error if isinstance(error, OSError) else error.__cause__
        raise output_error(refused, folder) if isinstance(refused, OSError) else error from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for path in above:  # those that were made for it, where nothing came into them
            with suppress(OSError):
                path.rmdir()


def _check_place(folder: Path, force: bool) -> None:
    if not folder.exists() and not folder.is_symlink():
        return
    if not folder.is_dir() or folder.is_symlink():
        raise OutputError(str(folder), "is no folder", "name another folder with -o")
    if not any(folder.iterdir()):
        return
    manifest = folder / manifest_file.NAME
    begin = b""
    if manifest.is_file():
        with manifest.open("rb") as file:
            begin = file.read(256)
    if SCHEMA.rpartition("/")[0].encode() not in begin:
        raise OutputError(str(folder), "holds files that are no trace", "name another folder with -o")
    if not force:
        raise OutputError(str(folder), "holds a trace already", "name another folder with -o, or say --force")


def _swap(beside: Path, folder: Path) -> None:
    """Put the new folder in place; the old one is gone only when the new one is there."""
    if not folder.exists():
        beside.rename(folder)
        return
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        beside.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _write_parts(folder: Path, name: str, stream: Stream, table: pa.Table) -> None:
    place, part, num_rows = 0, 1, ROWS_PER_PART
    while place < table.num_rows:
        data = _packed(stream, table.slice(place, num_rows))
        if len(data) > MAX_FILE_BYTES and num_rows > 1:
            num_rows //= 2
            continue
        with part_path(folder, name, part, "parquet").open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        place += num_rows
        part += 1


def _packed(stream: Stream, table: pa.Table) -> bytes:
    import pyarrow.parquet as parquet

    buffer = io.BytesIO()
    texts = [column.name for column in stream.columns if column.kind == "text"]
    parquet.write_table(table, buffer, compression="zstd", use_dictionary=texts, store_schema=False)
    return buffer.getvalue()
