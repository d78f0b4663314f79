"""A battery over time: one exact pass over intervals in each of which it is asked for one power.

Where a limit is reached inside an interval, the interval is split there. On the slopes near full and empty the
power decays exponentially: stored energy and energy exchanged are exact, and the power that is reported is the
mean over stretches that end where the limit has halved. All of these places depend on the stored energy
alone, so cutting an interval in two changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.facility.battery import Battery
from simtool.facility.cycles import full_cycles
from simtool.facility.series import FloatArray

NUM_HALVINGS = 6
"""Stretches of a slope that are told apart: down to 1/64 of the rated power."""
SMALL = 1e-4
"""Below it a series is nearer than the difference of two close numbers."""
SHORTEST = 1e-12
"""Relative to the time since the start: a shorter stretch is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatteryRun:
    """Powers at the terminals over the union of the intervals and the battery's own splits."""

    breakpoints_s: FloatArray
    interval: NDArray[np.intp]
    """For every stretch the interval in which it lies."""
    charge_w: FloatArray
    discharge_w: FloatArray
    stored_j: FloatArray
    """At every breakpoint."""
    conversion_loss_j: FloatArray
    """In every stretch: what the efficiencies take."""
    self_discharge_j: FloatArray
    """In every stretch."""
    full_cycles: float
    """Cycles weighted with their depth, see `Battery.depth_exponent`."""
    life_used_frac: float
    """Share of the battery's life that this run takes: of its cycles, and of its years."""


def run_battery(battery: Battery, breakpoints_s: FloatArray, request_w: FloatArray) -> BatteryRun:
    """What a battery does when it is asked for these powers.

    Args:
        battery: the battery.
        breakpoints_s: n + 1 rising times [s].
        request_w: power asked for in each interval [W]: positive charges, negative discharges.
    """
    times = breakpoints_s.tolist()
    asked = np.clip(request_w, -battery.discharge_w, battery.charge_w).tolist()
    stored = battery.initial_j
    stretches: list[tuple[float, int, float, float, float, float]] = []
    for index, request in enumerate(asked):
        now, end = times[index], times[index + 1]
        passed = exchanged = stored_integral = 0.0
        while now < end:
            left = end - now
            length, stored, energy, integral = _stretch(battery, stored, request, left)
            passed, exchanged, stored_integral = (
                passed + length,
                exchanged + energy,
                stored_integral + integral,
            )
            later = end if length >= left or left - length <= SHORTEST * abs(end) else now + length
            if later > now:  # else too short for the clock: what happened counts with what follows
                stretches.append((later, index, passed, exchanged, stored, stored_integral))
                passed = exchanged = stored_integral = 0.0
            now = later
    ends, intervals, lengths, energies, levels, integrals = (
        np.array(column) for column in zip(*stretches, strict=True)
    )
    edges = np.concatenate((breakpoints_s[:1], ends))
    # Over the length as solved, not as the clock rounds it: power is then exactly what was asked for.
    charged, discharged = np.maximum(energies, 0.0), np.maximum(-energies, 0.0)
    stored_j = np.concatenate(([battery.initial_j], levels))
    cycles = full_cycles(stored_j, battery.capacity_j, battery.depth_exponent)
    return BatteryRun(
        breakpoints_s=edges,
        interval=intervals.astype(np.intp),
        charge_w=charged / lengths,
        discharge_w=discharged / lengths,
        stored_j=stored_j,
        conversion_loss_j=charged * (1.0 - battery.charge_frac)
        + discharged * (1.0 / battery.discharge_frac - 1.0),
        self_discharge_j=battery.self_discharge_per_s * integrals,
        full_cycles=cycles,
        life_used_frac=cycles / battery.cycle_life + (edges[-1] - edges[0]) / battery.calendar_life_s,
    )


