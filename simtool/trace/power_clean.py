"""What can be trusted of a power log: order, units, gaps, and counters that wrap or start anew."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.trace.intervals import Floats
from simtool.trace.power_log import PowerLog
from simtool.trace.source import counted

GAP_FACTOR = 5.0
"""A gap is longer than so many usual periods; nothing is integrated over it."""
MAX_GPU_W = 5000.0
"""No accelerator module draws as much: a GB300 module is limited to 2.9 kW."""
MAX_NODE_W = 2e5
"""No server or rack that is metered as one draws as much: a GB300 rack is planned with 135 kW."""
MIN_ACTIVE_W = 1.0
"""No accelerator that is read over a driver draws less."""
COUNTER_SPANS_J = (2**32 * 1e-3, 2**32 * 1e-6, 2**32 * 61.03515625e-6, 2**32 * 15.2587890625e-6, 2**32 * 1.0)
"""Where counters of 32 bits begin again: of millijoules, of microjoules, of RAPL's units of 2^-14 J and 2^-16 J,
of joules."""
WRAP_TOLERANCE = 0.5
"""A wrap is believed where what it means for the interval agrees with the power by so much."""
FROZEN_FRAC = 0.05
"""A counter that grew by less than this share of the integral of the power stands still."""
END = "(end)"
"""Label of a reading behind which nothing was measured."""


@dataclass(frozen=True, kw_only=True)
class CleanLog:
    """A log in order, and its energy as a function of time."""

    log: PowerLog
    edges_s: Floats
    """Times of the readings that the energy rests on."""
    energy_j: Floats
    """Energy from the first edge up to each."""
    is_known: NDArray[np.bool_]
    """Of every interval between edges whether its energy is known."""
    period_s: tuple[float, float] | None
    """Shortest and longest usual time between readings: 5th and 95th percentile."""
    num_gaps: int
    longest_gap_s: float
    num_resets: int
    num_wraps: int
    counter_vs_integral_gap_frac: float | None
    source: str
    """What the energy rests on: counter or power."""
    notes: tuple[str, ...]

    def energy_between(self, begin_s: float, end_s: float) -> tuple[float, float]:
        """Energy [J] of the part of a window that is known, and that part's length [s]."""
        if len(self.edges_s) < 2:
            return 0.0, 0.0
        begins, ends = self.edges_s[:-1][self.is_known], self.edges_s[1:][self.is_known]
        power_w = np.diff(self.energy_j)[self.is_known] / np.maximum(ends - begins, 1e-12)
        shared = np.maximum(0.0, np.minimum(ends, end_s) - np.maximum(begins, begin_s))
        return float(np.sum(power_w * shared)), float(np.sum(shared))

    def powers(self) -> tuple[Floats, Floats]:
        """Times and powers of the readings; of a log of energies alone the mean powers between readings."""
        for name in ("power_w", "power_average_w"):
            values = self.log.columns.get(name)
            if values is not None:
                keep = ~np.isnan(values)
                return self.log.times_s[keep], values[keep]
        middle = (self.edges_s[1:] + self.edges_s[:-1]) / 2
        power_w = np.diff(self.energy_j) / np.maximum(np.diff(self.edges_s), 1e-12)
        return middle[self.is_known], power_w[self.is_known]


