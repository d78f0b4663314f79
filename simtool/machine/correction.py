"""What a kernel model of few coefficients misses, by size: corrections of its time, within its range.

A library has dozens of kernels and picks among them by rules of thumb. The models of `machine.gemm` and
`machine.attention` follow the physics; what a device's tables show beyond that is kept as the logarithm of
measured over modelled time, on a grid of anchor sizes, and beside it by how a launch fills its last wave
and its tiles. Outside the anchors the outermost one holds (the utilisation at the boundary), so that a size
that nobody measured is extrapolated by the physics alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from simtool.machine.grid import FloatArray, Grid
from simtool.stepgraph import Number

PER_MILLE = 1e-3
"""Tables hold thousandths."""

PRODUCT_TILES: tuple[tuple[int, int], ...] = ((256, 128), (128, 256), (128, 128), (256, 256))
"""Output tiles whose idle and padded parts are looked at: the largest ones of one and of two processors,
since the smaller show in the sizes."""

ATTENTION_BLOCKS: tuple[int, ...] = (64, 128, 256)
"""Queries of one block of a flash-attention kernel, of one and of two processors (see `machine.attention`)."""

TILE_ROWS, TILE_COLUMNS = np.array(PRODUCT_TILES, float).T
BLOCK_QUERIES = np.array(ATTENTION_BLOCKS, float)


class Table(Protocol):
    """A grid as a profile writes it: `profiles.curves.Table`."""

    @property
    def axes(self) -> Mapping[str, str]:
        """Anchor sizes along each axis, as text."""

    @property
    def rows(self) -> tuple[str, ...]:
        """Thousandths along the last axis, as text, the second last axis running fastest."""


class Tables(Protocol):
    """The grids of one kernel class: `profiles.curves.Correction`."""

    @property
    def sizes(self) -> Table:
        """By size of the operands."""

    @property
    def idle(self) -> Table:
        """By tile, number of waves and a third size: per unit of log(whole waves / waves)."""

    @property
    def edge(self) -> Table | None:
        """The same per unit of log(padded / unpadded size)."""


@dataclass(frozen=True, slots=True)
class Correction:
    """Grids of one kernel class, ready to be looked up; `idle` and `edge` have one table a tile."""

    sizes: Grid
    idle: Grid
    edge: Grid | None = None
    """With the anchors of `idle`."""


def correction_of(tables: Tables | None) -> Correction | None:
    """The grids that a profile holds, if it holds any."""
    if tables is None:
        return None
    return Correction(
        sizes=grid_of(tables.sizes),
        idle=grid_of(tables.idle, by_tile=True),
        edge=None if tables.edge is None else grid_of(tables.edge, by_tile=True),
    )


def grid_of(table: Table, *, by_tile: bool = False) -> Grid:
    """A table of a profile, ready to be looked up; `by_tile`, its first axis numbers tables."""
    return _read(tuple(table.axes.values()), table.rows, by_tile)


@lru_cache(maxsize=256)
def _read(axes: tuple[str, ...], rows: tuple[str, ...], by_tile: bool) -> Grid:
    values = [float(number) * PER_MILLE for row in rows for number in row.split()]
    sizes = [[float(size) for size in axis.split()] for axis in axes]
    return Grid.of(sizes[1:], values, len(sizes[0])) if by_tile else Grid.of(sizes, values)


def product_waste(
    m: Number, n: Number, batch: Number, num_processors: int | None, *, num_axes: int = 0
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """How products fill the tiles of `PRODUCT_TILES`: waves, log idle, log edge.

    The tile runs along a new first axis. ``idle = log(ceil(waves)/waves)``, ``edge = log(tiles x area of a
    tile / (batch m n))``; without processors nothing is idle.

    Args:
        m: rows of a product.
        n: columns of a product.
        batch: products in one kernel.
        num_processors: of the device.
        num_axes: of what all sizes of the products broadcast to.

    >>> waves, idle, edge = product_waste(256, 192, 1.0, 2)  # two tiles of 256 x 128, a third of one unused
    >>> [round(float(x[0]), 2) for x in (waves, idle, np.exp(edge))]
    [1.0, 0.0, 1.33]
    """
    area = m * np.asarray(n)
    rows, columns = _along_first(TILE_ROWS, num_axes), _along_first(TILE_COLUMNS, num_axes)
    per_product = np.ceil(m / rows) * np.ceil(n / columns)
    edge = np.log(per_product * (rows * columns) / area)
    return *_waves(batch * per_product, num_processors), edge


def attention_waste(
    sequences: Number, seq_len: Number, num_processors: int | None, *, num_axes: int = 0
) -> tuple[FloatArray, FloatArray]:
    """How attention over so many heads of sequences fills its waves, for each of `ATTENTION_BLOCKS`.

    Waves and log idle, the block along a new first axis before the `num_axes` of the sizes.
    """
    blocks = sequences * np.ceil(seq_len / _along_first(BLOCK_QUERIES, num_axes))
    return _waves(blocks, num_processors)


def _along_first(numbers: FloatArray, num_axes: int) -> FloatArray:
    return numbers.reshape(-1, *(1,) * num_axes)


def _waves(tiles: FloatArray, num_processors: int | None) -> tuple[FloatArray, FloatArray]:
    if num_processors is None:
        return tiles, np.zeros_like(tiles)
    waves = tiles / num_processors
    return waves, np.log(np.ceil(waves) / waves)


def product_factor(
    correction: Correction, m: Number, n: Number, k: Number, *, batch: Number, num_processors: int | None
) -> Number:
    """Time of products over that of `machine.gemm`'s curve.

    Several products of one kernel count as one with all their rows, but fill tiles and waves each for itself.
    """
    num_axes = np.ndim(m * np.asarray(n) * k * batch)
    waves, idle, edge = product_waste(m, n, batch, num_processors, num_axes=num_axes)
    cells = correction.idle.cells(waves, k)
    waste = idle * correction.idle.read(cells)
    if correction.edge is not None:
        waste = waste + edge * correction.edge.read(cells)
    return np.asarray(np.exp(correction.sizes.at(m * batch, n, k) + waste.sum(axis=0)))


def attention_factor(
    correction: Correction,
    sequences: Number,
    num_queries: Number,
    num_keys: Number,
    head_dim: Number,
    heads_per_key: Number,
    *,
    num_processors: int | None,
) -> Number:
    """Time of fused attention over that of `machine.attention`'s curve; sequences: batch x heads.

    The keys are those of a causal mask's last query, or twice the mean.
    """
    num_axes = np.ndim(sequences * np.asarray(num_queries) * head_dim)
    waves, idle = attention_waste(sequences, num_queries, num_processors, num_axes=num_axes)
    log = correction.sizes.at(num_keys, sequences, heads_per_key, head_dim)
    return np.asarray(np.exp(log + (idle * correction.idle.at(waves, head_dim)).sum(axis=0)))
