"""What devices do in one activity: shares of them in ledger states, each with its power."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from simtool.errors import SimtoolError, did_you_mean

LEDGER_STATES = (
    "compute",
    "exposed_communication",
    "bubble",
    "checkpoint",
    "restart",
    "lost_work",
    "idle",
    "down",
)
"""``lost_work`` is work that a failure undid and time in which a broken job went on unnoticed; ``idle``
are devices that could work and have nothing to do; ``down`` are those of failed nodes."""

WORK_STATES = ("compute", "exposed_communication", "bubble")
"""States of a training step."""

COMPONENTS = ("accelerator", "host", "network")

FRACTION_TOLERANCE = 1e-12
"""Device fractions may miss 1 by rounding only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A fraction of the devices of a pattern, its ledger state, and its power per device [W]."""

    state: str
    device_frac: float
    power_w: tuple[float, float, float]
    """By component, in the order of `COMPONENTS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What devices do in one activity; the fractions of its shares sum to 1.

    Raises:
        SimtoolError: an unknown state, fractions that do not sum to 1, or a power that is not a
            non-negative number.

    >>> idle = Share(state="idle", device_frac=1.0, power_w=(70.0, 60.0, 5.0))
    >>> Pattern(name="idle", shares=(idle,)).power_w
    135.0
    """

    name: str
    shares: tuple[Share, ...]

    def __post_init__(self) -> None:
        for share in self.shares:
            if share.state not in LEDGER_STATES:
                hint = did_you_mean(share.state, LEDGER_STATES)
                raise SimtoolError(f"pattern {self.name!r}: unknown state {share.state!r}; {hint}")
            if len(share.power_w) != len(COMPONENTS):
                raise SimtoolError(f"pattern {self.name!r}: one power for each of {', '.join(COMPONENTS)}")
            for number in (share.device_frac, *share.power_w):
                if not (math.isfinite(number) and number >= 0):
                    raise SimtoolError(f"pattern {self.name!r}: found {number!r} in state {share.state!r}")
        total = math.fsum(share.device_frac for share in self.shares)
        if abs(total - 1.0) > FRACTION_TOLERANCE:
            raise SimtoolError(f"pattern {self.name!r}: device fractions sum to {total!r}, not to 1")

    @property
    def states(self) -> tuple[str, ...]:
        """States of its shares, each once."""
        return tuple(dict.fromkeys(share.state for share in self.shares))

    @property
    def power_w(self) -> float:
        """Mean power per device, all components [W]."""
        return math.fsum(share.device_frac * math.fsum(share.power_w) for share in self.shares)


@lru_cache(maxsize=256)
def lost(pattern: Pattern) -> Pattern:
    """The same activity at the same power, once it is known to have been in vain.

    >>> busy = Share(state="compute", device_frac=1.0, power_w=(700.0, 90.0, 20.0))
    >>> work = Pattern(name="step", shares=(busy,))
    >>> lost(work).states, lost(work).power_w
    (('lost_work',), 810.0)
    """
    shares = tuple(replace(share, state="lost_work") for share in pattern.shares)
    return Pattern(name=f"{pattern.name} (lost)", shares=shares)
