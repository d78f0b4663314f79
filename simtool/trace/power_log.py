"""A power log of somebody else's tool, in base units: what every reader of such logs hands on."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.units import GIGA, JOULES_PER_KWH, MEGA, SECONDS_PER_HOUR, SECONDS_PER_MINUTE

Floats = NDArray[np.float64]
ClockKind = Literal["utc", "local", "relative", "counted"]
"""Seconds since 1970 in UTC; the same of a wall clock of unknown zone; seconds since something else; numbers of
readings times an assumed period."""

FIELDS = (
    "power_w", "power_average_w", "energy_j", "power_limit_w", "temperature_degc", "clock_hz",
    "memory_clock_hz", "utilization_frac",
)  # fmt: skip
"""Columns of the power stream that a log may fill."""
MAX_MOMENT_S = 1e10
"""No time lies farther from 1970: the year 2286."""
_SCALES = {
    "w": 1.0, "watt": 1.0, "watts": 1.0, "mw": 1e-3, "kw": 1e3, "uw": 1e-6, "µw": 1e-6,
    "j": 1.0, "mj": 1e-3, "uj": 1e-6, "kj": 1e3, "wh": SECONDS_PER_HOUR, "kwh": JOULES_PER_KWH,
    "hz": 1.0, "khz": 1e3, "mhz": MEGA, "ghz": GIGA, "%": 0.01, "c": 1.0, "": 1.0,
}  # fmt: skip
_CELL = re.compile(r"\(?\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµ%°]*)\s*\)?\Z")


@dataclass(frozen=True, kw_only=True)
class PowerLog:
    """Readings of one meter, in the order of the file."""

    format: str
    device: str
    """Name for its stream: gpu0, node_1, cpu, ..."""
    device_name: str = ""
    """As the device calls itself."""
    clock: ClockKind
    times_s: Floats
    columns: Mapping[str, Floats]
    """Of `FIELDS`, NaN where a reading is missing. A reading without power ends what can be integrated."""
    labels: Sequence[str] = ()
    """Of every reading, or none at all; empty where nothing begins."""
    scope: str = "gpu"
    kind: Literal["measured", "modelled"] = "measured"
    resolution_s: float = 0.0
    """Smallest difference that the written times can tell."""
    notes: tuple[str, ...] = ()

    def with_notes(self, *notes: str) -> PowerLog:
        """The same with more to say."""
        return replace(self, notes=(*self.notes, *notes))


@dataclass(slots=True)
class Rows:
    """Readings of one meter while a file is read."""

    times_s: list[float] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)

    def add(self, time_s: float, values: Mapping[str, float], label: str = "") -> None:
        """One reading; fields that are left out are missing in it."""
        num_before = len(self.times_s)
        self.times_s.append(time_s)
        self.labels.append(label)
        for name, value in values.items():
            self.values.setdefault(name, [math.nan] * num_before).append(value)
        for column in self.values.values():
            if len(column) <= num_before:
                column.append(math.nan)

    def columns(self) -> dict[str, Floats]:
        """The fields that have a value anywhere."""
        arrays = {name: np.array(values, float) for name, values in self.values.items()}
        return {name: values for name, values in arrays.items() if not np.isnan(values).all()}


def scale_of(unit: str) -> float | None:
    """Factor to the base unit, None for a unit that no log uses.

    >>> scale_of("MHz"), scale_of("mW"), scale_of("furlong")
    (1000000.0, 0.001, None)
    """
    return _SCALES.get(unit.strip().lower().replace("°", ""))


def reading(cell: str | None, unit: str = "") -> float:
    """A number from a cell, in base units; NaN where it holds none.

    Args:
        cell: ``"56.12"``, ``"56.12 W"``, ``"[N/A]"``, ``"-"``, ...
        unit: of the column; a unit in the cell counts instead.

    >>> reading("56.12 W"), reading("250", "mW"), reading("[Not Supported]", "W")
    (56.12, 0.25, nan)
    """
    match = _CELL.match(cell.strip()) if isinstance(cell, str) and len(cell) < 100 else None
    if match is None:
        return math.nan
    scale = scale_of(match[2]) if match[2] else scale_of(unit)
    number = float(match[1])
    return number * scale if scale is not None and math.isfinite(number * scale) else math.nan


_FORMS = (
    ("%Y/%m/%d %H:%M:%S.%f", 1e-3), ("%Y/%m/%d %H:%M:%S", 1.0), ("%m-%d-%Y %H:%M:%S.%f", 1e-3),
    ("%m-%d-%Y %H:%M:%S", 1.0), ("%Y%m%d %H:%M:%S", 1.0), ("%a %b %d %H:%M:%S %Y", 1.0),
)  # fmt: skip


def moment(text: str) -> tuple[float, ClockKind, float] | None:
    """Seconds, which clock they are of, and how fine they are; None for what is no time.

    Numbers of more than nine digits before the point are seconds, milliseconds, microseconds or nanoseconds
    since 1970; smaller ones are seconds since something else.

    >>> moment("2023/07/14 10:12:46.483")
    (1689329566.483, 'local', 0.001)
    >>> moment("2024-07-19T15:57:43+02:00")[1], moment("1736870539.36")[1], moment("12.5")[1], moment("soon")
    ('utc', 'utc', 'relative', None)
    """
    text = text.strip().strip('"')
    if re.fullmatch(r"[-+]?\d{1,20}(?:\.\d*)?(?:[eE][-+]?\d{1,2})?", text):
        number = float(text)
        if abs(number) < GIGA:
            return number, "relative", _fineness(text, 1.0)
        scale = next((one for one in (1.0, 1e-3, 1e-6, 1e-9) if abs(number) * one < MAX_MOMENT_S), None)
        return None if scale is None else (number * scale, "utc", _fineness(text, scale))
    for form, fineness in _FORMS:
        try:
            stamp = datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()
        except (ValueError, OverflowError):
            continue
        return (stamp, "local", fineness) if abs(stamp) < MAX_MOMENT_S else None
    try:
        read = datetime.fromisoformat(text)
        clock: ClockKind = "local" if read.tzinfo is None else "utc"
        stamp = (read.replace(tzinfo=UTC) if read.tzinfo is None else read).timestamp()
    except (ValueError, OverflowError):
        return None
    return (stamp, clock, 1e-3 if "." in text else 1.0) if abs(stamp) < MAX_MOMENT_S else None


def _fineness(text: str, scale: float) -> float:
    decimals = len(text.partition(".")[2])
    return float(max(1e-6, scale * 10.0 ** -min(decimals, 9)))


def seconds_of_day(text: str) -> float | None:
    """Seconds since midnight of ``HH:MM:SS``, or None.

    >>> seconds_of_day("01:00:05"), seconds_of_day("noon")
    (3605.0, None)
    """
    match = re.fullmatch(r"(\d{1,2}):(\d\d):(\d\d(?:\.\d+)?)", text.strip())
    if match is None:
        return None
    return int(match[1]) * SECONDS_PER_HOUR + int(match[2]) * SECONDS_PER_MINUTE + float(match[3])
