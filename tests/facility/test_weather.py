"""Weather: shipped years against their source, files of the user's own, and what is refused."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from simtool.errors import InputError
from simtool.facility import find_weather, list_weather
from simtool.signals import list_series
from tests.facility.air import wet_bulb_c

START = datetime(2022, 1, 1, tzinfo=UTC)
HOUR = 3600.0
Write = Callable[[str], Path]


@pytest.mark.parametrize("name", list_weather())
def test_a_shipped_year_is_that_of_its_source(name: str, reference_data: Path) -> None:
    folder = reference_data / "data/facility/hpe_dcrl"
    zone = next(one.zone for one in list_series() if one.name == f"{name}-dry-bulb")
    with (folder / "weather_sites.csv").open(encoding="utf-8") as file:
        place = next(row for row in csv.DictReader(file) if row["site"] == zone)
    with gzip.open(folder / "weather_tmy_hourly.csv.gz", "rt", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["site"] == zone]
    weather = find_weather(name, START)
    behind = -int(float(place["tz"]))
    begins = HOUR * (np.arange(8760) + behind)  # hour 1 of local standard time begins at midnight there
    begins = np.where(begins >= 8760 * HOUR, begins - 8760 * HOUR, begins)
    for signal, column in (
        (weather.dry_bulb, "drybulb_C"),
        (weather.irradiance, "ghi_Wm2"),
        (weather.wind_speed, "wind_ms"),
    ):
        assert signal is not None
        assert signal.at(begins).tolist() == [float(row[column]) for row in rows]
    wet = weather.wet_bulb.at(begins)
    stull = np.array([float(row["wetbulb_C"]) for row in rows])
    assert np.abs(np.mean(wet - stull)) < 0.5, "the source has Stull's formula, good to a kelvin"
    dew = np.array([float(row["dewpoint_C"]) for row in rows])
    dry = np.array([float(row["drybulb_C"]) for row in rows])
    assert (wet <= dry).all()
    assert (wet >= np.minimum(dew, dry) - 0.4).all()
    assert weather.latitude_deg == pytest.approx(float(place["lat"]))
    assert weather.longitude_deg == pytest.approx(float(place["lon"]))


def test_the_sun_is_highest_around_noon() -> None:
    """A slip of the time zone would move it by hours; the source itself is half an hour off in some places."""
    for name in list_weather():
        weather = find_weather(name, START)
        assert weather.irradiance is not None
        assert weather.longitude_deg is not None
        by_hour = weather.irradiance.values.reshape(365, 24).mean(axis=0)
        hours = np.arange(24) + 0.5
        angle = np.angle(np.sum(by_hour * np.exp(2j * np.pi * hours / 24))) / (2 * np.pi) * 24 % 24
        noon = (12.0 - weather.longitude_deg / 15.0) % 24
        assert angle == pytest.approx(noon, abs=0.7), name


def test_a_typical_year_serves_any_year_on_request() -> None:
    begin, end = datetime(2027, 6, 1, tzinfo=UTC), datetime(2028, 9, 1, tzinfo=UTC)
    with pytest.raises(InputError, match="repeat: yearly"):
        find_weather("weather-dallas", begin).dry_bulb.at(0.0)
    again = find_weather("weather-dallas", begin, repeat="yearly", until=end)
    typical = find_weather("weather-dallas", START)
    june_s = (datetime(2022, 6, 1, tzinfo=UTC) - START).total_seconds()
    hours = HOUR * np.arange(30 * 24)
    assert again.dry_bulb.at(hours).tolist() == typical.dry_bulb.at(june_s + hours).tolist()
    assert again.dry_bulb.covers(0.0, (end - begin).total_seconds())


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def file(text: str) -> Path:
        path = tmp_path / "weather.csv"
        path.write_text(text, "utf-8")
        return path

    return file


def test_a_file_of_ones_own(write: Write) -> None:
    path = write("time_utc,dry_bulb_c,wet_bulb_c\n2022-01-01T00:00Z,20,15\n2022-01-01T01:00Z,22,16\n")
    weather = find_weather(path.name, START, folder=path.parent / "." if path.suffix else None)
    assert weather.dry_bulb.values.tolist() == [20.0, 22.0]
    assert weather.wet_bulb.values.tolist() == [15.0, 16.0]
    assert weather.irradiance is None


@pytest.mark.parametrize(
    ("column", "scale"), [("relative_humidity_frac", 1.0), ("relative_humidity_percent", 100.0)]
)
def test_a_wet_bulb_from_relative_humidity(write: Write, column: str, scale: float) -> None:
    pytest.importorskip("psychrolib", reason="the extra site is not installed")
    cases = [(35.0, 0.2), (20.0, 0.5), (5.0, 0.9), (30.0, 1.0)]
    rows = "".join(f"2022-01-01T0{i}:00Z,{dry},{rel * scale}\n" for i, (dry, rel) in enumerate(cases))
    weather = find_weather(str(write(f"time_utc,dry_bulb_c,{column}\n{rows}")), START)
    expected = [wet_bulb_c(dry, rel) for dry, rel in cases]
    assert weather.wet_bulb.values == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dry_bulb_c\n20,\n21,\n", "found dry_bulb_c; a column that holds degC"),
        ("dry_bulb_c,wet_bulb_c\n20,25\n21,20\n", "found a wet bulb of 25 degC at a dry bulb of 20 degC"),
        ("dry_bulb_c,wet_bulb_c\n293,288\n294,290\n", "is it in degrees Fahrenheit or kelvin"),
        ("dry_bulb_c,relative_humidity_frac\n20,50\n21,51\n", "found a relative humidity of 50"),
        ("dry_bulb_c,wet_bulb_c,ghi_w_per_m2\n20,15,-5\n21,15,0\n", "found a negative irradiance"),
        ("dry_bulb_c,wet_bulb_c,dni_w_per_m2\n20,15,5\n21,15,0\n", "direct or diffuse irradiance alone"),
    ],
)
def test_what_no_weather_can_be(write: Write, text: str, words: str) -> None:
    head, *rows = text.splitlines()
    lines = [f"time_utc,{head}", *(f"2022-01-01T0{i}:00Z,{row}" for i, row in enumerate(rows))]
    lines = [line.rstrip(",") for line in lines]
    with pytest.raises(InputError, match=words):
        find_weather(str(write("\n".join(lines) + "\n")), START, field="site.weather")


def test_a_misspelt_place() -> None:
    with pytest.raises(
        InputError,
        match=r"site\.weather: found no shipped weather 'pheonix'; .*did you mean 'phoenix'",
    ):
        find_weather("weather-pheonix", START, field="site.weather")
