"""Patterns: whole, in known states, with real powers."""

from __future__ import annotations

import math

import pytest

from simtool.errors import SimtoolError
from simtool.ledger import Pattern, Share, lost


def share(state: str = "compute", frac: float = 1.0, power_w: tuple[float, ...] = (1.0, 2.0, 3.0)) -> Share:
    return Share(state=state, device_frac=frac, power_w=power_w)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((), "sum to 0.0"),
        ((share(frac=0.6), share("bubble", 0.3)), "sum to 0.8"),
        ((share(frac=1.5), share("bubble", -0.5)), "found -0.5"),
        ((share("computing"),), "unknown state 'computing'; did you mean 'compute'"),
        ((share(power_w=(1.0, math.nan, 3.0)),), "found nan"),
        ((share(power_w=(-1.0, 2.0, 3.0)),), "found -1.0"),
        ((share(power_w=(1.0, 2.0)),), "one power for each of accelerator, host, network"),
    ],
)
def test_what_is_not_a_pattern(shares: tuple[Share, ...], message: str) -> None:
    with pytest.raises(SimtoolError, match=message):
        Pattern(name="odd", shares=shares)


def test_rounded_fractions_are_whole() -> None:
    tenths = tuple(share(frac=0.1) for _ in range(10))
    assert Pattern(name="tenths", shares=tenths).power_w == pytest.approx(6.0)


def test_lost_work_keeps_power_and_fractions() -> None:
    work = Pattern(name="step", shares=(share(frac=0.75), share("bubble", 0.25, (9.0, 9.0, 9.0))))
    wasted = lost(work)
    assert wasted.states == ("lost_work",)
    assert wasted.power_w == work.power_w
    assert lost(work) is wasted
