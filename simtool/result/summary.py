"""The quantities of a result as plain data: what ``summary.json`` holds and tables print."""

from __future__ import annotations

from typing import Any

from simtool.result.result import Result, is_saved

DIGITS = 12
"""Significant digits of a written number: what is equal on every machine."""
SCOPES = {
    "energy_accelerator_j": "accelerator",
    "energy_node_j": "node",
    "energy_it_j": "IT",
    "energy_facility_j": "facility",
}
"""Which meter an energy stands for: the accelerators' own, the nodes', all IT, or the building's."""
INCOMPLETE = ("cost_total_usd", "cost_per_million_tokens_usd")
"""Sums over the bill, which may lack lines."""


def rounded(value: float) -> float:
    """A number to 12 significant digits.

    >>> rounded(0.1 + 0.2)
    0.3
    """
    return float(f"{float(value):.{DIGITS}g}")


def scope(name: str) -> str | None:
    """The scope of an energy, None for every other quantity."""
    if name in SCOPES or not name.startswith("energy_"):
        return SCOPES.get(name)
    return next((meant for full, meant in SCOPES.items() if name.startswith(full.removesuffix("_j"))), None)


def summarise(result: Result) -> dict[str, dict[str, Any]]:
    """Every quantity by name: value, unit, p10, p50, p90 (null with one seed), provenance, and more.

    Energies say their `scope`. A quantity of which the scenario assumes a range has `low` and
    `high`; a total that is too low for want of a power names in `lacks` the lines that it lacks. With a
    method, `without_method`, and `saved_frac` where less is a saving; with a published figure, `observed`.
    """
    return {name: _entry(result, name) for name in result.quantities}


def _entry(result: Result, name: str) -> dict[str, Any]:
    number = result.quantities[name]
    low, middle, high = result.intervals.get(name, (None, None, None))
    entry: dict[str, Any] = {
        "value": rounded(result.typical(name)),
        "unit": number.unit,
        "p10": _rounded(low),
        "p50": _rounded(middle),
        "p90": _rounded(high),
        "provenance": number.weakest(),
    }
    if meant := scope(name):
        entry["scope"] = meant
    if name in result.ranges:
        entry["low"], entry["high"] = (rounded(bound) for bound in result.ranges[name])
    if result.reference is not None and name in result.reference.quantities:
        before = result.reference.typical(name)
        entry["without_method"] = rounded(before)
        if is_saved(name):
            entry["saved_frac"] = _rounded(result.saved_frac(name))
    if name in INCOMPLETE and result.bill_lacks:
        entry["lacks"] = list(result.bill_lacks)
    seen = [comparison for comparison in result.observed if comparison.name == name]
    if seen:
        entry["observed"] = [
            {
                "value": rounded(one.observed),
                "unit": one.unit,
                "predicted": rounded(one.predicted),
                "error_frac": rounded(one.error_frac),
                "kind": one.kind,
                "scored": one.scored,
                "source": one.source,
            }
            for one in seen
        ]
    return entry


def _rounded(value: float | None) -> float | None:
    return None if value is None else rounded(value)
