"""The launch floor: what the smallest calls cost, alone and as part of a graph of the device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar

import torch
from torch import nn

from simtool.engine.suites.bench import EAGER, GRAPH, Bench
from simtool.engine.suites.gemm import main_dtype, torch_dtype
from simtool.engine.suites.part import Row, Unmeasurable
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import Block

WIDTH = 8
"""Elements of an operand's side: no device notices them."""


class LaunchPart:
    """Calls without work."""

    name: ClassVar[str] = "launch"
    share: ClassVar[float] = 0.02

    def points(self, bench: Bench) -> Sequence[Point]:
        """Every tiny call as it comes from Python, and on a GPU from a graph."""
        modes = (EAGER, GRAPH) if bench.facts.kind == "gpu" else (EAGER,)
        dtype = main_dtype(bench)
        return [
            Point(part="launch", op=op, dtype=dtype, shape=(("width", WIDTH),), mode=mode)
            for mode in modes
            for op in MAKERS
            if mode == EAGER or op != "linear_forward_backward"
        ]

    def measure(self, bench: Bench, point: Point) -> Row:
        """Time of one call.

        Raises:
            Unmeasurable: the call cannot be recorded as a graph.
        """
        found = bench.measure(point, [MAKERS[point.op](bench, torch_dtype(point.dtype))])
        if point.mode == GRAPH and found["mode"] != GRAPH:
            raise Unmeasurable("the device did not record it as a graph")
        return found


def _add(bench: Bench, dtype: torch.dtype) -> Block:
    first = bench.random(WIDTH, dtype=dtype)
    return partial(torch.add, first, first, out=torch.empty_like(first))


def _product(bench: Bench, dtype: torch.dtype) -> Block:
    first = bench.random(WIDTH, WIDTH, dtype=dtype)
    return partial(torch.mm, first, first, out=torch.empty_like(first))


def _layer(bench: Bench, dtype: torch.dtype) -> Block:
    layer = nn.Linear(WIDTH, WIDTH, device=bench.device, dtype=dtype)
    inputs = bench.random(WIDTH, WIDTH, dtype=dtype).requires_grad_(True)
    gradient = torch.ones_like(inputs)

    def run() -> None:
        torch.autograd.grad(layer(inputs), [inputs, *layer.parameters()], gradient)

    return run


MAKERS: Mapping[str, Callable[[Bench, torch.dtype], Block]] = {
    "add": _add,
    "mm": _product,
    "linear_forward_backward": _layer,
}
