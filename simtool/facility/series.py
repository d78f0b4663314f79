"""Step functions of a site over the union of all breakpoints, and what is read off them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.signals import Signal
from simtool.units import JOULES_PER_KWH, SECONDS_PER_HOUR

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class FacilitySeries:
    """A site in every interval ``breakpoints_s[i]`` to ``breakpoints_s[i + 1]``; powers [W], water [kg/s]."""

    breakpoints_s: FloatArray
    """n + 1 rising times; the other arrays have length n."""
    it_w: FloatArray
    chain_loss_w: FloatArray
    """Conversion and distribution, and the loads that join there."""
    cooling_w: FloatArray
    other_w: FloatArray
    evaporation_kg_per_s: FloatArray
    blowdown_kg_per_s: FloatArray
    drift_kg_per_s: FloatArray
    free_frac: FloatArray
    """Share of the heat that leaves without a compressor."""
    excursion_k: FloatArray
    """How far the warmest supply is above its set point."""

    @property
    def total_w(self) -> FloatArray:
        """Power at the meter of the site [W]."""
        return self.it_w + self.chain_loss_w + self.cooling_w + self.other_w

    @property
    def water_kg_per_s(self) -> FloatArray:
        """Water taken from the supply; a kilogram is a litre [kg/s]."""
        return self.evaporation_kg_per_s + self.blowdown_kg_per_s + self.drift_kg_per_s

    @property
    def duration_s(self) -> FloatArray:
        """Length of every interval."""
        return np.diff(self.breakpoints_s)

    def integral(self, column: str, begin_s: float | None = None, end_s: float | None = None) -> float:
        """Integral of a column over the whole time or a part of it: joules of watts, kilograms of kg/s.

        Args:
            column: name of an attribute, e.g. ``"total_w"``.
            begin_s: the first moment if not given.
            end_s: the last moment if not given.
        """
        edges = np.clip(self.breakpoints_s, begin_s, end_s)
        return float(np.sum(getattr(self, column) * np.diff(edges)))

    def pue(self) -> float:
        """Energy of the site over that of the servers; without unit."""
        return self.integral("total_w") / self.integral("it_w")

    def wue_kg_per_kwh(self) -> float:
        """Water over the energy of the servers: litres per kilowatt-hour."""
        return self.integral("water_kg_per_s") / self.integral("it_w") * JOULES_PER_KWH

    def free_cooling_hours(self) -> float:
        """Hours in which no compressor runs [h]."""
        return float(np.sum(self.duration_s[self.free_frac >= 1.0])) / SECONDS_PER_HOUR


def union(breakpoints_s: ArrayLike, signals: Iterable[Signal | None]) -> FloatArray:
    """All breakpoints and, between the first and the last of them, all edges of the signals.

    Raises:
        InputError: a signal does not cover the time.

    >>> weather = Signal.from_steps([0.0, 10.0], [2.0, 4.0], end_s=20.0, unit="degC")
    >>> union([0.0, 4.0, 15.0], [weather]).tolist()
    [0.0, 4.0, 10.0, 15.0]
    """
    edges = checked_breakpoints(breakpoints_s)
    inside = [edges]
    for signal in signals:
        if signal is not None:
            signal.require(edges[0], edges[-1])
            inside.append(signal.edges_s[(signal.edges_s > edges[0]) & (signal.edges_s < edges[-1])])
    return edges if len(inside) == 1 else np.unique(np.concatenate(inside))


def spread(breakpoints_s: FloatArray, values: FloatArray, onto_s: FloatArray) -> FloatArray:
    """Values of a step function on finer breakpoints that contain its own."""
    if onto_s is breakpoints_s:
        return values
    index = np.searchsorted(breakpoints_s, onto_s[:-1], side="right") - 1
    return np.asarray(values[index])


def checked_breakpoints(breakpoints_s: ArrayLike) -> FloatArray:
    """Breakpoints as an array: at least two, finite, rising."""
    edges = np.asarray(breakpoints_s, dtype=np.float64)
    if edges.ndim != 1 or edges.size < 2 or not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise ValueError("breakpoints are at least two finite, rising times")
    return edges
