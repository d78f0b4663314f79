"""The site's own sun and wind as signals of power."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from simtool.errors import InputError, Problem
from simtool.facility.series import FloatArray
from simtool.facility.site_libraries import solar as library
from simtool.facility.weather import SEA_LEVEL_PA, Weather
from simtool.provenance import Sourced
from simtool.signals import Signal
from simtool.units import SECONDS_PER_MINUTE

CLEAR_SKY_STEP_S = 10 * SECONDS_PER_MINUTE
"""The sun of a clear sky is evaluated in the middle of steps of this length."""
SECONDS_UT_BEHIND_TT = 69.2
"""Terrestrial less universal time, for the position of the sun: 2022, U.S. Naval Observatory."""

TEMPERATURE_PER_K = Sourced(
    value=-0.0035,
    unit="1/K",
    kind="published",
    source="crystalline modules, PVWatts version 5, NREL/TP-6A20-62641",
    spread=0.15,
)
SYSTEM_LOSSES = Sourced(
    value=0.14,
    unit="",
    kind="published",
    source="default of PVWatts version 5, NREL/TP-6A20-62641",
    spread=0.3,
)
LINKE_TURBIDITY = Sourced(
    value=3.0, unit="", kind="assumed", source="clear mid-latitude air, 2 to 5, from memory", spread=0.3
)
SHEAR_EXPONENT = Sourced(
    value=1.0 / 7.0,
    unit="",
    kind="published",
    source="power law of the wind profile over open land, IEC 61400-1",
    spread=0.3,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolarPlant:
    """Panels at a fixed tilt."""

    rated_w: float
    """At standard test conditions, direct current [W]."""
    tilt_deg: float = 25.0
    azimuth_deg: float = 180.0
    """Clockwise from north."""
    inverter_ratio: float = 1.2
    """Rating of the panels over that of the inverters."""
    losses_frac: float = SYSTEM_LOSSES.value
    temperature_per_k: float = TEMPERATURE_PER_K.value
    albedo_frac: float = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class WindPlant:
    """Turbines with one power curve."""

    rated_w: float
    hub_height_m: float = 100.0
    shear_exponent: float = SHEAR_EXPONENT.value
    curve: tuple[tuple[float, float], ...] = tuple(
        [(float(speed), (speed**3 - 3**3) / (12**3 - 3**3)) for speed in range(3, 13)] + [(25.0, 1.0)]
    )
    """Wind speed at the hub [m/s] and share of the rating; 0 below the first and beyond the last. Between cut-in
    at 3 and rated at 12 m/s power goes with the cube: a generic turbine, assumed."""


def solar_power(plant: SolarPlant, weather: Weather, start: datetime, end_s: float) -> Signal:
    """Power of panels under the weather's sun, or under a clear sky where it has none [W].

    Position of the sun by NREL's SPA in the middle of each step; direct and diffuse parts by Erbs where only
    global irradiance is known, isotropic sky on the tilted plane, Faiman's module temperature, PVWatts module
    and inverter: pvlib throughout. A clear sky is that of Ineichen and Perez at constant turbidity.

    Args:
        plant: the panels.
        weather: with the place's latitude and longitude.
        start: start of the run.
        end_s: end of the run [s].

    Raises:
        InputError: weather without a place; pvlib is not installed.
    """
    if weather.latitude_deg is None or weather.longitude_deg is None:
        found = "found weather without latitude and longitude"
        raise InputError(
            Problem(weather.name, "solar", found, "the position of the sun needs both", "give them")
        )
    if weather.irradiance is not None:
        weather.irradiance.require(0.0, end_s)
        steps = np.concatenate((weather.irradiance.edges_s, [weather.irradiance.end_s]))
        first = max(int(np.searchsorted(steps, 0.0, side="right")) - 1, 0)
        edges = steps[first : int(np.searchsorted(steps, end_s)) + 1]
    else:
        edges = np.append(np.arange(0.0, end_s, CLEAR_SKY_STEP_S), end_s)
    middle_s = 0.5 * (edges[:-1] + edges[1:])
    sun = _sun(weather, start.astimezone(UTC).timestamp() + middle_s)
    direct, diffuse, world = _parts(weather, sun, edges[:-1])
    plane = library("irradiance").get_total_irradiance(
        plant.tilt_deg,
        plant.azimuth_deg,
        sun.apparent_zenith_deg,
        sun.azimuth_deg,
        direct,
        world,
        diffuse,
        albedo=plant.albedo_frac,
        model="isotropic",
    )["poa_global"]
    plane = np.maximum(np.nan_to_num(np.asarray(plane)), 0.0)
    air_c = weather.dry_bulb.at(np.clip(middle_s, weather.dry_bulb.begin_s, weather.dry_bulb.end_s))
    speed = 1.0 if weather.wind_speed is None else weather.wind_speed.at(middle_s)
    cell_c = library("temperature").faiman(plane, air_c, wind_speed=speed)
    panels_w = library("pvsystem").pvwatts_dc(plane, cell_c, plant.rated_w, plant.temperature_per_k)
    inverter_w = plant.rated_w / plant.inverter_ratio
    fed_w = library("inverter").pvwatts(panels_w * (1.0 - plant.losses_frac), inverter_w / 0.96)
    values = np.clip(np.nan_to_num(np.asarray(fed_w)), 0.0, None)
    return Signal.from_steps(
        edges[:-1], values, end_s=float(edges[-1]), unit="W", source=f"pvlib, {weather.name}"
    )


def wind_power(plant: WindPlant, weather: Weather) -> Signal:
    """Power of turbines in the weather's wind [W].

    The speed at 10 m is brought to the hub by a power law, then looked up in the power curve.

    Raises:
        InputError: weather without wind; a curve that does not rise in speed or leaves 0 to 1.
    """
    if weather.wind_speed is None:
        found = "found weather without wind_speed_m_per_s"
        raise InputError(
            Problem(weather.name, "wind", found, "", "add the column, or give a series of power")
        )
    speeds, shares = np.array(plant.curve).T
    if not (np.diff(speeds) > 0.0).all() or shares.min() < 0.0 or shares.max() > 1.0:
        found = "found a power curve that is none"
        raise InputError(
            Problem("", "wind.curve", found, "rising speeds, shares of the rating from 0 to 1", "")
        )
    hub = weather.wind_speed.values * (plant.hub_height_m / 10.0) ** plant.shear_exponent
    values = plant.rated_w * np.interp(hub, speeds, shares, left=0.0, right=0.0)
    return replace(weather.wind_speed, values=values, unit="W", name=f"wind power, {weather.name}")


@dataclass(frozen=True, slots=True)
class _Sun:
    apparent_zenith_deg: FloatArray
    zenith_deg: FloatArray
    elevation_deg: FloatArray
    azimuth_deg: FloatArray
    day_of_year: FloatArray


def _sun(weather: Weather, epoch_s: FloatArray) -> _Sun:
    altitude_m = weather.elevation_m or 0.0
    found = library("spa").solar_position(
        epoch_s,
        weather.latitude_deg,
        weather.longitude_deg,
        altitude_m,
        _pressure_pa(altitude_m) / 100.0,
        12.0,
        SECONDS_UT_BEHIND_TT,
        0.5667,
        numthreads=1,
    )
    dates = epoch_s.astype("datetime64[s]")
    days = (dates - dates.astype("datetime64[Y]")).astype("timedelta64[D]").astype(np.float64) + 1.0
    return _Sun(found[0], found[1], found[3], found[4], days)


def _parts(weather: Weather, sun: _Sun, begin_s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Direct normal, diffuse and global horizontal irradiance [W/m^2]."""
    irradiance = library("irradiance")
    if weather.irradiance is not None:
        world = weather.irradiance.at(begin_s)
        if weather.direct_irradiance is not None and weather.diffuse_irradiance is not None:
            return weather.direct_irradiance.at(begin_s), weather.diffuse_irradiance.at(begin_s), world
        parts = irradiance.erbs(world, sun.zenith_deg, sun.day_of_year)
        return np.asarray(parts["dni"]), np.asarray(parts["dhi"]), world
    altitude_m = weather.elevation_m or 0.0
    up = sun.apparent_zenith_deg < 90.0
    zenith, atmosphere = sun.apparent_zenith_deg[up], library("atmosphere")
    clear = library("clearsky").ineichen(
        zenith,
        atmosphere.get_absolute_airmass(atmosphere.get_relative_airmass(zenith), _pressure_pa(altitude_m)),
        LINKE_TURBIDITY.value,
        altitude=altitude_m,
        dni_extra=irradiance.get_extra_radiation(sun.day_of_year[up]),
    )
    parts = {name: np.zeros(up.shape) for name in ("dni", "dhi", "ghi")}
    for name, values in parts.items():
        values[up] = clear[name]
    return parts["dni"], parts["dhi"], parts["ghi"]


def _pressure_pa(altitude_m: float) -> float:
    """Standard atmosphere, ISO 2533."""
    return float(SEA_LEVEL_PA * (1.0 - 2.25577e-5 * altitude_m) ** 5.25588)
