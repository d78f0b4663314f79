"""Board power by what the accelerator does, and what a cap does to clock, time and power.

Two questions, one physics. A **step** is known operation by operation: each keeps to the cap on its own,
compute-bound ones by a lower clock that costs time, memory-bound ones by a lower clock that mostly does not.
A **workload** is known by its uncapped time and power alone: `workload_under_cap` splits it into stretches
that fill the board and gaps that do not, and caps the former.

Dynamic power is ``clock x voltage^2``. Above the voltage floor the voltage falls with the clock and power
goes with clock^3; below it power is proportional to the clock, so a deep cap costs time one for one. What
flows at any clock is static; a cap close to it makes the clock collapse, down to the lowest that the board
knows, where it draws more than the cap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.profiles.schema import Accelerator
from simtool.stepgraph import Number

HONOURED_FRAC = 0.5
"""Caps below this fraction of the limit are rarely held by boards: in Zeus' traces of an A40 at a third of
its limit, 62 % of the points draw more, 17 % more at worst."""
LOWEST_CLOCK = 0.17
"""Lowest relative clock of a board under a cap: an A40's under 100 W of 300 W (fit to Zeus' traces, with
everything else in `docs/explanation/power-model.md`); no other board of those traces gets there."""
FILL = 0.72
"""How far the stretches in which a workload fills the board come to the limit, from the workload's mean:
0 not at all, 1 all the way. Pooled over the four boards of Zeus' traces, spread 0.1."""
CLOCK_FREE = 0.37
"""Share of those stretches whose time the clock does not touch (memory-bound kernels), for a workload of
which nothing but time and power is known. Pooled as `FILL`, spread 0.5."""
MEMORY_STATIC = 0.34
"""Share of a memory-bound operation's power that the core's clock does not touch (memory, leakage): an A100
PCIe streaming from memory draws 36 % less at 1005 of 1410 MHz (giordano/gpu-power-frequency-benchmarks)."""
MEMORY_KNEE = 0.71
"""Relative clock down to which memory-bound work keeps its time: the same A100, no loss at 1005 of 1410 MHz
and 2 % under half the limit. Lower clocks were not measured; below the knee time is taken to go as 1/clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapLaw:
    """How one kind of board answers to a cap; arrays broadcast in `workload_under_cap`."""

    static: Number
    """Power at any clock, as a fraction of the limit."""
    voltage_floor: Number
    """Relative clock below which the voltage stays."""
    exponent: Number = 3.0
    """Of power over clock above the floor."""
    lowest_clock: Number = LOWEST_CLOCK
    """Relative clock below which the board does not go, cap or no cap."""
    gap: Number
    """Power between the kernels of a workload that does not fill the board, as a fraction of the limit."""
    fill: Number = FILL
    """`FILL`"""
    clock_free: Number = CLOCK_FREE
    """`CLOCK_FREE`"""


def cap_law(accelerator: Accelerator, *, idle_frac: float) -> CapLaw:
    """The answer to a cap that a profile states.

    Where it states none, the idle power is static and the voltage has no floor: right for shallow caps
    only, and `machine.build` says so.
    """
    power = accelerator.power
    exponent, gap = float(power.cap_exponent), float(power.by_phase.waiting)
    if power.cap is None:
        return CapLaw(static=idle_frac, voltage_floor=0.0, exponent=exponent, gap=gap)
    return CapLaw(
        static=float(power.cap.static),
        voltage_floor=float(power.cap.voltage_floor),
        exponent=exponent,
        gap=float(power.cap.gap) if power.cap.gap is not None else gap,
    )


def power_at_clock(
    power_w: Number, static_w: Number, clock: Number, *, exponent: Number = 3.0, voltage_floor: Number = 0.0
) -> Number:
    """Power at a relative clock of work that draws `power_w` at full clock [W].

    ``static + (power - static) clock^exponent`` above the voltage floor, and below it
    ``static + (power - static) clock floor^(exponent - 1)``.

    >>> float(power_at_clock(300.0, 60.0, 0.5))                       # 60 + 240 / 8
    90.0
    >>> round(float(power_at_clock(300.0, 60.0, 0.4, voltage_floor=0.8)), 2)    # 60 + 240 x 0.4 x 0.64
    121.44
    """
    voltage = np.maximum(clock, voltage_floor) ** (np.asarray(exponent) - 1.0)
    return np.asarray(static_w + (np.asarray(power_w) - static_w) * (clock * voltage))


def clock_under_cap(
    power_w: Number,
    static_w: Number,
    cap_w: Number,
    *,
    exponent: Number = 3.0,
    voltage_floor: Number = 0.0,
    lowest_clock: Number = 0.0,
) -> Number:
    """Relative clock at which work that would draw `power_w` stays within the cap.

    The inverse of `power_at_clock`; 1 where the cap does not bind, never below `lowest_clock`.

    >>> round(float(clock_under_cap(400.0, 100.0, 250.0, exponent=2.0)), 4)   # half the dynamic power
    0.7071
    >>> round(float(clock_under_cap(300.0, 60.0, 121.44, voltage_floor=0.8)), 6)
    0.4
    >>> float(clock_under_cap(300.0, 60.0, 61.0, voltage_floor=0.8, lowest_clock=0.17))
    0.17
    """
    dynamic = np.maximum(np.asarray(power_w) - static_w, 1e-9)
    share = np.clip((np.asarray(cap_w) - static_w) / dynamic, 1e-6, 1.0)
    order = np.asarray(exponent)
    floor = np.maximum(voltage_floor, 1e-6)
    above = share >= floor**order
    clock = np.where(above, share ** (1.0 / order), share / floor ** (order - 1.0))
    return np.asarray(np.maximum(clock, lowest_clock))


def op_clocks(
    law: CapLaw, *, compute_w: float, memory_w: float, limit_w: float, cap_w: float
) -> tuple[float, float]:
    """Relative clocks of compute-bound and of memory-bound operations under a cap.

    >>> law = CapLaw(static=0.1, voltage_floor=0.8, gap=0.2)
    >>> compute, memory = op_clocks(law, compute_w=665.0, memory_w=490.0, limit_w=700.0, cap_w=490.0)
    >>> round(compute, 3), memory                       # ((490 - 70) / (665 - 70))^(1/3)
    (0.89, 1.0)
    """
    clocks = (
        clock_under_cap(
            power_w,
            static_w,
            cap_w,
            exponent=law.exponent,
            voltage_floor=law.voltage_floor,
            lowest_clock=law.lowest_clock,
        )
        for power_w, static_w in (
            (compute_w, np.asarray(law.static) * limit_w),
            (memory_w, MEMORY_STATIC * memory_w),
        )
    )
    compute, memory = (float(clock) for clock in clocks)
    return compute, memory


def op_power_w(law: CapLaw, power_w: float, *, clock: float, static_w: float) -> float:
    """Power of an operation at the clock that a cap set [W]; `power_at_clock` under a law.

    >>> law = CapLaw(static=0.1, voltage_floor=0.8, gap=0.2)
    >>> round(op_power_w(law, 665.0, clock=0.89, static_w=70.0), 1)    # 70 + 595 x 0.89^3
    489.5
    """
    bent = power_at_clock(power_w, static_w, clock, exponent=law.exponent, voltage_floor=law.voltage_floor)
    return float(bent)


def memory_slowdown(clock: Number) -> Number:
    """Time of memory-bound work at a relative clock, over that at full clock.

    >>> float(memory_slowdown(0.8)), round(float(memory_slowdown(0.5)), 2)
    (1.0, 1.42)
    """
    return np.maximum(1.0, MEMORY_KNEE / np.asarray(clock))


def workload_under_cap(
    power_w: Number, cap_w: Number, *, limit_w: Number, law: CapLaw
) -> tuple[Number, Number]:
    """Time over the uncapped time, and mean power [W], of a workload known by its uncapped power alone.

    ::

        busy = power + fill (limit - power)                  what it draws while it fills the board
        u    = (power - gap) / (busy - gap), 0 to 1          share of its time in which it does
        f    = clock_under_cap(busy, static, cap)
        s    = (1 - clock_free) / f + clock_free             slow-down of those stretches
        time = u s + (1 - u)
        mean power = (u s power_at_clock(busy, f) + power - u busy) / time

    Boards hold the cap stretch by stretch and do not save up in the gaps: the mean stays below the cap.

    Args:
        power_w: mean board power of the whole workload without a cap [W].
        cap_w: cap [W].
        limit_w: board limit [W].
        law: of this kind of board.

    >>> law = CapLaw(static=0.2, voltage_floor=0.8, gap=0.2, fill=0.5, clock_free=0.0)
    >>> ratio, mean_w = workload_under_cap(240.0, 150.0, limit_w=300.0, law=law)
    >>> round(float(ratio), 3), round(float(mean_w), 1)    # busy 270 W, u = 6/7, clock (90/210)/0.64 = 0.67
    (1.423, 141.0)
    """
    mean_w, limit = np.asarray(power_w, float), np.asarray(limit_w, float)
    busy_w = np.maximum(mean_w + law.fill * (limit - mean_w), mean_w)
    gap_w, static_w = law.gap * limit, law.static * limit
    share = np.clip((mean_w - gap_w) / np.maximum(busy_w - gap_w, 1e-9), 0.0, 1.0)
    bent = {"exponent": law.exponent, "voltage_floor": law.voltage_floor}
    clock = clock_under_cap(busy_w, static_w, cap_w, lowest_clock=law.lowest_clock, **bent)
    slower = (1.0 - law.clock_free) / clock + law.clock_free
    time = share * slower + (1.0 - share)
    energy = share * slower * power_at_clock(busy_w, static_w, clock, **bent) + mean_w - share * busy_w
    return np.asarray(time), np.asarray(energy / time)
