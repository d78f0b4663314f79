"""Energy from power readings: what the sensor's window means for the integral, and how sure it is.

A reading at time t shows the value that the sensor published at some update u before t. The readings are first
turned into updates, then into a curve of energy over time:

- a mean over a window as long as the update: each value covers the time since the one before;
- a longer window W: the energy up to u is the energy up to u - W plus W times the value, so windows are laid end to
  end and the smear cancels;
- a shorter window: the value belongs to the middle of its window, and what lies between is guessed by a straight line;
- a first-order lag of time constant L: the power is v + L dv/dt, so the energy is that of v plus L times its change.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.engine.power.windows import Sensor

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class EnergyCurve:
    """Energy over time as a polygon; beyond its ends it goes on with the slope of the outermost piece."""

    times_s: Floats
    energies_j: Floats

    def at(self, time_s: float) -> float:
        """Energy up to a moment [J]."""
        times, energies = self.times_s, self.energies_j
        if len(times) < 2:
            return math.nan
        piece = min(max(int(np.searchsorted(times, time_s, side="right")) - 1, 0), len(times) - 2)
        share = (time_s - times[piece]) / (times[piece + 1] - times[piece])
        return float(energies[piece] + share * (energies[piece + 1] - energies[piece]))

    def between(self, start_s: float, end_s: float) -> float:
        """Energy of an interval [J].

        >>> EnergyCurve(np.array([0.0, 1.0, 2.0]), np.array([0.0, 10.0, 40.0])).between(0.5, 1.5)
        20.0
        """
        return self.at(end_s) - self.at(start_s)


def updates(times_s: Floats, values_w: Floats, update_s: float) -> tuple[Floats, Floats]:
    """When the sensor published what, from readings at uneven times.

    A new value was published after the reading before it and at most one update before its own reading; the middle
    of what remains is taken. A value that stays longer than an update was published again, unchanged.
    """
    moments, values = [float(times_s[0]) - update_s / 2], [float(values_w[0])]
    before_s = float(times_s[0])

    def repeat(until_s: float) -> None:
        while moments[-1] + update_s < until_s:
            moments.append(moments[-1] + update_s)
            values.append(values[-1])

    for time_s, value_w in zip(times_s[1:].tolist(), values_w[1:].tolist(), strict=True):
        if value_w != values[-1]:
            moment_s = (max(before_s, time_s - update_s) + time_s) / 2
            repeat(min(before_s, moment_s - update_s / 2))
            moments.append(max(moment_s, math.nextafter(moments[-1], math.inf)))
            values.append(value_w)
        before_s = time_s
    repeat(before_s)
    return np.array(moments), np.array(values)


def energy_curve(times_s: Floats, values_w: Floats, sensor: Sensor) -> EnergyCurve:
    """The curve of energy over time behind the readings of one channel.

    Args:
        times_s: moments of the readings, increasing, shape (n,) with n >= 2 [s].
        values_w: what they showed, shape (n,) [W].
        sensor: the channel's window.
    """
    moments, values = updates(times_s, values_w, sensor.update_s)
    # Until something else is known, the load before the first value was steady.
    begin_s = float(moments[0]) - max(sensor.window_s, sensor.update_s)
    if sensor.lag_s:
        pieces = np.diff(moments) * (values[1:] + values[:-1]) / 2 + sensor.lag_s * np.diff(values)
        first_j = values[0] * (moments[0] - begin_s)
        energies = np.concatenate(([0.0, first_j], first_j + np.cumsum(pieces)))
        moments = np.concatenate(([begin_s], moments))
    elif sensor.window_s < 0.75 * sensor.update_s:
        middles = moments - sensor.window_s / 2
        pieces = np.diff(middles) * (values[1:] + values[:-1]) / 2
        energies = np.concatenate(([0.0], np.cumsum(pieces)))
        moments = middles
        if len(moments) < 2:
            moments = np.array([begin_s, moments[0]])
            energies = np.array([0.0, values[0] * (moments[1] - begin_s)])
    elif sensor.window_s < 1.5 * sensor.update_s:
        moments = np.concatenate(([begin_s], moments))
        energies = np.concatenate(([0.0], np.cumsum(np.diff(moments) * values)))
    else:
        moments, energies = _end_to_end(moments, values, sensor.window_s)
    return EnergyCurve(moments, np.maximum.accumulate(energies))


def _end_to_end(moments: Floats, values: Floats, window_s: float) -> tuple[Floats, Floats]:
    """Windows laid end to end: energy up to u is energy up to u - window plus window times the value at u."""
    times = [float(moments[0]) - window_s, float(moments[0])]
    energies = [0.0, float(values[0]) * window_s]
    for moment, value in zip(moments[1:].tolist(), values[1:].tolist(), strict=True):
        back_s = moment - window_s
        if (
            back_s >= times[-1]
        ):  # a pause longer than the window: what was not seen is taken as what came after
            energies.append(energies[-1] + (moment - times[-1]) * value)
        else:
            piece = max(bisect_right(times, back_s) - 1, 0)
            share = (back_s - times[piece]) / (times[piece + 1] - times[piece])
            energies.append(
                energies[piece] + share * (energies[piece + 1] - energies[piece]) + window_s * value
            )
        times.append(moment)
    return np.array(times), np.array(energies)


@dataclass(frozen=True, slots=True, kw_only=True)
class Integral:
    """Energy of an interval from samples, with what is known about its error."""

    energy_j: float
    error_j: float
    """Standard error, if the load does not run in step with the sensor [J]."""
    low_j: float
    high_j: float
    """Bounds that hold whatever the load did unseen, between no power and the ceiling [J]."""
    seen_frac: float


def integrate(
    times_s: Floats, values_w: Floats, sensor: Sensor, start_s: float, end_s: float, ceiling_w: float
) -> Integral | None:
    """Energy of an interval from the readings of one channel; None with fewer than two readings.

    Args:
        times_s: moments of all readings, also around the interval, increasing, shape (n,) [s].
        values_w: what they showed, shape (n,) [W].
        sensor: the channel's window.
        start_s: begin of the interval [s].
        end_s: its end [s].
        ceiling_w: the most that the device can draw, e.g. its enforced limit [W].
    """
    if len(times_s) < 2 or end_s <= start_s:
        return None
    return Integrator(times_s, values_w, sensor, ceiling_w).over(start_s, end_s)


class Integrator:
    """The readings of one channel, ready to be asked for many intervals."""

    def __init__(self, times_s: Floats, values_w: Floats, sensor: Sensor, ceiling_w: float) -> None:
        self.curve = energy_curve(times_s, values_w, sensor)
        self._times_s, self._sensor = times_s, sensor
        self._moments_s, self._values_w = updates(times_s, values_w, sensor.update_s)
        self._ceiling_w = (
            max(ceiling_w, float(values_w.max())) if math.isfinite(ceiling_w) else float(values_w.max())
        )

    def over(self, start_s: float, end_s: float) -> Integral:
        """Energy of an interval that is not empty."""
        sensor, duration_s = self._sensor, end_s - start_s
        energy_j = self.curve.between(start_s, end_s)
        margin_s = sensor.window_s + sensor.update_s
        near_w = self._values_w[_within(self._moments_s, start_s - margin_s, end_s + margin_s)]
        inside_w = self._values_w[_within(self._moments_s, start_s, end_s + sensor.window_s)]
        swing_w = float(np.ptp(near_w)) if len(near_w) else 0.0
        num_inside = max(1, len(inside_w))
        seen_frac = 1.0 if sensor.lag_s else min(1.0, num_inside * sensor.window_s / duration_s)
        # The end of an interval falls somewhere between two readings and two updates.
        reads = self._times_s[_within(self._times_s, start_s - margin_s, end_s + margin_s)]
        spacing_s = float(np.mean(np.diff(reads))) if len(reads) > 1 else sensor.update_s
        num_tiles = max(1.0, duration_s / sensor.window_s) if sensor.window_s > 1.5 * sensor.update_s else 1.0
        ends_j = swing_w * math.sqrt(2 * num_tiles * (spacing_s**2 + sensor.update_s**2) / 12)
        # Each update is placed to within the time between two readings: what its value rises by is misplaced with it.
        rises_w = np.diff(near_w)
        placing_j = math.sqrt(float(rises_w @ rises_w)) * spacing_s / math.sqrt(12)
        edge_j = math.hypot(ends_j, placing_j)
        sampling_j = 0.0
        if seen_frac < 1.0:
            spread_w = float(np.std(inside_w, ddof=1)) if len(inside_w) > 1 else swing_w
            sampling_j = (1 - seen_frac) * spread_w * duration_s / math.sqrt(num_inside)
        unseen_j = (1 - seen_frac) * duration_s * self._ceiling_w
        return Integral(
            energy_j=energy_j,
            error_j=math.hypot(edge_j, sampling_j),
            low_j=max(0.0, seen_frac * energy_j - 3 * edge_j),
            high_j=seen_frac * energy_j + unseen_j + 3 * edge_j,
            seen_frac=seen_frac,
        )


def _within(times_s: Floats, start_s: float, end_s: float) -> slice:
    """Where increasing times lie after a start and not after an end."""
    return slice(
        np.searchsorted(times_s, start_s, side="right"), np.searchsorted(times_s, end_s, side="right")
    )
