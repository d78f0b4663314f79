"""The rows of a suite's trace; one that no measurement can have left is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simtool.errors import InputError, Problem
from simtool.units import MEGA, TERA

if TYPE_CHECKING:
    import pyarrow as pa

    from simtool.trace import Trace

SIZES: Mapping[str, tuple[str, ...]] = {
    "gemm": ("m", "n", "k"),
    "attention": ("batch", "num_heads", "seq_len", "head_dim"),
}
"""Sizes that kernels of a part must tell, because a curve is fitted over them."""
WORK: Mapping[str, str] = {"gemm": "flop", "attention": "flop", "bandwidth": "size_bytes"}
"""Column with the work of kernels of a part, which must be more than none."""
PRODUCTS = ("mm", "addmm")
"""Operations of training steps whose sizes and times are read."""
MAX_WORK = TERA * TERA
"""FLOP or bytes: beyond anything that one kernel does."""
MAX_SIZE = TERA
MIN_TIME_S = 1e-9
"""Less than one beat of any clock that times kernels."""
MAX_TIME_S = MEGA
"""Twelve days."""
MAX_POWER_W = MEGA
MAX_PROBLEMS = 20
FLOP_TOLERANCE = 0.01
"""A product of m x k and k x n does 2 m n k operations; a row that says otherwise is damaged."""
TIME_WORDS = "nothing, or a time from 1 ns to twelve days"

Complaint = tuple[str, object, str]
"""Column, what it holds, and what it may hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One row of the kernels stream."""

    part: str
    op: str
    dtype: str
    layout: str
    mode: str
    sizes: Mapping[str, float]
    flop: float
    size_bytes: float
    time_s: float
    """Median of one call; not a number where nothing was timed."""
    power_w: float
    """Mean power; not a number where it was not measured."""

    @property
    def flop_per_s(self) -> float:
        """Rate that was reached."""
        return self.flop / self.time_s

    @property
    def bytes_per_s(self) -> float:
        """Bandwidth that was reached."""
        return self.size_bytes / self.time_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A matrix product of the training steps of one task: `calls` times rows x inner by inner x columns."""

    task: str
    dtype: str
    phase: str
    sizes: tuple[float, float, float]
    """Rows, columns and inner size."""
    calls: int
    time_s: float
    """Of all calls, where the device was disturbed least: the 10th percentile over steps."""


def kernels_of(trace: Trace) -> list[Kernel]:
    """The kernels of a trace; those without a time keep only their power.

    Raises:
        InputError: with the rows that hold what no measurement can have left.
    """
    return [_kernel(row) for row in _checked(trace, "kernels", trace.kernels, _complaints)]


def products_of(trace: Trace) -> list[Product]:
    """The matrix products of training steps that were timed.

    Raises:
        InputError: no operation of a step is in the trace; or a row holds what none can have left.
    """
    if not trace.ops.num_rows:
        found = "holds no ops: no training step was counted"
        mend = "measure on: the same command goes on where it stopped"
        raise InputError(Problem(str(trace.folder), "ops", found, "", mend))
    rows = _checked(trace, "ops", trace.ops, _complaints_of_product)
    return [
        Product(
            task=row["signature"].partition("/")[0],
            dtype=row["dtype"],
            phase=row["phase"],
            sizes=sizes,
            calls=row["calls"],
            time_s=row["duration_p10_s"],
        )
        for row in rows
        if _is_timed_product(row) and (sizes := _operands(row["shapes"])) is not None
    ]


