"""Amounts that follow the batch and the sequence length: ``32*b*s^2 + 4096*b*s``.

A captured workload states every size as such a polynomial, at most linear in the batch ``b`` and
quadratic in the sequence length ``s``, so that one small file holds the workload at all sizes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from simtool.stepgraph import Number

MAX_BATCH_POWER = 1
MAX_SEQUENCE_POWER = 2
POWERS: tuple[tuple[int, int], ...] = tuple(
    product(range(MAX_BATCH_POWER + 1), range(MAX_SEQUENCE_POWER + 1))
)
"""Powers of (b, s) that a term may have."""
MAX_COEFFICIENT = 10**24
"""Above the operations of any step that will be run; what is larger is a mistake."""

_TERM = re.compile(r"([+-]?)\s*([^+\-\s][^+\-]*?)\s*(?=[+-]|\Z)")
_FACTOR = re.compile(r"(?P<number>[0-9]{1,30}(?:\.[0-9]{1,9})?)|(?P<name>[bs])(?:\^(?P<power>[0-9]))?")
_MAX_LETTERS = 200
_NAMES = "bs"


@dataclass(frozen=True, slots=True)
class Amount:
    """A polynomial in the batch and the sequence length.

    >>> work = Amount.parse("2*b*s^2 + 10*s")
    >>> work.at(3, 5)
    200.0
    >>> str(work + work)
    '4*b*s^2 + 20*s'
    """

    terms: tuple[tuple[tuple[int, int], Fraction], ...] = ()
    """Powers of (b, s) and their coefficient, none of them zero, the highest powers first."""

    @staticmethod
    def of(terms: Mapping[tuple[int, int], Fraction | int]) -> Amount:
        """From coefficients by powers of (b, s).

        >>> str(Amount.of({(0, 0): 7, (1, 1): 2}))
        '2*b*s + 7'
        """
        kept = {powers: Fraction(value) for powers, value in terms.items() if value}
        return Amount(tuple(sorted(kept.items(), reverse=True)))

    @staticmethod
    def parse(text: str | int | float) -> Amount:
        """From what a file states: a number, or a sum of products of numbers, ``b`` and ``s``.

        Raises:
            ValueError: anything else, a power that is too high, or a sum that starts below zero.
        """
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError(_complaint(text))
        if not isinstance(text, str):
            text = repr(text)
        if len(text) > _MAX_LETTERS:
            raise ValueError(_complaint(f"{text[:20]}..."))
        terms: dict[tuple[int, int], Fraction] = {}
        rest = text.strip()
        is_first = True
        while rest:
            found = _TERM.match(rest)
            if found is None or (not found[1] and not is_first):
                raise ValueError(_complaint(text))
            powers, value = _term(found[2], text)
            terms[powers] = terms.get(powers, Fraction(0)) + (-value if found[1] == "-" else value)
            rest = rest[found.end() :].strip()
            is_first = False
        if is_first:
            raise ValueError(_complaint(text))
        amount = Amount.of(terms)
        if amount.terms and amount.terms[0][1] < 0:
            raise ValueError(f"found {text}, which is below zero for large sizes")
        return amount

    def at(self, batch: Number, seq_len: Number) -> Number:
        """The value for a batch and a sequence length; arrays broadcast."""
        total: Number = 0.0
        for (in_batch, in_sequence), coefficient in self.terms:
            total = total + float(coefficient) * batch**in_batch * seq_len**in_sequence
        return total

    def exactly(self, batch: int, seq_len: int) -> Fraction:
        """The value without rounding."""
        powers = ((value, batch**b * seq_len**s) for (b, s), value in self.terms)
        return sum((value * factor for value, factor in powers), Fraction(0))

    @property
    def batch_power(self) -> int:
        """Highest power of the batch."""
        return max((powers[0] for powers, _ in self.terms), default=0)

    @property
    def sequence_power(self) -> int:
        """Highest power of the sequence length."""
        return max((powers[1] for powers, _ in self.terms), default=0)

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __add__(self, other: Amount) -> Amount:
        terms = dict(self.terms)
        for powers, value in other.terms:
            terms[powers] = terms.get(powers, Fraction(0)) + value
        return Amount.of(terms)

    def times(self, factor: int | Fraction) -> Amount:
        """The amount, so many times."""
        return Amount.of({powers: value * factor for powers, value in self.terms})

    def __str__(self) -> str:
        words = "".join(
            f" {'-' if value < 0 else '+'} {_written(abs(value), powers)}" for powers, value in self.terms
        )
        return words.removeprefix(" + ") if words else "0"


def _term(text: str, whole: str) -> tuple[tuple[int, int], Fraction]:
    powers = [0, 0]
    value = Fraction(1)
    for factor in text.split("*"):
        found = _FACTOR.fullmatch(factor.strip())
        if found is None:
            raise ValueError(_complaint(whole))
        if found["number"] is not None:
            value *= Fraction(found["number"])
        else:
            powers[_NAMES.index(found["name"])] += int(found["power"] or 1)
    if powers[0] > MAX_BATCH_POWER or powers[1] > MAX_SEQUENCE_POWER or value > MAX_COEFFICIENT:
        raise ValueError(_complaint(whole))
    return (powers[0], powers[1]), value


def _complaint(found: object) -> str:
    return f"found {found!r}; write a number, or a polynomial of the batch b and the sequence length s as '2*b*s^2 + 8'"


def _written(value: Fraction, powers: tuple[int, int]) -> str:
    """One term; coefficients are whole or halves, as those of whole-valued polynomials are."""
    factors = [
        name if power == 1 else f"{name}^{power}" for name, power in zip(_NAMES, powers, strict=True) if power
    ]
    number = str(value.numerator) if value.denominator == 1 else repr(float(value))
    if factors and value == 1:
        return "*".join(factors)
    return "*".join([number, *factors])


def _read(written: Any) -> Amount:
    return written if isinstance(written, Amount) else Amount.parse(written)


def _write(amount: Amount) -> str | int:
    text = str(amount)
    return int(text) if text.isdigit() else text


AmountField = Annotated[
    Amount,
    PlainValidator(_read),
    PlainSerializer(_write),
    WithJsonSchema(
        {
            "type": ["string", "integer"],
            "description": "a number, or a polynomial of the batch b and the sequence length s",
            "examples": ["4096*b*s"],
        }
    ),
]
"""An amount in a file."""
