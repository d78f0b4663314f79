"""The series that travel with simtool, each with its source and licence."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Literal

from simtool.errors import InputError, Problem, did_you_mean
from simtool.signals.files import load_series
from simtool.signals.signal import Basis, Signal

FOLDER = Path(__file__).resolve().parent.parent / "signal_data"
"""Inside the package, so a wheel carries it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShippedSeries:
    """What is known of one shipped series."""

    name: str
    title: str
    zone: str
    unit: str
    begin: str
    end: str
    """First and last covered moment, ISO 8601 UTC."""
    basis: Basis | None
    source: str
    licence: str
    notes: str
    file: str
    quantity: str | None = None
    """Of weather: which column of the file it is."""
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    """East of Greenwich."""
    elevation_m: float | None = None
    """Where a station stands; None for what has no place."""

    @property
    def path(self) -> Path:
        """The file, inside the installed package."""
        return FOLDER / self.file


@cache
def _index() -> dict[str, ShippedSeries]:
    rows = json.loads((FOLDER / "index.json").read_text(encoding="utf-8"))
    found = {}
    for row in rows:
        basis = Basis(row.pop("basis")) if row["basis"] else None
        found[row["name"]] = ShippedSeries(**row | {"basis": basis})
    return found


def list_series() -> tuple[ShippedSeries, ...]:
    """All shipped series, by name."""
    return tuple(series for _, series in sorted(_index().items()))


def find_series(
    name_or_path: str,
    start: datetime,
    unit: str,
    *,
    question: Literal["average", "marginal", "market-based"] | None = None,
    field: str = "",
    folder: Path | None = None,
    repeat: Literal["yearly"] | None = None,
    until: datetime | None = None,
) -> Signal:
    """A signal from the name of a shipped series or the path of a file.

    A name without a folder and without a suffix is a shipped series.

    Args:
        name_or_path: e.g. ``price-ercot``, or ``data/my-price.csv``.
        start: the scenario's start.
        unit: base unit wanted.
        question: which carbon account it is for, if it is a carbon intensity.
        field: the scenario's field, for messages.
        folder: where relative paths begin, usually the scenario file's folder.
        repeat: see `load_series`.
        until: end of the run.

    Raises:
        InputError: no such series, or it holds something else.
    """
    if "/" in name_or_path or "\\" in name_or_path or Path(name_or_path).suffix:
        basis = Basis(question) if question else None
        path = (folder or Path()) / Path(name_or_path).expanduser()
        return load_series(
            path, start, unit, basis=basis, field=field, name=name_or_path, repeat=repeat, until=until
        )
    known = _index()
    if name_or_path not in known:
        hint = did_you_mean(name_or_path, [name for name, row in known.items() if row.unit == unit])
        raise InputError(
            Problem("", field, f"no shipped series {name_or_path!r}", f"a shipped name or a path; {hint}", "")
        )
    series = known[name_or_path]
    if series.unit != unit or (series.basis is not None and series.basis.question != question):
        what = series.basis.value if series.basis else series.unit
        wanted = f"a series of {question} intensity" if question else f"a series in {unit}"
        raise InputError(Problem("", field, f"{name_or_path!r} is {what}", wanted, ""))
    return load_series(
        series.path,
        start,
        unit,
        basis=series.basis,
        quantity=series.quantity,
        field=field,
        name=series.name,
        kind="published",
        source=f"{series.title}: {series.source}",
        repeat=repeat,
        until=until,
    )
