"""A smooth correction between anchor sizes: linear in the logarithm, held at the last anchor outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from simtool.stepgraph import Number

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Cells:
    """Where sizes lie: the corners of their cells, along a new last axis."""

    places: IntArray
    """Of the corners, in the values of a grid."""
    weights: FloatArray


@dataclass(frozen=True, slots=True)
class Grid:
    """Values at anchors along several axes; one table of them, or several with the same anchors."""

    axes: tuple[FloatArray, ...]
    """Base-2 logarithm of the anchor sizes, ascending, two or more an axis."""
    values: FloatArray
    """One value an anchor, flat, the last axis runs fastest, table after table."""
    num_tables: int
    strides: tuple[int, ...]
    """Distance in `values` between neighbours, an axis."""
    corners: IntArray
    """Distance of every corner of a cell from its lowest."""

    @classmethod
    def of(
        cls, axes: Sequence[Sequence[float]], values: Sequence[float] | FloatArray, num_tables: int = 1
    ) -> Grid:
        """From anchor sizes, not their logarithms."""
        lengths = [len(axis) for axis in axes]
        strides = tuple(int(np.prod(lengths[place + 1 :])) for place in range(len(lengths)))
        corners = [sum(corner) for corner in product(*((0, stride) for stride in strides))]
        return cls(
            axes=tuple(np.log2(np.asarray(axis, float)) for axis in axes),
            values=np.asarray(values, float),
            num_tables=num_tables,
            strides=strides,
            corners=np.array(corners, dtype=np.intp),
        )

    def at(self, *sizes: Number) -> FloatArray:
        """The value at these sizes, one an axis; arrays broadcast.

        Linear in the logarithm of each size; a size beyond the anchors counts as the outermost one, so
        that nothing is ever extrapolated. Several tables are read along the first axis of the sizes.

        >>> grid = Grid.of([(1, 4), (10, 20)], (0.0, 1.0, 2.0, 3.0))
        >>> [float(grid.at(1, 10)), float(grid.at(2, 20)), float(grid.at(99, 5))]  # 2 is half-way to 4
        [0.0, 2.0, 2.0]
        """
        return self.read(self.cells(*sizes))

    def read(self, cells: Cells) -> FloatArray:
        """The values in these cells, found in a grid with the same anchors."""
        return np.asarray(np.einsum("...i,...i->...", self.values[cells.places], cells.weights))

    def cells(self, *sizes: Number) -> Cells:
        """Where these sizes lie."""
        lowest: IntArray | int = 0
        weights: FloatArray | None = None
        for axis, size, stride in zip(self.axes, sizes, self.strides, strict=True):
            x = np.log2(size)
            cell = np.searchsorted(axis[1:-1], x, side="right")
            low = axis[cell]
            above = np.minimum(np.maximum((x - low) / (axis[cell + 1] - low), 0.0), 1.0)
            lowest = lowest + cell * stride
            pair = np.stack((1.0 - above, above), axis=-1)
            weights = pair if weights is None else _outer(weights, pair)
        if self.num_tables > 1:
            table = np.arange(self.num_tables).reshape(-1, *(1,) * (np.ndim(lowest) - 1))
            lowest = lowest + table * (len(self.values) // self.num_tables)
        return Cells(np.asarray(lowest)[..., None] + self.corners, np.asarray(weights))


def _outer(weights: FloatArray, pair: FloatArray) -> FloatArray:
    """Weights of twice as many corners, the new axis running fastest."""
    wide = weights[..., :, None] * pair[..., None, :]
    return wide.reshape(*wide.shape[:-2], -1)
