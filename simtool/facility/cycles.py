"""Counting the cycles of a battery: rainflow, by which every cycle has its own depth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from simtool.facility.series import FloatArray


def turning_points(values: FloatArray) -> list[float]:
    """First, last and every local extreme of a path.

    >>> turning_points(np.array([0.0, 1.0, 2.0, 2.0, 1.0]))
    [0.0, 2.0, 1.0]
    """
    changes = np.diff(values)
    moving = np.flatnonzero(changes != 0.0)
    if moving.size == 0:
        return [float(values[0])]
    signs = np.sign(changes[moving])
    turns = moving[1:][signs[1:] != signs[:-1]]
    return [float(values[0]), *values[turns].tolist(), float(values[-1])]


def half_cycles(values: FloatArray) -> list[tuple[float, float]]:
    """Rainflow count of a path: pairs of range and number of cycles, 1 or a half.

    Source: ASTM E1049-85, section 5.4.4.

    >>> half_cycles(np.array([0.0, 10.0, 4.0, 6.0, 0.0]))  # 4 to 6 and back inside one rise and fall of 10
    [(2.0, 1.0), (10.0, 0.5), (10.0, 0.5)]
    """
    found: list[tuple[float, float]] = []
    stack: list[float] = []
    for point in turning_points(values):
        stack.append(point)
        while len(stack) >= 3:
            last, before = abs(stack[-1] - stack[-2]), abs(stack[-2] - stack[-3])
            if last < before:
                break
            if len(stack) == 3:
                found.append((before, 0.5))
                stack.pop(0)
            else:
                found.append((before, 1.0))
                del stack[-3:-1]
    found += [(abs(after - before), 0.5) for before, after in pairwise(stack)]
    return found


def full_cycles(stored_j: FloatArray, capacity_j: float, depth_exponent: float) -> float:
    """Cycles weighted with ``(range / capacity) ^ exponent``; with exponent 1 half the way travelled.

    >>> full_cycles(np.array([0.0, 10.0, 4.0, 6.0, 0.0]), 10.0, 1.0)  # 10 + 6 + 2 + 6 = 24, over 2 x 10
    1.2
    """
    if depth_exponent == 1.0:
        return float(np.abs(np.diff(stored_j)).sum()) / (2.0 * capacity_j)
    return float(
        sum(count * (depth / capacity_j) ** depth_exponent for depth, count in half_cycles(stored_j))
    )
