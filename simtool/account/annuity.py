"""The arithmetic of owning: annuity, residual value, cost of a useful accelerator-hour, break-even.

Pure functions that broadcast. Rates are per year, lifetimes in seconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.units import HOURS_PER_YEAR, SECONDS_PER_YEAR

FloatArray = NDArray[np.float64]


def capital_recovery_factor(interest_per_year: ArrayLike, lifetime_s: ArrayLike) -> FloatArray:
    """Share of a price that equal yearly payments over the lifetime cost, interest included.

    ``r (1 + r)^n / ((1 + r)^n - 1)`` with n in years, and 1 / n without interest.

    >>> from simtool.units import SECONDS_PER_YEAR
    >>> round(float(capital_recovery_factor(0.09, 5 * SECONDS_PER_YEAR)), 4)
    0.2571
    """
    rate = np.asarray(interest_per_year, dtype=np.float64)
    years = np.asarray(lifetime_s, dtype=np.float64) / SECONDS_PER_YEAR
    # expm1 and log1p keep the digits at small rates; at 0 the limit is taken.
    discount = -np.expm1(-years * np.log1p(rate))
    flat = rate * years < 1e-12
    return np.asarray(np.where(flat, 1.0 / years, rate / np.where(flat, 1.0, discount)))[()]


def annual_capital_usd(
    price_usd: ArrayLike, residual_frac: ArrayLike, interest_per_year: ArrayLike, lifetime_s: ArrayLike
) -> FloatArray:
    """Yearly payment for something that keeps a value at the end.

    ``(price - residual / (1 + r)^n) x CRF``: the residual value pays its present value back.

    >>> from simtool.units import SECONDS_PER_YEAR
    >>> float(annual_capital_usd(100.0, 0.5, 0.0, 5 * SECONDS_PER_YEAR))
    10.0
    """
    years = np.asarray(lifetime_s, dtype=np.float64) / SECONDS_PER_YEAR
    present = np.asarray(residual_frac) * (1.0 + np.asarray(interest_per_year)) ** -years
    factor = capital_recovery_factor(interest_per_year, lifetime_s)
    return np.asarray(np.asarray(price_usd) * (1.0 - present) * factor)[()]


def straight_line_annual_usd(
    price_usd: ArrayLike, residual_frac: ArrayLike, lifetime_s: ArrayLike
) -> FloatArray:
    """What bookkeeping writes off a year: ``price x (1 - residual) / n``, without interest on what is tied up.

    >>> from simtool.units import SECONDS_PER_YEAR
    >>> float(straight_line_annual_usd(100.0, 0.1, 5 * SECONDS_PER_YEAR))
    18.0
    """
    years = np.asarray(lifetime_s, dtype=np.float64) / SECONDS_PER_YEAR
    return np.asarray(np.asarray(price_usd) * (1.0 - np.asarray(residual_frac)) / years)[()]


def usd_per_useful_hour(annual_usd: ArrayLike, utilisation: ArrayLike) -> FloatArray:
    """A yearly cost spread over the hours in which the hardware works for somebody.

    >>> round(float(usd_per_useful_hour(8760.0, 0.5)), 12)
    2.0
    """
    return np.asarray(np.asarray(annual_usd) / (HOURS_PER_YEAR * np.asarray(utilisation)))[()]


def break_even_utilisation(
    annual_usd: ArrayLike, energy_usd_per_hour: ArrayLike, rent_usd_per_hour: ArrayLike
) -> FloatArray:
    """Share of its lifetime above which owning an accelerator is cheaper than renting one.

    ``annual / (8760 h x (rent - energy))``. Above 1: never; infinite where the rent is below the
    electricity alone.

    Args:
        annual_usd: capital, facility and maintenance of one accelerator a year.
        energy_usd_per_hour: electricity of one accelerator-hour with its share of the facility.
        rent_usd_per_hour: rental price of one accelerator-hour.
    """
    margin = np.asarray(rent_usd_per_hour, dtype=np.float64) - np.asarray(energy_usd_per_hour)
    useful = np.asarray(annual_usd) / (HOURS_PER_YEAR * np.where(margin > 0, margin, 1.0))
    return np.asarray(np.where(margin > 0, useful, np.inf))[()]
