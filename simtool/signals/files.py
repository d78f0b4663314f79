"""Reading a series from a CSV (plain or gzip) or Parquet file.

Layout: a column ``time_utc`` (ISO 8601 with an offset, begin of each step) and a value column that
names quantity and unit, such as ``price_usd_per_mwh`` or ``carbon_average_gco2e_per_kwh``. Steps are
equally long. What is missing, doubled or out of order is refused, never filled in.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from simtool import units
from simtool.errors import InputError, Problem, did_you_mean
from simtool.provenance import Kind
from simtool.signals.calendar import repeat_yearly
from simtool.signals.rows import local_times, read_csv, read_parquet, series_error
from simtool.signals.signal import Basis, FloatArray, Signal

MAX_PROBLEMS = 20
"""Rows that one message lists before it only counts."""

_UNIT_WORDS = {
    "usd_per_kwh": ("USD/kWh", "USD/kWh"),
    "usd_per_mwh": ("USD/MWh", "USD/kWh"),
    "gco2e_per_kwh": ("gCO2e/kWh", "kgCO2e/kWh"),
    "kgco2e_per_kwh": ("kgCO2e/kWh", "kgCO2e/kWh"),
    "kgco2e_per_mwh": ("kgCO2e/MWh", "kgCO2e/kWh"),
}
_QUANTITY_WORDS = {
    "price": ("USD/kWh", None),
    "carbon": ("kgCO2e/kWh", None),
    "carbon_average": ("kgCO2e/kWh", "average"),
    "carbon_marginal": ("kgCO2e/kWh", "marginal"),
    "carbon_market": ("kgCO2e/kWh", "market-based"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What a column's name says."""

    name: str
    written_unit: str
    unit: str
    question: str | None
    """Which of several quantities in one unit it holds, where the name says so: a carbon account, or which
    temperature of the air."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A checked series: begin of every step in seconds since 1970, values in the base unit."""

    times_s: FloatArray
    values: FloatArray
    step_s: float
    unit: str


COLUMNS = {
    f"{quantity}_{word}": Column(
        name=f"{quantity}_{word}", written_unit=written, unit=base, question=question
    )
    for quantity, (wanted, question) in _QUANTITY_WORDS.items()
    for word, (written, base) in _UNIT_WORDS.items()
    if base == wanted
} | {
    name: Column(name=name, written_unit=written, unit=base, question=question)
    for name, written, base, question in (
        ("dry_bulb_c", "degC", "degC", "dry bulb"),
        ("wet_bulb_c", "degC", "degC", "wet bulb"),
        ("relative_humidity_frac", "", "", "relative humidity"),
        ("relative_humidity_percent", "percent", "", "relative humidity"),
        ("ghi_w_per_m2", "W/m^2", "W/m^2", "irradiance"),
        ("dni_w_per_m2", "W/m^2", "W/m^2", "direct irradiance"),
        ("dhi_w_per_m2", "W/m^2", "W/m^2", "diffuse irradiance"),
        ("wind_speed_m_per_s", "m/s", "m/s", "wind speed"),
        ("power_w_per_w", "", "", None),
        ("power_w", "W", "W", None),
        ("price_usd_per_hour", "USD/h", "USD/h", None),
        ("water_l_per_kwh", "L/kWh", "L/kWh", None),
    )
}
"""Every column name that holds values. ``power_w_per_w`` is the output of a plant per watt of its rating, ``power_w`` a
limit of the grid connection, ``price_usd_per_hour`` the spot price of an accelerator."""


