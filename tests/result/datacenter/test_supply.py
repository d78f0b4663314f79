"""A site's own plants and its connection, as series of one's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.config.load_datacenter import load_datacenter
from simtool.errors import InputError
from simtool.result.datacenter.run import run_datacenter
from simtool.units import JOULES_PER_KWH
from tests.result.datacenter.sites import LIBRARY, ONE_SITE, solved

JOBS = "name,submit_s,num_devices,run_s\na,0,8,3600\n"


def series(folder: Path, name: str, column: str, days: tuple[float, float]) -> None:
    """One value on each of the two days."""
    rows = [
        f"2022-01-0{day}T{hour:02}:00Z,{value}" for day, value in enumerate(days, 1) for hour in range(24)
    ]
    (folder / name).write_text("\n".join([f"time_utc,{column}", *rows]) + "\n", "utf-8")


@pytest.mark.parametrize("plant", ["solar", "wind"])
def test_output_of_a_plant_is_its_rating_times_the_series(plant: str, tmp_path: Path) -> None:
    series(tmp_path, "plant.csv", "power_w_per_w", (0.25, 0.5))
    text = f"{ONE_SITE}supply: {{{plant}: {{rated: 8 kW, series: {{series: plant.csv}}}}}}\n"
    site = solved(tmp_path, text, jobs=JOBS)
    given_kwh = (2.0 + 4.0) * 24.0
    assert site.value(f"energy_{plant}_j") == pytest.approx(given_kwh * JOULES_PER_KWH, rel=1e-9)
    taken_kwh = site.value("energy_facility_j") / JOULES_PER_KWH - given_kwh
    assert site.value("energy_import_j") == pytest.approx(taken_kwh * JOULES_PER_KWH, rel=1e-9)


def test_a_plant_that_takes_power_is_refused(tmp_path: Path) -> None:
    series(tmp_path, "plant.csv", "power_w_per_w", (0.25, -0.5))
    with pytest.raises(InputError, match=r"supply\.wind\.series: found an output of -0\.5; at least 0"):
        solved(tmp_path, f"{ONE_SITE}supply: {{wind: {{rated: 8 kW, series: {{series: plant.csv}}}}}}\n")


def test_a_limit_of_the_connection_is_in_watts(tmp_path: Path) -> None:
    """An outage on the second day, which the generator bridges."""
    series(tmp_path, "limit.csv", "power_w", (1e6, 0.0))
    supply = "supply: {import_limit: {series: limit.csv}, backup: {rated: 100 kW}}\n"
    site = solved(tmp_path, ONE_SITE + supply, jobs=JOBS)
    balance = site.sites[0].balance
    assert balance is not None
    second = balance.breakpoints_s[:-1] >= 86_400.0
    assert balance.import_w[second].max() == 0.0
    assert balance.import_w[~second].min() > 0.0
    assert site.value("energy_generator_j") > 0.0


def test_one_kind_of_series_does_not_stand_for_another(tmp_path: Path) -> None:
    series(tmp_path, "limit.csv", "power_w_per_w", (1.0, 1.0))
    (tmp_path / "jobs.csv").write_text(JOBS, "utf-8")
    (tmp_path / "site.yaml").write_text(ONE_SITE + "supply: {import_limit: {series: limit.csv}}\n", "utf-8")
    with pytest.raises(InputError, match="power_w"):
        run_datacenter(load_datacenter(tmp_path / "site.yaml"), LIBRARY)


def weather(folder: Path) -> None:
    """Two days of one temperature, in a file of one's own."""
    rows = [f"2022-01-0{day}T{hour:02}:00Z,15,10" for day in (1, 2) for hour in range(24)]
    (folder / "air.csv").write_text("\n".join(["time_utc,dry_bulb_c,wet_bulb_c", *rows]) + "\n", "utf-8")


def under_the_sun(folder: Path, where: str, solar: str = "") -> float:
    """Energy of panels under a clear sky [J]."""
    weather(folder)
    text = ONE_SITE.replace(
        "pue: 1.2", f"profile: tower-economiser, weather: {{place: air.csv, repeat: no{where}}}"
    )
    site = solved(folder, f"{text}supply: {{solar: {{rated: 5 kW{solar}}}}}\n", jobs=JOBS)
    return site.value("energy_solar_j")


def test_panels_stand_where_the_file_says_and_face_the_equator(tmp_path: Path) -> None:
    """In January the sun stands high over Sydney and low over Frankfurt."""
    sydney, frankfurt = ", latitude: -33.9, longitude: 151.2", ", latitude: 50.1, longitude: 8.7"
    south = under_the_sun(tmp_path, sydney)
    assert south > 1.5 * under_the_sun(tmp_path, frankfurt) > 0.0
    assert under_the_sun(tmp_path, sydney, ", azimuth: 0") == south
    assert under_the_sun(tmp_path, sydney, ", azimuth: 180, tilt: 60") < 0.7 * south


def test_panels_without_a_place_are_refused_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"facility\.weather\.latitude: found none for air\.csv; degrees; add latitude"
    ):
        under_the_sun(tmp_path, "")
    with pytest.raises(InputError, match=r"facility\.weather\.latitude: found latitude alone; add longitude"):
        under_the_sun(tmp_path, ", latitude: 50")
