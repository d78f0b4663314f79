"""Kernels that only move bytes, from sizes that the cache holds to sizes that it cannot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

import torch

from simtool.engine.suites.bench import Bench
from simtool.engine.suites.gemm import ELEMENT_BYTES, main_dtype, torch_dtype
from simtool.engine.suites.part import Row
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import Block
from simtool.units import BYTES_PER_GIB

PASSES: Mapping[str, int] = {"copy": 2, "add": 3, "sum": 1}
"""Arrays that a kernel reads and writes."""
MEMORY_SHARE = 0.25
"""Of the device's memory that the largest point may take."""
MOST_BYTES: Mapping[str, float] = {"gpu": 8.0 * BYTES_PER_GIB, "cpu": 2.0**29}
LEAST_BYTES = 2.0**14
BEYOND_CACHE = 2.2
"""Sizes from this multiple of the cache on time the memory alone."""
STEPS_PER_OCTAVE = {"gpu": 4, "cpu": 3}


class BandwidthPart:
    """Copies, sums of two arrays, and reductions."""

    name: ClassVar[str] = "bandwidth"
    share: ClassVar[float] = 0.12

    def points(self, bench: Bench) -> Sequence[Point]:
        """The largest size first, then sizes beyond the cache, finely, and sizes within, an octave apart."""
        kind = bench.facts.kind
        most = min(MOST_BYTES[kind], MEMORY_SHARE * bench.facts.memory_size_bytes)
        beyond = BEYOND_CACHE * bench.facts.cache_size_bytes
        large, size = [], most
        while size >= beyond:
            large.append(size)
            size /= 2.0 ** (1.0 / STEPS_PER_OCTAVE[kind])
        small, size = [], LEAST_BYTES
        while size < min(beyond, most):
            small.append(size)
            size *= 2.0
        generator = bench.generator("bandwidth")
        rest = [*large[1:], *small]
        sizes = [most, *(rest[int(place)] for place in generator.permutation(len(rest)))]
        dtype = main_dtype(bench)
        return [_point(op, size, dtype) for size in sizes for op in PASSES]

    def measure(self, bench: Bench, point: Point) -> Row:
        """Time and power of one kernel."""
        return bench.measure(point, streams(bench, point))


def _point(op: str, size_bytes: float, dtype: str, part: str = "bandwidth") -> Point:
    num_elements = max(1, int(size_bytes / (PASSES[op] * ELEMENT_BYTES[dtype])))
    moved = float(PASSES[op] * ELEMENT_BYTES[dtype] * num_elements)
    return Point(part=part, op=op, dtype=dtype, shape=(("elements", num_elements),), size_bytes=moved)


def largest(bench: Bench, part: str) -> Point:
    """A copy that no cache holds."""
    most = min(MOST_BYTES[bench.facts.kind], MEMORY_SHARE * bench.facts.memory_size_bytes)
    return _point("copy", most, main_dtype(bench), part)


def streams(bench: Bench, point: Point) -> list[Block]:
    """The kernel on as many sets of arrays as the cache demands."""
    dtype, number = torch_dtype(point.dtype), point.size("elements")
    return [_stream(bench, point.op, number, dtype) for _ in range(bench.num_sets(point.size_bytes))]


def _stream(bench: Bench, op: str, num_elements: int, dtype: torch.dtype) -> Block:
    first = bench.random(num_elements, dtype=dtype)
    if op == "sum":
        out = torch.empty((), device=bench.device, dtype=dtype)
        return partial(torch.sum, first, dim=0, out=out)
    out = torch.empty_like(first)
    if op == "copy":
        return partial(out.copy_, first)
    return partial(torch.add, first, bench.random(num_elements, dtype=dtype), out=out)