def load_series(
    path: Path,
    start: datetime,
    unit: str,
    *,
    basis: Basis | None = None,
    quantity: str | None = None,
    field: str = "",
    name: str = "",
    kind: Kind = "assumed",
    source: str = "",
    repeat: Literal["yearly"] | None = None,
    until: datetime | None = None,
) -> Signal:
    """A signal in seconds since `start` from a file.

    Args:
        path: ``.csv``, ``.csv.gz`` or ``.parquet``.
        start: the scenario's start, with a time zone.
        unit: base unit wanted, e.g. ``USD/kWh`` or ``kgCO2e/kWh``; picks the column.
        basis: of a carbon intensity. A column that names another account is refused.
        quantity: of weather, where the unit does not tell: ``dry bulb``, ``wet bulb``, ...
        field: the scenario's field, for messages.
        name: what messages call the series; the path if not given.
        kind: kind of the numbers, for explanations; a scenario's own file is an assumption of the scenario.
        source: where they come from; the name if not given.
        repeat: ``"yearly"`` uses the series' calendar years again where the run leaves them.
        until: end of the run; needed by `repeat`.

    Raises:
        InputError: the file cannot be read as such a series; every bad row is named.
    """
    named = name or str(path)
    table = _table_of(path, unit, basis.question if basis else quantity, field)
    times, values = table.times_s, table.values
    if repeat is not None:
        if until is None:
            raise ValueError("repeat needs the end of the run")
        times, values = repeat_yearly(times, values, table.step_s, start, until, where=named, field=field)
    offset_s = start.astimezone(UTC).timestamp()
    return Signal(
        unit=unit,
        edges_s=times - offset_s,
        values=values,
        begin_s=float(times[0] - offset_s),
        end_s=float(times[-1] - offset_s + table.step_s),
        kind=kind,
        source=source or named,
        name=named,
        field_name=field,
        start=start.astimezone(UTC),
        basis=basis,
    )


def _table_of(path: Path, unit: str, question: str | None, field: str) -> Table:
    """The table of a file, read once as long as the file does not change: a study asks many times."""
    try:
        state = path.stat()
    except (OSError, ValueError):  # the second for a path that no file can have
        return read_table(path, unit, question, field)  # fails there, with the reason
    return _read_once(path.absolute(), unit, question, field, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=32)
def _read_once(
    path: Path, unit: str, question: str | None, field: str, modified_ns: int, size_bytes: int
) -> Table:
    del modified_ns, size_bytes  # only tell one state of the file from another
    return read_table(path, unit, question, field)


def read_table(path: Path, unit: str, question: str | None, field: str = "") -> Table:
    """The checked rows of a file, see `load_series`."""
    rows = (
        read_parquet(path, field, ("time_utc", *COLUMNS))
        if path.suffix == ".parquet"
        else read_csv(path, field)
    )
    header, lines, columns = rows
    if "time_utc" not in header:
        shown = ", ".join(header[:8]) or "nothing"
        like = [name for name in header if "time" in name.lower() or "date" in name.lower()]
        mend = (
            f"rename {like[0]!r}, and write an offset behind every time" if like else "times need an offset"
        )
        raise series_error(path, field, f"found columns {shown}", "a column 'time_utc'", mend)
    column = _pick(path, field, header, unit, question)
    times, values, problems = _convert(path, field, columns["time_utc"], columns[column.name], lines)
    problems += _irregular(path, field, times, lines) if not problems else []
    if not problems:
        factor = units.parse(f"1 {column.written_unit}", unit)
        values = values * factor
        if column.unit.startswith("kgCO2e") and question != "marginal" and (values < 0).any():
            line = lines[int(np.argmax(values < 0))]
            problems.append(Problem(f"{path}:{line}", field, "found a negative intensity", "0 or more", ""))
    if problems:
        raise InputError(_capped(problems, path, field))
    for array in (times, values):
        array.setflags(write=False)
    return Table(times_s=times, values=values, step_s=_step(np.diff(times)), unit=unit)


