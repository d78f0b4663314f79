"""Energies of windows of time as readings of a meter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from simtool.trace.log_table import Meters


class Measured(NamedTuple):
    """One window."""

    begin_s: float
    end_s: float
    energy_j: float
    label: str


def leaves(windows: Sequence[Measured]) -> list[Measured]:
    """Windows of which none overlaps another: of one within another the inner one is kept.

    >>> outer, inner = Measured(0, 10, 5.0, "epoch"), Measured(1, 2, 1.0, "step")
    >>> [window.label for window in leaves([outer, inner])]
    ['step']
    """
    kept: list[Measured] = []
    for window in sorted(windows, key=lambda one: (one.end_s, -one.begin_s)):
        # What ends first is kept; one that reaches back over it holds or overlaps it.
        if not kept or window.begin_s >= kept[-1].end_s - 1e-6:
            kept.append(window)
    return kept


def put_windows(meters: Meters, device: str, windows: Sequence[Measured], *, name: str = "") -> None:
    """Put the mean power of every window at its begin and end, and nothing between windows."""
    for window in windows:
        power_w = {"power_w": window.energy_j / (window.end_s - window.begin_s)}
        meters.put(device, window.begin_s, power_w, name=name, label=window.label or "window")
        meters.put(device, window.end_s, power_w)
        meters.put(device, window.end_s, {}, label="(end)")
