"""The answer of clock and power to a cap, from stretches of a metered run in which the device computed.

Between clocks the power of one kind of work goes as `machine.power.power_at_clock` says: a static share, and
a dynamic one by an exponent above the voltage floor and linear below it. The clock is relative to the fastest
that was logged while computing; the power at it is fitted beside the rest and not shipped.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from simtool.calibrate.fit import Coefficient
from simtool.calibrate.prior_fit import PriorFit, fit_with_prior
from simtool.calibrate.profiled_curves import Hardware
from simtool.calibrate.profiled_power import LEAST_STRETCHES, MOSTLY, Stretches
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.machine.machine import IDLE_FRAC
from simtool.machine.power import power_at_clock
from simtool.provenance import Sourced
from simtool.rng import stream
from simtool.trace.source import counted

CLOCK_RANGE = 0.1
"""Least range of the clock, relative, that tells an answer."""
CLOCK_STEP = 0.01
"""Clocks that differ by less, relative, carry one number."""
LEAST_DEVIATION = 0.15
FULL_DEVIATION = 0.3
"""Of the power at the fastest clock, which depends on what was computed."""


def fit_cap(stretches: Stretches, hardware: Hardware, seed: int) -> tuple[PriorFit | None, str]:
    """The fit, or why there is none."""
    power = hardware.accelerator.power
    if not np.any(stretches.clock_hz > 0):
        return None, "no clocks were logged beside the ops"
    chosen = (stretches.shares["compute"] >= MOSTLY) & (stretches.clock_hz > 0)
    num = int(chosen.sum())
    if num < LEAST_STRETCHES:
        found = counted(num, "stretch") if num == 1 else f"{num} stretches"
        return (
            None,
            f"{found} of time with a clock and mostly computing, at least {LEAST_STRETCHES} are needed",
        )
    clock = stretches.clock_hz[chosen] / stretches.clock_hz[chosen].max()
    if clock.min() > 1.0 / (1.0 + CLOCK_RANGE):
        return None, f"the clock varied by {1.0 / clock.min() - 1.0:.0%} while computing"
    limit_w = float(power.limit) if power.limit is not None else float(np.nanmax(stretches.power_w))
    idle_frac = float(power.idle) / limit_w if power.idle is not None else IDLE_FRAC
    fixed = {"static": idle_frac, "voltage_floor": 0.0, "cap_exponent": float(power.cap_exponent)}
    free = {"cap_exponent": _coefficient(power.cap_exponent)}
    if power.cap is not None:
        fixed |= {"static": float(power.cap.static), "voltage_floor": float(power.cap.voltage_floor)}
        free |= {
            name: one
            for name in ("static", "voltage_floor")
            if (one := _movable(power.cap, name)) is not None
        }
    full_w = float(np.median(stretches.power_w[chosen][clock > 1.0 - CLOCK_STEP * 2]))
    free["full_w"] = Coefficient(full_w, FULL_DEVIATION, is_nuisance=True)
    settings = np.round(clock / CLOCK_STEP).astype(int)
    distinct, place = np.unique(settings, return_inverse=True)
    drawn = stream(seed, "calibrate", "cap").permutation(len(distinct))
    table = KernelTable(
        columns={"clock": clock}, time_s=stretches.power_w[chosen], work=np.full(num, limit_w),
        group=np.asarray(drawn[place.reshape(-1)], np.intp), is_training=np.ones(num, bool),
    )  # fmt: skip

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        told = {**fixed, **vars(curve)}
        power_w = power_at_clock(
            told["full_w"], told["static"] * limit_w, rows.columns["clock"], exponent=told["cap_exponent"],
            voltage_floor=told["voltage_floor"],
        )  # fmt: skip
        return np.asarray(power_w)

    return fit_with_prior(table, free, predict), ""


def _coefficient(number: Sourced, *, is_frac: bool = False) -> Coefficient:
    value = float(number)
    spread = max(LEAST_DEVIATION, number.spread or 0.0)
    return Coefficient(value, spread / (1.0 - value) if is_frac else spread, is_frac=is_frac)


def _movable(section: object, name: str) -> Coefficient | None:
    number: Sourced = getattr(section, name)
    is_frac = name == "voltage_floor"
    return _coefficient(number, is_frac=is_frac) if 0.0 < float(number) < 1.0 else None
