"""What a battery is asked to do. A policy sees the load, the site's own generation and signals, not the store.

So what it asks for is one power between two breakpoints, and the battery answers as far as it can.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from simtool.errors import InputError, Problem
from simtool.facility.battery import Battery
from simtool.facility.series import FloatArray
from simtool.signals import Signal


class Policy(Protocol):
    """How a battery is used. Implementations are frozen and pure."""

    @property
    def signal(self) -> Signal | None:
        """What it looks at beside the load; its edges become breakpoints."""
        ...

    def request_w(self, net_w: FloatArray, values: FloatArray, battery: Battery) -> FloatArray:
        """Power asked of the battery in every interval [W]: positive charges, negative discharges.

        Args:
            net_w: load less own generation [W]; negative where there is more sun and wind than load.
            values: of `signal` in every interval; zeros if there is none.
            battery: for its ratings.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PeakShaving:
    """Hold the power from the grid at a threshold: discharge above it, charge below it.

    It charges only as far as the net load has already been, or the threshold if that is lower: charging makes no new
    peak. What is left over of sun and wind is taken at any time.

    >>> battery = Battery(capacity_j=1e6, charge_w=30.0, discharge_w=30.0, charge_frac=1.0, discharge_frac=1.0)
    >>> net_w = np.array([60.0, 50.0, 120.0, 90.0])    # 60 W is the peak at first, then 120 W
    >>> PeakShaving(threshold_w=100.0).request_w(net_w, np.zeros(4), battery).tolist()
    [0.0, 10.0, -20.0, 10.0]
    """

    threshold_w: float
    signal: None = None

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold_w < np.inf:
            found = f"found {self.threshold_w:g} W"
            raise InputError(Problem("", "battery.policy.threshold", found, "allowed: at least 0", ""))

    def request_w(self, net_w: FloatArray, values: FloatArray, battery: Battery) -> FloatArray:
        """See `Policy`."""
        seen_w = np.maximum(np.maximum.accumulate(net_w), 0.0)
        return np.asarray(np.minimum(self.threshold_w, seen_w) - net_w)


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoThresholds:
    """Charge at full power while a signal is low, discharge to the load while it is high.

    The signal is a price or a carbon intensity. Two thresholds, so that a value in between moves nothing.
    """

    signal: Signal
    low: float
    """Charge at or below it, in the signal's unit."""
    high: float
    """Discharge at or above it."""

    def __post_init__(self) -> None:
        if not self.low < self.high:
            found = f"found low {self.low:g} and high {self.high:g} {self.signal.unit}"
            raise InputError(Problem("", "battery.policy", found, "allowed: low below high", "exchange them"))

    def request_w(self, net_w: FloatArray, values: FloatArray, battery: Battery) -> FloatArray:
        """See `Policy`."""
        give = np.where(values >= self.high, -np.clip(net_w, 0.0, battery.discharge_w), 0.0)
        return np.where(values <= self.low, battery.charge_w, give)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnUse:
    """Keep what the site generates: charge with what is left over, discharge to what is missing."""

    signal: None = None

    def request_w(self, net_w: FloatArray, values: FloatArray, battery: Battery) -> FloatArray:
        """See `Policy`."""
        return -net_w


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserve:
    """Stay full, charged from the grid, for the hours in which the grid gives too little."""

    signal: None = None

    def request_w(self, net_w: FloatArray, values: FloatArray, battery: Battery) -> FloatArray:
        """See `Policy`."""
        return np.full(net_w.shape, battery.charge_w)
