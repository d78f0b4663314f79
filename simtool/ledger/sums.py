"""Sums that lose no digits with their length, whatever the order: all additions are exact."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EXACT_BITS = 51
"""Of the 53 bits of a float's mantissa; two are room for signs and rounding."""
SMALLEST_EXPONENT = -1000
"""Far above the subnormal numbers, in which multiples of a grid would round."""


def split(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Two parts of every value, high + low = value, of which each adds without rounding.

    Each part is a multiple of one power of two, coarse enough that the sum of all of them is still a
    whole multiple below 2^53: additions in any order and grouping are exact. What does not fit into the
    two parts is below 2^-70 of the largest value for a billion values, and dropped.

    >>> high, low = split(np.array([1.0, 1e-12]))
    >>> float(high.sum()) + float(low.sum()) == 1.0 + 1e-12
    True
    """
    high = _on_grid(values)
    return high, _on_grid(values - high)


def _on_grid(values: FloatArray) -> FloatArray:
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return np.zeros_like(values)
    exponent = math.frexp(largest)[1] + len(values).bit_length() - EXACT_BITS
    grid = math.ldexp(1.0, max(exponent, SMALLEST_EXPONENT))
    return np.asarray(np.round(values / grid) * grid)


def sum_by_key(keys: IntArray, values: FloatArray, num_keys: int) -> FloatArray:
    """Sum of the values of every key 0 .. num_keys - 1, independent of their order.

    >>> sum_by_key(np.array([0, 1, 0]), np.array([1.0, 5.0, 2.0]), 2).tolist()
    [3.0, 5.0]
    """
    high, low = split(values)
    sums = np.bincount(keys, high, num_keys) + np.bincount(keys, low, num_keys)
    return np.asarray(sums, np.float64)


def running_sum(steps: FloatArray) -> FloatArray:
    """Cumulative sum; exactly zero where the steps so far cancel.

    >>> np.cumsum([0.1, 0.2, -0.1, -0.2]).tolist()[-1]
    2.7755575615628914e-17
    >>> running_sum(np.array([0.1, 0.2, -0.1, -0.2])).tolist()[-1]
    0.0
    """
    high, low = split(steps)
    return np.asarray(np.cumsum(high) + np.cumsum(low))
