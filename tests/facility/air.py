"""Moist air for the tests, by other formulas than the package's."""

from __future__ import annotations

import math


def vapour_pressure_pa(temperature_c: float) -> float:
    """Over water, Magnus with the constants of WMO No. 8."""
    return 611.2 * math.exp(17.62 * temperature_c / (243.12 + temperature_c))


def wet_bulb_c(dry_bulb_c: float, humidity_frac: float) -> float:
    """Sprung's psychrometer equation at sea level, solved by halving."""
    wanted = humidity_frac * vapour_pressure_pa(dry_bulb_c)
    low, high = dry_bulb_c - 60.0, dry_bulb_c
    for _ in range(80):
        middle = 0.5 * (low + high)
        found = vapour_pressure_pa(middle) - 67.0 * (dry_bulb_c - middle)
        low, high = (middle, high) if found < wanted else (low, middle)
    return 0.5 * (low + high)
