"""`nvidia-smi --query-gpu=timestamp,power.draw,... --format=csv`, as it is or with `noheader`-less variants.

Columns by NVIDIA's list (``nvidia-smi --help-query-gpu``); values may carry their unit in each cell.
"""

from __future__ import annotations

import re

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Heading, Meters, first_row, needed, records, unit_of_power
from simtool.trace.power_log import reading, scale_of
from simtool.trace.source import Source, refuse

_FIELDS = {
    "power.draw": "power_w", "power.draw.instant": "power_w", "power.draw.average": "power_average_w",
    "enforced.power.limit": "power_limit_w", "power.limit": "power_limit_w",
    "total_energy_consumption": "energy_j", "temperature.gpu": "temperature_degc",
    "clocks.sm": "clock_hz", "clocks.current.sm": "clock_hz", "clocks.gr": "clock_hz",
    "clocks.current.graphics": "clock_hz", "clocks.mem": "memory_clock_hz",
    "clocks.current.memory": "memory_clock_hz", "utilization.gpu": "utilization_frac",
}  # fmt: skip
_UNITS = {"clock_hz": "MHz", "memory_clock_hz": "MHz", "utilization_frac": "%", "energy_j": "mJ"}
_KNOWN = re.compile(
    r"(?:^|,)\s*(?:power\.draw|utilization\.gpu|temperature\.gpu|clocks\.(?:current\.)?(?:sm|gr))"
)
_REMEDY = "add timestamp,power.draw to --query-gpu, with --format=csv"


@READERS.register("nvidia-smi")
class NvidiaSmi:
    """nvidia-smi --query-gpu=timestamp,power.draw,... --format=csv."""

    def claims(self, source: Source) -> bool:
        """A header with names of nvidia-smi."""
        return bool(_KNOWN.search(",".join(first_row(source))))

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each GPU that is named by index, UUID or bus; else one."""
        meters = Meters(source, "nvidia-smi", choices)
        headings: list[Heading] = []
        others: dict[str, int] = {}
        for number, row in records(source):
            if not headings or _KNOWN.search(",".join(row).lower()):  # a log that was begun anew has another
                headings = [Heading.of(cell) for cell in row]
                _check(source, headings)
                continue
            if len(row) != len(headings):
                if number > 2 and meters.num_rows:  # the last line of a log that was cut
                    meters.num_rows += 1
                    meters.num_bad_times += 1
                    continue
                found = f"has {len(row)} cells, the header {len(headings)}"
                raise refuse(f"{source.where}:{number}", found, "export the log again")
            cells = {heading.name: cell for heading, cell in zip(headings, row, strict=True)}
            key = next((cells[name] for name in ("index", "uuid", "pci.bus_id") if cells.get(name)), "0")
            place = int(key) if key.isdecimal() and len(key) < 5 else others.setdefault(key, len(others))
            values = _values(headings, row, choices)
            meters.add(
                f"gpu{place}", cells["timestamp"], values, name=cells.get("name", cells.get("gpu_name", ""))
            )
        return Found(power=meters.logs())


def _check(source: Source, headings: list[Heading]) -> None:
    names = [heading.name for heading in headings]
    needed(source, names, {"timestamp": _REMEDY})
    if not any(_FIELDS.get(name, "").startswith(("power_w", "power_average", "energy")) for name in names):
        needed(source, names, {"power.draw": _REMEDY})


def _values(headings: list[Heading], row: list[str], choices: Choices) -> dict[str, float]:
    values: dict[str, float] = {}
    for heading, cell in zip(headings, row, strict=True):
        name = _FIELDS.get(heading.name)
        if name is None:
            continue
        if name.startswith("power"):
            value = reading(cell, unit_of_power(heading.unit, choices))
            if choices.power_unit and any(letter.isalpha() for letter in cell):  # the user knows better
                value = reading(cell.rstrip("kKmMuUwWatTsS "), choices.power_unit)
        else:
            unit = (
                heading.unit if heading.unit and scale_of(heading.unit) is not None else _UNITS.get(name, "")
            )
            value = reading(cell, unit)
        # Of power.draw and power.draw.instant, or clocks.sm and clocks.gr, the more exact one stands later.
        if name not in values or heading.name in ("power.draw.instant", "enforced.power.limit", "clocks.sm"):
            values[name] = value
    return values
