"""What a power meter promises, and the report that it leaves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Protocol, Self

MeterKind = Literal["measured", "modelled", "none"]
"""Read from hardware; computed from something else; or not known at all."""

GAP_FLAGGED_FRAC = 0.03
"""Counter and integral that differ by more than this are flagged."""
CALIBRATION_FRAC = 0.05
"""Systematic error of a card's own sensor. Against an external meter, cards from Pascal on were off by -6 % to +1 %,
one (2060 Super) by +11 %; older ones by -9 % to +3 %, one (K620) by -41 % (Yang, Adamek, Armour, SC24). It is the same
in every reading of a card, so no averaging removes it; ratios of energies on one card do not have it."""

READING_COLUMNS: dict[str, str] = {
    "time_s": "s",
    "power_w": "W",
    "power_average_w": "W",
    "energy_counter_j": "J",
    "sm_clock_hz": "Hz",
    "memory_clock_hz": "Hz",
    "temperature_c": "degC",
    "throttle": "",
    "limit_w": "W",
}
"""Columns of a reading and their units. `throttle` names the reasons, joined by ``+``; empty when there are none."""


class UnavailableError(Exception):
    """A source that cannot be opened here: which, why, and what would help."""

    def __init__(self, source: str, reason: str, mend: str = "") -> None:
        super().__init__(source, reason, mend)
        self.source, self.reason, self.mend = source, reason, mend

    def __str__(self) -> str:
        return "; ".join(part for part in (f"{self.source}: {self.reason}", self.mend) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalEnergy:
    """The energy between one mark and the next."""

    label: str
    start_s: float
    end_s: float
    energy_j: float
    error_j: float
    """Standard error from when the sensor looked and when the counter advanced; calibration comes on top [J]."""
    counter_j: float | None
    integral_j: float | None
    kind: MeterKind

    @property
    def duration_s(self) -> float:
        """Length of the interval [s]."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class EnergyReport:
    """The energy of a run by both ways, what the sensor could see of it, and everything that went wrong."""

    kind: MeterKind
    """``"modelled"`` as soon as any part of `energy_j` is."""
    source: str
    """What `energy_j` rests on: ``"nvml-counter"``, ``"nvml-samples"``, ``"rapl"``, ``"cpu-seconds"``, …"""
    scope: str
    """What the energy is of: ``"gpu"``, ``"module"``, ``"cpu-package-dram"``, ``"cpu-process"``, …"""
    device: str
    architecture: str
    driver: str
    start_s: float
    end_s: float
    energy_j: float
    """The best estimate: the counter where it can be trusted, else the integral. NaN where nothing is known."""
    error_j: float
    """Standard error of `energy_j` [J]. Not in it: calibration, and, where the energy rests on samples of a sensor
    that does not see all the time, a load in step with the sensor (`integral_low_j`, `integral_high_j`)."""
    modelled_j: float
    """The part of `energy_j` that was not measured, e.g. after the device was lost [J]."""
    counter_j: float | None
    integral_j: float | None
    integral_error_j: float | None
    """Standard error of the integral if the load does not beat with the sensor [J]."""
    integral_low_j: float | None
    integral_high_j: float | None
    """What the integral can be at the least and most, whatever the load did while the sensor did not look [J]."""
    gap_frac: float | None
    """Integral over counter, minus 1; None unless there are both."""
    is_flagged: bool
    """Whether the two differ by more than 3 %, or the counter failed."""
    seen_frac: float | None
    """Share of the time that the power readings cover."""
    update_s: float | None
    window_s: float | None
    period_s: tuple[float, float]
    """Shortest and longest time between two readings that was asked for [s]."""
    calibration_frac: float
    limit_w: float | None
    num_readings: int
    num_faults: int
    """Readings that failed."""
    intervals: tuple[IntervalEnergy, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know: degradations, faults, assumptions. Each is a sentence."""

    @property
    def duration_s(self) -> float:
        """Time between start and stop [s]."""
        return self.end_s - self.start_s

    @property
    def power_w(self) -> float:
        """Mean power [W]."""
        return self.energy_j / self.duration_s if self.duration_s > 0 else math.nan

    def energy_by_label_j(self) -> dict[str, float]:
        """Energy of the intervals, summed by label."""
        sums: dict[str, float] = {}
        for interval in self.intervals:
            sums[interval.label] = sums.get(interval.label, 0.0) + interval.energy_j
        return sums

    def manifest(self) -> dict[str, Any]:
        """The entry ``power`` of a trace's manifest."""
        return {
            "kind": self.kind,
            "source": self.source,
            "scope": self.scope,
            "device": self.device,
            "architecture": self.architecture,
            "driver": self.driver,
            "period_s": list(self.period_s),
            "update_s": self.update_s,
            "window_s": self.window_s,
            "seen_frac": self.seen_frac,
            "limit_w": self.limit_w,
            "energy_j": self.energy_j,
            "error_j": self.error_j,
            "modelled_j": self.modelled_j,
            "counter_j": self.counter_j,
            "integral_j": self.integral_j,
            "counter_vs_integral_gap": self.gap_frac,
            "is_flagged": self.is_flagged,
            "calibration_frac": self.calibration_frac,
            "notes": list(self.notes),
        }


class PowerMeter(Protocol):
    """Joules of one device. Marks divide the time; the caller synchronises the device before each."""

    scope: str

    @property
    def kind(self) -> MeterKind: ...
    @property
    def source(self) -> str: ...
    def start(self) -> Self: ...
    def stop(self) -> EnergyReport: ...
    def energy_j(self) -> float:
        """Energy since the start, never decreasing; NaN where it is not known [J]."""

    def mark(self, label: str) -> float:
        """From here on, until the next mark, energy belongs to `label`. Returns the moment [s]."""

    def readings(self, start: int = 0) -> list[dict[str, Any]]:
        """Rows with the names of `READING_COLUMNS`, from the `start`-th on; what is not known is None."""

    def report(self) -> EnergyReport: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(slots=True)
class NoMeter:
    """Where nothing can be read: every energy is NaN, never zero, and the report says why.

    >>> NoMeter(["no accelerator"]).energy_j()
    nan
    """

    reasons: list[str] = field(default_factory=list)
    source: str = "none"
    scope: str = "none"
    kind: MeterKind = "none"

    def start(self) -> Self:
        """Nothing to start."""
        return self

    def stop(self) -> EnergyReport:
        """The report that nothing is known."""
        return self.report()

    def energy_j(self) -> float:
        """Not a number."""
        return math.nan

    def mark(self, label: str) -> float:
        """No moment."""
        return math.nan

    def readings(self, start: int = 0) -> list[dict[str, Any]]:
        """None."""
        return []

    def report(self) -> EnergyReport:
        """A report without an energy."""
        return EnergyReport(
            kind="none", source="none", scope="none", device="", architecture="", driver="",
            start_s=math.nan, end_s=math.nan, energy_j=math.nan, error_j=math.nan, modelled_j=math.nan,
            counter_j=None, integral_j=None, integral_error_j=None, integral_low_j=None, integral_high_j=None,
            gap_frac=None, is_flagged=False, seen_frac=None, update_s=None, window_s=None,
            period_s=(math.nan, math.nan), calibration_frac=math.nan, limit_w=None, num_readings=0, num_faults=0,
            notes=("no energy was measured or modelled", *self.reasons),
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
