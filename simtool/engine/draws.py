"""Randomness for a share of a batch: what the rows of this process would have drawn in the whole batch."""

from __future__ import annotations

from typing import Any

import numpy as np


class SharedDraws(np.random.Generator):
    """Draws for all rows of a batch and hands out those of one process.

    Numbers that are asked for with a size whose first part is a multiple of the rows of this process belong to
    rows; all others are the same for every process.

    Args:
        generator: that one process would use for the whole batch.
        num_rows: samples of this process.
        rank: of this process, which has every `world`-th sample.
        world: number of processes.

    >>> whole = np.random.default_rng(1).random((4, 2))
    >>> mine = SharedDraws(np.random.default_rng(1), num_rows=2, rank=1, world=2).random((2, 2))
    >>> bool((mine == whole[1::2]).all())
    True
    """

    def __init__(self, generator: np.random.Generator, *, num_rows: int, rank: int, world: int) -> None:
        super().__init__(generator.bit_generator)
        self._num_rows, self._rank, self._world = num_rows, rank, world

    def random(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evenly from [0, 1)."""
        return self._mine(super().random(self._whole(size), *args, **kwargs), size)

    def standard_normal(self, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Normal with mean 0 and deviation 1."""
        return self._mine(super().standard_normal(self._whole(size), *args, **kwargs), size)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        """Evenly from [low, high)."""
        return self._mine(super().uniform(low, high, self._whole(size)), size)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        """Normal with mean `loc` and deviation `scale`."""
        return self._mine(super().normal(loc, scale, self._whole(size)), size)

    def integers(self, low: Any, high: Any = None, size: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Integers from [low, high)."""
        return self._mine(super().integers(low, high, self._whole(size), *args, **kwargs), size)

    def _is_of_rows(self, size: Any) -> bool:
        first = size[0] if isinstance(size, tuple) and size else size
        return isinstance(first, int | np.integer) and int(first) > 0 and int(first) % self._num_rows == 0

    def _whole(self, size: Any) -> Any:
        if not self._is_of_rows(size):
            return size
        return (size[0] * self._world, *size[1:]) if isinstance(size, tuple) else size * self._world

    def _mine(self, drawn: Any, size: Any) -> Any:
        if not self._is_of_rows(size):
            return drawn
        by_sample = drawn.reshape(self._num_rows * self._world, -1)[self._rank :: self._world]
        return np.ascontiguousarray(by_sample).reshape(size)
