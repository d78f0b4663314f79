"""What all arrival processes refuse."""

from __future__ import annotations

import math

from simtool.errors import InputError, Problem


def check_rate(rate_per_unit_s: float) -> None:
    """Refuse a rate that is negative or not finite."""
    if not 0.0 <= rate_per_unit_s < math.inf:
        refuse("rate_per_unit_s", rate_per_unit_s, "a finite rate of at least 0")


def refuse(field: str, found: object, allowed: str) -> None:
    """Raise the error of a bad field."""
    raise InputError(Problem("hazards", field, f"found {found!r}", allowed))
