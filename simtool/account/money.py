"""Money of one year and kind; two kinds are never added."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.config.scenario import Money
from simtool.errors import InputError, Problem


def described(money: Money) -> str:
    """As people write it.

    >>> described(Money(year=2025, kind="real"))
    'real USD of 2025'
    """
    return f"{money.kind} USD of {money.year}"


def same_money(moneys: Iterable[Money]) -> Money:
    """The one money that all amounts are in.

    Raises:
        InputError: they differ, or there is none.
    """
    found = list(dict.fromkeys(moneys))
    if len(found) == 1:
        return found[0]
    shown = " and ".join(described(money) for money in found) or "none"
    raise InputError(
        Problem("", "economics.money", f"found {shown}", "one money", "convert with price_level")
    )


def price_level(
    inflation_per_year: ArrayLike, from_year: ArrayLike, to_year: ArrayLike
) -> NDArray[np.float64]:
    """What one unit of money of `from_year` becomes in money of `to_year`.

    ``(1 + inflation)^(to - from)``.

    >>> round(float(price_level(0.02, 2025, 2035)), 4)
    1.219
    """
    span = np.asarray(to_year, dtype=np.float64) - np.asarray(from_year)
    return np.asarray((1.0 + np.asarray(inflation_per_year)) ** span)[()]


def real_rate(nominal_per_year: ArrayLike, inflation_per_year: ArrayLike) -> NDArray[np.float64]:
    """A yearly change with inflation taken out: ``(1 + nominal) / (1 + inflation) - 1``.

    >>> round(float(real_rate(0.05, 0.02)), 4)
    0.0294
    """
    ratio = (1.0 + np.asarray(nominal_per_year)) / (1.0 + np.asarray(inflation_per_year))
    return np.asarray(ratio - 1.0)[()]
