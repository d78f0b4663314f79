"""Greenhouse gas of what a site takes from the grid, over time: by one intensity, or as it is contracted."""

from __future__ import annotations

import numpy as np

from simtool.account.metered import PowerSteps
from simtool.account.tariff import Tariff
from simtool.account.tariffs.power_purchase import PowerPurchase
from simtool.facility.series import FloatArray
from simtool.provenance import Input
from simtool.result.datacenter.steps import Steps
from simtool.signals import Basis, Signal
from simtool.units import JOULES_PER_KWH


def contracted(tariff: Tariff, intensity: Signal) -> tuple[PowerPurchase, ...]:
    """The purchases whose intensity counts under an intensity of the grid: those with one, if it is market-based."""
    if intensity.basis is not Basis.MARKET:
        return ()
    return tuple(
        part for part in tariff.parts if isinstance(part, PowerPurchase) and part.intensity is not None
    )


def emission(times_s: FloatArray, power_w: FloatArray, intensity: Signal, tariff: Tariff) -> Steps:
    """Rate of emission [kg/s], exact over every stretch.

    A market-based account takes what a power purchase covers at the intensity that was contracted, moment by moment,
    and the rest at the residual mix.

    Args:
        times_s: breakpoints of the power from the grid [s].
        power_w: power from the grid [W].
        intensity: of the grid, with its basis [kgCO2e/kWh].
        tariff: of the site.
    """
    rest = PowerSteps(breakpoints_s=times_s, power_w=power_w)
    parts: list[Steps] = []
    for purchase in contracted(tariff, intensity):
        used = purchase.used(rest)
        per_joule = (float(purchase.intensity) if purchase.intensity is not None else 0.0) / JOULES_PER_KWH
        parts.append(Steps(used.breakpoints_s, used.power_w * per_joule))
        rest = rest.less(used)
    inside = intensity.edges_s[(intensity.edges_s > times_s[0]) & (intensity.edges_s < times_s[-1])]
    cuts = np.unique(np.concatenate([rest.breakpoints_s, inside]))
    watts = rest.power_w[np.searchsorted(rest.breakpoints_s, cuts[:-1], side="right") - 1]
    rates = watts * intensity.mean(cuts[:-1], cuts[1:]) / JOULES_PER_KWH
    for part in parts:
        rates = rates + part.values[np.searchsorted(part.times_s, cuts[:-1], side="right") - 1]
    return Steps(cuts, rates)


def contracted_inputs(tariff: Tariff, intensity: Signal) -> tuple[Input, ...]:
    """Where the contracted intensities come from."""
    return tuple(
        Input(f"contracted intensity of {purchase.name}", purchase.intensity)
        for purchase in contracted(tariff, intensity)
        if purchase.intensity is not None
    )
