"""A fee for being connected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.account.metered import BillLine
from simtool.account.tariff import TARIFFS, Charge, Metered
from simtool.signals import Signal
from simtool.signals.signal import FloatArray
from simtool.signals.windows import LocalCalendar


@TARIFFS.register("fixed")
@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """The same amount every month, whatever is drawn."""

    amount_usd_per_month: float
    name: str = "customer charge"

    @classmethod
    def example(cls) -> Fixed:
        """1,000 USD a month."""
        return cls(amount_usd_per_month=1000.0)

    def edges_s(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> FloatArray:
        """None besides the months."""
        return np.zeros(0)

    def marginal_price(self, calendar: LocalCalendar, begin_s: float, end_s: float) -> Signal | None:
        """None: no kWh costs more."""
        return None

    def charge(self, metered: Metered) -> Charge:
        """One line a month."""
        return Charge(
            lines=tuple(
                BillLine(
                    month=label,
                    name=self.name,
                    kind="fixed",
                    quantity=1.0,
                    unit="month",
                    rate_usd=self.amount_usd_per_month,
                    month_frac=float(frac),
                    amount_usd=float(self.amount_usd_per_month * frac),
                )
                for label, frac in zip(metered.months.labels, metered.month_frac, strict=True)
            )
        )
