"""What the target's board draws while an operation runs."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot

from simtool.profiles.schema import Accelerator

PHASES = {"gemm": "compute", "attention": "compute", "conv": "compute", "memory": "memory"}
"""Phase of a profile's power by class of work."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Power and its relative standard deviation."""

    power_w: float
    spread: float


def drawn(accelerator: Accelerator, limit_w: float, model_class: str, work_frac: float) -> Drawn:
    """Power of the board during an operation.

    The share of the time that is work draws what its phase does, the share that is latency what waiting does:
    ``limit x (work_frac x phase + (1 - work_frac) x waiting)``.

    Args:
        accelerator: its phases, as fractions of the limit.
        limit_w: board power limit [W].
        model_class: gemm, attention, conv or memory; else communication.
        work_frac: share of work in its time.

    >>> from simtool.profiles.find import default_library
    >>> board = default_library().get("accelerator", "mi300x")
    >>> round(drawn(board, 750.0, "gemm", 1.0).power_w), round(drawn(board, 750.0, "gemm", 0.0).power_w)
    (690, 188)
    """
    phases = accelerator.power.by_phase
    busy = getattr(phases, PHASES.get(model_class, "communication"))
    working, waiting = work_frac * float(busy), (1.0 - work_frac) * float(phases.waiting)
    spread = (working * (busy.spread or 0.0) + waiting * (phases.waiting.spread or 0.0)) / (working + waiting)
    limit = accelerator.power.limit
    return Drawn(limit_w * (working + waiting), hypot(spread, (limit.spread if limit else None) or 0.0))
