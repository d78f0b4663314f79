"""How quantities are called, ordered and written for people; one place for tables, plots and aliases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simtool import units
from simtool.errors import InputError, Problem, did_you_mean


@dataclass(frozen=True, slots=True)
class Word:
    """A quantity as people call it."""

    label: str
    alias: str
    """Dotted short form that `explain` takes."""
    part_of: str = ""
    """The quantity that it is a line of."""


WORDS: dict[str, Word] = {
    "duration_s": Word("duration", "time.total"),
    "accelerator_hours": Word("accelerator-hours, job", "time.accelerators"),
    "accelerator_hours_paid": Word("accelerator-hours, paid", "time.paid"),
    "step_time_s": Word("step time", "step.time"),
    "tokens_per_s": Word("throughput", "step.throughput"),
    "mfu": Word("MFU", "step.mfu"),
    "hfu": Word("HFU", "step.hfu"),
    "goodput_frac": Word("goodput", "time.goodput"),
    "num_interruptions": Word("interruptions", "time.interruptions"),
    "energy_accelerator_j": Word("accelerator energy", "energy.accelerator"),
    "energy_it_j": Word("IT energy", "energy.it"),
    "energy_facility_j": Word("facility energy", "energy.total"),
    "cost_total_usd": Word("cost", "cost.total"),
    "cost_rent_usd": Word("rent", "cost.rent", "cost_total_usd"),
    "cost_hardware_usd": Word("hardware", "cost.hardware", "cost_total_usd"),
    "cost_facility_usd": Word("building", "cost.facility", "cost_total_usd"),
    "cost_maintenance_usd": Word("maintenance", "cost.maintenance", "cost_total_usd"),
    "cost_electricity_usd": Word("electricity", "cost.electricity", "cost_total_usd"),
    "carbon_total_kgco2e": Word("carbon, average", "carbon.total"),
    "carbon_electricity_average_kgco2e": Word("operational", "carbon.average", "carbon_total_kgco2e"),
    "carbon_embodied_accelerators_kgco2e": Word("embodied, boards", "carbon.boards", "carbon_total_kgco2e"),
    "carbon_embodied_hosts_kgco2e": Word("embodied, hosts", "carbon.hosts", "carbon_total_kgco2e"),
    "carbon_electricity_marginal_kgco2e": Word("carbon, marginal", "carbon.marginal"),
}
"""In the order in which tables show them. Quantities that are not here keep their own names."""

MORE_ALIASES = {
    "time": "duration_s",
    "duration": "duration_s",
    "step": "step_time_s",
    "energy": "energy_facility_j",
    "energy.facility": "energy_facility_j",
    "cost": "cost_total_usd",
    "money": "cost_total_usd",
    "carbon": "carbon_total_kgco2e",
    "goodput": "goodput_frac",
    "gpu_hours": "accelerator_hours",
}


def label(name: str) -> str:
    """What people call a quantity.

    >>> label("energy_facility_j"), label("memory_total_bytes")
    ('facility energy', 'memory total')
    """
    if name in WORDS:
        return WORDS[name].label
    return _without_unit(name).replace("_", " ")


def row(name: str, summary: Mapping[str, Mapping[str, Any]]) -> str:
    """The first cell of a quantity's row: a part indented below its sum, a sum that lacks lines marked.

    >>> row("cost_rent_usd", {"cost_rent_usd": {}, "cost_total_usd": {"lacks": ["electricity"]}})
    '  rent'
    >>> row("cost_total_usd", {"cost_total_usd": {"lacks": ["electricity"]}})
    'cost, incomplete'
    """
    part_of = WORDS[name].part_of if name in WORDS else ""
    lacks = ", incomplete" if summary.get(name, {}).get("lacks") else ""
    return ("  " if part_of in summary else "") + label(name) + lacks


def in_order(names: list[str]) -> list[str]:
    """Quantities as tables show them: the known ones in their order, then the others."""
    known = [name for name in WORDS if name in names]
    return known + [name for name in names if name not in WORDS]


def resolve(written: str, known: list[str]) -> str:
    """The quantity that a person means by its name, a dotted alias or a word.

    Raises:
        InputError: none of them; near matches are named.

    >>> resolve("energy.total", ["energy_facility_j"])
    'energy_facility_j'
    """
    aliases = {name: name for name in known}
    aliases |= {word.alias: name for name, word in WORDS.items() if name in known}
    aliases |= {alias: name for alias, name in MORE_ALIASES.items() if name in known}
    for name in known:
        aliases.setdefault(_without_unit(name).replace("_", ".", 1), name)
    if written in aliases:
        return aliases[written]
    if written.lower() in aliases:
        return aliases[written.lower()]
    hint = did_you_mean(written, aliases)
    raise InputError(
        Problem("", "quantity", f"unknown quantity {written!r}", hint, "'simtool explain' lists all")
    )


def shown(value: float, unit: str, digits: int = 4) -> str:
    """A value as tables show it, in a unit that suits its size.

    >>> shown(2.1e6, "USD"), shown(0.4123, ""), shown(86400.0, "s")
    ('2.1 M USD', '0.4123', '24 h')
    """
    if unit == "USD":
        scales = ((1e9, "bn USD"), (1e6, "M USD"), (1.0, "USD"))
        scale, name = next((pair for pair in scales if abs(value) >= pair[0]), scales[-1])
        cents = 1 <= abs(value) < 1e3
        return f"{value:,.2f} USD" if cents else units.display(value / scale, name, digits)
    if unit == "h" and abs(value) >= 1e6:
        return units.display(value / 1e6, "Mh", digits)
    return units.display(value, unit, digits)


def _without_unit(name: str) -> str:
    for suffix in _SUFFIXES:
        if name.endswith(suffix) and len(name) > len(suffix):
            return name.removesuffix(suffix)
    return name


_SUFFIXES = (
    "_bytes_per_s",
    "_tokens_per_s",
    "_flop_per_s",
    "_usd_per_kwh",
    "_kg_per_kwh",
    "_kgco2e",
    "_bytes",
    "_flop",
    "_frac",
    "_usd",
    "_per_s",
    "_s",
    "_j",
    "_w",
)
