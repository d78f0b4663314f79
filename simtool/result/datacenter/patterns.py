"""What devices do and draw, as patterns of the ledger, from a machine and from priced steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from simtool.ledger import Pattern, Share
from simtool.machine.machine import Machine, StatePower
from simtool.machine.power import workload_under_cap
from simtool.machine.power_caps import least_cap_w, machine_under_cap
from simtool.result.result import PhaseEstimate
from simtool.sim.fleet.plan import OperatingPoint
from simtool.step.estimate import STEP_STATES

NUM_POINTS = 6
"""Caps at which jobs are priced, from the board's limit down to the lowest."""


def whole(name: str, state: str, power: StatePower) -> Pattern:
    """All devices in one state."""
    return Pattern(name=name, shares=(Share(state=state, device_frac=1.0, power_w=components(power)),))


def components(power: StatePower) -> tuple[float, float, float]:
    """Power by component, as the ledger has it [W]."""
    return float(power.accelerator_w), float(power.host_w), float(power.network_w)


def idle(machine: Machine) -> Pattern:
    """A device that no job holds."""
    return whole("idle", "idle", machine.state_power(machine.power_w("idle"), loaded=False))


def down(machine: Machine) -> Pattern:
    """A failed device: it stays powered while it is looked at."""
    return whole("down", "down", machine.state_power(machine.power_w("idle"), loaded=False))


def waiting(machine: Machine, name: str, state: str) -> Pattern:
    """A device of a job that loads or saves."""
    return whole(name, state, machine.state_power(machine.power_w("waiting")))


def caps_w(machine: Machine, lowest_frac: float) -> tuple[float, ...]:
    """The board's limit, and caps below it down to the lowest that is allowed and held [W]; none without a limit."""
    limit_w = machine.power_limit_w
    if limit_w is None:
        return ()
    lowest_w = max(least_cap_w(machine), lowest_frac * limit_w)
    if lowest_w >= limit_w:
        return (limit_w,)
    return tuple(np.linspace(limit_w, lowest_w, NUM_POINTS).tolist())


def training(name: str, phases: Sequence[PhaseEstimate]) -> Pattern:
    """All steps of a run as one pattern: shares of its device time by state, each at its mean power."""
    times_s = [phase.num_steps * float(phase.estimate.step_time_s) for phase in phases]
    total_s = sum(times_s)
    shares = []
    for state in STEP_STATES:
        fracs = [
            time_s / total_s * float(phase.estimate.state_frac(state))
            for time_s, phase in zip(times_s, phases, strict=True)
        ]
        frac = sum(fracs)
        if frac <= 0.0:
            continue
        powers = [components(phase.estimate.power[state]) for phase in phases]
        mean = (
            sum(part * power[index] for part, power in zip(fracs, powers, strict=True)) / frac
            for index in range(3)
        )
        shares.append((state, frac, tuple(mean)))
    rest = 1.0 - sum(frac for _, frac, _ in shares[1:])
    return Pattern(
        name=name,
        shares=tuple(
            Share(
                state=state, device_frac=rest if index == 0 else frac, power_w=(power[0], power[1], power[2])
            )
            for index, (state, frac, power) in enumerate(shares)
        ),
    )


def plain_points(
    name: str, machine: Machine, activity: float, lowest_frac: float
) -> tuple[OperatingPoint, ...]:
    """Jobs of which only size and time are known, at full power and under caps.

    Devices compute for a share of their time and wait in the rest, at the powers of those states. A cap slows what
    computes, and holds its power, as `simtool.machine.power.workload_under_cap` says for a workload that computes
    alone, `slower` times as long. What waits takes as long as before, at its power or at the cap::

        speed = 1 / (activity x slower + 1 - activity)

    Args:
        name: of the patterns.
        machine: of the pool.
        activity: share of time in which devices compute.
        lowest_frac: lowest cap as a fraction of the board's limit.
    """
    compute = machine.state_power(machine.power_w("compute"))
    waits = machine.state_power(machine.power_w("waiting"))
    points = [OperatingPoint(1.0, _mixed(name, compute, waits, 1.0 - activity))]
    for cap_w in caps_w(machine, lowest_frac)[1:]:
        law = machine_under_cap(machine, cap_w).device.cap_law
        if law is None or machine.power_limit_w is None:
            continue
        slower, capped_w = workload_under_cap(
            float(compute.accelerator_w), cap_w, limit_w=machine.power_limit_w, law=law
        )
        time = activity * float(slower) + 1.0 - activity
        pattern = _mixed(
            f"{name} at {cap_w:.0f} W",
            replace(compute, accelerator_w=float(capped_w)),
            replace(waits, accelerator_w=min(float(waits.accelerator_w), cap_w)),
            (1.0 - activity) / time,
        )
        points.append(OperatingPoint(min(1.0 / time, points[-1].speed), pattern))
    return tuple(points)


def _mixed(name: str, compute: StatePower, waits: StatePower, waits_frac: float) -> Pattern:
    """Shares that compute and wait."""
    return Pattern(
        name=name,
        shares=tuple(
            Share(state=state, device_frac=frac, power_w=components(power))
            for state, frac, power in (
                ("compute", 1.0 - waits_frac, compute),
                ("bubble", waits_frac, waits),
            )
            if frac > 0.0
        ),
    )
