"""Outputs of Zeus: the log of `ZeusMonitor` (windows with energies), of `zeus_monitor` and of power timelines.

A window says how long it took and what each GPU used; its mean power stands for all of it. Of windows within
windows the innermost count.
"""

from __future__ import annotations

import re

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Heading, Meters, first_row, needed, records, unit_of_power
from simtool.trace.power_log import moment, reading
from simtool.trace.source import Source, counted, refuse
from simtool.trace.windows import Measured, leaves, put_windows

_ENERGY = re.compile(r"(gpu|cpu|dram)(\d{1,4})_energy\Z")
_TABLE = "it is a table of results, not a log"


@READERS.register("zeus")
class Zeus:
    """Zeus: ZeusMonitor's log of windows, or a log of powers (in milliwatts)."""

    def claims(self, source: Source) -> bool:
        """A header with windows and energies, or with time and power alone."""
        names = first_row(source)
        return (
            {"start_time", "elapsed_time"} <= set(names)
            or names in (["time", "power"], ["timestamp", "gpu_index", "power_mw"])
            or {"power_limit", "time_per_epoch", "average_power"} <= set(names)
        )

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each device."""
        names = first_row(source)
        if "time_per_epoch" in names:
            raise refuse(
                source.where, f"has means of epochs and no times: {_TABLE}", "name a log of ZeusMonitor"
            )
        meters = Meters(source, "zeus", choices)
        if "start_time" in names:
            return _windows(source, meters)
        headings: list[Heading] = []
        for number, row in records(source):
            if not headings:
                headings = [Heading.of(cell) for cell in row]
                continue
            if len(row) != len(headings):
                meters.num_rows += 1
                meters.num_bad_times += 1
                continue
            cells = {heading.name: cell for heading, cell in zip(headings, row, strict=True)}
            index = cells.get("gpu_index", "0")
            if not index.isdecimal() or len(index) > 4:
                raise refuse(f"{source.where}:{number}", f"found GPU {index[:20]!r}", "give its number")
            power = cells.get("power_mw", cells.get("power", ""))
            unit = unit_of_power(headings[-1].unit, choices, "mW")
            meters.add(
                f"gpu{int(index)}",
                cells.get("time", cells.get("timestamp", "")),
                {"power_w": reading(power, unit)},
            )
        return Found(power=meters.logs())


def _windows(source: Source, meters: Meters) -> Found:
    headings: list[str] = []
    windows: dict[str, list[Measured]] = {}
    for _, row in records(source):
        if not headings:
            headings = [Heading.of(cell).name for cell in row]
            needed(
                source,
                headings,
                {"start_time": "name a log of ZeusMonitor", "elapsed_time": "name a whole log"},
            )
            if not any(_ENERGY.match(name) for name in headings):
                needed(source, headings, {"gpu0_energy": "let ZeusMonitor measure a GPU"})
            continue
        meters.num_rows += 1
        cells = dict(zip(headings, row, strict=False))
        begin, elapsed = moment(cells.get("start_time", "")), reading(cells.get("elapsed_time"))
        if begin is None or not elapsed > 0:
            meters.num_bad_times += 1
            continue
        meters.clock = meters.clock or begin[1]
        for name in headings:
            if (match := _ENERGY.match(name)) and (energy_j := reading(cells.get(name))) >= 0:
                device = f"{match[1]}{int(match[2])}"
                label = cells.get("window_name", "")
                windows.setdefault(device, []).append(Measured(begin[0], begin[0] + elapsed, energy_j, label))
    notes = []
    for device, found in windows.items():
        kept = leaves(found)
        put_windows(meters, device, kept)
        if len(kept) < len(found):
            notes.append(
                f"{device}: {counted(len(found) - len(kept), 'window')} left out that holds or overlaps another"
            )
    return Found(power=meters.logs(*notes))
