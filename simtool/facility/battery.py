"""A battery: what it can take and give, what it loses, how it ages.

The model is C/L/C of Kazhamiaka, Keshav and Rosenberg (Energy Informatics 2, 2019): efficiencies are constant,
and the energy limits are linear in the current. Stored energy b stays below ``v2 + u2 I`` while charging and
above ``v1 + u1 I`` while discharging (u2 < 0 < u1 as absolute slopes). With ``I = P / V`` that is a limit on
power: it falls linearly with the room that is left, ``P <= (v2 - b) V / |u2|``. In continuous time the last
part of a charge is then an exponential, and so is the last part of a discharge; both are solved, not stepped.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.errors import InputError, Problem
from simtool.units import SECONDS_PER_HOUR

CELL_J = 19.14 * SECONDS_PER_HOUR
CELL_V = 3.63
CELL_CHARGE_SLOPE_J_PER_A = 1.326 * SECONDS_PER_HOUR
CELL_DISCHARGE_SLOPE_J_PER_A = 0.087 * SECONDS_PER_HOUR
CELL_CHARGE_PER_HOUR = 0.7
CELL_DISCHARGE_PER_HOUR = 1.5
CELL_CHARGE_FRAC = 0.978
CELL_DISCHARGE_FRAC = 1.0 / 1.014
"""C/L/C constants of a cell LG M50 (nickel manganese cobalt, 18.2 Wh nominal): v2, V, |u2|, u1, current limits as
multiples of the capacity per hour, efficiencies. Published with Vessim (github.com/dos-group/vessim, MIT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Battery:
    """Limits, losses and ageing; energies at the cells [J], powers at the terminals [W].

    >>> battery = Battery(capacity_j=3600.0, charge_w=1.0, discharge_w=1.0, charge_frac=0.9, discharge_frac=0.8)
    >>> round(battery.round_trip_frac, 2)
    0.72
    """

    capacity_j: float
    """Most energy stored, at vanishing current."""
    charge_w: float
    discharge_w: float
    charge_frac: float
    """Stored over taken."""
    discharge_frac: float
    """Given over drawn from store."""
    least_j: float = 0.0
    """Least energy to which it is discharged, at vanishing current."""
    charge_slope_per_s: float = np.inf
    """Charging power is at most this times the room that is left [W/J]; infinite: the full power up to the end."""
    discharge_slope_per_s: float = np.inf
    """Discharging power is at most this times the energy that is left."""
    self_discharge_per_s: float = 0.0
    """Share of the stored energy that is lost in a second."""
    standby_w: float = 0.0
    """Electronics and their cooling, taken from the site at all times."""
    initial_j: float = 0.0
    cycle_life: float = 3000.0
    """Full cycles until the end of life. Lithium-ion at 80 % remaining: 3,000 in CarbonExplorer, as a fact."""
    calendar_life_s: float = np.inf
    """Age at the end of life if it is never used [s]. Shares of both lives add up."""
    depth_exponent: float = 1.0
    """Cycles of depth d count as d^exponent of a full one: 1 counts throughput alone, above 1 spares shallow ones."""

    def __post_init__(self) -> None:
        problems = []
        for field, low, high in (
            ("capacity_j", 0.0, np.inf),
            ("charge_w", 0.0, np.inf),
            ("discharge_w", 0.0, np.inf),
            ("charge_slope_per_s", 0.0, np.inf),
            ("discharge_slope_per_s", 0.0, np.inf),
            ("cycle_life", 0.0, np.inf),
            ("calendar_life_s", 0.0, np.inf),
            ("charge_frac", 0.0, 1.0),
            ("discharge_frac", 0.0, 1.0),
        ):
            found = getattr(self, field)
            may_be_infinite = field.endswith("per_s") or field == "calendar_life_s"
            if not low < found <= high or (np.isinf(found) and not may_be_infinite):
                allowed = (
                    f"allowed: above 0{'' if np.isinf(high) else ', at most 1: a battery gives no energy'}"
                )
                problems.append(Problem("", f"battery.{field}", f"found {found:g}", allowed, ""))
        for field in ("self_discharge_per_s", "standby_w", "least_j", "initial_j"):
            found = getattr(self, field)
            if not 0.0 <= found < np.inf:
                problems.append(
                    Problem("", f"battery.{field}", f"found {found:g}", "allowed: at least 0", "")
                )
        if not 1.0 <= self.depth_exponent < np.inf:
            found_text = f"found {self.depth_exponent:g}"
            problems.append(Problem("", "battery.depth_exponent", found_text, "allowed: at least 1", ""))
        if not problems and not self.least_j < self.capacity_j:
            found_text = f"found {self.least_j:g} J with a capacity of {self.capacity_j:g} J"
            problems.append(Problem("", "battery.least_j", found_text, "allowed: below the capacity", ""))
        if not problems and not self.initial_j <= self.capacity_j:
            found_text = f"found {self.initial_j:g} J with a capacity of {self.capacity_j:g} J"
            problems.append(Problem("", "battery.initial_j", found_text, "allowed: at most the capacity", ""))
        if problems:
            raise InputError(problems)

    @property
    def round_trip_frac(self) -> float:
        """Energy given over energy taken in a full cycle."""
        return self.charge_frac * self.discharge_frac

    @classmethod
    def lithium(cls, capacity_j: float, *, initial_frac: float = 0.5, least_frac: float = 0.0) -> Battery:
        """A lithium-ion battery of any size with the C/L/C constants of one cell.

        >>> hour = Battery.lithium(3.6e9)  # 1 MWh
        >>> round(hour.charge_w / 1e3), round(hour.discharge_w / 1e3), round(hour.round_trip_frac, 4)
        (700, 1500, 0.9645)
        """
        return cls(
            capacity_j=capacity_j,
            charge_w=CELL_CHARGE_PER_HOUR * capacity_j / SECONDS_PER_HOUR,
            discharge_w=CELL_DISCHARGE_PER_HOUR * capacity_j / SECONDS_PER_HOUR,
            charge_frac=CELL_CHARGE_FRAC,
            discharge_frac=CELL_DISCHARGE_FRAC,
            least_j=least_frac * capacity_j,
            charge_slope_per_s=CELL_V / CELL_CHARGE_SLOPE_J_PER_A,
            discharge_slope_per_s=CELL_V / CELL_DISCHARGE_SLOPE_J_PER_A,
            initial_j=initial_frac * capacity_j,
        )

    def charge_limit_w(self, stored_j: float) -> float:
        """Most power that it takes at this energy [W]."""
        room_j = max(self.capacity_j - stored_j, 0.0)
        if np.isinf(self.charge_slope_per_s):
            return self.charge_w if room_j > 0.0 else 0.0
        return min(self.charge_w, self.charge_slope_per_s * room_j)

    def discharge_limit_w(self, stored_j: float) -> float:
        """Most power that it gives at this energy [W]."""
        left_j = max(stored_j - self.least_j, 0.0)
        if np.isinf(self.discharge_slope_per_s):
            return self.discharge_w if left_j > 0.0 else 0.0
        return min(self.discharge_w, self.discharge_slope_per_s * left_j)
