"""The same machine under another power cap."""

from __future__ import annotations

from dataclasses import replace

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.machine.machine import Machine
from simtool.machine.power import HONOURED_FRAC, cap_law, op_clocks


def power_limit_w(machine: Machine) -> float:
    """Board power without a cap [W].

    Raises:
        InputError: neither the profile nor the scenario states one.
    """
    if machine.power_limit_w is None:
        found = f"found no power of {machine.accelerator.name}"
        mend = "add cluster.assume.power_limit, or power.limit to the profile"
        raise InputError(Problem("", "power.limit", found, "", mend))
    return machine.power_limit_w


def least_cap_w(machine: Machine) -> float:
    """Deepest cap that boards hold: half their limit, or a tenth of the way up from idle where that is higher [W]."""
    limit_w, idle_w = power_limit_w(machine), machine.power_w("idle")
    return max(HONOURED_FRAC * limit_w, idle_w + 0.1 * (limit_w - idle_w))


def machine_under_cap(machine: Machine, cap_w: float) -> Machine:
    """The machine with its boards held to `cap_w`, whatever cap it had before; equal to the limit: none.

    Compute-bound and memory-bound operations get clocks of their own, as in a scenario's ``cluster.power_cap``.

    Args:
        machine: any.
        cap_w: of one board [W].

    Raises:
        InfeasibleError: the cap is not above the board's idle power.
        InputError: it is above the board's limit, or no limit is known.
    """
    limit_w, idle_w = power_limit_w(machine), machine.power_w("idle")
    if not cap_w <= limit_w:
        found = f"found {cap_w:g} W"
        raise InputError(Problem("", "power_cap", found, f"allowed: up to {limit_w:g} W", "lower the cap"))
    if cap_w <= idle_w:
        raise InfeasibleError(
            f"idle power of {machine.accelerator.name}",
            f"a cap of {cap_w:g} W is not above the {idle_w:g} W that an idle board draws",
            (f"a cap of {least_cap_w(machine):g} W or more", "fewer boards"),
        )
    if cap_w == limit_w:
        device = replace(machine.device, clock=1.0, memory_clock=1.0, cap_law=None)
        return replace(machine, device=device, power_cap_w=None)
    law, phase = cap_law(machine.accelerator, idle_frac=idle_w / limit_w), machine.accelerator.power.by_phase
    clock, memory_clock = op_clocks(
        law,
        compute_w=limit_w * float(phase.compute),
        memory_w=limit_w * float(phase.memory),
        limit_w=limit_w,
        cap_w=cap_w,
    )
    device = replace(machine.device, clock=clock, memory_clock=memory_clock, cap_law=law)
    return replace(machine, device=device, power_cap_w=cap_w)
