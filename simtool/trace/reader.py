"""Reads a trace of our own format, finished or cut off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from simtool.trace import manifest_file
from simtool.trace.columns import arrow_schema, empty_table
from simtool.trace.compact import latest
from simtool.trace.manifest import Manifest
from simtool.trace.schema import STREAMS, Stream
from simtool.trace.stream_file import check_columns, damaged, read_bytes, read_stream_file

if TYPE_CHECKING:
    import pyarrow as pa

MAX_UNPACKED_BYTES = 2**28
"""What one Parquet file may unpack to; those of a trace are made of streams of 16 MiB."""
_FILE = re.compile(r"(?P<name>[A-Za-z0-9_+-]+)(?:\.(?P<part>[0-9]{4,9}))?\.(?P<kind>arrow|parquet)\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A trace in memory; the columns of each table are those of `simtool.trace.schema`."""

    folder: Path
    manifest: Manifest
    steps: pa.Table
    evaluations: pa.Table
    events: pa.Table
    signatures: pa.Table
    phases: pa.Table
    ops: pa.Table
    kernels: pa.Table
    device_ops: pa.Table
    device_steps: pa.Table
    power: Mapping[str, pa.Table]
    """By device."""
    cut: Mapping[str, int]
    """Files that end within a batch, and how many of their bytes could not be used."""

    @property
    def is_cut(self) -> bool:
        """Whether the end is missing: the writer was killed, or is still at work."""
        return self.manifest.status == "running" or bool(self.cut)


def read_trace(folder: Path) -> Trace:
    """Read a trace folder; of one that was cut off, everything up to the last batch that was written.

    Raises:
        InputError: if it is no trace, of a newer schema, or damaged.
    """
    manifest = manifest_file.read(folder)
    found = _files(folder)
    cut: dict[str, int] = {}
    tables = {
        name: _table(name, STREAMS["power" if name.startswith("power-") else name], parts, cut)
        for name, parts in found.items()
    }
    return Trace(
        folder=folder,
        manifest=manifest,
        steps=tables["steps"],
        evaluations=tables["evals"],
        events=tables["events"],
        signatures=tables["signatures"],
        phases=tables["phases"],
        ops=tables["ops"],
        kernels=tables["kernels"],
        device_ops=tables["device_ops"],
        device_steps=tables["device_steps"],
        power=MappingProxyType(
            {
                name.removeprefix("power-"): table
                for name, table in tables.items()
                if name.startswith("power-")
            }
        ),
        cut=MappingProxyType(cut),
    )


def _files(folder: Path) -> dict[str, dict[tuple[int, str], Path]]:
    """Files by stream, then by part and kind; every stream but power is named even without files."""
    found: dict[str, dict[tuple[int, str], Path]] = {name: {} for name in STREAMS if name != "power"}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise damaged(folder, error.strerror or str(error)) from error
    for path in paths:
        match = _FILE.match(path.name)
        if match and (match["name"] in found or re.fullmatch(r"power-[A-Za-z0-9_+-]+", match["name"])):
            parts = found.setdefault(match["name"], {})
            parts[int(match["part"] or 1), match["kind"]] = path
    return found


def _table(name: str, stream: Stream, parts: Mapping[tuple[int, str], Path], cut: dict[str, int]) -> pa.Table:
    import pyarrow as pa

    chosen: list[Path] = []
    if stream.is_revised and (1, "parquet") in parts:
        chosen = [parts[1, "parquet"]]  # holds what all parts of the stream held
    else:
        numbers = sorted({part for part, _ in parts})
        if numbers != list(range(1, len(numbers) + 1)):
            missing = next(number for number in range(1, numbers[-1]) if number not in numbers)
            raise damaged(next(iter(parts.values())).parent, f"part {missing} of {name} is missing")
        chosen = [parts.get((part, "parquet")) or parts[part, "arrow"] for part in numbers]
    tables = [_read(path, stream, cut) for path in chosen]
    table = pa.concat_tables(tables) if tables else empty_table(stream)
    return latest(table) if stream.is_revised else table


def _read(path: Path, stream: Stream, cut: dict[str, int]) -> pa.Table:
    if path.suffix == ".arrow":
        table, num_lost = read_stream_file(path, stream)
        if num_lost:
            cut[path.name] = num_lost
        return table
    return _read_parquet(path, stream)


def _read_parquet(path: Path, stream: Stream) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    data = read_bytes(path)
    try:
        file = parquet.ParquetFile(pa.BufferReader(data))
        check_columns(path, stream, file.schema_arrow)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        if sum(group.total_byte_size for group in groups) > MAX_UNPACKED_BYTES:
            raise damaged(path, f"would unpack to more than {MAX_UNPACKED_BYTES} bytes")
        table = file.read(use_threads=False).cast(arrow_schema(stream))
        table.validate(full=True)
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise damaged(path, f"is no Parquet file of a trace: {reason}") from error
    return table
