"""Three carbon accounts of one load, which answer three questions and are never added.

*Average*: what the grid emitted for each kWh, for stacks alone (direct) or with fuel supply and plants (life cycle).
*Marginal*: what would not have been emitted without this load. *Market-based*: what was contracted, and the residual
mix for the rest. An account is a sum of amounts of one basis; adding two bases is an error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simtool.account.metered import PowerSteps
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.errors import InputError, Problem
from simtool.signals import Basis, Signal, same_basis
from simtool.units import JOULES_PER_KWH, KILOGRAMS_PER_TONNE


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonAmount:
    """One source of greenhouse gas in an account."""

    name: str
    kgco2e: float
    energy_j: float = 0.0
    """Electricity behind it; 0 for fuel and hardware [J]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonAccount:
    """Amounts of one basis."""

    basis: Basis
    amounts: tuple[CarbonAmount, ...]

    @property
    def total_kgco2e(self) -> float:
        """Sum of the amounts."""
        return math.fsum(amount.kgco2e for amount in self.amounts)

    def __add__(self, other: CarbonAccount) -> CarbonAccount:
        """Both accounts as one.

        Raises:
            InputError: they are of two bases.
        """
        return CarbonAccount(
            basis=same_basis([self.basis, other.basis]), amounts=(*self.amounts, *other.amounts)
        )


def grid_account(load: PowerSteps, intensity: Signal, name: str = "electricity") -> CarbonAccount:
    """Greenhouse gas of a load: integral of power x intensity, exactly.

    Args:
        load: power at the meter.
        intensity: in kgCO2e/kWh, with its basis.
        name: of the amount.

    >>> import numpy as np
    >>> load = PowerSteps(breakpoints_s=np.array([0.0, 3600.0]), power_w=np.array([2000.0]))
    >>> account = grid_account(load, Signal.constant(0.4, "kgCO2e/kWh", basis=Basis.AVERAGE_DIRECT))
    >>> round(account.total_kgco2e, 12), account.basis.value  # 2 kWh
    (0.8, 'average direct')
    """
    if intensity.basis is None or intensity.unit != "kgCO2e/kWh":
        raise ValueError(f"an intensity is in kgCO2e/kWh and has a basis, not {intensity.unit!r}")
    kg = float(intensity.integrate_product(load.breakpoints_s, load.power_w)) / JOULES_PER_KWH
    amount = CarbonAmount(name=name, kgco2e=kg if load.power_w.size else 0.0, energy_j=load.energy_j)
    return CarbonAccount(basis=intensity.basis, amounts=(amount,))


def market_account(load: PowerSteps, purchases: Sequence[PowerPurchase], residual: Signal) -> CarbonAccount:
    """The market-based account: each purchase at its contracted intensity, the rest at the residual mix.

    What a plant produces beyond the load at that moment covers nothing: certificates are matched moment by moment.

    Args:
        load: power at the meter.
        purchases: in the order in which they cover the load.
        residual: of the residual mix, basis market-based.

    Raises:
        InputError: the residual mix has another basis, or a purchase states no intensity.
    """
    if residual.basis is not Basis.MARKET:
        found = f"found {residual.basis.value if residual.basis else residual.unit}"
        mend = "give the residual mix; where none is published, declare the average as market-based"
        raise InputError(Problem(residual.name, "carbon.market", found, "a market-based intensity", mend))
    amounts = []
    rest = load
    for purchase in purchases:
        if purchase.intensity is None:
            mend = "add e.g. 'intensity: 0 gCO2e/kWh' with its certificate as the source"
            raise InputError(
                Problem("", f"{purchase.name}.intensity", "found none", "what was contracted", mend)
            )
        used = purchase.used(rest)
        amounts.append(
            CarbonAmount(
                name=purchase.name,
                kgco2e=used.energy_j / JOULES_PER_KWH * purchase.intensity.value,
                energy_j=used.energy_j,
            )
        )
        rest = rest.less(used)
    return CarbonAccount(
        basis=Basis.MARKET, amounts=(*amounts, *grid_account(rest, residual, "residual mix").amounts)
    )


