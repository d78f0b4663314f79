"""Step functions of time, and the exact means of them over other stretches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from simtool.ledger.sums import FloatArray, running_sum


@dataclass(frozen=True, slots=True)
class Steps:
    """``values[i]`` holds from ``times_s[i]`` to ``times_s[i + 1]``; nothing is known outside.

    >>> steps = Steps(np.array([0.0, 10.0, 20.0]), np.array([2.0, 4.0]))
    >>> steps.mean([0.0, 5.0, 20.0]).tolist()
    [2.0, 3.3333333333333335]
    """

    times_s: FloatArray
    values: FloatArray

    def integral(self, edges_s: ArrayLike) -> FloatArray:
        """Integral over every stretch between two edges, shape (edges - 1,)."""
        return np.diff(self.cumulative(edges_s))

    def cumulative(self, at_s: ArrayLike) -> FloatArray:
        """Integral from the first time up to some moments."""
        sums = np.concatenate(([0.0], np.cumsum(self.values * np.diff(self.times_s))))
        return np.asarray(np.interp(np.asarray(at_s, np.float64), self.times_s, sums))

    def mean(self, edges_s: ArrayLike) -> FloatArray:
        """Mean over every stretch between two edges, shape (edges - 1,)."""
        edges = np.asarray(edges_s, np.float64)
        return np.asarray(self.integral(edges) / np.diff(edges))

    def at(self, times_s: FloatArray) -> FloatArray:
        """Value at moments from the first time to before the last."""
        return np.asarray(self.values[np.searchsorted(self.times_s, times_s, side="right") - 1])

    def highest(self, edges_s: ArrayLike) -> FloatArray:
        """Highest value in every stretch between two edges, shape (edges - 1,)."""
        edges = np.asarray(edges_s, np.float64)
        last = len(self.values) - 1
        first = np.clip(np.searchsorted(self.times_s, edges[:-1], side="right") - 1, 0, last)
        end = np.clip(np.searchsorted(self.times_s, edges[1:], side="left") - 1, first, last)
        pairs = np.ravel(np.column_stack((first, end + 1)))
        return np.asarray(np.maximum.reduceat(np.append(self.values, -np.inf), pairs)[::2])

    def at_most(self, num_points: int) -> Steps:
        """The same, or its means over so many equal stretches where it has more steps."""
        if len(self.values) <= num_points:
            return self
        edges = np.linspace(self.times_s[0], self.times_s[-1], num_points + 1)
        return Steps(edges, self.mean(edges))


def total(parts: Sequence[Steps], begin_s: float, end_s: float) -> Steps:
    """Sum of step functions over the union of their times; 0 where one says nothing."""
    times = np.unique(np.concatenate([[begin_s, end_s], *(part.times_s for part in parts)]))
    values = np.zeros(len(times) - 1)
    for part in parts:
        if not len(part.values):
            continue
        place = np.searchsorted(part.times_s, times[:-1], side="right") - 1
        inside = (place >= 0) & (place < len(part.values))
        values += np.where(inside, part.values[np.clip(place, 0, len(part.values) - 1)], 0.0)
    return Steps(times, values)


def counted(begins_s: FloatArray, ends_s: FloatArray, end_s: float, nums: FloatArray | None = None) -> Steps:
    """How many of some intervals hold at each moment, from 0 to `end_s`; or the sum of their numbers.

    >>> counted(np.array([0.0, 5.0]), np.array([10.0, 20.0]), 20.0).values.tolist()
    [1.0, 2.0, 1.0]
    """
    moments = np.concatenate([[0.0, end_s], begins_s, ends_s])
    nums = np.ones(len(begins_s)) if nums is None else nums
    change = np.concatenate([[0.0, 0.0], nums, -nums])
    times, place = np.unique(np.clip(moments, 0.0, end_s), return_inverse=True)
    return Steps(times, running_sum(np.bincount(place, change, len(times)).astype(np.float64))[:-1])
