"""What a site costs its owner over a time: hardware, building, maintenance, insurance, staff.

The lines of `simtool.account.own`, without a ledger and with what a site has beyond a run: they are paid for the time
that passes, whether the hardware works or not. Electricity is another bill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from simtool.account.annuity import annual_capital_usd, straight_line_annual_usd
from simtool.account.defaults import economics
from simtool.errors import InputError, Problem
from simtool.provenance import Sourced
from simtool.units import MEGA, SECONDS_PER_YEAR

Capital = Literal["annuity", "straight line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Prices, lifetimes and rates of a site. What is None takes the shipped number, and `notes` says so.

    Raises:
        InputError: a negative amount, or a lifetime that is none.
    """

    hardware_usd: float
    """Of all servers at purchase, with their accelerators."""
    it_capacity_w: float
    """IT power that the building was made for [W]."""
    capital: Capital = "annuity"
    """Equal payments with interest on what is tied up; or what bookkeeping writes off, without."""
    network_share: Sourced | None = None
    """Network and storage, over the servers' price."""
    lifetime: Sourced | None = None
    """Of the hardware [s]."""
    interest_per_year: Sourced | None = None
    residual_value: Sourced | None = None
    """Of the hardware at the end of its lifetime, over its price."""
    facility_price: Sourced | None = None
    """Building and power, per watt of IT power [USD/W]."""
    facility_lifetime: Sourced | None = None
    """[s]."""
    maintenance_per_year: Sourced | None = None
    """Over the hardware's price."""
    insurance_per_year: Sourced | None = None
    """Insurance and property tax, over the price of hardware and building."""
    staff_per_megawatt: Sourced | None = None
    """Full-time staff for a megawatt of IT power."""
    staff_cost_per_year: Sourced | None = None
    """[USD]."""

    def __post_init__(self) -> None:
        for name in ("hardware_usd", "it_capacity_w"):
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise InputError(Problem("", f"own.{name}", f"found {value:g}", "a number of at least 0", ""))
        for name in ("lifetime", "facility_lifetime"):
            number = getattr(self, name)
            if number is not None and not 0 < number.value < math.inf:
                found = f"found {number.value:g} s"
                raise InputError(Problem("", f"own.{name}", found, "a time above 0", "write e.g. 5 year"))


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLine:
    """One line of what owning costs."""

    name: str
    usd_per_year: float
    amount_usd: float
    """Over the span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBill:
    """Lines of a span, and what was taken for granted."""

    lines: tuple[OwnLine, ...]
    notes: tuple[str, ...]
    """Numbers that were not given, each with its value and source."""

    @property
    def total_usd(self) -> float:
        """Sum of the lines."""
        return math.fsum(line.amount_usd for line in self.lines)

    @property
    def usd_per_year(self) -> float:
        """The same, for a year."""
        return math.fsum(line.usd_per_year for line in self.lines)


_DEFAULTS = {
    "network_share": "network_share",
    "lifetime": "hardware_lifetime",
    "interest_per_year": "interest_per_year",
    "residual_value": "residual_value",
    "facility_price": "facility_price",
    "facility_lifetime": "facility_lifetime",
    "maintenance_per_year": "maintenance_per_year",
    "insurance_per_year": "insurance_per_year",
    "staff_per_megawatt": "staff_per_megawatt",
    "staff_cost_per_year": "staff_cost_per_year",
}
"""Where the shipped number of each field stands in `simtool.account.defaults.Economics`."""


def own_bill(own: Ownership, span_s: float) -> OwnBill:
    """What owning a site costs over a span.

    ``hardware`` and ``building`` are capital over their own lifetimes; ``maintenance`` and ``insurance`` go with the
    price, ``staff`` with the power that the building was made for. A building keeps no residual value.

    Args:
        own: the site.
        span_s: time that passes [s].
    """
    known = economics()
    used = {
        name: getattr(own, name) if getattr(own, name) is not None else getattr(known, default)
        for name, default in _DEFAULTS.items()
    }
    number = {name: float(sourced.value) for name, sourced in used.items()}
    hardware = own.hardware_usd * (1.0 + number["network_share"])
    building = own.it_capacity_w * number["facility_price"]
    annual = {
        "hardware": _capital(own.capital, hardware, number["residual_value"], number, number["lifetime"]),
        "building": _capital(own.capital, building, 0.0, number, number["facility_lifetime"]),
        "maintenance": hardware * number["maintenance_per_year"],
        "insurance": (hardware + building) * number["insurance_per_year"],
        "staff": own.it_capacity_w / MEGA * number["staff_per_megawatt"] * number["staff_cost_per_year"],
    }
    years = span_s / SECONDS_PER_YEAR
    skipped = {"interest_per_year"} if own.capital == "straight line" else set()
    return OwnBill(
        lines=tuple(
            OwnLine(name=name, usd_per_year=usd, amount_usd=usd * years) for name, usd in annual.items()
        ),
        notes=tuple(
            f"own.{name} is not given: {used[name].value:g} {used[name].unit}".rstrip()
            + f" ({used[name].kind}: {used[name].source})"
            for name in _DEFAULTS
            if getattr(own, name) is None and name not in skipped
        ),
    )


def _capital(
    method: Capital, price_usd: float, residual_frac: float, number: dict[str, float], lifetime_s: float
) -> float:
    if method == "straight line":
        return float(straight_line_annual_usd(price_usd, residual_frac, lifetime_s))
    return float(annual_capital_usd(price_usd, residual_frac, number["interest_per_year"], lifetime_s))
