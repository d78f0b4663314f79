"""What evens out a load: limits on its ramps, batteries and capacitors, staggered groups, power burnt in the gaps.

Every function takes one period of a load that repeats and gives the load that the grid sees, the store that it takes
and the energy that it costs. Means are conserved but for losses and for what is burnt; all is exact on pieces.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.step.waveform import Waveform

FloatArray = NDArray[np.float64]
NUM_HALVINGS = 200
"""Of an interval of numbers, until it cannot be halved further."""
SLIVER = 1e-12
"""Part of a piece, or of a period, that is not told from none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoothed:
    """A load behind a measure against its swings."""

    waveform: Waveform
    """As the grid sees it."""
    buffer_energy_j: float
    """Store between fullest and emptiest; 0 where nothing is stored."""
    buffer_power_w: float
    """Highest power into or out of the store."""
    overhead_j: float
    """Energy in a period that the load itself did not need."""

    @property
    def overhead_frac(self) -> float:
        """Of the energy of the load itself."""
        return self.overhead_j / (self.waveform.energy_j - self.overhead_j)


def ramp_limited(
    load: Waveform, *, up_w_per_s: float, down_w_per_s: float, efficiency_frac: float = 1.0
) -> Smoothed:
    """The grid follows the load no faster than the limits; a store carries the difference.

    The periodic course of ``y' = load - y, held between -down and up``, shifted so that the store ends a period as
    it began it.

    Args:
        load: one period.
        up_w_per_s: fastest rise [W/s], above 0.
        down_w_per_s: fastest fall [W/s], above 0.
        efficiency_frac: of the store, in and out again.

    >>> load = Waveform.of_phases([("compute", 2.0, 300.0), ("wait", 2.0, 100.0)])
    >>> even = ramp_limited(load, up_w_per_s=50.0, down_w_per_s=50.0)      # a triangle of 100 W around 200 W
    >>> even.waveform.peak_w, even.waveform.trough_w, even.buffer_energy_j
    (250.0, 150.0, 200.0)
    """
    _check(
        _above("up_w_per_s", up_w_per_s),
        _above("down_w_per_s", down_w_per_s),
        _efficiency(efficiency_frac),
    )
    follower = _followed(load, up_w_per_s, down_w_per_s)
    shift_w = load.mean_w - follower.mean_w
    if efficiency_frac < 1.0:
        low_w, high_w = shift_w, shift_w + load.peak_w - load.trough_w

        def gains(offset_w: float) -> bool:
            charged_j, drawn_j = _flows_j(load, follower.scaled(1.0, offset_w))
            return efficiency_frac * charged_j >= drawn_j

        while not gains(high_w):  # a poor store loses more than the load swings
            low_w, high_w = high_w, 2.0 * high_w - shift_w
        shift_w = _least(gains, low_w, high_w)
    return _stored(load, follower.scaled(1.0, shift_w), efficiency_frac)


def buffered(load: Waveform, *, energy_j: float, power_w: float, efficiency_frac: float = 1.0) -> Smoothed:
    """A battery or capacitor shaves peaks and fills troughs as far as its energy and its power reach.

    The grid sees the load held between two levels, the upper as low as the store allows, the lower such that what is
    charged, less the loss, is what is drawn. An ideal store of ``energy_j`` enough leaves the mean.

    Args:
        load: one period.
        energy_j: usable [J].
        power_w: in and out [W].
        efficiency_frac: in and out again; the loss is counted as it is charged.

    >>> load = Waveform.of_phases([("compute", 3.0, 300.0), ("wait", 1.0, 100.0)])
    >>> half = buffered(load, energy_j=75.0, power_w=1e3)      # all of the swing takes 150 J
    >>> half.waveform.peak_w, half.waveform.trough_w, half.buffer_power_w
    (275.0, 175.0, 75.0)
    """
    _check(_least_zero("energy_j", energy_j), _least_zero("power_w", power_w), _efficiency(efficiency_frac))
    if energy_j == 0.0 or power_w == 0.0 or load.peak_w == load.trough_w:
        return Smoothed(waveform=load, buffer_energy_j=0.0, buffer_power_w=0.0, overhead_j=0.0)

    def filled_to(upper_w: float) -> float:
        drawn_j = _energy_above_j(load, upper_w)
        return _least(
            lambda lower_w: efficiency_frac * _energy_below_j(load, lower_w) >= drawn_j,
            load.trough_w,
            upper_w,
        )

    def shaved(upper_w: float) -> Smoothed:
        return _stored(load, _held(load, filled_to(upper_w), upper_w), efficiency_frac)

    def fits(upper_w: float) -> bool:
        found = shaved(upper_w)
        return found.buffer_energy_j <= energy_j and found.buffer_power_w <= power_w

    flat_w = _least(
        lambda level_w: efficiency_frac * _energy_below_j(load, level_w) >= _energy_above_j(load, level_w),
        load.trough_w,
        load.peak_w,
    )
    return shaved(flat_w if fits(flat_w) else _least(fits, flat_w, load.peak_w))


