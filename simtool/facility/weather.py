"""Weather at a site: dry bulb, wet bulb, sun and wind as signals, shipped or of the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from simtool.errors import InputError, Problem, did_you_mean
from simtool.facility.site_libraries import psychrometrics
from simtool.signals import Signal, list_series
from simtool.signals.files import load_series
from simtool.signals.rows import read_csv, read_parquet
from simtool.signals.shipped import find_series

SHIPPED = "weather-"
SEA_LEVEL_PA = 101_325.0
"""Standard atmosphere, ISO 2533."""
ROUNDING_K = 0.5
"""A wet bulb above the dry bulb by more than this is no rounding of the station."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """Outdoor air at one place, all signals in seconds since the start of the run."""

    name: str
    dry_bulb: Signal
    """degC."""
    wet_bulb: Signal
    """degC."""
    irradiance: Signal | None = None
    """Global horizontal [W/m^2]."""
    direct_irradiance: Signal | None = None
    """On a plane that faces the sun [W/m^2]; with `diffuse_irradiance`, else both follow from the global."""
    diffuse_irradiance: Signal | None = None
    """Horizontal, of the sky without the sun [W/m^2]."""
    wind_speed: Signal | None = None
    """At 10 m above ground [m/s]."""
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    """East of Greenwich."""
    elevation_m: float | None = None


def list_weather() -> tuple[str, ...]:
    """Names of the shipped places, ``weather-...``."""
    return tuple(one.name.removesuffix("-dry-bulb") for one in list_series() if one.quantity == "dry bulb")


def find_weather(
    name_or_path: str,
    start: datetime,
    *,
    repeat: Literal["yearly"] | None = None,
    until: datetime | None = None,
    folder: Path | None = None,
    field: str = "",
    pressure_pa: float = SEA_LEVEL_PA,
) -> Weather:
    """Weather from the name of a shipped place or from the user's own file.

    A file has the columns ``time_utc``, ``dry_bulb_c``, one of ``wet_bulb_c``, ``relative_humidity_frac`` and
    ``relative_humidity_percent``, and, where they are known, ``ghi_w_per_m2``, with it ``dni_w_per_m2`` and
    ``dhi_w_per_m2``, and ``wind_speed_m_per_s``.
    From a relative humidity the wet bulb is computed by PsychroLib (ASHRAE Handbook Fundamentals 2017, ch. 1).

    Args:
        name_or_path: e.g. ``weather-phoenix``, or ``data/my-weather.csv``.
        start: start of the run, with a time zone.
        repeat: ``"yearly"`` uses the calendar years of the series again where the run leaves them.
        until: end of the run; needed by `repeat`.
        folder: where relative paths begin.
        field: the scenario's field, for messages.
        pressure_pa: of the air, for a wet bulb from relative humidity [Pa].

    Raises:
        InputError: no such place or file, a column that is missing, values that cannot be.
        SimtoolError: a relative humidity without the extra ``site``.
    """
    if "/" not in name_or_path and "\\" not in name_or_path and not Path(name_or_path).suffix:
        return _shipped(name_or_path, start, repeat, until, field)
    path = (folder or Path()) / Path(name_or_path).expanduser()
    header = _header(path, field)

    def read(quantity: str, unit: str) -> Signal:
        return load_series(
            path, start, unit, quantity=quantity, field=field, name=name_or_path, repeat=repeat, until=until
        )

    dry_bulb = read("dry bulb", "degC")
    humidities = [name for name in header if name.startswith("relative_humidity_")]
    if "wet_bulb_c" in header or not humidities:
        wet_bulb = read("wet bulb", "degC")
    else:
        wet_bulb = _from_humidity(dry_bulb, read("relative humidity", ""), pressure_pa)
    weather = Weather(
        name=name_or_path,
        dry_bulb=dry_bulb,
        wet_bulb=wet_bulb,
        irradiance=read("irradiance", "W/m^2") if "ghi_w_per_m2" in header else None,
        direct_irradiance=read("direct irradiance", "W/m^2") if "dni_w_per_m2" in header else None,
        diffuse_irradiance=read("diffuse irradiance", "W/m^2") if "dhi_w_per_m2" in header else None,
        wind_speed=read("wind speed", "m/s") if "wind_speed_m_per_s" in header else None,
    )
    _refuse_what_cannot_be(weather, field)
    return weather


def _shipped(
    name: str, start: datetime, repeat: Literal["yearly"] | None, until: datetime | None, field: str
) -> Weather:
    known = list_weather()
    if name not in known:
        called = name.removeprefix(SHIPPED)  # lists and files write places without it
        hint = did_you_mean(called, [one.removeprefix(SHIPPED) for one in known])
        found, mend = f"found no shipped weather {called!r}", "`simtool list weather` shows all"
        raise InputError(Problem("", field, found, f"a shipped place or a path; {hint}", mend))
    index = {series.name: series for series in list_series()}
    dry, wet, sun, wind = (
        find_series(one, start, index[one].unit, field=field, repeat=repeat, until=until)
        for one in (f"{name}-{word}" for word in ("dry-bulb", "wet-bulb", "irradiance", "wind-speed"))
    )
    place = index[f"{name}-dry-bulb"]
    return Weather(
        name=name,
        dry_bulb=dry,
        wet_bulb=wet,
        irradiance=sun,
        wind_speed=wind,
        latitude_deg=place.latitude_deg,
        longitude_deg=place.longitude_deg,
        elevation_m=place.elevation_m,
    )


def _header(path: Path, field: str) -> Sequence[str]:
    if path.suffix == ".parquet":
        return read_parquet(path, field, ())[0]
    return read_csv(path, field)[0]


def _from_humidity(dry_bulb: Signal, humidity: Signal, pressure_pa: float) -> Signal:
    """Wet bulb of every step, by PsychroLib."""
    wrong = ~((humidity.values >= 0.0) & (humidity.values <= 1.0))
    if wrong.any():
        found = f"found a relative humidity of {float(humidity.values[np.argmax(wrong)]):g}"
        mend = "relative_humidity_frac is 0 to 1, relative_humidity_percent 0 to 100"
        raise InputError(Problem(humidity.name, humidity.field_name, found, "allowed: 0 to 1", mend))
    library = psychrometrics()
    values = [
        library.GetTWetBulbFromRelHum(dry, rel, pressure_pa)
        for dry, rel in zip(dry_bulb.values.tolist(), humidity.values.tolist(), strict=True)
    ]
    return replace(dry_bulb, values=np.minimum(values, dry_bulb.values))


def _refuse_what_cannot_be(weather: Weather, field: str) -> None:
    problems = []
    above = weather.wet_bulb.values - weather.dry_bulb.values
    if above.max() > ROUNDING_K:
        index = int(np.argmax(above))
        dry, wet = weather.dry_bulb.values[index], weather.wet_bulb.values[index]
        found = f"found a wet bulb of {wet:g} degC at a dry bulb of {dry:g} degC"
        problems.append((found, "the wet bulb is at most the dry bulb", "check which column is which"))
    parts = (weather.irradiance, weather.direct_irradiance, weather.diffuse_irradiance)
    if (parts[1] is None) != (parts[2] is None) or (parts[1] is not None and parts[0] is None):
        found = "found direct or diffuse irradiance alone"
        problems.append(
            (found, "all of ghi_w_per_m2, dni_w_per_m2 and dhi_w_per_m2, or ghi_w_per_m2 alone", "")
        )
    for name, signal in (*(("irradiance", part) for part in parts), ("wind speed", weather.wind_speed)):
        if signal is not None and signal.values.min() < 0.0:
            problems.append((f"found a negative {name}", "0 or more", ""))
    for name, signal in (("dry bulb", weather.dry_bulb), ("wet bulb", weather.wet_bulb)):
        if signal.values.min() < -90.0 or signal.values.max() > 60.0:
            found = f"found a {name} from {signal.values.min():g} to {signal.values.max():g} degC"
            problems.append((found, "allowed: -90 to 60 degC", "is it in degrees Fahrenheit or kelvin?"))
    if problems:
        raise InputError([Problem(weather.name, field, *problem) for problem in problems])
