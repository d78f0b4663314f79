"""`nvidia-smi dmon`: columns of text or, with ``--format csv``, CSV; with times by ``-o T`` or ``-o DT``."""

from __future__ import annotations

import re

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Meters, unit_of_power
from simtool.trace.power_log import reading, seconds_of_day
from simtool.trace.source import Source, refuse
from simtool.units import SECONDS_PER_DAY

_FIELDS = {
    "pwr": ("power_w", "W"), "gtemp": ("temperature_degc", "C"), "temp": ("temperature_degc", "C"),
    "sm": ("utilization_frac", "%"), "mclk": ("memory_clock_hz", "MHz"), "pclk": ("clock_hz", "MHz"),
}  # fmt: skip


def _cells(line: str) -> list[str]:
    return [cell for cell in re.split(r"[,\s]+", line.strip().lstrip("#").strip()) if cell]


@READERS.register("nvidia-dmon")
class NvidiaDmon:
    """nvidia-smi dmon, as text or CSV, with or without times."""

    def claims(self, source: Source) -> bool:
        """A first line like ``# gpu  pwr  gtemp ...``."""
        line = next((line for line in source.head.splitlines() if line.strip()), "")
        names = [cell.lower() for cell in _cells(line)]
        return (
            line.lstrip().startswith("#")
            and "gpu" in names
            and bool({"pwr", "gtemp", "sm", "pclk"} & set(names))
        )

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each GPU."""
        meters = Meters(source, "nvidia-dmon", choices)
        names: list[str] = []
        days, before = 0, -1.0
        for number, line in source.lines():
            if not line.strip():
                continue
            if line.lstrip().startswith("#"):
                cells = [cell.lower() for cell in _cells(line)]
                if "gpu" in cells:
                    names = cells
                    if "pwr" not in names:
                        raise refuse(
                            f"{source.where}:{number}",
                            "has no column 'pwr'",
                            "log with dmon -s p, e.g. -s pucm",
                        )
                continue
            row = _cells(line)
            if not names or len(row) < len(names):
                meters.num_rows += 1
                meters.num_bad_times += 1
                continue
            cells_by_name = dict(zip(names, row, strict=False))
            device = meters.device(cells_by_name["gpu"])
            if not device:
                continue
            values = {
                field: reading(cells_by_name[name], unit_of_power("", choices) if name == "pwr" else unit)
                for name, (field, unit) in _FIELDS.items()
                if name in cells_by_name
            }
            if "date" in cells_by_name and "time" in cells_by_name:
                meters.add(device, f"{cells_by_name['date']} {cells_by_name['time']}", values)
            elif "time" in cells_by_name:
                second = seconds_of_day(cells_by_name["time"])
                if second is None:
                    meters.num_rows += 1
                    meters.num_bad_times += 1
                    continue
                days += second < before - SECONDS_PER_DAY / 2
                before = second
                meters.num_rows += 1
                meters.clock, meters.resolution_s = "relative", 1.0
                meters.put(device, days * SECONDS_PER_DAY + second, values)
            else:
                meters.count(device, values)
        return Found(power=meters.logs())
