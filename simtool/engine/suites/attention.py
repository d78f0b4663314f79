"""Fused causal attention, forward and backward, over lengths, heads and head sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch.nn.functional import scaled_dot_product_attention

from simtool.engine.suites.bench import EAGER, Bench
from simtool.engine.suites.gemm import ELEMENT_BYTES, main_dtype, torch_dtype
from simtool.engine.suites.part import Row
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import Block
from simtool.units import TERA

FORWARD, BACKWARD = "attention", "attention_backward"
BACKWARD_FLOP = 2.5
"""Products of the backward over those of the forward: five to two (Dao, arXiv:2205.14135)."""
MOST_SETS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Which attentions are measured."""

    heads: tuple[tuple[int, int], ...]
    """Number of heads and elements of a head; whole pairs are held out when curves are fitted."""
    lengths: tuple[int, ...]
    tokens: tuple[int, ...]
    """Of the whole batch."""
    most_flop: float


GRIDS: Mapping[str, Grid] = {
    "gpu": Grid(
        heads=(
            (8, 64),
            (12, 64),
            (16, 64),
            (32, 64),
            (8, 128),
            (16, 128),
            (32, 128),
            (64, 128),
            (20, 96),
            (16, 256),
        ),
        lengths=(512, 1024, 2048, 4096, 8192, 16384),
        tokens=(4096, 16384),
        most_flop=1.5 * TERA,
    ),
    "cpu": Grid(
        heads=((2, 32), (4, 32), (8, 32), (2, 64), (4, 64), (8, 64), (12, 64), (4, 128), (8, 128), (6, 48)),
        lengths=(128, 256, 512, 1024, 2048),
        tokens=(512, 2048),
        most_flop=2e9,
    ),
}


class AttentionPart:
    """Sustained attention kernels."""

    name: ClassVar[str] = "attention"
    share: ClassVar[float] = 0.16

    def points(self, bench: Bench) -> Sequence[Point]:
        """Every pair of heads at another length first, forward and backward side by side."""
        grid, dtype = GRIDS[bench.facts.kind], main_dtype(bench)
        generator = bench.generator("attention")
        heads = [grid.heads[int(place)] for place in generator.permutation(len(grid.heads))]
        sizes = [
            (length, tokens)
            for tokens in reversed(grid.tokens)
            for length in grid.lengths
            if length <= tokens
        ]
        found: list[Point] = []
        for turn in range(len(sizes)):
            for number, (num_heads, head_dim) in enumerate(heads):
                length, tokens = sizes[(turn + number) % len(sizes)]
                found += [
                    _point(op, tokens // length, num_heads, length, head_dim, dtype)
                    for op in (FORWARD, BACKWARD)
                ]
        return [point for point in found if point.flop <= grid.most_flop]

    def measure(self, bench: Bench, point: Point) -> Row:
        """Time and power of one attention."""
        return bench.measure(point, attentions(bench, point))


def _point(op: str, batch: int, num_heads: int, seq_len: int, head_dim: int, dtype: str) -> Point:
    forward_flop = 2.0 * batch * num_heads * seq_len**2 * head_dim  # the masked half is not computed
    num_elements = batch * num_heads * seq_len * head_dim
    is_backward = op == BACKWARD
    return Point(
        part="attention",
        op=op,
        dtype=dtype,
        shape=(("batch", batch), ("num_heads", num_heads), ("seq_len", seq_len), ("head_dim", head_dim)),
        flop=forward_flop * (BACKWARD_FLOP if is_backward else 1.0),
        # queries, keys, values and output; backward: these, the output's gradient, and three gradients
        size_bytes=float((8 if is_backward else 4) * ELEMENT_BYTES[dtype] * num_elements),
        mode=EAGER if is_backward else "",  # autograd runs on threads of its own
    )


def attentions(bench: Bench, point: Point) -> list[Block]:
    """The kernel on as many sets of operands as the cache demands."""
    number = min(MOST_SETS, bench.num_sets(point.size_bytes))
    return [_attention(bench, point) for _ in range(number)]


def _attention(bench: Bench, point: Point) -> Block:
    batch, heads, length, width = (point.size(name) for name in ("batch", "num_heads", "seq_len", "head_dim"))
    dtype = torch_dtype(point.dtype)
    query, key, value = (bench.random(batch, heads, length, width, dtype=dtype) for _ in range(3))
    if point.op == FORWARD:
        return torch.no_grad()(partial(scaled_dot_product_attention, query, key, value, is_causal=True))
    for operand in (query, key, value):
        operand.requires_grad_(True)
    out = scaled_dot_product_attention(query, key, value, is_causal=True)
    gradient = torch.ones_like(out)
    return partial(torch.autograd.grad, out, (query, key, value), gradient, retain_graph=True)
