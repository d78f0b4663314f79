"""Formats of other tools, and what reading a file of one brings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from simtool.errors import InputError, did_you_mean
from simtool.registry import Registry
from simtool.trace.kernels import KernelTable
from simtool.trace.kineto_table import Window
from simtool.trace.manifest import Device, Software
from simtool.trace.power_log import PowerLog
from simtool.trace.source import Source, refuse


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the user says about files that do not say it themselves."""

    power_unit: str = ""
    """Unit of power where a log names none or a wrong one: W, mW, kW or uW."""
    period_s: float | None = None
    """Time between readings of a log without times."""


@dataclass(frozen=True, kw_only=True)
class OpsFound:
    """Device work of one file."""

    kernels: KernelTable
    windows: tuple[Window, ...]
    devices: Mapping[int, Device]
    """Device of every rank."""
    software: Software = field(default_factory=Software)
    zero_unix_s: float | None = None
    """Time 0 of the tables as seconds since 1970 in UTC, where the file tells that."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What stands in one file."""

    ops: OpsFound | None = None
    power: tuple[PowerLog, ...] = ()
    notes: tuple[str, ...] = ()


class Reader(Protocol):
    """One format. The first line of its docstring is its description."""

    def claims(self, source: Source) -> bool:
        """Whether a file is of this format, by its beginning."""
        ...

    def read(self, source: Source, choices: Choices) -> Found:
        """All of the file; an `InputError` for what cannot be read."""
        ...


READERS: Registry[type[Reader]] = Registry("trace format", "simtool.trace.readers", "simtool.trace_readers")
"""All formats by name."""


def read_file(source: Source, choices: Choices, name: str = "") -> tuple[str, Found]:
    """Read a file in a named format, or in the one that it shows itself to be.

    Raises:
        InputError: if no reader knows it, or it cannot be read.
    """
    if name:
        if name not in READERS:
            mend = did_you_mean(name, READERS)
            raise refuse("--format", f"unknown trace format {name!r}", mend)
        return name, READERS[name]().read(source, choices)
    if not source.head.strip():
        raise refuse(source.where, "is empty", "name a trace or a power log")
    for candidate in READERS:
        reader = READERS[candidate]()
        if reader.claims(source):
            return candidate, reader.read(source, choices)
    first = source.head.lstrip().splitlines()[0][:60]
    raise refuse(
        source.where,
        f"is of no format that is known: it begins with {first!r}",
        "say with --format what it is",
        allowed=", ".join(READERS),
    )


__all__ = ["READERS", "Choices", "Found", "InputError", "OpsFound", "Reader", "read_file"]
