"""Budgets, not epochs: how much a run may use, how far it is, and the learning rate that follows.

Progress is the used fraction of the budget. Every schedule is a function of progress, so a method
that skips work gets more steps or ends earlier, and never inherits a half-decayed learning rate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from simtool.errors import InputError, Problem
from simtool.units import TERA

BudgetUnit = Literal["samples", "flop", "seconds", "joules"]
PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": TERA, "P": 1e3 * TERA}
UNIT_NAMES: dict[str, BudgetUnit] = {
    "samples": "samples",
    "sample": "samples",
    "flop": "flop",
    "FLOP": "flop",
    "s": "seconds",
    "seconds": "seconds",
    "J": "joules",
    "joules": "joules",
}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use in all.

    >>> Budget.parse("20 GFLOP")
    Budget(amount=20000000000.0, unit='flop')
    """

    amount: float
    unit: BudgetUnit

    @classmethod
    def parse(cls, text: str, where: str = "--budget") -> Budget:
        """A budget as a person writes it: ``16 ksamples``, ``150 GFLOP``, ``60 s``, ``2 kJ``."""
        found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([kMGTP]?)([A-Za-z]+)\s*", text)
        unit = UNIT_NAMES.get(found[3]) if found else None
        try:
            amount = float(found[1]) * PREFIXES[found[2]] if found else 0.0
        except ValueError:
            amount = 0.0
        if found is None or unit is None or not 0.0 < amount < float("inf"):
            raise InputError(
                Problem(
                    where,
                    "budget",
                    f"found {text!r}",
                    "a positive number with samples, FLOP, s or J",
                    "write e.g. '16 ksamples', '150 GFLOP', '60 s' or '2 kJ'",
                )
            )
        return cls(amount, unit)

    def __str__(self) -> str:
        return f"{self.amount:.6g} {self.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is. All counts are of training alone: evaluation is never charged."""

    frac: float
    """Used share of the budget, from 0."""
    step: int = 0
    epoch: int = 0
    num_samples: int = 0
    flop: float = 0.0
    duration_s: float = 0.0
    energy_j: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Learning rate over progress: linear warm-up, then linear decay to exactly 0 at the end.

    >>> schedule = Schedule(warmup_frac=0.1)
    >>> [round(schedule.factor(frac), 2) for frac in (0.0, 0.05, 0.1, 0.55, 1.0)]
    [0.01, 0.5, 1.0, 0.5, 0.0]
    """

    warmup_frac: float = 0.05
    floor: float = 0.01
    """Factor of the very first step, so that it is not lost."""

    def factor(self, frac: float) -> float:
        """Share of the peak learning rate at this progress; 0 from 1 on."""
        if frac >= 1.0:
            return 0.0
        if frac < self.warmup_frac:
            return max(self.floor, frac / self.warmup_frac)
        return (1.0 - frac) / (1.0 - self.warmup_frac)
