"""Distributions as values at levels: fitted by weighted quantiles, drawn from by their inverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

LEVELS_PERCENT = (
    *(0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0, 40.0, 45.0, 50.0, 55.0, 60.0, 65.0, 70.0),
    *(75.0, 80.0, 85.0, 90.0, 95.0, 98.0, 99.0, 99.5, 99.9, 100.0),
)
"""Of fitted curves. The ends are the least and the greatest value seen: nothing is drawn beyond them."""
DIGITS = 5


def values_at(
    uniform: ArrayLike, levels_percent: Sequence[float], values: Sequence[float]
) -> NDArray[np.float64]:
    """Values of a curve at uniform numbers from 0 to 1: linear in log(1 + value) between the levels.

    >>> values_at([0.0, 0.5, 1.0], [0.0, 100.0], [0.0, 3.0]).tolist()
    [0.0, 1.0, 3.0]
    """
    levels = np.asarray(levels_percent) / levels_percent[-1]
    return np.asarray(np.expm1(np.interp(np.asarray(uniform), levels, np.log1p(values))))


def mean_of(levels_percent: Sequence[float], values: Sequence[float]) -> float:
    """Mean of a curve, exactly as `values_at` draws from it.

    Between two levels ``log(1+x)`` is uniform from a to b, so the mean of x there is ``(e^b - e^a)/(b - a) - 1``.

    >>> round(mean_of([0.0, 100.0], [0.0, 3.0]), 6)
    1.164043
    """
    levels = np.asarray(levels_percent) / levels_percent[-1]
    logs = np.log1p(values)
    low, steps = logs[:-1], np.diff(logs)
    flat = steps < 1e-9
    inside = np.where(flat, np.exp(low), np.exp(low) * np.expm1(steps) / np.where(flat, 1.0, steps)) - 1.0
    return float(np.sum(np.diff(levels) * inside))


def curve_of(values: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, ...]:
    """Values at `LEVELS_PERCENT` of a weighted sample, to five digits.

    Args:
        values: at least one, 0 or more.
        weights: of each; equal if not given.
    """
    sample = np.asarray(values, dtype=float)
    weight = np.ones(len(sample)) if weights is None else np.asarray(weights, dtype=float)
    order = np.argsort(sample, kind="stable")
    sample, weight = sample[order], weight[order]
    middle = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
    inner = np.interp(np.asarray(LEVELS_PERCENT[1:-1]) / LEVELS_PERCENT[-1], middle, sample)
    return tuple(rounded([sample[0], *inner.tolist(), sample[-1]]))


def rounded(values: Sequence[float]) -> list[float]:
    """Numbers to five digits, as files hold them."""
    return [float(f"{value:.{DIGITS}g}") for value in values]


def normal_scores(values: ArrayLike, weights: ArrayLike) -> NDArray[np.float64]:
    """Normal scores of a weighted sample: ``Phi^-1`` of the middle of each value's share; ties share theirs."""
    sample, weight = np.asarray(values), np.asarray(weights, dtype=float)
    _, places = np.unique(sample, return_inverse=True)
    mass = np.bincount(places, weight)
    middle = (np.cumsum(mass) - 0.5 * mass) / mass.sum()
    return np.asarray(ndtri(middle)[places])


def uniform_of(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Uniform numbers of normal scores."""
    return np.asarray(ndtr(scores))