def clean(log: PowerLog, where: str) -> CleanLog:
    """Put a log in order.

    Raises:
        InputError: if its powers cannot be in the unit that was read, or nothing is left.
    """
    notes = list(log.notes)
    log = _ordered(log, notes)
    _check_units(log, where)
    log = _without_negative(log, notes)
    power_edges = _integral(log)
    counter = _Counter(log, power_edges)
    gap = None
    edges, energy, known, source = (*power_edges, "power")
    if counter.is_there:
        if len(power_edges[0]) > 1:
            gap = counter.gap(power_edges)
        if gap is not None and gap > 1.0 / FROZEN_FRAC - 1.0:
            notes.append(f"{log.device}: the energy counter stands still: the power was integrated instead")
            gap = None
        else:
            edges, energy, known, source = counter.times_s, counter.energy_j, counter.is_known, "counter"
    if len(edges) < 1 or (len(edges) > 1 and not known.any()):
        found = f"{log.device}: no two readings belong together"
        raise InputError(Problem(where, "", found, "", "log for longer, or more often"))
    num_gaps, longest = _gaps(log, power_edges)
    notes += counter.notes(log.device)
    if num_gaps:
        notes.append(
            f"{log.device}: {counted(num_gaps, 'gap')}, the longest of {longest:.3g} s: not integrated over"
        )
    return CleanLog(
        log=replace(log, notes=()), edges_s=edges, energy_j=energy, is_known=known, period_s=_period(log),
        num_gaps=num_gaps, longest_gap_s=longest, num_resets=counter.num_resets, num_wraps=counter.num_wraps,
        counter_vs_integral_gap_frac=gap, source=source, notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _ordered(log: PowerLog, notes: list[str]) -> PowerLog:
    num_back = int(np.sum(np.diff(log.times_s) < 0))
    if not num_back:
        return log
    order = np.argsort(log.times_s, kind="stable")
    notes.append(
        f"{log.device}: {counted(num_back, 'reading')} stood before an earlier one: they were put in order"
    )
    return replace(
        log, times_s=log.times_s[order], columns={name: values[order] for name, values in log.columns.items()},
        labels=tuple(log.labels[place] for place in order) if log.labels else (),
    )  # fmt: skip


def _check_units(log: PowerLog, where: str) -> None:
    limit_w = MAX_GPU_W if log.scope == "gpu" else MAX_NODE_W
    for name in ("power_w", "power_average_w", "power_limit_w"):
        values = log.columns.get(name)
        values = None if values is None else values[~np.isnan(values)]
        if values is None or not len(values):
            continue
        num_high = int(np.sum(values > limit_w))
        if num_high:
            found = f"{num_high} of {len(values)} values of {name} lie above {limit_w:g} W, up to {values.max():g} W"
            which = "all" if num_high == len(values) else "some"
            mend = (
                "say --power-unit mW if they are milliwatts"
                if which == "all"
                else "it may mix units: give every reading in one unit"
            )
            if values.max() > 1e3 * limit_w:
                mend = "no unit makes a power of that: name the column that holds the power, or export the log again"
            raise InputError(Problem(where, log.device, found, "", mend))
        if name == "power_w" and log.scope == "gpu" and 0.0 < values.max() < MIN_ACTIVE_W:
            found = f"no power of {len(values)} reaches {MIN_ACTIVE_W:g} W: the largest is {values.max():g} W"
            raise InputError(
                Problem(where, log.device, found, "", "say --power-unit kW if they are kilowatts")
            )
        if values.max() < 0.0 and name != "power_limit_w":
            found = f"all {len(values)} values of {name} are negative, up to {values.max():g} W"
            mend = "power drawn is positive: name the column that holds it, or turn the sign"
            raise InputError(Problem(where, log.device, found, "", mend))
        if name == "power_w" and values.max() == 0.0 and "energy_j" not in log.columns:
            found = f"all {len(values)} powers are zero: this meter does not measure"
            mend = "leave the log out; of cards with two dies one reports for both"
            raise InputError(Problem(where, log.device, found, "", mend))


def _without_negative(log: PowerLog, notes: list[str]) -> PowerLog:
    columns = dict(log.columns)
    for name in ("power_w", "power_average_w"):
        if name in columns and (num := int(np.sum(columns[name] < 0))):
            columns[name] = np.where(columns[name] < 0, np.nan, columns[name])
            notes.append(f"{log.device}: {counted(num, 'negative power')} left out")
    return replace(log, columns=columns)


_Edges = tuple[Floats, Floats, NDArray[np.bool_]]


def _integral(log: PowerLog) -> _Edges:
    """Energy by the trapezoidal rule between readings that belong together."""
    values = log.columns.get("power_w", log.columns.get("power_average_w"))
    if values is None:
        return np.empty(0), np.empty(0), np.empty(0, bool)
    keep = ~np.isnan(values)
    times_s, power_w = log.times_s[keep], values[keep]
    if not len(times_s):
        return np.empty(0), np.empty(0), np.empty(0, bool)
    steps_s = np.diff(times_s)
    known = steps_s > 0
    if END in log.labels:
        ends = np.cumsum([label == END for label in log.labels])[keep]
        known &= np.diff(ends) == 0
    elif (limit_s := _limit(times_s)) is not None:
        known &= steps_s <= limit_s
    energy_j = np.where(known, (power_w[1:] + power_w[:-1]) / 2 * steps_s, 0.0)
    return times_s, np.concatenate(([0.0], np.cumsum(energy_j))), known


def _limit(times_s: Floats) -> float | None:
    steps_s = np.diff(times_s)
    steps_s = steps_s[steps_s > 0]
    return GAP_FACTOR * float(np.median(steps_s)) if len(steps_s) else None


class _Counter:
    """The energy counter of a log, with wraps and resets told apart."""

    def __init__(self, log: PowerLog, integral: _Edges) -> None:
        values = log.columns.get("energy_j")
        keep = np.zeros(len(log.times_s), bool) if values is None else ~np.isnan(values)
        self.times_s = log.times_s[keep]
        self.num_resets = self.num_wraps = 0
        self.is_there = values is not None and len(self.times_s) > 1
        if not self.is_there or values is None:
            return
        grown_j = np.diff(values[keep])
        self.is_known = np.diff(self.times_s) > 0
        for place in np.flatnonzero(grown_j < 0).tolist():
            expected_j = self._expected(place, grown_j, integral)
            spans = [grown_j[place] + span for span in COUNTER_SPANS_J if grown_j[place] + span >= 0]
            near = min(spans, key=lambda span_j: abs(span_j - expected_j), default=math.inf)
            if abs(near - expected_j) <= WRAP_TOLERANCE * max(expected_j, 1.0):
                grown_j[place] = near
                self.num_wraps += 1
            else:
                grown_j[place] = 0.0
                self.is_known[place] = False
                self.num_resets += 1
        self.energy_j = np.concatenate(([0.0], np.cumsum(grown_j)))

    def _expected(self, place: int, grown_j: Floats, integral: _Edges) -> float:
        begin_s, end_s = self.times_s[place], self.times_s[place + 1]
        times_s, energy_j, known = integral
        if len(times_s) > 1 and known.any():
            return float(np.interp(end_s, times_s, energy_j) - np.interp(begin_s, times_s, energy_j))
        steps_s = np.diff(self.times_s)
        usual = grown_j[(grown_j > 0) & (steps_s > 0)] / steps_s[(grown_j > 0) & (steps_s > 0)]
        return float(np.median(usual) * (end_s - begin_s)) if len(usual) else math.inf

    def gap(self, integral: _Edges) -> float | None:
        """(integral of the power - counter) / counter, over the intervals of which both are known."""
        times_s, energy_j, known = integral
        integrated = np.interp(self.times_s, times_s, energy_j)
        whole = np.interp(self.times_s, times_s[1:], np.cumsum(~known)) if len(known) else self.times_s * 0
        both = self.is_known & (np.diff(whole) == 0)
        both &= (self.times_s[:-1] >= times_s[0]) & (self.times_s[1:] <= times_s[-1])
        counted = float(np.sum(np.diff(self.energy_j)[both]))
        summed = float(np.sum(np.diff(integrated)[both]))
        if not both.any() or summed <= 0:
            return None
        return (summed - counted) / counted if counted > 0 else math.inf

    def notes(self, device: str) -> Iterator[str]:
        """What happened to the counter."""
        if self.num_wraps:
            yield f"{device}: the energy counter wrapped {counted(self.num_wraps, 'time')}"
        if self.num_resets:
            times = counted(self.num_resets, "time")
            yield f"{device}: the energy counter began anew {times}: that interval is left out"


def _gaps(log: PowerLog, integral: _Edges) -> tuple[int, float]:
    times_s = integral[0] if len(integral[0]) > 1 else log.times_s
    if END in log.labels:
        return 0, 0.0
    limit_s = _limit(times_s)
    if limit_s is None:
        return 0, 0.0
    steps_s = np.diff(times_s)
    longer = steps_s[steps_s > limit_s]

    return len(longer), float(longer.max()) if len(longer) else 0.0


def _period(log: PowerLog) -> tuple[float, float] | None:
    steps_s = np.diff(log.times_s)
    steps_s = steps_s[steps_s > 0]
    if not len(steps_s):
        return None
    low, high = np.percentile(steps_s, [5, 95])
    return float(low), float(high)
