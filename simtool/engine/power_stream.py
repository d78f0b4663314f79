"""From the power meter to the trace: readings while a run goes on, and the entry of the manifest."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from simtool.engine.power.meter import EnergyReport, PowerMeter
from simtool.engine.power_marks import power_by_phase
from simtool.trace.manifest import Power
from simtool.trace.writer import TraceWriter

POWER_EVERY_S = 1.0
TRACE_NAMES = {
    "time_s": "time_s",
    "power_w": "power_w",
    "power_average_w": "power_average_w",
    "energy_counter_j": "energy_j",
    "limit_w": "power_limit_w",
    "temperature_c": "temperature_degc",
    "sm_clock_hz": "clock_hz",
    "memory_clock_hz": "memory_clock_hz",
    "throttle": "throttle",
}
"""Every column of a meter's reading (`READING_COLUMNS`), and what the trace calls it."""


def power_row(reading: Mapping[str, Any]) -> dict[str, Any]:
    """A reading of the meter under the names of the trace; what is not known is left out.

    >>> power_row({"time_s": 1.0, "power_w": 80.0, "sm_clock_hz": None, "limit_w": 300.0})
    {'time_s': 1.0, 'power_w': 80.0, 'power_limit_w': 300.0}
    """
    return {TRACE_NAMES[name]: value for name, value in reading.items() if value is not None}


class PowerStream:
    """Hands the readings of a meter to the trace, once a second, so that a kill loses no more."""

    def __init__(self, writer: TraceWriter, meter: PowerMeter) -> None:
        self._writer, self._meter = writer, meter
        self._num_written, self._due_s = 0, time.monotonic() + POWER_EVERY_S

    def write_if_due(self) -> None:
        """Write what is new, if a second has passed."""
        if time.monotonic() >= self._due_s:
            self.write()

    def write(self) -> None:
        """Write what is new."""
        rows = self._meter.readings(self._num_written)
        for row in rows:
            self._writer.power(self._meter.scope, power_row(row))
        self._num_written += len(rows)
        self._due_s = time.monotonic() + POWER_EVERY_S


def power_begun(meter: PowerMeter) -> Power:
    """What is known of a meter when a trace begins; a trace that is cut has no more."""
    return Power(kind=meter.kind, source=meter.source)


def power_entry(report: EnergyReport) -> Power:
    """What a report says for the manifest of a trace; a period that nobody knows is left out."""
    low_s, high_s = report.period_s
    return Power(
        kind=report.kind,
        source=report.source,
        period_s=(low_s, high_s) if 0.0 < low_s <= high_s < math.inf else None,
        window_s=report.window_s,
        counter_vs_integral_gap_frac=report.gap_frac,
        by_phase_w=power_by_phase(report),
    )
