"""The site's own sun and wind."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.facility import SolarPlant, WindPlant, find_weather, solar_power, wind_power
from simtool.facility.generation import _sun
from simtool.signals import Signal

START = datetime(2022, 1, 1, tzinfo=UTC)
YEAR_S = 8760 * 3600.0
PANELS = SolarPlant(rated_w=1e6)


@pytest.mark.parametrize(
    ("place", "kwh_per_kw"), [("phoenix", (1600, 1900)), ("chicago", (1200, 1450)), ("seattle", (1000, 1250))]
)
def test_a_year_of_sun_is_what_pvwatts_gives_there(place: str, kwh_per_kw: tuple[float, float]) -> None:
    """Specific yield of fixed panels in NREL's maps: 1,700 or so in the desert, 1,100 in the north-west."""
    pytest.importorskip("pvlib", reason="the extra site is not installed")
    weather = find_weather(f"weather-{place}", START)
    power = solar_power(PANELS, weather, START, YEAR_S)
    low, high = kwh_per_kw
    assert low < float(power.integral(0.0, YEAR_S)) / 3.6e6 / 1e3 < high
    assert power.values.min() == 0.0
    assert power.values.max() <= 1e6 / 1.2 * (1 + 1e-9), "the inverters' rating"


def test_a_clear_sky_gives_more_than_clouds_and_nothing_at_night() -> None:
    pytest.importorskip("pvlib", reason="the extra site is not installed")
    weather = find_weather("weather-seattle", START)
    clear = solar_power(PANELS, replace(weather, irradiance=None), START, YEAR_S)
    cloudy = solar_power(PANELS, weather, START, YEAR_S)
    assert float(clear.integral(0.0, YEAR_S)) > 1.2 * float(cloudy.integral(0.0, YEAR_S))
    middle = 0.5 * (clear.edges_s + np.append(clear.edges_s[1:], clear.end_s))
    zenith = _sun(weather, START.timestamp() + middle).apparent_zenith_deg
    assert clear.values[zenith > 90.0].max() == 0.0
    assert clear.values[zenith < 60.0].min() > 0.0


def test_measured_parts_of_the_irradiance_are_used() -> None:
    pytest.importorskip("pvlib", reason="the extra site is not installed")
    weather = find_weather("weather-phoenix", START)
    assert weather.irradiance is not None
    overcast = replace(
        weather, direct_irradiance=weather.irradiance.scaled(0.0), diffuse_irradiance=weather.irradiance
    )
    diffuse = solar_power(replace(PANELS, tilt_deg=60.0), overcast, START, YEAR_S)
    split = solar_power(replace(PANELS, tilt_deg=60.0), weather, START, YEAR_S)
    assert float(diffuse.integral(0.0, YEAR_S)) < 0.9 * float(split.integral(0.0, YEAR_S))


def test_the_sun_stands_where_almanacs_say() -> None:
    """Overhead at the tropic of Cancer at noon of the solstice; due south elsewhere."""
    pytest.importorskip("pvlib", reason="the extra site is not installed")
    weather = replace(
        find_weather("weather-phoenix", START), latitude_deg=23.44, longitude_deg=0.0, elevation_m=0.0
    )
    noon = datetime(2022, 6, 21, 12, 2, tzinfo=UTC).timestamp()
    sun = _sun(weather, np.array([noon]))
    assert float(sun.zenith_deg[0]) == pytest.approx(0.0, abs=0.1)
    assert float(sun.day_of_year[0]) == 172.0
    north = _sun(replace(weather, latitude_deg=50.0), np.array([noon]))
    assert float(north.azimuth_deg[0]) == pytest.approx(180.0, abs=0.5)
    assert float(north.zenith_deg[0]) == pytest.approx(50.0 - 23.44, abs=0.05)


def test_wind_by_hand() -> None:
    weather = find_weather("weather-dallas", START)
    speeds = [0.0, 1.0, 5.0, 10.0, 30.0]
    wind = Signal.from_steps(np.arange(5.0), speeds, end_s=5.0, unit="m/s")
    plant = WindPlant(rated_w=2e6, shear_exponent=0.0)
    power = wind_power(plant, replace(weather, wind_speed=wind))
    cubes = (12**3 - 3**3,)
    expected = [0.0, 0.0, (5**3 - 27) / cubes[0], (10**3 - 27) / cubes[0], 0.0]
    assert power.values / 2e6 == pytest.approx(expected)
    assert power.unit == "W"
    higher = wind_power(replace(plant, shear_exponent=1.0 / 7.0), replace(weather, wind_speed=wind))
    assert higher.values[2] == pytest.approx(
        2e6 * np.interp(5.0 * 10 ** (1 / 7), [6, 7], [189 / 1701, 316 / 1701])
    )


def test_what_is_missing_is_told() -> None:
    weather = find_weather("weather-dallas", START)
    with pytest.raises(InputError, match="solar: found weather without latitude and longitude"):
        solar_power(PANELS, replace(weather, latitude_deg=None), START, 3600.0)
    with pytest.raises(InputError, match="wind: found weather without wind_speed_m_per_s"):
        wind_power(WindPlant(rated_w=1.0), replace(weather, wind_speed=None))
    with pytest.raises(InputError, match=r"wind\.curve: found a power curve that is none"):
        wind_power(WindPlant(rated_w=1.0, curve=((3.0, 0.0), (3.0, 1.0))), weather)


def test_an_absent_library_is_one_line_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from simtool.facility.site_libraries import psychrometrics, solar

    for name in ("psychrolib", "pvlib", "pvlib.spa"):
        monkeypatch.setitem(sys.modules, name, None)
    for call in (psychrometrics, lambda: solar("spa")):
        with pytest.raises(InputError, match=r"not installed; .*pip install 'simtool-planner\[site\]'"):
            call()
