"""Numbers that know where they come from, and results that can explain themselves.

`Sourced` is a number of a profile or a scenario. `Derived` is a number of a result: its formula
and the numbers that went in, down to the `Sourced` leaves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["measured", "calibrated", "datasheet", "published", "assumed"]
"""Where a number comes from. From strong to weak: measured on this hardware, fitted to
measurements, from the maker's data sheet, published by others, assumed (a guess, named as such)."""

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """A number with unit, kind, source and spread."""

    value: float
    """In base units."""
    unit: str
    kind: Kind
    source: str
    date: str = ""
    """When the source was read or the value measured, ISO 8601."""
    spread: float | None = None
    """Relative standard deviation (0.1 = 10 %); None where the source states none."""

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived:
    """A number of a result: what it is, how it was computed, and from what."""

    name: str
    value: float
    unit: str
    formula: str
    """In words or symbols that name the inputs, e.g. ``"energy_it x PUE"``."""
    inputs: tuple[Derived | Input, ...] = field(default=())

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Derived | Input]]:
        """This number and all below it, each with its depth, top down."""
        yield depth, self
        for below in self.inputs:
            if isinstance(below, Derived):
                yield from below.walk(depth + 1)
            else:
                yield depth + 1, below

    def weakest(self) -> Kind:
        """The weakest kind among the leaves, what the number rests on in the end; one without inputs is assumed."""
        kinds: list[Kind] = [
            leaf.number.kind if isinstance(leaf, Input) else "assumed"
            for _, leaf in self.walk()
            if isinstance(leaf, Input) or not leaf.inputs
        ]
        return max(kinds, key=KINDS.index)


@dataclass(frozen=True, slots=True)
class Input:
    """A leaf of an explanation: a named, sourced number."""

    name: str
    number: Sourced
