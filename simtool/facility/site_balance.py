"""Who supplies a site: sun, wind, battery, generator and grid, in every interval, to the last watt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from simtool.errors import InfeasibleError, InputError, Problem
from simtool.facility.battery import Battery
from simtool.facility.battery_run import BatteryRun, run_battery
from simtool.facility.generator import Generator
from simtool.facility.policies import Policy
from simtool.facility.series import FloatArray, checked_breakpoints, spread, union
from simtool.signals import Signal
from simtool.units import display

ROUNDING = 1e-9
"""Relative to the load: a smaller shortage or surplus is rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteBalance:
    """A site in every interval; all powers positive [W].

    ``solar + wind + discharge + generator + import + unserved = load + standby + charge + export + curtailed``
    """

    breakpoints_s: FloatArray
    load_w: FloatArray
    standby_w: FloatArray
    """Electronics of the battery."""
    solar_w: FloatArray
    wind_w: FloatArray
    charge_w: FloatArray
    discharge_w: FloatArray
    generator_w: FloatArray
    import_w: FloatArray
    export_w: FloatArray
    curtailed_w: FloatArray
    """Sun and wind that nobody took."""
    unserved_w: FloatArray
    """Load beyond what all of them together can give."""
    battery: BatteryRun | None

    def integral(self, column: str) -> float:
        """Energy of a column over the whole time [J]."""
        return float(np.sum(getattr(self, column) * np.diff(self.breakpoints_s)))

    def imbalance_w(self) -> FloatArray:
        """Supply less use in every interval; rounding apart 0 [W]."""
        supply = (
            self.solar_w + self.wind_w + self.discharge_w + self.generator_w + self.import_w + self.unserved_w
        )
        return supply - (self.load_w + self.standby_w + self.charge_w + self.export_w + self.curtailed_w)


def site_balance(
    breakpoints_s: ArrayLike,
    load_w: ArrayLike,
    *,
    solar: Signal | None = None,
    wind: Signal | None = None,
    battery: Battery | None = None,
    policy: Policy | None = None,
    generator: Generator | None = None,
    import_limit: Signal | None = None,
    export_limit_w: float = 0.0,
    shortage: Literal["refuse", "unserved"] = "refuse",
) -> SiteBalance:
    """Splits a load into its supplies, exactly over the union of all breakpoints.

    The battery follows its policy, held so that it never causes a shortage: it does not charge beyond the
    import limit, and gives what it can where the load is above it. Then come the grid up to its limit, the
    generator, and what is left is a shortage. What is over is exported up to the limit, else curtailed.

    Args:
        breakpoints_s: n + 1 rising times [s].
        load_w: power at the meter of the site, from `Facility.over` [W].
        solar: power of the site's own panels [W].
        wind: power of the site's own turbines [W].
        battery: beside the load.
        policy: how the battery is used; needed with one.
        generator: runs for what the grid does not give.
        import_limit: of the grid connection [W], changing over time: 0 in an outage; unlimited if not given.
        export_limit_w: most power fed into the grid [W].
        shortage: whether a load that cannot be supplied is refused or recorded as unserved.

    Raises:
        InfeasibleError: a shortage, with ``shortage="refuse"``.
        InputError: a signal in another unit, negative, or too short; a battery without a policy.
    """
    edges = checked_breakpoints(breakpoints_s)
    load = np.asarray(load_w, dtype=np.float64)
    if load.shape != (edges.size - 1,) or not (np.isfinite(load).all() and (load >= 0.0).all()):
        raise ValueError(f"{edges.size} breakpoints need {edges.size - 1} finite loads of at least 0 W")
    if (battery is None) != (policy is None):
        found = "found a battery without a policy" if policy is None else "found a policy without a battery"
        raise InputError(Problem("", "battery", found, "allowed: both or neither", "give the other too"))
    if not export_limit_w >= 0.0:
        found = f"found {export_limit_w:g} W"
        raise InputError(Problem("", "export_limit", found, "allowed: at least 0", ""))
    _refuse_other_powers(solar=solar, wind=wind, import_limit=import_limit)
    signal = None if policy is None else policy.signal
    finer = union(edges, (solar, wind, import_limit, signal))
    load = spread(edges, load, finer)
    sun, air = _values(solar, finer, 0.0), _values(wind, finer, 0.0)
    limit = _values(import_limit, finer, np.inf)
    standby = np.full(load.shape, 0.0 if battery is None else battery.standby_w)
    run = None
    charge = discharge = np.zeros(load.shape)
    if battery is not None and policy is not None:
        net = load + standby - sun - air
        asked = policy.request_w(net, _values(signal, finer, 0.0), battery)
        run = run_battery(battery, finer, np.minimum(asked, limit - net))
        load, standby, sun, air, limit = (array[run.interval] for array in (load, standby, sun, air, limit))
        finer, charge, discharge = run.breakpoints_s, run.charge_w, run.discharge_w
    missing = (load - sun - air) + standby + (charge - discharge)
    missing[np.abs(missing) <= ROUNDING * (load + standby + charge)] = (
        0.0  # what a battery made even, but for rounding
    )
    need = np.maximum(missing, 0.0)
    imported = np.minimum(need, limit)
    own = np.minimum(need - imported, 0.0 if generator is None else generator.rated_w)
    unserved = need - imported - own
    over = np.maximum(-missing, 0.0)
    exported = np.minimum(over, export_limit_w)
    scale = ROUNDING * (load + standby + charge)
    if shortage == "refuse" and np.any(unserved > scale):
        raise _short(finer, unserved, unserved > scale, limit)
    return SiteBalance(
        breakpoints_s=finer,
        load_w=load,
        standby_w=standby,
        solar_w=sun,
        wind_w=air,
        charge_w=charge,
        discharge_w=discharge,
        generator_w=own,
        import_w=imported,
        export_w=exported,
        curtailed_w=over - exported,
        unserved_w=unserved,
        battery=run,
    )


def _values(signal: Signal | None, edges_s: FloatArray, otherwise: float) -> FloatArray:
    if signal is None:
        return np.full(edges_s.size - 1, otherwise)
    return signal.at(edges_s[:-1])


def _refuse_other_powers(**signals: Signal | None) -> None:
    problems = []
    for name, signal in signals.items():
        if signal is None:
            continue
        if signal.unit != "W":
            problems.append(
                Problem(signal.name, name, f"found a series in {signal.unit!r}", "allowed: W", "")
            )
        elif signal.values.min() < 0.0:
            found = f"found {signal.values.min():g} W"
            problems.append(Problem(signal.name, name, found, "allowed: at least 0", "check its sign"))
    if problems:
        raise InputError(problems)


def _short(
    edges_s: FloatArray,
    unserved_w: FloatArray,
    short: np.ndarray[tuple[int], np.dtype[np.bool_]],
    limit_w: FloatArray,
) -> InfeasibleError:
    index, worst = int(np.argmax(short)), int(np.argmax(unserved_w))
    energy_j = float(np.sum(unserved_w[short] * np.diff(edges_s)[short]))
    return InfeasibleError(
        "grid import limit",
        f"from {display(float(edges_s[index]), 's')} on {display(float(unserved_w[index]), 'W')} are missing beside "
        f"{display(float(limit_w[index]), 'W')} from the grid; in all {display(energy_j, 'J')} in "
        f"{int(short.sum()):,} intervals",
        [
            f"{display(float(unserved_w[worst]), 'W')} more of import limit or generator",
            "a lower cap on the load, or shortage: unserved to record what is missing",
        ],
    )
