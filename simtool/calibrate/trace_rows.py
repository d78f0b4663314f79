"""The kernels of a suite's trace, row by row; a row that no measurement can have left is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simtool.errors import InputError, Problem
from simtool.units import MEGA, TERA

if TYPE_CHECKING:
    from simtool.trace import Trace

SIZES: Mapping[str, tuple[str, ...]] = {
    "gemm": ("m", "n", "k"),
    "attention": ("batch", "num_heads", "seq_len", "head_dim"),
}
"""Sizes that kernels of a part must tell, because a curve is fitted over them."""
WORK: Mapping[str, str] = {"gemm": "flop", "attention": "flop", "bandwidth": "size_bytes"}
"""Column with the work of kernels of a part, which must be more than none."""
MAX_WORK = TERA * TERA
"""FLOP or bytes: beyond anything that one kernel does."""
MAX_SIZE = TERA
MAX_TIME_S = MEGA
"""Twelve days."""
MAX_POWER_W = MEGA
MAX_PROBLEMS = 20


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


def kernels_of(trace: Trace) -> list[Kernel]:
    """The kernels of a trace; those without a time keep only their power.

    Raises:
        InputError: with the rows that hold what no measurement can have left.
    """
    rows = trace.kernels.to_pylist()
    where = str(trace.folder / "kernels")
    problems = [
        Problem(where, f"row {number}, {column}", f"found {found!r:.60}", allowed, "measure again")
        for number, row in enumerate(rows, start=1)
        for column, found, allowed in _complaints(row)
    ]
    if len(problems) > MAX_PROBLEMS:
        more = Problem(where, "", f"found {len(problems) - MAX_PROBLEMS} more problems")
        problems = [*problems[:MAX_PROBLEMS], more]
    if problems:
        raise InputError(problems)
    return [_kernel(row) for row in rows]


def _complaints(row: Mapping[str, Any]) -> Iterator[tuple[str, object, str]]:
    """Column, what it holds, and what it may hold."""
    for column in ("flop", "size_bytes"):
        least = "more than" if WORK.get(row["part"]) == column else "at least"
        value = row[column]
        if not 0.0 <= value <= MAX_WORK or (value == 0.0 and least == "more than"):
            yield column, value, f"a number of {least} 0"
    time_s, power_w = row["duration_median_s"], row["power_w"]
    if time_s is not None and not math.isnan(time_s) and not 0.0 < time_s <= MAX_TIME_S:
        yield "duration_median_s", time_s, "nothing, or a number of more than 0 s"
    if power_w is not None and not math.isnan(power_w) and not 0.0 <= power_w <= MAX_POWER_W:
        yield "power_w", power_w, "nothing, or a number of at least 0 W"
    sizes = dict(_sizes(row["shape"]))
    for name in SIZES.get(row["part"], ()):
        if not 1.0 <= sizes.get(name, 0.0) <= MAX_SIZE:
            yield "shape", row["shape"], " ".join(f"{word}=…" for word in SIZES[row["part"]])
            break


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