def staggered(load: Waveform, num_groups: int) -> Smoothed:
    """Equal groups, each begun a share of the period after the one before: harmonics cancel but each `num_groups`-th.

    For groups that do not wait for each other in every step: jobs, or replicas that exchange weights rarely. Within
    a synchronous job the exchange puts all back in step.

    >>> load = Waveform.of_phases([("compute", 3.0, 300.0), ("wait", 1.0, 100.0)])
    >>> staggered(load, 2).waveform.std_w, staggered(load, 4).waveform.std_w
    (50.0, 0.0)
    """
    if num_groups < 1:
        found = f"found {num_groups}"
        raise InputError(Problem("", "num_groups", found, "allowed: 1 or more", "give the number of groups"))
    shifts = load.period_s / num_groups * np.arange(num_groups)
    knots = _knots(load.period_s, *(load.begins_s + shift for shift in shifts))
    seconds = np.diff(knots)
    middles = knots[:-1] + seconds / 2.0
    parts = [_at_middles(load, middles - shift) for shift in shifts]
    level, slope = (np.mean([part[index] for part in parts], axis=0) for index in (0, 1))
    waveform = Waveform(
        seconds=seconds, start_w=level - slope * seconds / 2.0, end_w=level + slope * seconds / 2.0
    )
    return Smoothed(waveform=waveform, buffer_energy_j=0.0, buffer_power_w=0.0, overhead_j=0.0)


def burnt(load: Waveform, *, floor_w: float, down_w_per_s: float = math.inf) -> Smoothed:
    """Boards burn power in the gaps: never below a floor, and never falling faster than a limit.

    Args:
        load: one period.
        floor_w: of the whole load [W].
        down_w_per_s: fastest fall [W/s].

    >>> load = Waveform.of_phases([("compute", 3.0, 300.0), ("wait", 1.0, 100.0)])
    >>> even = burnt(load, floor_w=240.0)
    >>> even.waveform.trough_w, even.overhead_j, even.overhead_frac
    (240.0, 140.0, 0.14)
    """
    _check(_least_zero("floor_w", floor_w), _above("down_w_per_s", down_w_per_s))
    waveform = _followed(_held(load, floor_w, math.inf), math.inf, down_w_per_s)
    return Smoothed(
        waveform=waveform,
        buffer_energy_j=0.0,
        buffer_power_w=0.0,
        overhead_j=max(waveform.energy_j - load.energy_j, 0.0),
    )


def _above(field: str, value: float) -> Problem | None:
    if value > 0.0:
        return None
    return Problem("", field, f"found {value:g}", "allowed: above 0", "correct it")


def _least_zero(field: str, value: float) -> Problem | None:
    if value >= 0.0:
        return None
    return Problem("", field, f"found {value:g}", "allowed: 0 or more", "correct it")


def _efficiency(value: float) -> Problem | None:
    if 0.0 < value <= 1.0:
        return None
    allowed = "allowed: above 0, up to 1"
    return Problem("", "efficiency_frac", f"found {value:g}", allowed, "give the share that comes out again")


def _check(*problems: Problem | None) -> None:
    if found := [problem for problem in problems if problem is not None]:
        raise InputError(found)


def _least(is_enough: Callable[[float], bool], low: float, high: float) -> float:
    """The least number that is enough, between one that may not be and one that is."""
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _knots(period_s: float, *times_s: FloatArray) -> FloatArray:
    """Times of all within one period, each once, with both ends."""
    found = np.unique(np.mod(np.concatenate((*times_s, [0.0])), period_s))
    kept = found[np.append(True, np.diff(found) > period_s * SLIVER)]
    return np.append(kept[kept < period_s * (1.0 - SLIVER)], period_s)


