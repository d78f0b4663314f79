"""From the same model recorded at several sizes to amounts that follow batch and sequence length.

Every amount is solved for exactly, as a polynomial that is linear in the batch and at most quadratic in the
sequence length, and must then give the value at a size that was held out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from simtool.workload.amount import MAX_SEQUENCE_POWER, Amount

NUM_BATCHES = 2
Size = tuple[int, int]
"""Batch and sequence length."""


class NoPolynomialError(Exception):
    """An amount does not follow batch and sequence length as it should."""

    def __init__(self, size: Size, found: Fraction, expected: Fraction) -> None:
        super().__init__(size, found, expected)
        self.size, self.found, self.expected = size, found, expected


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes that a model is recorded at: a grid to solve on, and the held-out one at the end."""

    batches: tuple[int, ...]
    lengths: tuple[int, ...]
    held_out: Size

    @staticmethod
    def around(batch: int, seq_len: int | None) -> Sizes:
        """Sizes that share divisors with the one that was asked for.

        Batches grow, from 2 on, because a dimension of one is laid out in a way of its own. Lengths shrink,
        because a model may have a longest one.

        Args:
            batch: samples.
            seq_len: tokens in a sample, a multiple of 4 of at least 8; None where there is no sequence.

        >>> Sizes.around(1, 2048).grid
        ((2, 2048), (2, 1024), (2, 512), (4, 2048), (4, 1024), (4, 512))
        """
        first = max(2, batch)
        batches = (first, 2 * first)
        if seq_len is None:
            return Sizes(batches, (1,), (3 * first, 1))
        return Sizes(batches, (seq_len, seq_len // 2, seq_len // 4), (3 * first, 3 * (seq_len // 4)))

    @property
    def grid(self) -> tuple[Size, ...]:
        """The sizes to solve on; the first is the one that was asked for."""
        return tuple((batch, length) for batch in self.batches for length in self.lengths)

    @property
    def all(self) -> tuple[Size, ...]:
        """The grid, and the held-out size behind it."""
        return (*self.grid, self.held_out)

    def solve(self, values: Sequence[Fraction]) -> Amount:
        """The amount that has these values at `all` sizes.

        Raises:
            NoPolynomialError: none of the allowed powers has.
        """
        *on_grid, last = values
        if all(value == last for value in on_grid):
            return Amount.of({(0, 0): last})
        per_batch = len(self.lengths)
        rows = [
            _interpolated(self.lengths, on_grid[start : start + per_batch])
            for start in range(0, len(on_grid), per_batch)
        ]
        terms: dict[tuple[int, int], Fraction] = {}
        for power in range(len(self.lengths)):
            constant, slope = _interpolated(self.batches, [row[power] for row in rows])
            terms[(0, power)], terms[(1, power)] = constant, slope
        amount = Amount.of(terms)
        expected = amount.exactly(*self.held_out)
        is_written = all((2 * value).denominator == 1 for _, value in amount.terms)
        if expected != last or not is_written:
            raise NoPolynomialError(self.held_out, last, expected)
        return amount


def _interpolated(places: Sequence[int], values: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, lowest power first, of the polynomial through the values (Newton's divided differences).

    >>> [str(value) for value in _interpolated((1, 2, 3), [Fraction(1), Fraction(4), Fraction(9)])]
    ['0', '0', '1']
    """
    if len(places) > MAX_SEQUENCE_POWER + 1:
        raise ValueError("more places than powers")
    differences = list(values)
    for order in range(1, len(places)):
        for index in range(len(places) - 1, order - 1, -1):
            rise = differences[index] - differences[index - 1]
            differences[index] = rise / (places[index] - places[index - order])
    coefficients = [Fraction(0)] * len(places)
    for difference, place in zip(reversed(differences), reversed(places), strict=True):
        shifted = [Fraction(0), *coefficients[:-1]]
        coefficients = [up - place * old for up, old in zip(shifted, coefficients, strict=True)]
        coefficients[0] += difference
    return coefficients
