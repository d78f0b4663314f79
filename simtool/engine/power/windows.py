"""What a GPU's power sensor sees, by generation, driver and channel.

NVML publishes a new power every `update_s`, the mean over the last `window_s`. Where the window is shorter than the
update, part of the time is never seen, and a load in step with the updates is misread however often one asks. Where
it is longer, phases are smeared. Both depend on the driver. Source of the measured rows: Yang, Adamek, Armour,
"Accurate and convenient energy measurements for GPUs", SC24, workbook of the repository
JimZeyuYANG/GPU_Power_Benchmark at 4b5c944c; medians over their cards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from simtool.provenance import Kind

Channel = Literal["instant", "average", "usage"]
"""The field INSTANT, the field AVERAGE, or the plain power reading of older drivers."""

SC24 = "Yang, Adamek, Armour, SC24 (workbook)"
NVML_MANUAL = "NVML API reference: mean over 1 s on Ampere (except GA100) and newer"
NOT_CHARACTERISED = "not characterised in public; taken to be as on Hopper"

# Names of NVML's architecture numbers; Ampere is split by chip, since GA100 has a sensor of its own.
_ARCHITECTURES = {
    2: "kepler",
    3: "maxwell",
    4: "pascal",
    5: "volta",
    6: "turing",
    7: "ampere",
    8: "ada",
    9: "hopper",
    10: "blackwell",
    13: "rubin",
}
_GA100 = re.compile(r"\b(A100|A100X|A800|A30|A30X|GA100|PG506)\b|DRIVE-PG199")
_EVERY = (0, 10**6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """One channel of a power sensor."""

    channel: Channel
    update_s: float
    """Time between two values [s]."""
    window_s: float = 0.0
    """Length of the mean [s]; 0 for a lagging sensor."""
    lag_s: float = 0.0
    """Time constant of a first-order lag [s]; 0 for a mean over a window."""
    kind: Kind = "measured"
    source: str = SC24

    @property
    def seen_frac(self) -> float:
        """Share of the time that the sensor sees.

        >>> Sensor(channel="usage", update_s=0.1, window_s=0.025).seen_frac
        0.25
        """
        return 1.0 if self.lag_s else min(1.0, self.window_s / self.update_s)

    @property
    def delay_s(self) -> float:
        """How far a fresh value lags behind the power that it tells [s]."""
        return self.lag_s or self.window_s / 2


def family(architecture: int, name: str) -> str:
    """The generation of a GPU from NVML's number and the product's name.

    >>> family(7, "NVIDIA A100-SXM4-80GB"), family(7, "NVIDIA RTX A6000")
    ('ga100', 'ampere')
    """
    if architecture == 7 and _GA100.search(name):
        return "ga100"
    return _ARCHITECTURES.get(architecture, "unknown")


def driver_branch(driver: str) -> int:
    """The branch of a driver's version, 0 where it cannot be read.

    >>> driver_branch("535.54.03")
    535
    """
    match = re.match(r"\d+", driver)
    return int(match[0]) if match else 0


@dataclass(frozen=True, slots=True)
class _Row:
    family: str
    name: str
    """Regular expression over the product's name; more special rows stand first."""
    drivers: tuple[int, int]
    channels: tuple[Channel, ...]
    update_s: float
    window_s: float = 0.0
    lag_s: float = 0.0
    kind: Kind = "measured"
    source: str = SC24


_ANY: tuple[Channel, ...] = ("instant", "average", "usage")
_SLOW: tuple[Channel, ...] = ("average", "usage")
_GUESS: Kind = "assumed"
# Lags are rise times (10 % to 90 %) over ln 9 = 2.2, as for a capacitor that charges.
_ROWS: tuple[_Row, ...] = (
    _Row("kepler", "K80", _EVERY, _ANY, 0.100, lag_s=0.220),
    _Row("kepler", "", _EVERY, _ANY, 0.015, lag_s=0.041),
    _Row("maxwell", "M40", _EVERY, _ANY, 0.031, window_s=0.014),
    _Row("maxwell", "K620", _EVERY, _ANY, 0.096, lag_s=0.033),
    _Row("maxwell", "", _EVERY, _ANY, 0.100, lag_s=0.155),
    _Row("pascal", "", _EVERY, _ANY, 0.020, 0.010),
    _Row("volta", "", _EVERY, _ANY, 0.020, 0.010),
    _Row("turing", r"RTX [68]000", _EVERY, _ANY, 0.100, 0.020),
    _Row("turing", "", _EVERY, _ANY, 0.100, 0.100),
    _Row("ga100", "", _EVERY, _ANY, 0.101, 0.025),
    _Row("ampere", "", (530, 530), _ANY, 0.100, 0.100),
    _Row("ampere", "", _EVERY, ("instant",), 0.100, 0.100),
    _Row("ampere", "", _EVERY, _SLOW, 0.100, 1.000),
    _Row("ada", "", (530, 530), _ANY, 0.100, 0.100),
    _Row("ada", "", _EVERY, ("instant",), 0.100, 0.100),
    _Row("ada", "", _EVERY, _SLOW, 0.100, 1.000),
    _Row("hopper", "", _EVERY, ("instant",), 0.100, 0.025),
    _Row("hopper", "", _EVERY, _SLOW, 0.100, 1.000),
    _Row("", "", _EVERY, ("instant",), 0.100, 0.025, kind=_GUESS, source=NOT_CHARACTERISED),
    _Row("", "", _EVERY, _SLOW, 0.100, 1.000, kind=_GUESS, source=NVML_MANUAL),
)


def sensor_for(generation: str, name: str, driver: str, channel: Channel) -> Sensor:
    """The sensor behind one channel; an assumption, named as such, where nobody has measured it.

    Args:
        generation: of `family`.
        name: of the product.
        driver: its version as the driver tells it.
        channel: which reading.

    >>> sensor_for("ampere", "NVIDIA A10", "525.85.12", "usage").window_s
    1.0
    >>> sensor_for("ampere", "NVIDIA A10", "530.30.02", "usage").window_s
    0.1
    """
    branch = driver_branch(driver)
    row = next(
        row
        for row in _ROWS
        if row.family in (generation, "")
        and re.search(row.name, name)
        and row.drivers[0] <= branch <= row.drivers[1]
        and channel in row.channels
    )
    return Sensor(
        channel=channel,
        update_s=row.update_s,
        window_s=row.window_s,
        lag_s=row.lag_s,
        kind=row.kind,
        source=row.source,
    )
