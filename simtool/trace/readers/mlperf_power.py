"""Power logs of MLPerf: PTDaemon's ``spl.txt``, readings in MLLOG lines, and tables of nodes over time.

Readings are of whole nodes or switches, as metered; an efficiency of conversion that a log states is told and not
applied.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.log_table import Meters, first_row, records, unit_of_power
from simtool.trace.power_log import reading
from simtool.trace.source import Source, refuse

_NAME = re.compile(r"[^A-Za-z0-9_+-]+")
_METER = re.compile(r"(?:node|sw|switch|rack|pdu)_?\w{0,30}\Z")
_MLLOG = re.compile(r":::MLLOG (\{.*\})\s*\Z")


@READERS.register("mlperf-power")
class MlperfPower:
    """MLPerf power: PTDaemon's spl.txt, MLLOG power readings, or CSV of nodes over t_s."""

    def claims(self, source: Source) -> bool:
        """A line of PTDaemon, a reading in an MLLOG line, or a column t_s beside nodes."""
        names = first_row(source)
        is_table = len(names) > 1 and names[0] == "t_s" and all(_METER.match(name) for name in names[1:])
        is_spl = len(names) >= 4 and names[0] == "time" and names[2] == "watts"
        return is_table or is_spl or (":::MLLOG" in source.head and "power_" in source.head)

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each meter."""
        meters = Meters(source, "mlperf-power", choices, scope="node")
        names = first_row(source)
        if names[:1] == ["t_s"]:
            notes = _read_table(source, meters, choices)
        elif ":::MLLOG" in source.head:
            notes = _read_mllog(source, meters, choices)
        else:
            notes = _read_spl(source, meters, choices)
        logs = meters.logs(*notes)
        return Found(
            power=tuple(replace(log, scope="switch") if log.device.startswith("sw") else log for log in logs)
        )


def _read_table(source: Source, meters: Meters, choices: Choices) -> list[str]:
    headings: list[str] = []
    for number, row in records(source):
        if not headings:
            headings = [_NAME.sub("_", cell)[:40] for cell in row]
            continue
        if len(row) != len(headings):
            found = f"has {len(row)} cells, the header {len(headings)}"
            raise refuse(f"{source.where}:{number}", found, "take the table whole")
        for device, cell in zip(headings[1:], row[1:], strict=True):
            if cell:  # nodes are read at moments of their own
                meters.add(device, row[0], {"power_w": reading(cell, unit_of_power("", choices))})
    return []


def _read_spl(source: Source, meters: Meters, choices: Choices) -> list[str]:
    mark = ""
    for _, row in records(source):
        cells = {name.lower(): cell for name, cell in zip(row[::2], row[1::2], strict=False)}
        now = cells.get("mark", "")
        label, mark = (now if now != mark else ""), now
        power_w = reading(cells.get("watts"), unit_of_power("", choices))
        meters.add("node_0", cells.get("time", ""), {"power_w": power_w}, label=label)
    return []


def _read_mllog(source: Source, meters: Meters, choices: Choices) -> list[str]:
    notes: list[str] = []
    for _, line in source.lines():
        match = _MLLOG.search(line)
        if match is None:
            continue
        meters.num_rows += 1
        try:
            event = json.loads(match[1])
        except (ValueError, RecursionError):
            meters.num_bad_times += 1
            continue
        if not isinstance(event, dict) or not isinstance(event.get("key"), str):
            continue
        key, about = event["key"], event.get("metadata")
        host = str(about.get("host", "node_0")) if isinstance(about, dict) else "node_0"
        if key in ("power_reading", "interconnect_power_estimation", "interconnect_power_est"):
            power_w = reading(str(event.get("value")), unit_of_power("", choices))
            meters.add(
                _NAME.sub("_", host).strip("_")[:40] or "node_0",
                str(event.get("time_ms", "")),
                {"power_w": power_w},
            )
            if key != "power_reading" and not any("estimate" in note for note in notes):
                notes.append("powers of the interconnect are an estimate of whoever wrote the log")
        elif key in ("conversion_eff", "convertion_eff") and not any("conversion" in note for note in notes):
            notes.append(
                f"the log states an efficiency of conversion of {event.get('value')}: it was not applied"
            )
    return notes
