"""From the power meter to the trace: readings while a run goes on, and the entry of the manifest."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from simtool.engine.power.meter import EnergyReport, PowerMeter
from simtool.trace.manifest import Power
from simtool.trace.writer import TraceWriter

POWER_EVERY_S = 1.0
TRACE_NAMES = {
    "energy_counter_j": "energy_j",
    "sm_clock_hz": "clock_hz",
    "temperature_c": "temperature_degc",
    "limit_w": "power_limit_w",
}
"""Columns of a meter's reading that the trace calls otherwise."""


def power_row(reading: Mapping[str, Any]) -> dict[str, Any]:
    """A reading of the meter under the names of the trace."""
    return {TRACE_NAMES.get(name, name): value for name, value in reading.items()}


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


def power_entry(report: EnergyReport) -> Power:
    """What a report says for the manifest of a trace."""
    known = report.kind != "none"
    return Power(
        kind=report.kind,
        source=report.source,
        period_s=report.period_s if known else None,
        window_s=report.window_s,
        counter_vs_integral_gap_frac=report.gap_frac,
    )