def carbon_accounts(
    load: PowerSteps,
    intensities: Sequence[Signal],
    *,
    purchases: Sequence[PowerPurchase] = (),
    fuel_kgco2e: float = 0.0,
    embodied_kgco2e: float = 0.0,
) -> dict[Basis, CarbonAccount]:
    """Every account that the intensities allow, each by itself.

    On-site fuel is burned for this load, whoever asks: it stands in every account. What making the hardware emitted
    is in the average and market-based ones; the marginal account asks what this load changes.

    Args:
        load: power at the meter.
        intensities: one for each basis.
        purchases: power purchase agreements, for the market-based account.
        fuel_kgco2e: emitted on site.
        embodied_kgco2e: share of making hardware and building.

    Raises:
        InputError: two intensities of one basis.
    """
    found: dict[Basis, CarbonAccount] = {}
    for intensity in intensities:
        is_market = intensity.basis is Basis.MARKET
        account = market_account(load, purchases, intensity) if is_market else grid_account(load, intensity)
        if account.basis in found:
            what = f"found two intensities, both {account.basis.value}"
            raise InputError(Problem(intensity.name, "carbon", what, "one of each basis", "leave one out"))
        more = [CarbonAmount(name="on-site fuel", kgco2e=fuel_kgco2e)] if fuel_kgco2e else []
        if embodied_kgco2e and account.basis is not Basis.MARGINAL:
            more.append(CarbonAmount(name="making of hardware", kgco2e=embodied_kgco2e))
        found[account.basis] = CarbonAccount(basis=account.basis, amounts=(*account.amounts, *more))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonPrice:
    """A price on carbon, with what of it is paid and what is only shown."""

    billed_usd: dict[str, float]
    """By source: lines of the bill."""
    shadow_usd: dict[str, float]
    """By source: what it would cost, or costs inside the tariff already; shown apart, in no total."""


def carbon_price(
    electricity: CarbonAccount,
    price_usd_per_t: float,
    *,
    fuel_kgco2e: float = 0.0,
    tariff_contains_it: bool,
) -> CarbonPrice:
    """What a price on carbon makes of a load.

    On-site fuel is charged. Electricity is charged only where its tariff does not contain the price already
    (`Tariff.contains_carbon_price`), otherwise shown as a shadow price: nothing is paid twice.

    Args:
        electricity: the average or market-based account, without fuel.
        price_usd_per_t: per tonne of CO2e.
        fuel_kgco2e: emitted on site.
        tariff_contains_it: whether the price of electricity does.

    Raises:
        InputError: the account is marginal: nobody is charged for what others would have emitted.

    >>> grid = CarbonAccount(basis=Basis.AVERAGE, amounts=(CarbonAmount(name="electricity", kgco2e=350.0),))
    >>> carbon_price(grid, 75.0, tariff_contains_it=True)  # a MWh at 350 g/kWh
    CarbonPrice(billed_usd={}, shadow_usd={'electricity': 26.25})
    """
    if electricity.basis is Basis.MARGINAL:
        found, allowed = "found the marginal account", "an average or market-based one"
        raise InputError(Problem("", "carbon.price", found, allowed, "give the grid's average intensity"))
    usd = {
        amount.name: amount.kgco2e / KILOGRAMS_PER_TONNE * price_usd_per_t for amount in electricity.amounts
    }
    fuel = {"on-site fuel": fuel_kgco2e / KILOGRAMS_PER_TONNE * price_usd_per_t} if fuel_kgco2e else {}
    if tariff_contains_it:
        return CarbonPrice(billed_usd=fuel, shadow_usd=usd)
    return CarbonPrice(billed_usd=usd | fuel, shadow_usd={})
