"""`dcgmi dmon -e 155,156,...` as text, with or without a time before each line, and CSV with DCGM's field names.

Short names and units: ``dcgmi dmon --list`` of DCGM 2 to 4. TOTEC counts millijoules.
"""

from __future__ import annotations

import re

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Heading, Meters, first_row, needed, records, unit_of_power
from simtool.trace.power_log import moment, reading
from simtool.trace.source import Source, refuse

_SHORT = {
    "power": ("power_w", "W"), "pwrinst": ("power_w", "W"), "totec": ("energy_j", "mJ"),
    "gputl": ("utilization_frac", "%"), "gract": ("utilization_frac", ""), "tmptr": ("temperature_degc", "C"),
    "smclk": ("clock_hz", "MHz"), "mmclk": ("memory_clock_hz", "MHz"), "pmlmt": ("power_limit_w", "W"),
}  # fmt: skip
_LONG = {
    "dcgm_fi_dev_power_usage": _SHORT["power"], "dcgm_fi_dev_power_usage_instant": _SHORT["power"],
    "dcgm_fi_dev_total_energy_consumption": _SHORT["totec"], "dcgm_fi_dev_gpu_util": _SHORT["gputl"],
    "dcgm_fi_prof_gr_engine_active": _SHORT["gract"], "dcgm_fi_dev_gpu_temp": _SHORT["tmptr"],
    "dcgm_fi_dev_sm_clock": _SHORT["smclk"], "dcgm_fi_dev_mem_clock": _SHORT["mmclk"],
    "dcgm_fi_dev_power_mgmt_limit": _SHORT["pmlmt"], "dcgm_fi_dev_enforced_power_limit": _SHORT["pmlmt"],
}  # fmt: skip
_HEADER = re.compile(r"#\s*Entity\b(.*)", re.IGNORECASE)
_ROW = re.compile(r"(?P<time>.*?)\bGPU(?:-I)?\s+(?P<gpu>\d+)\s+(?P<rest>\S.*)")
_REMEDY = "log fields 155 (power) or 156 (energy), e.g. dcgmi dmon -e 155,156,203"


@READERS.register("dcgm")
class Dcgm:
    """DCGM: dcgmi dmon as text, or CSV with DCGM's field names."""

    def claims(self, source: Source) -> bool:
        """A line ``#Entity ...``, or a header with DCGM's names."""
        lines = [line for line in source.head.splitlines()[:20] if line.strip()]
        return any(_HEADER.search(line) for line in lines) or any(name in _LONG for name in _names(source))

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each GPU."""
        meters = Meters(source, "dcgm", choices)
        if any(name in _LONG for name in _names(source)):
            _read_csv(source, meters, choices)
        else:
            _read_text(source, meters, choices)
        return Found(power=meters.logs())


def _names(source: Source) -> list[str]:
    return [Heading.of(cell).name for cell in first_row(source)]


def _scaled(cell: str, field: str, unit: str, choices: Choices) -> float:
    return reading(cell, unit_of_power("", choices, unit) if field == "power_w" else unit)


def _read_text(source: Source, meters: Meters, choices: Choices) -> None:
    names: list[str] = []
    for number, line in source.lines():
        if header := _HEADER.search(line):
            names = header[1].lower().split()
            if not {"power", "pwrinst", "totec"} & set(names):
                found = f"has neither POWER nor TOTEC among {', '.join(names) or 'no columns'}"
                raise refuse(f"{source.where}:{number}", found, _REMEDY)
            continue
        row = _ROW.fullmatch(line.strip())
        if row is None or not names:
            continue
        cells = row["rest"].split()
        if len(cells) < len(names):
            meters.num_rows += 1
            meters.num_bad_times += 1
            continue
        values = {
            _SHORT[name][0]: _scaled(cell, *_SHORT[name], choices)
            for name, cell in zip(names, cells, strict=False)
            if name in _SHORT
        }
        device, time = meters.device(row["gpu"]), row["time"].strip()
        if not device:
            continue
        if time and moment(time) is not None:
            meters.add(device, time, values)
        else:
            meters.count(device, values)


def _read_csv(source: Source, meters: Meters, choices: Choices) -> None:
    headings: list[Heading] = []
    for number, row in records(source):
        if not headings:
            headings = [Heading.of(cell) for cell in row]
            names = [heading.name for heading in headings]
            time = next((name for name in ("timestamp", "time") if name in names), "")
            if not time:
                needed(source, names, {"timestamp": "export the time of every reading too"})
            continue
        if len(row) != len(headings):
            found = f"has {len(row)} cells, the header {len(headings)}"
            raise refuse(f"{source.where}:{number}", found, "export the log again")
        cells = {heading.name: cell for heading, cell in zip(headings, row, strict=True)}
        values = {
            _LONG[heading.name][0]: _scaled(
                cell, _LONG[heading.name][0], heading.unit or _LONG[heading.name][1], choices
            )
            for heading, cell in zip(headings, row, strict=True)
            if heading.name in _LONG
        }
        key = next((cells[name] for name in ("gpu", "gpu_id", "device", "entity") if cells.get(name)), "0")
        digits = re.search(r"\d+\Z", key)
        device = meters.device(digits[0] if digits else "0")
        if device:
            name = cells.get("modelname", cells.get("model_name", ""))
            meters.add(device, cells[time], values, name=name)
