"""Anchors of the corrections of kernel models, and a fitted correction as numbers and as a profile has it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simtool.calibrate.smooth import TILE, Term, design
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.machine.correction import (
    ATTENTION_BLOCKS,
    PER_MILLE,
    PRODUCT_TILES,
    Correction,
    attention_waste,
    product_waste,
)

_WEIGHT_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 65536)
_WAVES = (1 / 32, 1 / 8, 1 / 2, 1, 2, 4, 8, 16, 64)
_PRODUCT_WASTE: dict[str, tuple[float, ...]] = {
    TILE: tuple(range(1, len(PRODUCT_TILES) + 1)),
    "waves": _WAVES,
    "k": (64, 512, 4096, 16384),
}
PRODUCTS: tuple[Term, ...] = (
    Term(
        name="sizes",
        axes={
            "m": (1, 8, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 32768),
            "n": _WEIGHT_SIZES,
            "k": _WEIGHT_SIZES,
        },
        roughness=(0.3, 0.3, 0.3),
    ),
    Term(name="idle", axes=_PRODUCT_WASTE, roughness=(0.0, 0.0, 0.0), ridge=1.0),
    Term(name="edge", axes=_PRODUCT_WASTE, roughness=(0.0, 0.0, 0.0), ridge=1.0),
)
"""Anchors an octave apart where training products lie."""
ATTENTION: tuple[Term, ...] = (
    Term(
        name="sizes",
        axes={
            "num_keys": (128, 256, 512, 1024, 2048, 4096, 8192, 16384),
            "sequences": (1, 4, 16, 64, 256, 1024),
            "heads_per_key": (1, 2, 8, 32),
            "head_dim": (64, 128, 192, 256),
        },
        roughness=(0.1, 0.1, 0.1, 0.1),
    ),
    Term(
        name="idle",
        axes={
            TILE: tuple(range(1, len(ATTENTION_BLOCKS) + 1)),
            "waves": _WAVES,
            "head_dim": (64, 128, 192, 256),
        },
        roughness=(0.0, 0.0, 0.0),
        ridge=0.3,
    ),
)
MIN_KERNELS, MIN_GROUPS = 2000, 40
"""A table with fewer kernels, or fewer shapes, shows no more than the coefficients."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What is corrected: the grids, and how kernels lie on them."""

    terms: tuple[Term, ...]
    matrix: Callable[[KernelTable], Any]
    """Sparse design of a table, one column an anchor of all terms."""


def product_shape(num_processors: int) -> Shape:
    """Of matrix products on so many processors."""

    def matrix(table: KernelTable) -> Any:
        m, n, k = (table.columns[name] for name in "mnk")
        waves, idle, edge = product_waste(m, n, 1.0, num_processors, num_axes=1)
        sizes, idles, edges = PRODUCTS
        return _beside(
            design(sizes, (m, n, k)),
            design(idles, (waves, k), idle),
            design(edges, (waves, k), edge),
        )

    return Shape(terms=PRODUCTS, matrix=matrix)


def attention_shape(num_processors: int) -> Shape:
    """Of causal self-attention on so many processors."""

    def matrix(table: KernelTable) -> Any:
        c = table.columns
        sequences, tokens, width = c["batch"] * c["num_heads"], c["seq_len"], c["head_dim"]
        waves, idle = attention_waste(sequences, tokens, num_processors, num_axes=1)
        sizes, idles = ATTENTION
        return _beside(
            design(sizes, (tokens, sequences, c["num_heads"] / c["num_kv_heads"], width)),
            design(idles, (waves, width), idle),
        )

    return Shape(terms=ATTENTION, matrix=matrix)


def _beside(*parts: Any) -> Any:
    from scipy import sparse

    return sparse.hstack(parts, format="csr")


def is_enough(table: KernelTable) -> bool:
    """Whether a table shows what coefficients miss."""
    return len(table) >= MIN_KERNELS and table.num_groups >= MIN_GROUPS


def correction_from(terms: Sequence[Term], values: FloatArray) -> Correction:
    """The grids of a machine model from all anchor values in a row."""
    parts = {}
    start = 0
    for term in terms:
        parts[term.name] = term.grid(values[start : start + term.num_values])
        start += term.num_values
    return Correction(**parts)


def section(terms: Sequence[Term], values: FloatArray, source: str) -> dict[str, Any]:
    """The correction as a profile's file has it: thousandths, a row of text along the last axis."""
    written: dict[str, Any] = {"source": source}
    start = 0
    for term in terms:
        written[term.name] = table_of(term, values[start : start + term.num_values])
        start += term.num_values
    return written


def table_of(term: Term, values: FloatArray) -> dict[str, Any]:
    """One grid as a profile's file has it."""
    width = len(list(term.axes.values())[-1])
    numbers = np.rint(values / PER_MILLE).astype(int).reshape(-1, width)
    return {
        "axes": {name: " ".join(f"{size:.10g}" for size in axis) for name, axis in term.axes.items()},
        "rows": [" ".join(str(number) for number in row) for row in numbers],
    }
