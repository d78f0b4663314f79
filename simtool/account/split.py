"""Who caused a bill: its amounts handed to those who drew the power.

- Energy: by each one's energy in every step of the bill, at what the step cost.
- Demand: by each one's energy in the interval of the meter that set the billed peak (coincident peak); where the
  contracted minimum or a peak of before set it, by energy in the month.
- Fees and minimum: by energy in the month.

A month in which nobody drew anything is handed to `NOBODY`. The parts sum to the bill.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Literal, TypeVar

import numpy as np

from simtool.account.bill import Bill
from simtool.account.metered import BillLine, energies_j
from simtool.signals.signal import FloatArray

K = TypeVar("K", bound=Hashable)
NOBODY: Literal["nobody"] = "nobody"
"""Takes what no power was drawn for."""


def split(
    bill: Bill, breakpoints_s: FloatArray, power_w: Mapping[K, FloatArray]
) -> dict[str, dict[K | Literal["nobody"], float]]:
    """Amounts by name of the line and by who caused it [USD].

    Energy is one entry, ``energy``: all of its lines at once.

    Args:
        bill: of a load that is the sum of the powers.
        breakpoints_s: n + 1 times [s since the start].
        power_w: power of each, n values [W].
    """
    keys = list(power_w)
    steps = energies_j(breakpoints_s, [power_w[key] for key in keys], bill.edges_s) if keys else []
    found: dict[str, dict[K | Literal["nobody"], float]] = {}
    if bill.months is None:
        return found
    if any(line.kind == "energy" for line in bill.lines):
        found["energy"] = _energy(bill, dict(zip(keys, steps, strict=True)))
    month_edges = bill.months.edges_s
    by_month = dict(zip(keys, energies_j(breakpoints_s, list(power_w.values()), month_edges), strict=True))
    labels = bill.months.labels
    for line in bill.lines:
        if line.kind == "energy":
            continue
        shares = None
        if line.peak_s is not None:
            at_peak = energies_j(breakpoints_s, list(power_w.values()), np.array(line.peak_s))
            shares = _shares({key: float(energy[0]) for key, energy in zip(keys, at_peak, strict=True)})
        if shares is None:
            shares = _shares({key: _of_month(energy, labels, line) for key, energy in by_month.items()})
        into = found.setdefault(line.name, {})
        for key, share in (shares or {NOBODY: 1.0}).items():
            into[key] = into.get(key, 0.0) + line.amount_usd * share
    return found


def _of_month(energy_j: FloatArray, labels: tuple[str, ...], line: BillLine) -> float:
    """Energy of the line's month; of the whole load where the line stands after its end."""
    return float(energy_j[labels.index(line.month)]) if line.month in labels else float(energy_j.sum())


def _energy(bill: Bill, steps: Mapping[K, FloatArray]) -> dict[K | Literal["nobody"], float]:
    drawn = bill.energy_j > 0
    per_joule = np.divide(bill.energy_usd, bill.energy_j, out=np.zeros(drawn.size), where=drawn)
    parts: dict[K | Literal["nobody"], float] = {
        key: float(np.sum(energy * per_joule)) for key, energy in steps.items()
    }
    idle = float(np.sum(bill.energy_usd[~drawn]))  # a plant that is paid while nothing runs
    return parts | ({NOBODY: idle} if idle else {})


def _shares(energy_j: Mapping[K, float]) -> dict[K | Literal["nobody"], float] | None:
    total = math.fsum(energy_j.values())
    return {key: energy / total for key, energy in energy_j.items()} if total > 0 else None
