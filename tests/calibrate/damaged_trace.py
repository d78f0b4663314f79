"""The shipped trace of a suite, damaged on purpose."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet

from simtool.profiles.find import shipped_folder

EXAMPLE = shipped_folder("hardware_profiles") / "traces" / "cpu-example"


def changed(
    folder: Path, stream: str = "kernels", key: str = "part", is_: str = "gemm", **values: Any
) -> Path:
    """The example with one row changed: the first whose `key` is so."""
    shutil.copytree(EXAMPLE, folder)
    table = parquet.read_table(EXAMPLE / f"{stream}.parquet")
    rows = table.to_pylist()
    place = next(number for number, row in enumerate(rows) if row[key] == is_ and row.get("calls") != 0)
    rows[place].update(values)
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / f"{stream}.parquet")
    return folder


def as_streams(folder: Path, kept_frac: float = 1.0) -> Path:
    """The example as its writer leaves it when it is killed: streams, cut where the last batch was written."""
    folder.mkdir()
    for path in EXAMPLE.glob("*.parquet"):
        table = parquet.read_table(path)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=40)
        data = sink.getvalue().to_pybytes()
        (folder / f"{path.stem}.arrow").write_bytes(data[: int(kept_frac * len(data))])
    manifest = (EXAMPLE / "manifest.yaml").read_text("utf-8")
    (folder / "manifest.yaml").write_text(manifest.replace("status: finished", "status: running"), "utf-8")
    return folder
