"""What the run would cost in another year, with more tokens, or on another number of accelerators.

Functions of lines and arrays; a report plots them. A projection over the start year carries only the
uncertainty of the trends, not that of the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simtool.account.carbon import CarbonLine
from simtool.account.costs import CostLine
from simtool.account.money import same_money
from simtool.config.scenario import Money
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Sourced
from simtool.rng import stream
from simtool.units import JOULES_PER_KWH

FloatArray = NDArray[np.float64]

TRENDS = ("rental_price", "electricity_price", "carbon_intensity", "hardware_efficiency")
MONEY_TRENDS = ("rental_price", "electricity_price")
"""Trends of prices, which inflation is part of."""
INFLATION = "inflation"
MAX_YEARS = 200
"""Yearly trends carried further say nothing, and leave the range of floats."""
NUM_DRAWS = 4096
"""Stratified: the middle of each of as many equally likely slices of every trend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A projected amount with the 10th and 90th percentile of the trends behind it."""

    at: FloatArray
    """Where: years, tokens or accelerators."""
    p10: FloatArray
    median: FloatArray
    p90: FloatArray
    unit: str
    note: str


def trends_of(line: CostLine | CarbonLine) -> tuple[str, ...]:
    """Names of the trends that move a line.

    Everything needs less on better hardware; rent also follows the rental price, electricity its price,
    the grid's carbon its intensity. Prices of owned hardware and the making of it have no trend of their own.
    """
    if isinstance(line, CarbonLine):
        own = ("carbon_intensity",) if line.driver == "energy" else ()
    elif line.driver == "energy":
        own = ("electricity_price",)
    else:
        own = ("rental_price",) if line.name == "rent" else ()
    return (*own, "hardware_efficiency")


def project_start_year(
    lines: Sequence[CostLine] | Sequence[CarbonLine],
    trends: Mapping[str, Sourced],
    years: ArrayLike,
    *,
    base_year: float,
    trend_money: Literal["nominal", "real"] = "nominal",
    inflation_per_year: Sourced | None = None,
    seed: int = 1,
) -> Band:
    """Sum of the lines if the same work started in other years.

    A line that trends g_k move becomes ``amount x product of (1 + g_k)^(year - base_year)``. A trend's rate
    is uncertain, not its path: ``ln(1 + g)`` is normal with mean ``ln(1 + value)`` and standard deviation
    ``spread / (1 + value)``, so the error grows in proportion to the years between, and a single line is
    lognormal. Trends are independent. A trend without a spread is taken as certain.

    Args:
        lines: cost lines, or carbon lines of one question.
        trends: relative change a year by name (`TRENDS`); a missing one means no change.
        years: start years to project to, a list.
        base_year: year in which the lines' amounts hold.
        trend_money: money in which the price trends were observed.
        inflation_per_year: needed where the trends' money and the lines' differ.
        seed: of the draws that pair the trends.

    Raises:
        InputError: an unknown trend, years too far away, or inflation is needed and not given.
    """
    for name in trends:
        if name not in TRENDS:
            raise InputError(
                Problem("", f"projection.{name}", f"unknown trend {name!r}", "", did_you_mean(name, TRENDS))
            )
    money = _money(lines)
    priced = any(name in trends for name in MONEY_TRENDS)
    corrected = money is not None and money.kind != trend_money and priced
    if corrected and inflation_per_year is None:
        what = f"the lines are in {money.kind if money else ''} money, the trends in {trend_money} money"
        raise InputError(Problem("", "projection", what, "", "give inflation_per_year"))
    rates = {name: _log_rates(trend, name, seed) for name, trend in trends.items()}
    if corrected and inflation_per_year is not None:
        inflation = _log_rates(inflation_per_year, INFLATION, seed)
        sign = -1.0 if trend_money == "nominal" else 1.0
        rates |= {name: rates[name] + sign * inflation for name in MONEY_TRENDS if name in rates}
    at = np.atleast_1d(np.asarray(years, dtype=np.float64))
    if np.abs(at - base_year).max(initial=0.0) > MAX_YEARS:
        found = f"prices of {base_year:g} would be carried to {at[np.argmax(np.abs(at - base_year))]:g}"
        mend = "move site.start or economics.money.year, or leave this figure out with --only"
        raise InputError(Problem("", "projection", found, f"allowed: {MAX_YEARS} years", mend))
    total = np.zeros((NUM_DRAWS, at.size))
    for line in lines:
        rate = sum((rates[name] for name in trends_of(line) if name in rates), np.zeros(NUM_DRAWS))
        total += line.amount.value * np.exp(rate[:, None] * (at - base_year))
    p10, median, p90 = np.quantile(total, (0.1, 0.5, 0.9), axis=0)
    shown = ", ".join(f"{name} {trend.value:+.1%} a year" for name, trend in trends.items()) or "no trend"
    unit = lines[0].amount.unit if lines else ""
    return Band(at=at, p10=p10, median=median, p90=p90, unit=unit, note=shown)


def project_tokens(
    amount: float, tokens: float, new_tokens: ArrayLike, interval: tuple[float, float] | None = None
) -> Band:
    """An amount against the tokens trained on.

    In proportion: same model, layout, hardware and mean prices, so time and energy go with the steps.

    Args:
        amount: of the run that was simulated.
        tokens: of that run.
        new_tokens: where to project to, a list.
        interval: its p10 and p90, where several seeds were run.
    """
    at = np.atleast_1d(np.asarray(new_tokens, dtype=np.float64))
    low, high = interval or (amount, amount)
    ratio = at / tokens
    note = "in proportion to tokens"
    return Band(at=at, p10=low * ratio, median=amount * ratio, p90=high * ratio, unit="", note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """What an accelerator-hour and a kilowatt-hour of IT energy cost in one run, to price others by."""

    usd_per_accelerator_hour: float
    usd_per_kwh_it: float

    @classmethod
    def of(cls, lines: Sequence[CostLine], accelerator_hours: float, energy_it_j: float) -> Rates:
        """From the lines of a run that took these accelerator-hours and this energy."""
        time_usd = math.fsum(line.amount_usd for line in lines if line.driver == "device time")
        energy = math.fsum(line.amount_usd for line in lines if line.driver == "energy")
        return cls(
            usd_per_accelerator_hour=time_usd / accelerator_hours if accelerator_hours else 0.0,
            usd_per_kwh_it=energy * JOULES_PER_KWH / energy_it_j if energy_it_j else 0.0,
        )

    def cost_usd(self, accelerator_hours: ArrayLike, energy_it_j: ArrayLike) -> FloatArray:
        """Cost of runs with these accelerator-hours and energies; broadcasts over, say, cluster sizes.

        >>> float(Rates(usd_per_accelerator_hour=2.0, usd_per_kwh_it=0.1).cost_usd(10.0, 3.6e6))
        20.1
        """
        energy = np.asarray(energy_it_j, dtype=np.float64) / JOULES_PER_KWH
        time = np.asarray(accelerator_hours, dtype=np.float64)
        return np.asarray(time * self.usd_per_accelerator_hour + energy * self.usd_per_kwh_it)[()]


def _money(lines: Sequence[CostLine] | Sequence[CarbonLine]) -> Money | None:
    moneys = [line.money for line in lines if isinstance(line, CostLine)]
    return same_money(moneys) if moneys else None


def _log_rates(trend: Sourced, name: str, seed: int) -> FloatArray:
    """Draws of ln(1 + g), stratified, in an order of the trend's own."""
    if trend.value <= -1.0:
        raise InputError(Problem("", f"projection.{name}", f"found {trend.value:g} a year", "above -1", ""))
    spread = (trend.spread or 0.0) / (1.0 + trend.value)
    normal = NormalDist()
    slices = [normal.inv_cdf((index + 0.5) / NUM_DRAWS) for index in range(NUM_DRAWS)]
    order = stream(seed, "projection", name).permutation(NUM_DRAWS)
    return np.asarray(np.log1p(trend.value) + spread * np.asarray(slices)[order])
