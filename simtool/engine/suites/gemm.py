"""Matrix products over sizes, number formats and layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import torch

from simtool.engine.suites.bench import Bench
from simtool.engine.suites.part import Row
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import Block
from simtool.units import TERA

FORWARD, TO_INPUT, TO_WEIGHT = "TN", "NN", "NT"
"""Layouts of the three products of a linear layer. TN: the second operand is a weight that lies transposed
in memory. NN: neither does. NT: the first one does, as in the product that yields a weight's gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Which products are measured."""

    widths: tuple[int, ...]
    """Outer and inner sizes of weights."""
    rows: tuple[int, ...]
    """Rows of the other operand: samples times tokens."""
    few_rows: tuple[int, ...]
    """Row counts at which reading the weight takes as long as the product."""
    num_weights: int
    """Distinct weights; whole weights are held out when curves are fitted."""
    most_flop: float
    others: tuple[str, ...]
    """Further number formats, measured at the largest size alone: their rates."""


GRIDS: Mapping[str, Grid] = {
    "gpu": Grid(
        widths=(1024, 1536, 2048, 3072, 4096, 5120, 6144, 8192, 11008, 12288, 14336, 16384),
        rows=(512, 1024, 2048, 4096, 8192, 16384),
        few_rows=(1, 32, 128),
        num_weights=24,
        most_flop=2.5 * TERA,
        others=("float16", "float32", "tfloat32"),
    ),
    "cpu": Grid(
        widths=(64, 96, 128, 192, 256, 320, 384, 512, 640, 768, 1024, 1536, 2048),
        rows=(64, 128, 256, 512, 1024, 2048),
        few_rows=(1, 16),
        num_weights=24,
        most_flop=4e9,
        others=("bfloat16",),
    ),
}
SQUARE: Mapping[str, int] = {"gpu": 8192, "cpu": 1024}
"""Side of the product by which rates of number formats are compared."""
ELEMENT_BYTES: Mapping[str, int] = {"float32": 4, "tfloat32": 4, "float16": 2, "bfloat16": 2}


def main_dtype(bench: Bench) -> str:
    """The number format that models of this device are trained in."""
    if bench.facts.kind == "cpu":
        return "float32"
    return "bfloat16" if bench.facts.has_bfloat16 else "float16"


def torch_dtype(name: str) -> torch.dtype:
    """The format of the tensors; tfloat32 is a way to multiply float32."""
    found: torch.dtype = getattr(torch, "float32" if name == "tfloat32" else name)
    return found


class GemmPart:
    """Sustained matrix products."""

    name: ClassVar[str] = "gemm"
    share: ClassVar[float] = 0.4

    def points(self, bench: Bench) -> Sequence[Point]:
        """Squares of every format first, then weights in turn with a few rows each, then other layouts."""
        grid, side = GRIDS[bench.facts.kind], SQUARE[bench.facts.kind]
        dtype = main_dtype(bench)
        formats = [dtype, *(other for other in grid.others if other != dtype)]
        squares = [product(side, side, side, other, FORWARD) for other in formats]
        generator = bench.generator("gemm")
        weights = list(_weights(grid, generator))
        sweeps = [_sweep(grid, number, n, k) for number, (n, k) in enumerate(weights)]
        turns = max(map(len, sweeps))
        rounds = [
            product(sweep[turn], n, k, dtype, FORWARD)
            for turn in range(turns)
            for sweep, (n, k) in zip(sweeps, weights, strict=True)
            if turn < len(sweep)
        ]
        beside = [
            product(grid.rows[-2 - number % 3], n, k, dtype, layout)
            for number, (n, k) in enumerate(weights[: len(weights) // 2])
            for layout in (TO_INPUT, TO_WEIGHT)
            if 2.0 * grid.rows[-2 - number % 3] * n * k <= grid.most_flop
        ]
        first = rounds[: len(weights)]
        same = [
            product(point.size("m"), point.size("n"), point.size("k"), dtype, FORWARD)
            for point in beside[::2]
        ]
        return list(dict.fromkeys([*squares, *first, *beside, *same, *rounds[len(weights) :]]))

    def measure(self, bench: Bench, point: Point) -> Row:
        """Time and power of one product."""
        with tfloat32(point.dtype):
            return bench.measure(point, products(bench, point))


def product(m: int, n: int, k: int, dtype: str, layout: str, part: str = "gemm") -> Point:
    """The point of one product of (m, k) by (k, n)."""
    return Point(
        part=part,
        op="mm",
        dtype=dtype,
        layout=layout,
        shape=(("m", m), ("n", n), ("k", k)),
        flop=2.0 * m * n * k,
        size_bytes=float(ELEMENT_BYTES[dtype] * (m * k + k * n + m * n)),
    )


def products(bench: Bench, point: Point) -> list[Block]:
    """The product on as many sets of operands as the cache demands."""
    m, n, k = (point.size(name) for name in "mnk")
    dtype = torch_dtype(point.dtype)
    return [_product(bench, m, n, k, point.layout, dtype) for _ in range(bench.num_sets(point.size_bytes))]


def _product(bench: Bench, m: int, n: int, k: int, layout: str, dtype: torch.dtype) -> Block:
    if layout == TO_WEIGHT:
        left, right = bench.random(k, m, dtype=dtype).t(), bench.random(k, n, dtype=dtype)
    elif layout == TO_INPUT:
        left, right = bench.random(m, k, dtype=dtype), bench.random(k, n, dtype=dtype)
    else:
        left, right = bench.random(m, k, dtype=dtype), bench.random(n, k, dtype=dtype).t()
    out = torch.empty(m, n, device=bench.device, dtype=dtype)
    return partial(torch.mm, left, right, out=out)


def _sweep(grid: Grid, number: int, n: int, k: int) -> list[int]:
    """Row counts for one weight; each begins elsewhere, so that a sweep cut short has all sizes, too."""
    rows = [m for m in (*grid.rows, *grid.few_rows) if 2.0 * m * n * k <= grid.most_flop]
    begin = number % len(rows)
    return rows[begin:] + rows[:begin]


def _weights(grid: Grid, generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Distinct weights, drawn from all pairs of widths."""
    pairs = [(n, k) for n in grid.widths for k in grid.widths]
    for place in generator.permutation(len(pairs))[: grid.num_weights]:
        yield pairs[int(place)]


class tfloat32:  # noqa: N801 - reads like a context
    """Products of float32 at the reduced precision of tfloat32 inside, at the full one for anything else.

    >>> with tfloat32("float32"):
    ...     torch.backends.cuda.matmul.allow_tf32
    False
    """

    def __init__(self, dtype: str) -> None:
        self._wanted, self._before = dtype == "tfloat32", False

    def __enter__(self) -> None:
        self._before = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = self._wanted

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32 = self._before