def _checked(
    trace: Trace, name: str, table: pa.Table, complaints: Callable[[Mapping[str, Any]], Iterator[Complaint]]
) -> Sequence[Mapping[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pylist()
    where = _file(trace, name)
    problems = [
        Problem(where, f"row {number}, {column}", f"found {found!r:.60}", allowed, "measure again")
        for number, row in enumerate(rows, start=1)
        for column, found, allowed in complaints(row)
    ]
    if len(problems) > MAX_PROBLEMS:
        more = Problem(where, "", f"found {len(problems) - MAX_PROBLEMS} more problems")
        problems = [*problems[:MAX_PROBLEMS], more]
    if problems:
        raise InputError(problems)
    return rows


def _file(trace: Trace, name: str) -> str:
    """The stream's file; its parts where it has several."""
    found = sorted(trace.folder.glob(f"{name}.parquet")) + sorted(trace.folder.glob(f"{name}.arrow"))
    several = next(trace.folder.glob(f"{name}.0002.*"), None)
    return str(found[0] if found and several is None else trace.folder / f"{name}.*")


def _complaints(row: Mapping[str, Any]) -> Iterator[Complaint]:
    for column in ("flop", "size_bytes"):
        least = "more than" if WORK.get(row["part"]) == column else "at least"
        value = row[column]
        if not 0.0 <= value <= MAX_WORK or (value < 1.0 and least == "more than"):
            yield column, value, f"a number of {least} 0"
    time_s, power_w = row["duration_median_s"], row["power_w"]
    if not _is_missing(time_s) and not MIN_TIME_S <= time_s <= MAX_TIME_S:
        yield "duration_median_s", time_s, TIME_WORDS
    if not _is_missing(power_w) and not 0.0 <= power_w <= MAX_POWER_W:
        yield "power_w", power_w, "nothing, or a number of at least 0 W"
    sizes = dict(_sizes(row["shape"]))
    wanted = SIZES.get(row["part"], ())
    if any(not 1.0 <= sizes.get(name, 0.0) <= MAX_SIZE for name in wanted):
        yield "shape", row["shape"], " ".join(f"{word}=…" for word in wanted)
    elif row["part"] == "gemm" and 0.0 < row["flop"] <= MAX_WORK:
        work = 2.0 * math.prod(sizes[name] for name in wanted)
        if abs(row["flop"] - work) > FLOP_TOLERANCE * work:
            yield "flop", row["flop"], f"{work:g}, which is 2 m n k of its shape"


def _complaints_of_product(row: Mapping[str, Any]) -> Iterator[Complaint]:
    if not _is_timed_product(row):
        return
    if not MIN_TIME_S <= row["duration_p10_s"] <= MAX_TIME_S:
        yield "duration_p10_s", row["duration_p10_s"], TIME_WORDS
    if not 1 <= row["calls"] <= MAX_SIZE:
        yield "calls", row["calls"], "a number from 1"
    try:
        _operands(row["shapes"])
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError):
        yield "shapes", row["shapes"], "a JSON list of shapes"


def _is_timed_product(row: Mapping[str, Any]) -> bool:
    return row["op"] in PRODUCTS and not _is_missing(row["duration_p10_s"]) and row["duration_p10_s"] != 0.0


def _is_missing(value: float | None) -> bool:
    return value is None or math.isnan(value)


def _kernel(row: Mapping[str, Any]) -> Kernel:
    time_s, power_w = row["duration_median_s"], row["power_w"]
    return Kernel(
        part=row["part"],
        op=row["op"],
        dtype=row["dtype"],
        layout=row["layout"],
        mode=row["mode"] or "",
        sizes=dict(_sizes(row["shape"])),
        flop=row["flop"],
        size_bytes=row["size_bytes"],
        time_s=math.nan if time_s is None else time_s,
        power_w=power_w if row["power_kind"] == "measured" and power_w else math.nan,
    )


def _sizes(shape: str) -> Iterator[tuple[str, float]]:
    for word in shape.split():
        name, _, number = word.partition("=")
        try:
            yield name, float(number)
        except ValueError:
            continue


def _operands(shapes: str) -> tuple[float, float, float] | None:
    """Rows, columns and inner size of a product; None where the operands are not two matrices.

    >>> _operands("[[512, 64], [64, 256]]")
    (512.0, 256.0, 64.0)
    """
    read = json.loads(shapes)
    if not isinstance(read, list):
        raise TypeError("not a list")
    matrices = [shape for shape in read if len(shape) == 2]
    if len(matrices) < 2 or matrices[-2][1] != matrices[-1][0]:
        return None
    sizes = float(matrices[-2][0]), float(matrices[-1][1]), float(matrices[-2][1])
    if not all(0.0 <= size <= MAX_SIZE for size in sizes):
        raise ValueError("no size of a matrix")
    return sizes
