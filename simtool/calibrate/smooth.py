"""Smooth corrections of a kernel model: sums of grids, fitted by robust penalised least squares.

What is fitted is log(measured / model). Neighbouring anchors are held together (second differences along
an axis), and all are held near 0, so that an anchor that no kernel touches keeps what its neighbours say,
and in the end the model itself. Nothing is chosen by looking at residuals of one device: one set of
anchors and penalties serves all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.calibrate.tables import FloatArray
from simtool.machine.grid import Grid

ODD_KERNEL = 0.1
"""Log residual beyond which a kernel counts as odd and pulls linearly, not quadratically."""
MAX_KERNELS = 60_000
"""Kernels that one fit uses, evenly over the table; more of the same grid add time, not knowledge."""
TILE = "tile"
"""Axis that numbers the tiles (or blocks) of `machine.correction`, from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One grid of the sum."""

    name: str
    axes: dict[str, tuple[float, ...]]
    """Anchor sizes along each axis. The first may be `TILE`: a table each, nothing between."""
    roughness: tuple[float, ...]
    """Penalty of a squared second difference, an axis [octave^2]; 0 leaves the axis free."""
    ridge: float = 0.01
    """Penalty of a squared value."""

    @property
    def num_values(self) -> int:
        """Anchors of the grid."""
        return int(np.prod([len(axis) for axis in self.axes.values()]))

    def grid(self, values: FloatArray) -> Grid:
        """As it is looked up, with these values."""
        if TILE in self.axes:
            sizes = [axis for name, axis in self.axes.items() if name != TILE]
            return Grid.of(sizes, values, len(self.axes[TILE]))
        return Grid.of(list(self.axes.values()), values)


def design(term: Term, sizes: Sequence[FloatArray], factor: FloatArray | None = None) -> Any:
    """What each anchor contributes to each kernel, times `factor`; a sparse matrix.

    Where tables are numbered by tile, sizes and factor have the tile as first axis and are summed over it.
    """
    from scipy import sparse

    cells = term.grid(np.zeros(term.num_values)).cells(*sizes)
    shape = cells.places.shape
    scale = np.ones(shape[:-1]) if factor is None else factor
    weights = (np.broadcast_to(cells.weights, shape) * scale[..., None]).ravel()
    rows = np.broadcast_to(np.arange(shape[-2])[:, None], shape).ravel()
    kept = weights != 0.0
    places = (rows[kept], cells.places.ravel()[kept])
    return sparse.csr_array((weights[kept], places), shape=(shape[-2], term.num_values))


def penalty(terms: Sequence[Term]) -> FloatArray:
    """Matrix of the penalties of all terms, block by block."""
    from scipy.linalg import block_diag

    return np.asarray(block_diag(*[_penalty(term) for term in terms]))


def _penalty(term: Term) -> FloatArray:
    total = term.ridge * np.eye(term.num_values)
    axes = list(term.axes.values())
    shape = [len(axis) for axis in axes]
    for place, (axis, strength) in enumerate(zip(axes, term.roughness, strict=True)):
        if strength == 0.0 or len(axis) < 3:
            continue
        gap = np.diff(np.log2(axis))
        bend = np.zeros((len(axis) - 2, len(axis)))
        for i in range(len(axis) - 2):
            bend[i, i : i + 3] = 1 / gap[i], -1 / gap[i] - 1 / gap[i + 1], 1 / gap[i + 1]
        before, after = int(np.prod(shape[:place])), int(np.prod(shape[place + 1 :]))
        total += strength * np.kron(np.kron(np.eye(before), bend.T @ bend), np.eye(after))
    return total


class Solver:
    """Fits one design to logs of measured over modelled times, whole and with folds left out."""

    def __init__(self, matrix: Any, held_down: FloatArray, fold: NDArray[np.intp]) -> None:
        self._matrix, self._held_down, self._fold = matrix, held_down, fold
        self._used = np.zeros(len(fold), dtype=bool)
        most = min(len(fold), MAX_KERNELS)
        self._used[np.arange(most) * len(fold) // most] = True
        self._grams = {}
        for one in np.unique(fold):
            part = matrix[self._used & (fold == one)]
            self._grams[int(one)] = (part.T @ part).toarray()

    def solve(self, log_ratio: FloatArray, left_out: int | None = None) -> FloatArray:
        """Anchor values: least squares, and once again with odd kernels at less weight.

        Kernels of the fold that is left out take no part, whatever their `log_ratio`.
        """
        seen = self._used if left_out is None else self._used & (self._fold != left_out)
        matrix, target = self._matrix[seen], log_ratio[seen]
        gram = self._held_down + sum(gram for one, gram in self._grams.items() if one != left_out)
        found = _solved(gram, matrix.T @ target)
        weight = 1.0 / np.sqrt(1.0 + ((target - matrix @ found) / ODD_KERNEL) ** 2)
        weighted = matrix.multiply(weight[:, None]).tocsr()
        return _solved((matrix.T @ weighted).toarray() + self._held_down, weighted.T @ target)

    def corrections(self, anchors: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
        """Log of the correction of the chosen kernels."""
        return np.asarray(self._matrix[chosen] @ anchors)


def _solved(gram: FloatArray, right: FloatArray) -> FloatArray:
    from scipy.linalg import solve

    return np.asarray(solve(gram, right, assume_a="pos"))
