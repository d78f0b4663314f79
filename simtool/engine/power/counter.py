"""Energy from a counter that advances in ticks, wraps, starts anew with its driver, or stops."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from simtool.engine.power.integral import EnergyCurve, Floats

GREATEST_W = 5000.0
"""No device or module draws as much (a GB300 module is allowed 2,900 W): tells a wrap from a reset [W]."""
SEGMENT = 50
"""Ticks that a straight line is laid through."""
FEWEST_TICKS = 8
SLACK_S = 0.004
"""How unevenly a counter may tick and still be taken as even [s]."""
MEETING_FRAC = 0.2
"""How nearly two continuations must meet, as a share of what the change of power makes within a tick."""
FROZEN_AFTER_S = 2.0
"""A counter that stands still this long while power is drawn is not counting: healthy ones tick at 10 Hz or more."""


@dataclass(slots=True)
class EnergyCounter:
    """Turns raw readings into joules since the first, and remembers when the counter advanced.

    Args (fields): `moduli_j` are the values at which the counter may start again from zero; `ceiling_w` the most that
    the device draws: a step back that this power cannot explain as a wrap is a reset, and what was used between the
    two readings is not known by the counter.

    >>> counter = EnergyCounter(moduli_j=(100.0,), ceiling_w=50.0)
    >>> for time_s, raw_j in enumerate((90.0, 99.0, 8.0)):
    ...     counter.feed(float(time_s), raw_j)
    >>> counter.total_j, counter.num_wraps
    (18.0, 1)
    """

    moduli_j: tuple[float, ...] = ()
    ceiling_w: float = math.inf
    longest_tick_s: float = 0.1
    """No tick is longer than this, so a new value was reached no earlier than this before it was read [s]."""
    total_j: float = 0.0
    num_wraps: int = 0
    holes: list[tuple[float, float]] = field(default_factory=list)
    """Intervals over which the counter does not know the energy: a reset, or a jump no device can make."""
    ticks_s: list[float] = field(default_factory=list)
    ticks_j: list[float] = field(default_factory=list)
    num_reads: int = 0
    _earliest_s: list[float] = field(default_factory=list)
    _latest_s: list[float] = field(default_factory=list)
    _raw_j: float = math.nan
    _read_s: float = math.nan

    def feed(self, time_s: float, raw_j: float) -> None:
        """One reading of the counter."""
        self.num_reads += 1
        if math.isnan(self._raw_j):
            self._raw_j, self._read_s = raw_j, time_s
            return
        if raw_j != self._raw_j:
            step_j = self._step_j(time_s, raw_j)
            if math.isnan(step_j):
                self.holes.append((self._read_s, time_s))
                step_j = 0.0
            if not self.ticks_s:
                self.ticks_s.append(self._read_s)  # the first value was reached no later than this
                self._earliest_s.append(-math.inf)
                self._latest_s.append(self._read_s)
                self.ticks_j.append(0.0)
            self.total_j += step_j
            moment_s = (max(self._read_s, time_s - self.longest_tick_s) + time_s) / 2
            self.ticks_s.append(max(moment_s, self.ticks_s[-1]))
            self._earliest_s.append(self._read_s)
            self._latest_s.append(time_s)
            self.ticks_j.append(self.total_j)
        self._raw_j, self._read_s = raw_j, time_s

    def peek_j(self, raw_j: float) -> float:
        """The total that a reading would give, of a counter that neither wraps nor starts anew; keeps nothing [J]."""
        return self.total_j if math.isnan(self._raw_j) else self.total_j + max(0.0, raw_j - self._raw_j)

    def _step_j(self, time_s: float, raw_j: float) -> float:
        """Energy of a step, NaN where it cannot be one: a reset, or more than the device can draw."""
        # A tick may hold what was used before the previous reading: half a second more is granted.
        most_j = 2 * min(self.ceiling_w, GREATEST_W) * (time_s - self._read_s + 0.5)
        step_j = raw_j - self._raw_j
        if step_j >= 0:
            return step_j if step_j <= most_j else math.nan
        for modulus_j in self.moduli_j:
            if self._raw_j <= modulus_j and step_j + modulus_j <= most_j:
                self.num_wraps += 1
                return step_j + modulus_j
        return math.nan

    @property
    def last_tick_s(self) -> float:
        """When the counter last advanced, NaN if never [s]."""
        return self.ticks_s[-1] if len(self.ticks_s) > 1 else math.nan

    @property
    def tick_s(self) -> float:
        """Usual time between two ticks as far as the readings can tell, NaN with fewer than two [s]."""
        gaps = [later - earlier for earlier, later in zip(self.ticks_s[1:], self.ticks_s[2:], strict=False)]
        return sorted(gaps)[len(gaps) // 2] if gaps else math.nan

    def moments(self) -> Floats:
        """When the ticks came, as well as the readings tell [s].

        Each tick came between two readings. Counters tick evenly, so a straight line through some 50 of them places
        each to a few milliseconds, if one passes between the readings everywhere; if none does, the middle is taken.
        """
        moments = np.array(self.ticks_s)
        earliest, latest = np.array(self._earliest_s), np.array(self._latest_s)
        order = np.arange(1, len(moments))
        for part in np.array_split(order, max(1, round(len(order) / SEGMENT))):
            line = _evenly(moments[part], earliest[part], latest[part])
            if line is not None:
                moments[part] = line
        if len(moments) > 2:
            moments[0] = min(moments[0], moments[1] - self.tick_s)
        return moments


def _evenly(middles_s: Floats, earliest_s: Floats, latest_s: Floats) -> Floats | None:
    """Even ticks, each within its bounds, from the middles of these; None where there are none, or too few to tell."""
    if len(middles_s) < FEWEST_TICKS:
        return None
    usual_s = float(np.median(np.diff(middles_s)))
    if usual_s <= 0:
        return None
    order = np.concatenate(([0.0], np.cumsum(np.maximum(1.0, np.rint(np.diff(middles_s) / usual_s)))))
    slope_s = float(np.polyfit(order, middles_s, 1)[0])
    # For each slope near the fitted one: between which two lines of this slope do all ticks fit?
    slopes_s = slope_s + np.linspace(-1.0, 1.0, 81)[:, None] * (latest_s - earliest_s).max() / order[-1]
    lowest_s = (earliest_s - slopes_s * order).max(axis=1)
    highest_s = (latest_s - slopes_s * order).min(axis=1)
    best = int(np.argmax(highest_s - lowest_s))
    if highest_s[best] - lowest_s[best] < -SLACK_S:
        return None
    line: Floats = (lowest_s[best] + highest_s[best]) / 2 + slopes_s[best] * order
    return line


def energy_at_mark(curve: EnergyCurve, time_s: float) -> float:
    """Energy up to a mark within a tick [J].

    Marks stand where the load changes. If the power before the tick goes on up to the mark and that after it begins
    there, both continuations meet at the mark: then that is the energy, rather than what a straight line through the
    tick gives. Where they do not meet, the load changed elsewhere and the straight line stands.

    >>> curve = EnergyCurve(np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.0, 10.0, 14.0, 16.0]))
    >>> energy_at_mark(curve, 1.25)  # 10 W until 1.25 s, 2 W from then on
    12.5
    """
    times, energies = curve.times_s, curve.energies_j
    piece = int(np.searchsorted(times, time_s, side="right")) - 1
    straight_j = curve.at(time_s)
    if not 1 <= piece <= len(times) - 3:
        return straight_j
    slopes = np.diff(energies[piece - 1 : piece + 3]) / np.diff(times[piece - 1 : piece + 3])
    from_left_j = float(energies[piece] + slopes[0] * (time_s - times[piece]))
    from_right_j = float(energies[piece + 1] - slopes[2] * (times[piece + 1] - time_s))
    apart_j = abs(slopes[2] - slopes[0]) * (times[piece + 1] - times[piece])
    if abs(from_left_j - from_right_j) > MEETING_FRAC * apart_j:
        return straight_j
    met_j = (from_left_j + from_right_j) / 2
    return float(min(max(met_j, energies[piece]), energies[piece + 1]))
