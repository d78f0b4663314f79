"""A power purchase agreement: a fixed price for a share or a profile of the energy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.metered import BillLine, Contracted, PowerSteps, step_energy_j
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.errors import InputError, Problem
from simtool.provenance import Sourced
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar
from simtool.units import JOULES_PER_KWH


@TARIFFS.register("power_purchase")
@dataclass(frozen=True, slots=True, kw_only=True)
class PowerPurchase:
    """Energy at a fixed price, pay as produced; what is missing is bought at the tariff's other energy parts.

    With a `share` the plant follows the load: that share of every kWh. With a `profile` it produces what it produces:
    all of it is paid, what exceeds the load at that moment is sold at `surplus_usd_per_kwh`, what falls short is
    bought. The energy comes through the meter, so demand charges see the whole load.

    Raises:
        InputError: both or neither of share and profile.
    """

    price_usd_per_kwh: float
    name: str = "power purchase"
    share: float | None = None
    """Of every kWh, 0 to 1."""
    profile: Signal | None = None
    """Power of the plant's contracted part [W]."""
    surplus_usd_per_kwh: float = 0.0
    """Paid for what is produced beyond the load."""
    intensity: Sourced | None = None
    """Of its energy, for the market-based account [kgCO2e/kWh]."""

    def __post_init__(self) -> None:
        if (self.share is None) == (self.profile is None):
            found = f"found {'neither' if self.share is None else 'both'} of share and profile"
            raise InputError(Problem("", self.name, found, "one of them", "write e.g. 'share: 0.6'"))
        if self.profile is not None and (self.profile.unit != "W" or (self.profile.values < 0).any()):
            raise ValueError(f"a profile is a power in W of at least 0, not in {self.profile.unit!r}")

    @classmethod
    def example(cls) -> PowerPurchase:
        """40 % of the energy at 0.045 USD/kWh."""
        return cls(price_usd_per_kwh=0.045, share=0.4)

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """The steps of the profile."""
        return self._steps(begin_s, end_s)

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal | None:
        """None: the next kWh is bought from the grid."""
        return None

    def _steps(self, begin_s: float, end_s: float) -> FloatArray:
        edges = np.zeros(0) if self.profile is None else self.profile.edges_s
        return np.asarray(edges[(edges > begin_s) & (edges < end_s)])

    def used(self, load: PowerSteps) -> PowerSteps:
        """The part of a load that it covers, moment by moment."""
        if self.share is not None:
            return PowerSteps(breakpoints_s=load.breakpoints_s, power_w=load.power_w * self.share)
        times = np.union1d(load.breakpoints_s, self._steps(*load.span_s))
        piece = np.searchsorted(load.breakpoints_s, times[:-1], side="right") - 1
        produced = self.profile.at(times[:-1]) if self.profile is not None else 0.0
        return PowerSteps(breakpoints_s=times, power_w=np.minimum(load.power_w[piece], produced))

    def contracted(self, used: PowerSteps, edges_s: FloatArray) -> Contracted:
        """Energy delivered and left over in every step."""
        used_j = step_energy_j(used, edges_s)
        if self.profile is None:
            return Contracted(used_j=used_j, surplus_j=np.zeros(used_j.size))
        self.profile.require(edges_s[0], edges_s[-1])
        produced_j = self.profile.integral(edges_s[:-1], edges_s[1:])
        return Contracted(used_j=used_j, surplus_j=np.maximum(produced_j - used_j, 0.0))

    def charge(self, metered: Metered) -> Charge:
        """One line a month for all that it produces, one for what is sold again."""
        contracted = metered.contracted[self.name]
        used, surplus = (part / JOULES_PER_KWH for part in (contracted.used_j, contracted.surplus_j))
        produced = metered.by_month(used + surplus)
        sold = metered.by_month(surplus)
        lines = []
        for month, label in enumerate(metered.months.labels):
            lines.append(_line(label, self.name, float(produced[month]), self.price_usd_per_kwh))
            if sold[month] > 0:
                rate = -self.surplus_usd_per_kwh
                lines.append(_line(label, f"{self.name}, surplus sold", float(sold[month]), rate))
        usd = (used + surplus) * self.price_usd_per_kwh - surplus * self.surplus_usd_per_kwh
        return Charge(lines=tuple(lines), step_usd=np.asarray(usd))


def _line(month: str, name: str, quantity: float, rate: float) -> BillLine:
    return BillLine(
        month=month,
        name=name,
        kind="energy",
        quantity=quantity,
        unit="kWh",
        rate_usd=rate,
        amount_usd=quantity * rate,
    )
