"""Tables of numbers as text: a header of names with units, and rows."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from simtool.trace.found import Choices
from simtool.trace.power_log import ClockKind, PowerLog, Rows, moment
from simtool.trace.source import Source, refuse

_UNIT = re.compile(r"\s*[\[(]([^\])]*)[\])]\s*\Z")
MAX_COLUMNS = 10_000
MAX_HEADING_CHARACTERS = 1_000
"""No heading is longer; brackets without end in one would take minutes."""


@dataclass(frozen=True, slots=True)
class Heading:
    """One column of a table: its name in lower case, and the unit that stands behind it in brackets."""

    name: str
    unit: str

    @classmethod
    def of(cls, cell: str) -> Heading:
        """From what stands in the header.

        >>> Heading.of("power.draw [W]")
        Heading(name='power.draw', unit='W')
        """
        match = _UNIT.search(cell) if len(cell) <= MAX_HEADING_CHARACTERS else None
        if match is None:
            return cls(cell.strip().lower(), "")
        return cls(cell[: match.start()].strip().lower(), match[1].strip())


def records(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Number of the line and cells of every row of a CSV file; empty lines are left out.

    Raises:
        InputError: for a line that is no CSV.
    """
    last = 0

    def texts() -> Iterator[str]:
        nonlocal last
        for number, line in source.lines():
            last = number
            yield line

    try:
        for row in csv.reader(texts(), skipinitialspace=True):
            if any(cell.strip() for cell in row):
                if len(row) > MAX_COLUMNS:
                    raise refuse(f"{source.where}:{last}", f"has {len(row)} columns", "name a power log")
                yield last, [cell.strip() for cell in row]
    except csv.Error as error:
        raise refuse(f"{source.where}:{last}", f"is no CSV: {error}", "export the log again") from error


def first_row(source: Source) -> list[str]:
    """Cells of the first line that is not empty, in lower case."""
    line = next((line for line in source.head.splitlines() if line.strip()), "")
    try:
        return [cell.strip().lower() for cell in next(csv.reader([line], skipinitialspace=True))]
    except (csv.Error, StopIteration):
        return []


def needed(source: Source, found: Sequence[str], wanted: Mapping[str, str]) -> None:
    """Refuse a table without a column that is needed.

    Args:
        source: the file.
        found: names of its columns.
        wanted: name of each column that is needed, and how to get it.

    Raises:
        InputError: with every column that is missing.
    """
    for name, mend in wanted.items():
        if name not in found:
            shown = ", ".join(found[:12]) or "none"
            raise refuse(f"{source.where}:1", f"has no column {name!r}; its columns are {shown}", mend)


def unit_of_power(heading_unit: str, choices: Choices, default: str = "W") -> str:
    """The unit in which a column of powers is read: what the user says, the header, or the format's own."""
    return choices.power_unit or heading_unit or default


MAX_DIGITS = 4
"""Of the number of a GPU."""


@dataclass(slots=True)
class Meters:
    """Readings of several meters of one file, and the clock that all of them share."""

    source: Source
    format: str
    choices: Choices
    scope: str = "gpu"

    rows: dict[str, Rows] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    clock: ClockKind | None = None
    resolution_s: float = 0.0
    num_bad_times: int = 0
    num_bad_devices: int = 0
    bad_device: str = ""
    """The first of them."""
    num_rows: int = 0

    def add(
        self, device: str, text: str, values: Mapping[str, float], *, name: str = "", label: str = ""
    ) -> None:
        """One reading at a written time; one whose time cannot be read is counted and left out."""
        self.num_rows += 1
        found = moment(text)
        if found is None:
            self.num_bad_times += 1
            return
        time_s, clock, fineness = found
        if self.clock is None:
            self.clock = clock
        if clock != self.clock:
            self.num_bad_times += 1
            return
        self.resolution_s = max(self.resolution_s, fineness)
        self.put(device, time_s, values, name=name, label=label)

    def put(
        self, device: str, time_s: float, values: Mapping[str, float], *, name: str = "", label: str = ""
    ) -> None:
        """One reading at a known time."""
        if device not in self.rows and len(self.rows) >= MAX_COLUMNS:
            raise refuse(self.source.where, f"names more than {MAX_COLUMNS} devices", "name a power log")
        self.rows.setdefault(device, Rows()).add(time_s, values, label)
        if name:
            self.names.setdefault(device, name[:120])

    def count(self, device: str, values: Mapping[str, float], *, name: str = "") -> None:
        """One reading of a log without times: its number times the period."""
        self.num_rows += 1
        self.clock = "counted"
        num = len(self.rows[device].times_s) if device in self.rows else 0
        period_s = self.choices.period_s or 1.0
        self.resolution_s = period_s
        self.put(device, num * period_s, values, name=name)

    def device(self, number: str) -> str:
        """Name of the GPU of a reading; empty for one that has no number of up to four digits, which is counted."""
        if number.isdecimal() and len(number) <= MAX_DIGITS:
            return f"gpu{int(number)}"
        self.num_rows += 1
        self.num_bad_devices += 1
        self.bad_device = self.bad_device or number
        return ""

    def logs(self, *notes: str) -> tuple[PowerLog, ...]:
        """The logs of all meters.

        Raises:
            InputError: if no reading has a time and a power or an energy.
        """
        told = list(notes)
        if self.num_bad_devices:
            told.append(
                f"{self.num_bad_devices} of {self.num_rows} readings are of a GPU {self.bad_device[:40]!r}, no number "
                f"of up to {MAX_DIGITS} digits"
            )
        if self.num_bad_times:
            told.append(f"{self.num_bad_times} of {self.num_rows} readings have no time that can be read")
        if self.clock == "counted" and self.choices.period_s is None:
            told.append(
                "the log has no times: one second between readings is assumed (--period says another)"
            )
        found = []
        for device, rows in self.rows.items():
            columns = rows.columns()
            if not columns.keys() & {"power_w", "power_average_w", "energy_j"}:
                continue
            found.append(
                PowerLog(
                    format=self.format, device=device, device_name=self.names.get(device, ""),
                    clock=self.clock or "relative", times_s=np.array(rows.times_s, float), columns=columns,
                    labels=tuple(rows.labels) if any(rows.labels) else (), scope=self.scope,
                    resolution_s=self.resolution_s, notes=tuple(told),
                )
            )  # fmt: skip
        if not found:
            why = f": {told[0]}" if told else ""
            raise refuse(
                self.source.where,
                f"has no reading of power or energy among its {self.num_rows} rows{why}",
                "log power (power.draw of nvidia-smi, pwr of dmon, field 155 of DCGM, --showpower of rocm-smi)",
            )
        return tuple(found)