def _stretch(
    battery: Battery, stored: float, request: float, left: float
) -> tuple[float, float, float, float]:
    """From here to the end of the interval or to the next split.

    Returns its length [s], the energy stored at its end, the energy exchanged at the terminals (positive
    while charging), and the integral of the stored energy [J s].
    """
    loss = battery.self_discharge_per_s
    if request > 0.0:
        return _charge(battery, stored, request, left, loss)
    if request < 0.0:
        return _discharge(battery, stored, -request, left, loss)
    after, integral = _decay(stored, 0.0, loss, left)
    return left, after, 0.0, integral


def _charge(
    battery: Battery, stored: float, power: float, left: float, loss: float
) -> tuple[float, float, float, float]:
    slope, full, share = battery.charge_slope_per_s, battery.capacity_j, battery.charge_frac
    bend = full if math.isinf(slope) else full - power / slope
    rises = share * power > loss * stored
    if stored < bend or (stored == bend and not rises):  # the whole power
        length = min(left, _reach(stored, share * power, loss, bend)) if rises else left
        after, integral = _decay(stored, share * power, loss, length)
        return length, bend if length < left else after, power * length, integral
    if math.isinf(slope):  # full: only what is lost is taken
        return left, stored, loss * stored / share * left, stored * left
    inflow, rate = share * slope * full, share * slope + loss
    level = _next_level(battery.charge_w, slope * (full - stored))
    target = full - level / slope if stored < inflow / rate else bend
    length = min(left, _reach(stored, inflow, rate, target))
    after, integral = _decay(stored, inflow, rate, length)
    return length, target if length < left else after, slope * (full * length - integral), integral


def _discharge(
    battery: Battery, stored: float, power: float, left: float, loss: float
) -> tuple[float, float, float, float]:
    slope, empty, share = battery.discharge_slope_per_s, battery.least_j, battery.discharge_frac
    bend = empty if math.isinf(slope) else empty + power / slope
    if stored > bend:  # the whole power
        length = min(left, _reach(stored, -power / share, loss, bend))
        after, integral = _decay(stored, -power / share, loss, length)
        return length, bend if length < left else after, -power * length, integral
    if math.isinf(slope) or stored <= empty:
        after, integral = _decay(stored, 0.0, loss, left)
        return left, after, 0.0, integral
    inflow, rate = slope * empty / share, slope / share + loss
    level = _next_level(battery.discharge_w, slope * (stored - empty))
    target = empty + level / slope
    length = min(left, _reach(stored, inflow, rate, target))
    after, integral = _decay(stored, inflow, rate, length)
    return length, target if length < left else after, -slope * (integral - empty * length), integral


def _next_level(rated: float, limit: float) -> float:
    """The next of rated/2, rated/4, ... below the present limit; 0 below the last."""
    if limit <= rated / 2.0**NUM_HALVINGS:
        return 0.0
    return float(rated / 2.0 ** (math.floor(math.log2(rated / limit) + 1e-9) + 1))


def _decay(stored: float, inflow: float, rate: float, length: float) -> tuple[float, float]:
    """``db/dt = inflow - rate b`` over a time: the value at its end, and the integral over it."""
    passed = rate * length
    if passed == 0.0:
        return stored + inflow * length, (stored + 0.5 * inflow * length) * length
    weight = -math.expm1(-passed) / rate
    second = (
        length * length * (0.5 - passed / 6.0 + passed * passed / 24.0)
        if passed < SMALL
        else (length - weight) / rate
    )
    speed = inflow - rate * stored
    return stored + speed * weight, stored * length + speed * second


def _reach(stored: float, inflow: float, rate: float, target: float) -> float:
    """Time until ``db/dt = inflow - rate b`` reaches a value; infinite if it never does, or is there already."""
    speed, way = inflow - rate * stored, target - stored
    if speed == 0.0 or way / speed <= 0.0:
        return math.inf
    weight = way / speed
    if rate == 0.0:
        return weight
    return -math.log1p(-rate * weight) / rate if rate * weight < 1.0 else math.inf
