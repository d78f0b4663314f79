"""Rows of a suite's trace that no measurement can have left are refused, each by its number and column."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from simtool.calibrate.trace_rows import kernels_of, products_of
from simtool.errors import InputError
from simtool.trace import read_trace
from tests.calibrate.damaged_trace import EXAMPLE, as_streams, changed


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("shape", "abc"),
        ("shape", ""),
        ("shape", "m=-3 n=4 k=5"),
        ("shape", "m=3 n=4"),
        ("shape", f"m={'9' * 400} n=4 k=5"),
        *(("flop", value) for value in (math.inf, math.nan, -1.0, 0.0, 5e-324, 1e308)),
        ("flop", 1e20),  # not what its shape says
        *(("size_bytes", value) for value in (math.inf, math.nan, -1.0, 1e308)),
        *(("duration_median_s", value) for value in (math.inf, 0.0, -1.0, 5e-324, 1e308)),
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


@pytest.mark.parametrize("size_bytes", [math.inf, 0.0, -1.0])
def test_streaming_kernels_move_something(size_bytes: float, tmp_path: Path) -> None:
    folder = changed(tmp_path / "trace", is_="bandwidth", size_bytes=size_bytes)
    with pytest.raises(InputError, match=r"kernels.parquet: row \d+, size_bytes: found .*; a number of more"):
        kernels_of(read_trace(folder))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *(("shapes", text) for text in ("abc", "{}", "[1, 2]", '[["a", 2], [2, 3]]', "[[NaN, 2], [2, 3]]")),
        ("shapes", "[" * 50_000),
        ("shapes", "[[1e400, 2], [2, 1]]"),
        ("calls", -1),
        *(("duration_p10_s", value) for value in (math.inf, -1.0, 1e308, 5e-324)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_impossible_product_of_a_training_step_is_refused(column: str, value: Any, tmp_path: Path) -> None:
    folder = changed(tmp_path / "trace", "ops", "op", "mm", **{"duration_p10_s": 1e-3, column: value})
    with pytest.raises(InputError, match=rf"ops.parquet: row \d+, {column}: found"):
        products_of(read_trace(folder))


def test_what_is_read_of_streams_is_what_is_read_of_finished_files(tmp_path: Path) -> None:
    streams, finished = read_trace(as_streams(tmp_path / "trace")), read_trace(EXAMPLE)
    assert kernels_of(streams) == kernels_of(finished)
    assert products_of(streams) == products_of(finished)
