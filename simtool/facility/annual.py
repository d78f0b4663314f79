"""A year of a facility at constant load in one climate: PUE, WUE, hours of free cooling."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from simtool.facility.facility import build_facility
from simtool.facility.profile import FacilityProfile
from simtool.facility.series import FacilitySeries
from simtool.facility.weather import Weather, find_weather
from simtool.units import SECONDS_PER_YEAR

TYPICAL_YEAR = datetime(2022, 1, 1, tzinfo=UTC)
"""Label of the shipped typical years."""
REFERENCE_POWER_W = 10e6
"""Every loss is a share of the size, so any size gives the same ratios."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnualFigures:
    """A typical year."""

    facility: str
    weather: str
    load_frac: float
    pue: float
    wue_kg_per_kwh: float
    free_cooling_hours: float
    peak_pue: float
    """In the worst hour."""
    excursion_k: float
    """Highest supply temperature above the set point."""


def typical_year(profile: FacilityProfile, weather: str, load_frac: float) -> AnnualFigures:
    """A typical year of a facility whose servers draw a constant share of their full load.

    Args:
        profile: the facility.
        weather: name of a shipped place.
        load_frac: power of the servers over that at full load.

    Raises:
        InfeasibleError: a plant cannot cope with the hottest hour.
    """
    series = year_series(profile, weather, load_frac)
    return AnnualFigures(
        facility=profile.name,
        weather=weather,
        load_frac=load_frac,
        pue=series.pue(),
        wue_kg_per_kwh=series.wue_kg_per_kwh(),
        free_cooling_hours=series.free_cooling_hours(),
        peak_pue=float((series.total_w / series.it_w).max()),
        excursion_k=float(series.excursion_k.max()),
    )


def year_series(profile: FacilityProfile, weather: str, load_frac: float) -> FacilitySeries:
    """The hours of such a year."""
    facility = build_facility(profile, REFERENCE_POWER_W)
    found = _typical_weather(weather)
    span_s = [0.0, SECONDS_PER_YEAR]
    return facility.over(span_s, [load_frac * REFERENCE_POWER_W], found.dry_bulb, found.wet_bulb)


@cache
def _typical_weather(name: str) -> Weather:
    return find_weather(name, TYPICAL_YEAR)
