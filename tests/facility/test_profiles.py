"""Facility profiles: published ranges of PUE and WUE in every climate, and what a profile may not say."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simtool.config.yaml12 import load_yaml
from simtool.errors import InfeasibleError, InputError
from simtool.facility import ConstantPue, build_facility, list_weather
from simtool.facility.annual import AnnualFigures, typical_year
from simtool.profiles.find import ProfileLibrary, default_library, shipped_folder
from simtool.signals import Signal

LIBRARY = default_library()
PUBLISHED_PUE = {
    "air-chiller": ("cooling: air CRAC + chiller, no economizer", 1.4, 1.9),
    "air-economiser": ("cooling: airside economizer + adiabatic", 1.08, 1.25),
    "tower-economiser": ("cooling: waterside economizer + chiller", 1.12, 1.4),
    "liquid-dry-cooler": ("cooling: direct-to-chip warm water (W40+)", 1.03, 1.15),
    "immersion": ("cooling: immersion 1-phase", 1.03, 1.1),
    "hyperscale-air": ("Meta", 1.07, 1.12),
    "hyperscale-tower": ("Google fleet", 1.06, 1.11),
}
PUBLISHED_WUE = {
    "air-economiser": ("AWS 2025", 0.0, 2.0),
    "hyperscale-air": ("Meta 2024", 0.0, 1.0),
    "tower-economiser": ("evaporative tower full load", 1.0, 2.6),
    "hyperscale-tower": ("evaporative tower full load", 1.0, 2.6),
}


@pytest.fixture(scope="module", params=sorted(PUBLISHED_PUE))
def years(request: pytest.FixtureRequest) -> list[AnnualFigures]:
    """One facility in every shipped climate, two thirds loaded."""
    return [typical_year(LIBRARY.get("facility", request.param), place, 0.65) for place in list_weather()]


def test_every_climate_lies_in_the_published_range(years: list[AnnualFigures]) -> None:
    name = years[0].facility
    _, low, high = PUBLISHED_PUE[name]
    for year in years:
        assert low <= year.pue <= high, year.weather
        assert 1.0 < year.pue <= year.peak_pue
    if name in PUBLISHED_WUE:
        _, low, high = PUBLISHED_WUE[name]
        assert low <= statistics.mean(year.wue_kg_per_kwh for year in years) <= high
    if name == "air-chiller":
        assert {year.wue_kg_per_kwh for year in years} == {0.0}


def test_hot_places_are_never_better(years: list[AnnualFigures]) -> None:
    by_place = {year.weather.removeprefix("weather-"): year for year in years}
    assert by_place["phoenix"].pue >= by_place["port-angeles"].pue
    assert by_place["phoenix"].free_cooling_hours <= by_place["port-angeles"].free_cooling_hours


def test_the_ranges_are_those_of_the_table(reference_data: Path) -> None:
    path = reference_data / "data/facility/facility_params/facility_params.csv"
    with path.open(encoding="utf-8") as file:
        table = {(row["group"], row["name"]): row for row in csv.DictReader(file)}
    for group, ranges in (("PUE", PUBLISHED_PUE), ("WUE", PUBLISHED_WUE)):
        for name, low, high in ranges.values():
            row = table[group, name]
            assert (float(row["low"]), float(row["high"])) == (low, high)


@pytest.mark.parametrize("name", LIBRARY.names("facility"))
def test_size_does_not_matter(name: str) -> None:
    small, large = (build_facility(LIBRARY.get("facility", name), size) for size in (1e5, 1e9))
    ratios = [
        facility.at(0.6 * facility.it_capacity_w, 24.0, 15.0, np.array([0.0, 1.0])).pue()
        for facility in (small, large)
    ]
    assert ratios[0] == pytest.approx(ratios[1], rel=1e-9)


def test_power_beyond_what_it_is_built_for_is_refused() -> None:
    facility = build_facility(LIBRARY.get("facility", "air-chiller"), 1e6)
    weather = Signal.constant(20.0, "degC")
    with pytest.raises(
        InputError, match=r"the servers draw 1,000,001 W from 0 s on; allowed: 0 to 1,000,000 W"
    ):
        facility.over([0.0, 1.0], [1_000_001.0], weather, weather)
    with pytest.raises(InputError, match="the servers draw -5 W"):
        facility.over([0.0, 1.0], [-5.0], weather, weather)
    with pytest.raises(InputError, match="allowed: a power above 0"):
        build_facility(LIBRARY.get("facility", "air-chiller"), 0.0)


def test_without_a_chiller_the_supply_floats_up_to_its_limit() -> None:
    facility = build_facility(LIBRARY.get("facility", "hyperscale-air"), 1e6)
    warm = facility.at(5e5, 34.0, 34.0, np.array([0.0, 1.0]))
    assert float(warm.excursion_k[0]) == pytest.approx(7.0)
    with pytest.raises(InfeasibleError, match="cooling plant 'hall'"):
        facility.at(5e5, 36.0, 36.0, np.array([0.0, 1.0]))


def test_a_constant_ratio() -> None:
    weather = Signal.from_steps([0.0], [45.0], end_s=10.0, unit="degC")
    series = ConstantPue(pue=1.25, wue_kg_per_kwh=0.5).over([0.0, 4.0, 10.0], [1e6, 2e6], weather, weather)
    assert series.pue() == pytest.approx(1.25)
    assert series.wue_kg_per_kwh() == pytest.approx(0.5)
    assert series.total_w == pytest.approx([1.25e6, 2.5e6])
    assert ConstantPue(pue=1.25).it_limit_w([1e6, 2.5e6], 45.0, 20.0).tolist() == [8e5, 2e6]
    with pytest.raises(InputError, match=r"pue: found 0\.9; allowed: a number of at least 1"):
        ConstantPue(pue=0.9)


def changed(tmp_path: Path, name: str, *lines: str) -> Path:
    folder = tmp_path / "facilities"
    folder.mkdir(exist_ok=True)
    text = f"schema: simtool/facility/1\nextends: {name}.yaml\nname: mine\ntitle: Mine\n" + "\n".join(lines)
    (folder / "mine.yaml").write_text(text + "\n", "utf-8")
    return tmp_path


def quantity(value: Any) -> str:
    return f"{{value: {value}, kind: assumed, source: a test, spread: 0.1}}"


@pytest.mark.parametrize(
    ("name", "lines", "words"),
    [
        (
            "air-chiller",
            ["cooling:", "  hall:", f"    share: {quantity(0.5)}"],
            "cooling: found plants with shares that sum to 0.5",
        ),
        (
            "air-chiller",
            ["cooling:", "  hall:", "    chiller:", f"      least_condensing: {quantity('5 degC')}"],
            "evaporates at 7 degC; heat is lifted upwards",
        ),
        (
            "air-chiller",
            ["cooling:", "  hall:", "    chiller:", f"      part_load_fixed: {quantity(0.5)}"],
            "part-load shares that sum to 1.467",
        ),
        (
            "tower-economiser",
            ["cooling:", "  hall:", f"    supply_limit: {quantity('30 degC')}"],
            "supply_limit: found both",
        ),
        (
            "air-economiser",
            ["cooling:", "  hall:", "    chiller: null"],
            "without a chiller, supply_limit and not coil_approach",
        ),
        (
            "air-chiller",
            ["chain:", "  distribution:", f"    efficiency: {quantity(1.2)}"],
            r"chain\.distribution\.efficiency.*above 0 and at most 1",
        ),
        (
            "air-chiller",
            ["cooling:", "  hall:", "    kind: swamp-cooler"],
            r"cooling\.hall\.kind: found 'swamp-cooler'; allowed: 'air-chiller'",
        ),
        (
            "liquid-dry-cooler",
            ["cooling:", "  liquid:", f"    supply: {quantity('300 K')}"],
            "allowed: a quantity in degC",
        ),
    ],
)
def test_what_a_profile_may_not_say(tmp_path: Path, name: str, lines: list[str], words: str) -> None:
    library = ProfileLibrary((changed(tmp_path, name, *lines), shipped_folder("hardware_profiles")))
    with pytest.raises(InputError, match=words) as caught:
        library.get("facility", "mine")
    assert "mine.yaml" in str(caught.value)


def test_a_profile_of_ones_own(tmp_path: Path) -> None:
    lines = ["cooling:", "  hall:", f"    chilled_water: {quantity('16 degC')}"]
    library = ProfileLibrary((changed(tmp_path, "air-chiller", *lines), shipped_folder("hardware_profiles")))
    warmer = typical_year(library.get("facility", "mine"), "weather-dallas", 0.65)
    assert warmer.pue < typical_year(LIBRARY.get("facility", "air-chiller"), "weather-dallas", 0.65).pue
    assert load_yaml(tmp_path / "facilities" / "mine.yaml").data["extends"] == "air-chiller.yaml"
