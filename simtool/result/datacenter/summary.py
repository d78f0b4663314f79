"""The quantities of a datacenter's result as plain data: what ``summary.json`` holds and tables print."""

from __future__ import annotations

from typing import Any

from simtool.result.datacenter.result import DatacenterResult
from simtool.result.summary import rounded, scope

SCOPES = {
    "energy_unheld_j": "IT",
    "energy_lost_work_j": "IT",
    "energy_chain_loss_j": "facility",
    "energy_cooling_j": "facility",
}


def summarise(result: DatacenterResult) -> dict[str, dict[str, Any]]:
    """Every quantity by name: value, unit, p10, p50, p90 (null with one seed), provenance, and of energies the scope.

    With several seeds the value is the median; what some seeds lack has the value of the first and no interval.
    """
    found = {}
    for name, number in result.quantities.items():
        low, middle, high = result.intervals.get(name, (None, None, None))
        entry: dict[str, Any] = {
            "value": rounded(result.typical(name)),
            "unit": number.unit,
            "p10": None if low is None else rounded(low),
            "p50": None if middle is None else rounded(middle),
            "p90": None if high is None else rounded(high),
            "provenance": number.weakest(),
        }
        if meant := SCOPES.get(name) or scope(name):
            entry["scope"] = meant
        found[name] = entry
    return found
