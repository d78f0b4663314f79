"""A typical year of every shipped facility in every shipped climate, beside the published ranges.

Run with ``python benchmarks/facility_fleet.py``. No parameter is chosen by climate.
"""

# ruff: noqa: INP001, T201 - a script that prints

from __future__ import annotations

import statistics

from simtool.errors import InfeasibleError
from simtool.facility.annual import typical_year
from simtool.facility.weather import list_weather
from simtool.profiles.find import default_library

LOADS = (0.4, 0.65, 0.9)


def main() -> None:
    """Print one line a facility and load: mean and range over the climates."""
    library = default_library()
    print(
        f"{'facility':18} {'load':>4}  {'PUE mean (low to high)':24} {'WUE L/kWh':22} {'free h/year':16} warmer by"
    )
    for name in library.names("facility"):
        profile = library.get("facility", name)
        for load_frac in LOADS:
            years, failed = [], []
            for place in list_weather():
                try:
                    years.append(typical_year(profile, place, load_frac))
                except InfeasibleError:
                    failed.append(place.removeprefix("weather-"))
            parts = []
            for key, digits in (("pue", 3), ("wue_kg_per_kwh", 2), ("free_cooling_hours", 0)):
                found = [getattr(year, key) for year in years]
                mean, low, high = statistics.mean(found), min(found), max(found)
                parts.append(f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})")
            warmer = max(year.excursion_k for year in years)
            not_there = f"  not in {', '.join(failed)}" if failed else ""
            print(
                f"{name:18} {load_frac:4.2f}  {parts[0]:24} {parts[1]:22} {parts[2]:16} {warmer:.1f} K{not_there}"
            )


if __name__ == "__main__":
    main()
