"""Rows of a suite's trace that no measurement can have left are refused, each by its number and column."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from simtool.calibrate.trace_rows import kernels_of
from simtool.errors import InputError
from simtool.profiles.find import shipped_folder
from simtool.trace import read_trace

EXAMPLE = shipped_folder("hardware_profiles") / "traces" / "cpu-example"


def changed(folder: Path, **values: Any) -> Path:
    shutil.copytree(EXAMPLE, folder)
    table = parquet.read_table(EXAMPLE / "kernels.parquet")
    rows = table.to_pylist()
    place = next(number for number, row in enumerate(rows) if row["part"] == "gemm")
    rows[place].update(values)
    parquet.write_table(pa.Table.from_pylist(rows, schema=table.schema), folder / "kernels.parquet")
    return folder


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shape", "abc"),
        ("shape", ""),
        ("shape", "m=-3 n=4 k=5"),
        ("shape", "m=3 n=4"),
        ("shape", f"m={'9' * 400} n=4 k=5"),
        *(("flop", value) for value in (math.inf, math.nan, -1.0, 0.0, 1e308)),
        *(("size_bytes", value) for value in (math.inf, math.nan, -1.0, 1e308)),
        *(("duration_median_s", value) for value in (math.inf, 0.0, -1.0, 1e308)),
        *(("power_w", value) for value in (math.inf, -1.0, 1e308)),
    ],
)
def test_an_impossible_row_is_refused(column: str, value: Any, tmp_path: Path) -> None:
    trace = read_trace(changed(tmp_path / "trace", **{column: value}))
    with pytest.raises(InputError, match=rf"row \d+, {column}: found"):
        kernels_of(trace)


def test_what_was_not_measured_is_no_mistake(tmp_path: Path) -> None:
    trace = read_trace(changed(tmp_path / "trace", duration_median_s=math.nan, power_w=0.0))
    assert sum(math.isnan(kernel.time_s) for kernel in kernels_of(trace)) == 1
