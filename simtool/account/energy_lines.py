"""Lines of energy at a price by the step: what flat, real-time and time-of-use parts share."""

from __future__ import annotations

from typing import Literal

import numpy as np

from simtool.account.metered import BillLine, Charge, Metered
from simtool.signals.signal import FloatArray
from simtool.units import JOULES_PER_KWH

Charged = Literal["shortfall", "all"]
"""Whether a part charges what power purchase agreements leave over, or (delivery, taxes) every kWh."""


def charged_kwh(metered: Metered, charged_on: Charged) -> FloatArray:
    """Energy that a part charges in every step [kWh]."""
    energy = metered.energy_j if charged_on == "all" else metered.shortfall_j
    return energy / JOULES_PER_KWH


def energy_charge(metered: Metered, rate_usd_per_kwh: FloatArray, name: str, charged_on: Charged) -> Charge:
    """One line a month: its energy, and the mean of the rates over it.

    Args:
        metered: the load.
        rate_usd_per_kwh: price in every step.
        name: of the line.
        charged_on: which energy.
    """
    energy = charged_kwh(metered, charged_on)
    usd = energy * rate_usd_per_kwh
    quantities, amounts = metered.by_month(energy), metered.by_month(usd)
    is_one = bool((rate_usd_per_kwh == rate_usd_per_kwh[:1]).all())
    lines = tuple(
        BillLine(
            month=label,
            name=name,
            kind="energy",
            quantity=float(quantity),
            unit="kWh",
            rate_usd=float(rate_usd_per_kwh[0]) if is_one else _mean(amount, quantity),
            amount_usd=float(amount),
            note="" if is_one else "rate is the mean over the energy",
        )
        for label, quantity, amount in zip(metered.months.labels, quantities, amounts, strict=True)
    )
    return Charge(lines=lines, step_usd=np.asarray(usd))


def _mean(amount: float, quantity: float) -> float:
    return float(amount / quantity) if quantity else 0.0
