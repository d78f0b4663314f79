"""`rocm-smi --showpower ... --csv` or ``--json``, once or in a loop, with or without a time of one's own.

rocm-smi writes no time itself: a column ``timestamp`` (CSV) or a value of that name beside the cards (JSON)
is taken where it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from simtool.trace.found import READERS, Choices, Found
from simtool.trace.json_stream import read_documents
from simtool.trace.log_table import Heading, Meters, first_row, records, unit_of_power
from simtool.trace.power_log import reading
from simtool.trace.source import Source, refuse

_FIELDS = (
    (re.compile(r"(?:average|current)(?: socket)? graphics package power|^socket power"), "power_w", "W"),
    (re.compile(r"^max graphics package power|power cap"), "power_limit_w", "W"),
    (re.compile(r"accumulated energy"), "energy_j", "uJ"),
    (re.compile(r"temperature \(sensor (?:junction|edge)\)"), "temperature_degc", "C"),
    (re.compile(r"^gpu use"), "utilization_frac", "%"),
    (re.compile(r"^sclk clock speed"), "clock_hz", "MHz"),
    (re.compile(r"^mclk clock speed"), "memory_clock_hz", "MHz"),
)
_TIMES = ("timestamp", "time")
_CARD = re.compile(r"(?:card|gpu)[ \[]?(\d+)\]?\Z", re.IGNORECASE)


@READERS.register("rocm-smi")
class RocmSmi:
    """rocm-smi --showpower --csv, or --json."""

    def claims(self, source: Source) -> bool:
        """A CSV header with a device and names of rocm-smi, or JSON of cards."""
        if re.match(r'\s*\[?\s*\{\s*"(?:card\d|timestamp"[^{}]{0,80}"card\d)', source.head):
            return True
        names = first_row(source)
        return "device" in names and any(_field_of(name) for name in names)

    def read(self, source: Source, choices: Choices) -> Found:
        """One log for each card."""
        meters = Meters(source, "rocm-smi", choices)
        samples = _from_json(source) if source.head.lstrip()[:1] in ("{", "[") else _from_csv(source)
        for number, cells, time in samples:
            card = meters.device(number)
            if not card:
                continue
            values: dict[str, float] = {}
            for name, cell in cells.items():
                field = _field_of(name.lower())
                if field is None:
                    continue
                unit = unit_of_power("", choices, field[1]) if field[0] == "power_w" else field[1]
                value = reading(str(cell), unit)
                if field[0] not in values or values[field[0]] != values[field[0]]:
                    values[field[0]] = value
            name = str(next((cells[key] for key in ("Card Series", "Card series") if key in cells), ""))
            if time:
                meters.add(card, time, values, name=name)
            else:
                meters.count(card, values, name=name)
        return Found(power=meters.logs())


def _field_of(name: str) -> tuple[str, str] | None:
    low = name.lower()
    return next(((field, unit) for pattern, field, unit in _FIELDS if pattern.search(low)), None)


def _from_csv(source: Source) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    headings: list[str] = []
    for number, row in records(source):
        if not headings or [cell.lower() for cell in row] == [name.lower() for name in headings]:
            headings = row
            continue
        if len(row) != len(headings):
            found = f"has {len(row)} cells, the header {len(headings)}"
            raise refuse(f"{source.where}:{number}", found, "export the log again")
        cells = dict(zip(headings, row, strict=True))
        low = {Heading.of(name).name: cell for name, cell in cells.items()}
        match = _CARD.match(low.get("device", ""))
        if match:
            yield match[1], cells, next((low[name] for name in _TIMES if low.get(name)), "")


def _from_json(source: Source) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    for document in read_documents(source):
        if not isinstance(document, dict):
            found = f"holds {type(document).__name__}, not cards"
            raise refuse(source.where, found, "name a log of rocm-smi --json")
        time = next((str(document[name]) for name in _TIMES if name in document), "")
        for card, cells in document.items():
            match = _CARD.match(card)
            if match and isinstance(cells, dict):
                yield match[1], cells, time
