"""Board power by what the accelerator does, and what a cap does to power and clock."""

from __future__ import annotations

import numpy as np

from simtool.stepgraph import Number

HONOURED_FRAC = 0.5
"""Caps below this fraction of the limit are not held by boards, and the clock's model was not tested there."""


def clock_under_cap(power_w: Number, idle_w: Number, cap_w: Number, exponent: float) -> Number:
    """Relative clock at which a phase that would draw `power_w` stays within the cap.

    Dynamic power goes with clock^exponent (voltage falls with the clock), static power stays:
    ``clock = ((cap - idle) / (power - idle))^(1/exponent)``, 1 where the cap does not bind.
    Holds above the voltage floor, caps of about 50 to 100 % of the limit.

    >>> round(float(clock_under_cap(400.0, 100.0, 250.0, 2.0)), 4)   # half the dynamic power
    0.7071
    """
    dynamic = np.maximum(np.asarray(power_w) - idle_w, 1e-9)
    share = np.clip((np.asarray(cap_w) - idle_w) / dynamic, 1e-6, 1.0)
    return np.asarray(share ** (1.0 / exponent))


def power_under_cap(power_w: Number, cap_w: Number) -> Number:
    """Power of a phase under a cap: the control loop holds the mean at the cap."""
    return np.minimum(power_w, cap_w)
