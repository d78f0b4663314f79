"""Tariffs from a table of charges in the columns of ``we3lab/electric-emission-cost``.

One row is one charge in one window: ``type`` customer, demand or energy; ``month_start, month_end, hour_start,
hour_end, weekday_start, weekday_end`` (Monday is 0, ends of months and days included, ends of hours not), ``charge`` or
``charge (metric)``, ``units``. Thousands of tariffs of the USA are published in this form. Rows of demand with one name
are one charge; without a name, rows of one price are. Rows of gas and of exports are left out and named.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from simtool.account.tariff import Part, Tariff
from simtool.account.tariffs.demand import Demand
from simtool.account.tariffs.fixed import Fixed
from simtool.account.tariffs.time_of_use import Period, TimeOfUse
from simtool.errors import InputError, Problem
from simtool.signals.holidays import WEEKDAYS
from simtool.signals.windows import Window, clock_text
from simtool.units import SECONDS_PER_HOUR

LIMIT_COLUMNS = ("basic_charge_limit", "basic_charge_limit (metric)", "basic_charge_limit (imperial)")
CHARGE_COLUMNS = ("charge", "charge (metric)")
UNITS = {"customer": "$/month", "demand": "$/kw", "energy": "$/kwh"}
MAX_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeTable:
    """A tariff, and what of its table it does not hold."""

    tariff: Tariff
    notes: tuple[str, ...]


def read_charge_table(path: Path, *, timezone: str, name: str = "") -> ChargeTable:
    """Read a table of charges.

    Args:
        path: the CSV.
        timezone: of the clock that it charges by: the table does not say.
        name: of the tariff; the file's if not given.

    Raises:
        InputError: it cannot be read, a row cannot, or its energy rows do not price every hour once.
    """
    rows, problems = _rows(path)
    charges, left_out = [], []
    for line, row in rows:
        if row.get("utility", "electric") not in ("electric", "") or row["type"] == "export":
            left_out.append(f"line {line}: {row.get('utility', '')} {row['type']}".replace("  ", " "))
            continue
        try:
            charges.append((row["type"], row.get("name", "") or row.get("period", ""), *_charge(row)))
        except ValueError as error:
            field, found, allowed = error.args
            problems.append(Problem(f"{path}:{line}", field, found, allowed, "correct the row"))
    if problems:
        raise InputError(problems[:20])
    try:
        tariff = Tariff(name=name or path.stem, parts=_parts(charges), timezone=timezone)
    except InputError as error:
        told = [Problem(str(path), p.field, p.found, p.allowed, p.mend) for p in error.problems]
        raise InputError(told) from None
    return ChargeTable(tariff=tariff, notes=tuple(f"left out, {what}" for what in left_out))


_Charge = tuple[str, str, Window, float]


def _parts(charges: list[_Charge]) -> tuple[Part, ...]:
    fees = sum(usd for kind, _, _, usd in charges if kind == "customer")
    demand: dict[tuple[str, float], list[Window]] = {}
    for kind, name, window, usd in charges:
        if kind == "demand":
            demand.setdefault((name, usd), []).append(window)
    energy = [(window, usd) for kind, _, window, usd in charges if kind == "energy"]
    periods = tuple(
        Period(name=_words(window), window=window, price_usd_per_kwh=usd) for window, usd in energy
    )
    named = {}
    for (name, usd), windows in demand.items():
        label = f"demand, {name or _words(windows[0])}"
        named[label if label not in named else f"{label}, {usd:g} USD/kW"] = (usd, tuple(windows))
    return (
        *((Fixed(amount_usd_per_month=fees),) if fees else ()),
        *(
            Demand(price_usd_per_kw_month=usd, name=name, windows=windows)
            for name, (usd, windows) in named.items()
        ),
        *((TimeOfUse(periods=periods),) if periods else ()),
    )


def _words(window: Window) -> str:
    begin, end = window.clock_s[0]
    days = f"{WEEKDAYS[window.days[0]][:3]}-{WEEKDAYS[window.days[-1]][:3]}"
    months = f"months {window.months[0]}-{window.months[-1]}"
    return f"{months} {days} {clock_text(begin)}-{clock_text(end)}"


def _rows(path: Path) -> tuple[list[tuple[int, dict[str, str]]], list[Problem]]:
    try:
        if not path.is_file():
            raise OSError("it is no file")
        content = path.read_bytes()
        if len(content) > MAX_BYTES:
            raise OSError(f"it is longer than {MAX_BYTES // 2**20} MiB")
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        raise InputError(Problem(str(path), "", f"cannot be read: {reason}", "a CSV file", "")) from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [name.strip() for name in reader.fieldnames or []]
    needed = [
        "type",
        "month_start",
        "month_end",
        "hour_start",
        "hour_end",
        "weekday_start",
        "weekday_end",
        "units",
    ]
    missing = [name for name in needed if name not in header]
    if not any(name in header for name in CHARGE_COLUMNS):
        missing.append(CHARGE_COLUMNS[0])
    if missing:
        found = f"found columns {', '.join(header[:10]) or 'none'}"
        raise InputError(Problem(str(path), missing[0], found, "", f"add {', '.join(missing)}"))
    reader.fieldnames = header
    rows, problems = [], []
    for row in reader:
        line = reader.line_num
        cells = {name: value.strip() for name, value in row.items() if name and isinstance(value, str)}
        if None in row or len(cells) < len(header):
            found = f"found {len(cells)} values"
            problems.append(Problem(f"{path}:{line}", "", found, f"{len(header)} values, one per column", ""))
        else:
            rows.append((line, cells))
    return rows, problems


def _charge(row: Mapping[str, str]) -> tuple[Window, float]:
    kind = row["type"]
    if kind not in UNITS:
        raise ValueError("type", f"found {kind!r}", "customer, demand, energy or export")
    if row["units"].lower() != UNITS[kind]:
        raise ValueError("units", f"found {row['units']!r}", f"{UNITS[kind]} for {kind}")
    limit = next((row[name] for name in LIMIT_COLUMNS if row.get(name)), "")
    if limit and _number(limit, "basic_charge_limit") > 0:
        raise ValueError(
            "basic_charge_limit", f"found {limit}", "0: blocks inside a window are not known here"
        )
    if row.get("assessed", "monthly") not in ("", "monthly"):
        raise ValueError("assessed", f"found {row['assessed']!r}", "monthly")
    usd = _number(next(row[name] for name in CHARGE_COLUMNS if name in row), "charge")
    if kind == "customer":
        return Window(), usd
    months, days = _span(row, "month", 1, 12), _span(row, "weekday", 0, 6)
    begin, end = (_number(row[name], name) * SECONDS_PER_HOUR for name in ("hour_start", "hour_end"))
    if not 0 <= begin < end <= 24 * SECONDS_PER_HOUR:
        raise ValueError(
            "hour_end", f"found {row['hour_start']} to {row['hour_end']}", "rising hours of a day"
        )
    return Window(months=months, days=days, clock_s=((begin, end),)), usd


def _span(row: Mapping[str, str], what: str, lowest: int, highest: int) -> tuple[int, ...]:
    first, last = (_number(row[f"{what}_{end}"], f"{what}_{end}") for end in ("start", "end"))
    if not (first.is_integer() and last.is_integer() and lowest <= first <= last <= highest):
        found = f"found {row[f'{what}_start']} to {row[f'{what}_end']}"
        raise ValueError(f"{what}_end", found, f"whole numbers from {lowest} to {highest}, rising")
    return tuple(range(int(first), int(last) + 1))


def _number(text: str, field: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(field, f"found {text!r}", "a number")
    return number