def _pick(path: Path, field: str, header: Sequence[str], unit: str, question: str | None) -> Column:
    known = [COLUMNS[name] for name in header if name in COLUMNS]
    fitting = [column for column in known if column.unit == unit and column.question in (None, question)]
    if len(fitting) == 1:
        return fitting[0]
    allowed = [name for name, c in COLUMNS.items() if c.unit == unit and c.question in (None, question)]
    if fitting:
        shown = " and ".join(column.name for column in fitting)
        raise series_error(
            path, field, f"found {shown}", f"one column in {unit}", "keep the one that is meant"
        )
    others = [name for name in header if name != "time_utc"]
    hint = did_you_mean(others[0], allowed) if others else f"known: {', '.join(allowed)}"
    shown = ", ".join(others[:8]) or "no further column"
    raise series_error(path, field, f"found {shown}", f"a column that holds {unit}", hint)


def _convert(
    path: Path, field: str, written_times: Sequence[Any], written_values: Sequence[Any], lines: Sequence[int]
) -> tuple[FloatArray, FloatArray, list[Problem]]:
    times = np.empty(len(lines))
    values = np.empty(len(lines))
    if (local := local_times(written_times, lines)) is not None:
        return times, values, [Problem(f"{path}:{lines[0]}", field, *local)]
    problems: list[Problem] = []
    for index, (time, value) in enumerate(zip(written_times, written_values, strict=True)):
        where = f"{path}:{lines[index]}"
        try:
            times[index] = _epoch_s(time)
        except ValueError as error:
            problems.append(Problem(where, field, f"found time {_short(time)}", str(error)))
        try:
            values[index] = number = float(value)
        except (TypeError, ValueError):
            number = float("nan")
        if not np.isfinite(number):
            problems.append(Problem(where, field, f"found value {_short(value)}", "a finite number", ""))
    if len(lines) < 2 and not problems:
        problems.append(Problem(str(path), field, f"found {len(lines)} rows", "at least two", ""))
    return times, values, problems


def _epoch_s(written: Any) -> float:
    moment = written if isinstance(written, datetime) else None
    if moment is None:
        with suppress(ValueError):
            moment = datetime.fromisoformat(str(written).strip())
    if moment is None or moment.tzinfo is None:
        raise ValueError("ISO 8601 with an offset, e.g. 2022-01-01T00:00Z")
    return moment.timestamp()


def _step(gaps_s: FloatArray) -> float:
    lengths, counts = np.unique(gaps_s[gaps_s > 0], return_counts=True)
    return float(lengths[np.argmax(counts)])


def _irregular(path: Path, field: str, times: FloatArray, lines: Sequence[int]) -> list[Problem]:
    gaps = np.diff(times)
    if not (gaps > 0).any():
        return [Problem(str(path), field, "the times do not rise", "rising times", "sort by time_utc")]
    step = _step(gaps)
    problems = []
    for index in np.flatnonzero(gaps != step).tolist():
        before, after = (_moment(times[index + shift]) for shift in (0, 1))
        if gaps[index] == 0:
            found, mend = f"{after} stands twice", "keep one; local times double an hour in autumn"
        elif gaps[index] < 0:
            found, mend = f"{after} follows {before}", "sort by time_utc"
        elif gaps[index] > step:
            found, mend = f"nothing from {before} to {after}", f"fill the gap with steps of {step:g} s"
        else:
            found, mend = f"a step of {gaps[index]:g} s at {before}", f"keep to steps of {step:g} s"
        problems.append(Problem(f"{path}:{lines[index + 1]}", field, found, "rising, equal steps", mend))
    return problems


def _moment(epoch_s: float) -> str:
    try:
        return f"{datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=epoch_s):%Y-%m-%dT%H:%MZ}"
    except OverflowError:  # a local time at the very end of the calendar
        return f"{epoch_s:g} s since 1970"


def _capped(problems: list[Problem], path: Path, field: str) -> list[Problem]:
    if len(problems) <= MAX_PROBLEMS:
        return problems
    rest = f"and {len(problems) - MAX_PROBLEMS} rows more"
    return [*problems[:MAX_PROBLEMS], Problem(str(path), field, rest)]


def _short(written: object) -> str:
    text = repr(written)
    return text if len(text) <= 40 else text[:37] + "..."