def _at_middles(load: Waveform, times_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Power and slope at times that are on no edge."""
    times = np.mod(times_s, load.period_s)
    piece = np.clip(np.searchsorted(load.begins_s, times, side="right") - 1, 0, len(load.seconds) - 1)
    return load.at(times), load.slopes_w_per_s[piece]


def _cut(load: Waveform, level_w: float) -> Waveform:
    """The same load with every piece cut where it crosses a level."""
    if not math.isfinite(level_w):
        return load
    above, below = load.start_w - level_w, load.end_w - level_w
    crosses = above * below < 0.0
    share = np.where(crosses, above / np.where(crosses, above - below, 1.0), 0.0)
    where = np.nonzero((share > SLIVER) & (share < 1.0 - SLIVER))[0]
    if len(where) == 0:
        return load
    first = load.seconds[where] * share[where]
    seconds, start_w = load.seconds.copy(), load.start_w.copy()
    seconds[where] -= first
    start_w[where] = level_w
    names = np.array(load.names or ("",) * len(seconds), object)
    return Waveform(
        seconds=np.insert(seconds, where, first),
        start_w=np.insert(start_w, where, load.start_w[where]),
        end_w=np.insert(load.end_w, where, level_w),
        names=tuple(np.insert(names, where, names[where])) if load.names else (),
    )


def _held(load: Waveform, lower_w: float, upper_w: float) -> Waveform:
    """The load between two levels."""
    cut = _cut(_cut(load, lower_w), upper_w)
    return Waveform(
        seconds=cut.seconds,
        start_w=np.clip(cut.start_w, lower_w, upper_w),
        end_w=np.clip(cut.end_w, lower_w, upper_w),
        names=cut.names,
    )


def _energy_above_j(load: Waveform, level_w: float) -> float:
    """What the load draws over a level in a period."""
    start, end = load.start_w - level_w, load.end_w - level_w
    high, low = np.maximum(start, 0.0), np.maximum(end, 0.0)
    crosses = start * end < 0.0
    width = np.where(crosses, np.abs(start - end), 1.0)
    ramps = np.where(crosses, np.maximum(high, low) / width, 1.0)
    return float(np.sum(load.seconds * ramps * (high + low) / 2.0))


def _energy_below_j(load: Waveform, level_w: float) -> float:
    """What is missing of a level in a period."""
    return _energy_above_j(load.scaled(-1.0), -level_w)


def _difference(load: Waveform, grid: Waveform) -> Waveform:
    """What the store gives: load less grid, cut where it turns."""
    knots = _knots(load.period_s, load.begins_s, grid.begins_s)
    seconds = np.diff(knots)
    middles = knots[:-1] + seconds / 2.0
    (own, own_slope), (seen, seen_slope) = _at_middles(load, middles), _at_middles(grid, middles)
    level, half = own - seen, (own_slope - seen_slope) * seconds / 2.0
    return _cut(Waveform(seconds=seconds, start_w=level - half, end_w=level + half), 0.0)


def _flows_j(load: Waveform, grid: Waveform) -> tuple[float, float]:
    """Into the store and out of it, in a period."""
    gives = _difference(load, grid)
    return _energy_below_j(gives, 0.0), _energy_above_j(gives, 0.0)


def _stored(load: Waveform, grid: Waveform, efficiency_frac: float) -> Smoothed:
    """The store between a load and what the grid sees."""
    gives = _difference(load, grid)
    out_j = gives.seconds * (gives.start_w + gives.end_w) / 2.0
    content = np.append(0.0, np.cumsum(np.where(out_j < 0.0, efficiency_frac, 1.0) * -out_j))
    return Smoothed(
        waveform=grid,
        buffer_energy_j=float(np.max(content) - np.min(content)),
        buffer_power_w=float(max(gives.peak_w, -gives.trough_w)),
        overhead_j=(1.0 - efficiency_frac) * float(-np.sum(out_j[out_j < 0.0])),
    )


def _followed(load: Waveform, up_w_per_s: float, down_w_per_s: float) -> Waveform:
    """The periodic course of what follows a load within limits of its slope."""

    def end_of(level_w: float) -> float:
        return _follow(load, level_w, up_w_per_s, down_w_per_s)[-1][2]

    level_w = end_of(end_of(load.peak_w))
    if end_of(level_w) != level_w:  # it does not reach the load within a period: the map's fixed point
        level_w = _least(lambda begin_w: end_of(begin_w) <= begin_w, load.trough_w, load.peak_w)
    seconds, start, end = (
        np.array(part) for part in zip(*_follow(load, level_w, up_w_per_s, down_w_per_s), strict=True)
    )
    if not (math.isinf(up_w_per_s) or math.isinf(down_w_per_s)):
        end[-1] = start[0]  # but for rounding they are equal
    return Waveform(seconds=seconds, start_w=start, end_w=end)


def _follow(
    load: Waveform, level_w: float, up_w_per_s: float, down_w_per_s: float
) -> list[tuple[float, float, float]]:
    """One period from a level on: pieces of (seconds, begin, end)."""
    pieces: list[tuple[float, float, float]] = []
    for seconds, begin_w, end_w in zip(
        load.seconds.tolist(), load.start_w.tolist(), load.end_w.tolist(), strict=True
    ):
        slope = (end_w - begin_w) / seconds
        gap_w = begin_w - level_w
        if (gap_w > 0.0 and math.isinf(up_w_per_s)) or (gap_w < 0.0 and math.isinf(down_w_per_s)):
            level_w, gap_w = begin_w, 0.0
        rest_s = seconds
        if gap_w != 0.0:
            rate = up_w_per_s if gap_w > 0.0 else -down_w_per_s
            closing = (rate - slope) if gap_w > 0.0 else (slope - rate)
            takes_s = min(abs(gap_w) / closing, seconds) if closing > 0.0 else seconds
            rest_s = seconds - takes_s
            reached_w = begin_w + slope * takes_s if rest_s > 0.0 else level_w + rate * takes_s
            if takes_s > 0.0:
                pieces.append((takes_s, level_w, reached_w))
            level_w = reached_w
        if rest_s > 0.0:  # the load is reached, and followed as far as its slope allows
            held = min(max(slope, -down_w_per_s), up_w_per_s)
            last_w = end_w if held == slope else level_w + held * rest_s
            pieces.append((rest_s, level_w, last_w))
            level_w = last_w
    return pieces
