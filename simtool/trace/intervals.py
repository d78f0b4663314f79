"""Unions and overlaps of stretches of time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def union(begin: Floats, end: Floats) -> tuple[Floats, Floats]:
    """Disjoint stretches, in order, that cover the same time.

    >>> union(np.array([0.0, 1.0, 5.0]), np.array([2.0, 3.0, 6.0]))
    (array([0., 5.]), array([3., 6.]))
    """
    if not len(begin):
        return np.empty(0), np.empty(0)
    order = np.argsort(begin, kind="stable")
    begins, ends = begin[order], np.maximum.accumulate(end[order])
    is_new = np.concatenate(([True], begins[1:] > ends[:-1]))
    last = np.concatenate((np.flatnonzero(is_new)[1:] - 1, [len(begins) - 1]))
    return begins[is_new], ends[last]


def covered(begins: Floats, ends: Floats, moments: Floats) -> Floats:
    """Time that disjoint, ordered stretches cover before each moment.

    >>> covered(np.array([0.0, 5.0]), np.array([3.0, 6.0]), np.array([1.0, 4.0, 9.0]))
    array([1., 3., 4.])
    """
    if not len(begins):
        return np.zeros(np.shape(moments))
    lengths = ends - begins
    before = np.concatenate(([0.0], np.cumsum(lengths)))
    place = np.searchsorted(begins, moments, "right")
    last = np.maximum(place - 1, 0)
    beyond = np.where(place > 0, np.maximum(0.0, ends[last] - moments), 0.0)
    result: Floats = before[place] - beyond
    return result


def overlap(first: tuple[Floats, Floats], second: tuple[Floats, Floats]) -> float:
    """Time that two sets of disjoint, ordered stretches have in common.

    >>> one, two = (np.array([0.0]), np.array([4.0])), (np.array([3.0, 9.0]), np.array([5.0, 10.0]))
    >>> overlap(one, two)
    1.0
    """
    begins, ends = first
    if not len(begins) or not len(second[0]):
        return 0.0
    return float(np.sum(covered(*second, ends) - covered(*second, begins)))


def clipped(stretches: tuple[Floats, Floats], begin: float, end: float) -> tuple[Floats, Floats]:
    """The part of disjoint, ordered stretches that lies in a window."""
    begins, ends = np.clip(stretches[0], begin, end), np.clip(stretches[1], begin, end)
    keep = ends > begins
    return begins[keep], ends[keep]


def total(stretches: tuple[Floats, Floats]) -> float:
    """Their length."""
    return float(np.sum(stretches[1] - stretches[0]))
