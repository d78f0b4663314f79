"""How the clock of a power log lies to that of the ops.

Where both tell the time of day, that is taken; a log without its zone may be off by quarters of an hour, and
the quarter is found by the power. Else the power is laid over the share of time in which the device was busy,
at every shift, and the one with the highest correlation is taken. Its error is half the width of all shifts
that the readings cannot tell from it: where steps repeat alike, that is several steps, and is said so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.fft import irfft, rfft

from simtool.trace.intervals import Floats, covered
from simtool.trace.power_clean import CleanLog
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_HOUR

ZONE_S = SECONDS_PER_HOUR / 4
"""Time zones lie whole quarters of an hour apart."""
MAX_ZONE_S = 14 * SECONDS_PER_HOUR
MIN_CORRELATION = 0.5
MIN_DEVIATIONS = 4.0
"""A correlation counts that lies so many standard errors above none (Fisher's z)."""
MIN_READINGS = 8
MAX_POINTS = 2**18
_READINGS_TELL = 2.0
"""Shifts whose correlation lies within so many standard errors of the best cannot be told from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """What to add to a time of the log to have it by the clock of the ops."""

    offset_s: float
    error_s: float | None
    """None where the user gave the offset."""
    method: str
    """wall clock, wall clock and zone by power, cross-correlation, given."""
    correlation: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Busy:
    """When the device was at work: disjoint stretches in order, by the clock of the ops."""

    begins_s: Floats
    ends_s: Floats
    zero_unix_s: float | None
    """Time 0 of that clock as seconds since 1970, where it is known."""

    @property
    def span_s(self) -> tuple[float, float]:
        """From the first to the last work."""
        return float(self.begins_s[0]), float(self.ends_s[-1])


def align(busy: Busy, power: CleanLog, given_s: float | None = None) -> Alignment | str:
    """The alignment of a log, or why there is none.

    Args:
        busy: of the device that the log meters.
        power: its log.
        given_s: offset that the user states.
    """
    log = power.log
    if given_s is not None:
        return Alignment(offset_s=given_s, error_s=None, method="given")
    has_day = busy.zero_unix_s is not None and log.clock in ("utc", "local")
    if not has_day or busy.zero_unix_s is None:
        return _by_power(busy, power)
    offset_s = -busy.zero_unix_s
    error_s = max(log.resolution_s, (power.period_s or (0.0, 0.0))[1])
    if log.clock == "utc":
        if not _overlaps(busy, log.times_s, offset_s):
            return _no_overlap(busy, log.times_s, offset_s)
        return Alignment(offset_s=offset_s, error_s=error_s, method="wall clock")
    zones = np.arange(-MAX_ZONE_S, MAX_ZONE_S + 1, ZONE_S)
    possible = [float(zone) for zone in zones if _overlaps(busy, log.times_s, offset_s + zone)]
    if not possible:
        return _no_overlap(busy, log.times_s, offset_s)
    if len(possible) == 1:
        return Alignment(offset_s=offset_s + possible[0], error_s=error_s, method="wall clock")
    matched = [(_correlation_at(busy, power, offset_s + zone), zone) for zone in possible]
    best, zone = max(matched, key=lambda pair: (pair[0], -abs(pair[1])))
    second = max(value for value, other in matched if other != zone)
    num = _num_readings(busy, log.times_s, offset_s + zone)
    if num < MIN_READINGS or _deviations(best, num) - _deviations(max(second, 0.0), num) < MIN_DEVIATIONS:
        return (
            f"the log does not say its time zone, {len(possible)} of them are possible, and the power does not tell "
            "which: say --power-offset"
        )
    return Alignment(
        offset_s=offset_s + zone, error_s=error_s, method="wall clock, zone by power", correlation=best
    )


def _overlaps(busy: Busy, times_s: Floats, offset_s: float) -> bool:
    begin_s, end_s = busy.span_s
    return bool(times_s[0] + offset_s < end_s and times_s[-1] + offset_s > begin_s)


def _no_overlap(busy: Busy, times_s: Floats, offset_s: float) -> str:
    begin_s, end_s = busy.span_s
    before_s, behind_s = begin_s - (times_s[-1] + offset_s), times_s[0] + offset_s - end_s
    where = f"ends {_span(before_s)} before" if before_s > 0 else f"begins {_span(behind_s)} behind"
    return f"has no time in common with the ops: it {where} them"


def _span(seconds: float) -> str:
    if seconds > 2 * SECONDS_PER_DAY:
        return f"{seconds / SECONDS_PER_DAY:.4g} d"
    return f"{seconds:.4g} s"


def _by_power(busy: Busy, power: CleanLog) -> Alignment | str:
    """The shift with the highest correlation between power and busy share."""
    times_s, power_w = power.powers()
    begin_s, end_s = busy.span_s
    if len(times_s) < MIN_READINGS or times_s[-1] <= times_s[0] or end_s <= begin_s:
        return f"has {len(times_s)} readings, too few to be laid over the ops: say --power-offset"
    period_s = float(np.median(np.diff(times_s)[np.diff(times_s) > 0]))
    whole_s = (times_s[-1] - times_s[0]) + (end_s - begin_s)
    step_s = max(min(period_s / 4, (end_s - begin_s) / 64), whole_s / MAX_POINTS)
    measured = _on_grid(times_s, power_w, step_s)
    share = _busy_shares(busy, step_s, period_s)
    if np.ptp(measured) == 0 or np.ptp(share) == 0:
        return "shows no change of power, or the ops none of load: say --power-offset"
    correlation, num_common = _correlations(measured, share)
    num_needed = min(len(measured), len(share)) / 2
    readings = np.maximum(num_common * step_s / max(period_s, step_s), 3.0)
    correlation = np.where(num_common >= num_needed, correlation, -1.0)
    place = int(np.argmax(correlation))
    best, num = float(correlation[place]), float(readings[place])
    if best < MIN_CORRELATION or num < MIN_READINGS or _deviations(best, num) < MIN_DEVIATIONS:
        return (
            f"could not be laid over the ops: the best correlation of power and busy share is {best:.2f} over "
            f"{num:.0f} readings: say --power-offset"
        )
    least = math.tanh(math.atanh(min(best, 0.9999)) - _READINGS_TELL / math.sqrt(num - 3.0 + 1e-9))
    alike = np.flatnonzero(correlation >= least)
    error_s = max(step_s, float(np.max(np.abs(alike - place))) * step_s)
    shift = place - (len(measured) - 1)  # place of the log's first point on the grid of the ops
    return Alignment(
        offset_s=begin_s + shift * step_s - float(times_s[0]), error_s=error_s, method="cross-correlation",
        correlation=best,
    )  # fmt: skip


def _on_grid(times_s: Floats, values: Floats, step_s: float) -> Floats:
    grid = np.arange(times_s[0], times_s[-1] + step_s / 2, step_s)
    result: Floats = np.interp(grid, times_s, values)
    return result


def _busy_shares(busy: Busy, step_s: float, window_s: float) -> Floats:
    """Share of busy time around every point of a grid, smoothed as a meter does that reads every `window_s`."""
    begin_s, end_s = busy.span_s
    grid = np.arange(begin_s, end_s + step_s / 2, step_s)
    half = max(step_s, window_s) / 2
    shares = covered(busy.begins_s, busy.ends_s, grid + half) - covered(
        busy.begins_s, busy.ends_s, grid - half
    )
    return shares / (2 * half)


def _correlations(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Pearson's correlation of two series at every shift over the points they share, and how many those are.

    At element i the last point of `first` meets point i of `second`.
    """
    num = len(first) + len(second) - 1
    size = 1 << (num - 1).bit_length()

    def cross(one: Floats, two: Floats) -> Floats:
        found: Floats = irfft(rfft(one[::-1], size) * rfft(two, size), size)[:num]
        return found

    one, two = first - first.mean(), second - second.mean()
    ones, twos = np.ones(len(one)), np.ones(len(two))
    common = np.maximum(np.round(cross(ones, twos)), 1.0)
    sum_one, sum_two = cross(one, twos), cross(ones, two)
    square_one, square_two = cross(one * one, twos), cross(ones, two * two)
    above = cross(one, two) - sum_one * sum_two / common
    spread = np.maximum(square_one - sum_one**2 / common, 0) * np.maximum(square_two - sum_two**2 / common, 0)
    least = 1e-9 * float(one @ one) * float(two @ two)
    return np.where(spread > least, above / np.sqrt(np.maximum(spread, 1e-300)), 0.0).clip(-1, 1), common


def _correlation_at(busy: Busy, power: CleanLog, offset_s: float) -> float:
    """Correlation at one shift, over the readings within the ops: what the load was before, nobody knows."""
    times_s, power_w = power.powers()
    begin_s, end_s = busy.span_s
    inside = (times_s + offset_s >= begin_s) & (times_s + offset_s <= end_s)
    at_s, power_w = times_s[inside] + offset_s, power_w[inside]
    if len(at_s) < MIN_READINGS:
        return -1.0
    half = (power.period_s or (1.0, 1.0))[1]
    shares = covered(busy.begins_s, busy.ends_s, at_s + half) - covered(
        busy.begins_s, busy.ends_s, at_s - half
    )
    if np.ptp(shares) == 0 or np.ptp(power_w) == 0:
        return -1.0
    return float(np.corrcoef(shares, power_w)[0, 1])


def _num_readings(busy: Busy, times_s: Floats, offset_s: float) -> int:
    begin_s, end_s = busy.span_s
    return int(np.sum((times_s + offset_s >= begin_s) & (times_s + offset_s <= end_s)))


def _deviations(correlation: float, num: float) -> float:
    return math.atanh(min(max(correlation, -0.9999), 0.9999)) * math.sqrt(max(num - 3.0, 0.0))
