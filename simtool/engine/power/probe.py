"""What a source of power readings must offer, so that one meter serves all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from simtool.engine.power.meter import CALIBRATION_FRAC, MeterKind
from simtool.engine.power.windows import Sensor

EXACT_TICK_S = 0.01


class ProbeError(Exception):
    """A reading failed; the device is still there."""


class ProbeLostError(ProbeError):
    """The device or its driver is gone; no reading will come any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What is read, and how."""

    kind: MeterKind
    source: str
    """Name of the source, e.g. ``"nvml"``; counter and samples are told apart where the energy is."""
    scope: str
    device: str
    architecture: str = ""
    driver: str = ""
    sensor: Sensor | None = None
    """The channel of `Reading.power_w`; None where power is the difference of the counter."""
    average_sensor: Sensor | None = None
    """The channel of `Reading.power_average_w`, where there is one."""
    has_counter: bool = True
    moduli_j: tuple[float, ...] = ()
    """Where the counter may wrap [J]."""
    longest_tick_s: float = 0.1
    ceiling_w: float = math.inf
    """The most that the device can draw on average [W]."""
    spread_frac: float = CALIBRATION_FRAC
    """Systematic error of the source [1]."""
    notes: tuple[str, ...] = ()

    @property
    def is_exact(self) -> bool:
        """Whether the counter is true to the moment it is read, and is all there is."""
        return self.sensor is None and self.longest_tick_s < EXACT_TICK_S


@dataclass(slots=True, kw_only=True)
class Reading:
    """One look at the device; NaN where it does not tell."""

    power_w: float = math.nan
    power_average_w: float = math.nan
    energy_counter_j: float = math.nan
    """Raw: it may wrap or start anew."""
    sm_clock_hz: float = math.nan
    memory_clock_hz: float = math.nan
    temperature_c: float = math.nan
    limit_w: float = math.nan
    throttle: str = ""


class Probe(Protocol):
    """One device through one driver."""

    identity: Identity

    def read(self) -> Reading:
        """Everything at once. Raises `ProbeError` or `ProbeLostError`."""

    def read_counter_j(self) -> float:
        """The raw counter alone, NaN without one. Raises the same [J]."""

    def notes(self) -> tuple[str, ...]:
        """What has come to light since it was opened."""

    def close(self) -> None: ...
