"""Arrivals of many equal units in order of time, drawn as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from heapq import heappop, heappush

import numpy as np

from simtool.sim.hazards import Spell

BLOCK = 256
"""Random numbers drawn at a time."""


def exponentials(random: np.random.Generator) -> Iterator[float]:
    """Independent exponential numbers of mean 1, without end."""
    while True:
        yield from random.standard_exponential(BLOCK).tolist()


def shuffled(num: int, random: np.random.Generator) -> Iterator[int]:
    """0 to num - 1 in random order; cost is proportional to what is read.

    Fisher and Yates' shuffle of which only the moved entries are kept.
    """
    moved: dict[int, int] = {}
    for place in range(num):
        other = int(random.integers(place, num))
        found = moved.pop(other, other)
        if other != place:
            moved[other] = moved.pop(place, place)
        yield found


def ordered_firsts(
    num_units: int,
    begin: float,
    time_of: Callable[[float], float],
    gaps: np.random.Generator,
    order: np.random.Generator,
) -> Iterator[tuple[float, int]]:
    """First failures of equal, independent units: the earliest first.

    The cumulative hazards at which units fail are exponential; the i-th smallest of n of them lies
    Exp(1) / (n - i) above the one before (A. Renyi, "On the theory of order statistics", 1953).

    Args:
        num_units: how many.
        begin: cumulative hazard at time 0.
        time_of: when a unit has the given cumulative hazard [s].
        gaps: for the hazards.
        order: for which unit it is.
    """
    hazard = begin
    units = shuffled(num_units, order)
    for left, draw in zip(range(num_units, 0, -1), exponentials(gaps), strict=False):
        hazard += draw / left
        yield time_of(hazard), next(units)


def renewed(
    firsts: Iterator[tuple[float, int]], gap_s: Callable[[], float], spell: Callable[[], Spell]
) -> Iterator[tuple[float, int, Spell]]:
    """Failures of units that are as new after each repair.

    Args:
        firsts: first failure of every unit, in order of time.
        gap_s: draws the time from a repair to the next failure [s].
        spell: draws how long a failure lasts.
    """
    again: list[tuple[float, int]] = []
    first = next(firsts, None)
    while first is not None or again:
        if first is not None and (not again or first[0] <= again[0][0]):
            (time_s, unit), first = first, next(firsts, None)
        else:
            time_s, unit = heappop(again)
        if math.isinf(time_s):
            return
        lasts = spell()
        yield time_s, unit, lasts
        heappush(again, (time_s + lasts.down_s + gap_s(), unit))
