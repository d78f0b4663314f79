"""How the sizes in a recorded step follow batch and sequence length, told by their values alone.

A trace shows one size. What is a multiple of all tokens is taken to grow with them, what equals the sequence length
with that, what equals the batch with that; every other size is the model's own. So a size becomes one term, and
a coincidence (a width that equals the sequence length) is the one thing that can mislead; it is looked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from simtool.workload.amount import Amount

Shape = Sequence[int]
SCORE_DIMENSIONS = 3
"""Score matrices have at least so many dimensions: heads of all samples, queries, keys."""


@dataclass(frozen=True, slots=True)
class Term:
    """One product of a number, a power of the batch and a power of the sequence length.

    >>> (Term(Fraction(12), 1, 0) * Term(Fraction(1), 0, 2)).amount.at(2, 10)
    2400.0
    """

    factor: Fraction = Fraction(1)
    in_batch: int = 0
    in_sequence: int = 0

    def __mul__(self, other: Term) -> Term:
        return Term(
            self.factor * other.factor,
            self.in_batch + other.in_batch,
            self.in_sequence + other.in_sequence,
        )

    @property
    def powers(self) -> tuple[int, int]:
        """Of batch and sequence length."""
        return self.in_batch, self.in_sequence

    @property
    def amount(self) -> Amount:
        """As a workload file states it, to halves."""
        return Amount.of({self.powers: Fraction(round(2 * self.factor), 2)})


@dataclass(frozen=True, slots=True)
class Recorded:
    """The size at which a step was recorded; a sequence length of 1 where samples have none."""

    batch: int
    seq_len: int

    @property
    def tokens(self) -> int:
        """Of the micro-batch."""
        return self.batch * self.seq_len

    def fixed(self, size: int) -> Term:
        """A size of the model's own."""
        return Term(Fraction(size))

    def is_rows(self, size: int) -> bool:
        """Whether a size may be that of tokens, of samples or of positions: a multiple of all, or equal to one."""
        return size > 0 and (size % self.tokens == 0 or self.exact(size).powers != (0, 0))

    def rows(self, size: int) -> Term:
        """A size along which tokens lie.

        >>> Recorded(4, 512).rows(4096), Recorded(4, 512).rows(4)
        (Term(factor=Fraction(2, 1), in_batch=1, in_sequence=1), Term(factor=Fraction(1, 1), in_batch=1, in_sequence=0))
        """
        if size % self.tokens == 0:
            return Term(Fraction(size, self.tokens), 1, int(self.seq_len > 1))
        return self.exact(size)

    def exact(self, size: int) -> Term:
        """A size that is the sequence length or the batch, else one of the model's own."""
        if size == self.seq_len > 1:
            return Term(in_sequence=1)
        if size == self.batch > 1:
            return Term(in_batch=1)
        return self.fixed(size)

    def heads(self, size: int) -> Term:
        """A size along which samples lie, each in several parts: heads.

        >>> Recorded(4, 512).heads(64)
        Term(factor=Fraction(16, 1), in_batch=1, in_sequence=0)
        """
        return Term(Fraction(size, self.batch), 1) if size % self.batch == 0 else self.fixed(size)

    def powers(self, shape: Shape, weights: frozenset[tuple[int, ...]] = frozenset()) -> tuple[int, int]:
        """How the size of a tensor follows batch and sequence length.

        Args:
            shape: of the tensor.
            weights: shapes that weights have, which follow neither.

        >>> size = Recorded(4, 512)
        >>> size.powers((4, 512, 1024)), size.powers((2048, 1024)), size.powers((4, 16, 512, 512)), size.powers((1024,))
        ((1, 1), (1, 1), (1, 2), (0, 0))
        """
        if not shape or tuple(shape) in weights:
            return 0, 0
        if self.tokens in shape[:2] or (len(shape) > 1 and shape[0] % self.tokens == 0):
            return 1, int(self.seq_len > 1)
        in_sequence = int(self.seq_len > 1 and self.seq_len in shape)
        if in_sequence and len(shape) >= SCORE_DIMENSIONS and shape[-1] == shape[-2] == self.seq_len:
            in_sequence += int(len(shape) > SCORE_DIMENSIONS or shape[0] != self.batch)
        if self.batch == 1:
            return in_sequence and 1, in_sequence
        has_heads = in_sequence > 0 and len(shape) >= SCORE_DIMENSIONS and shape[0] % self.batch == 0
        return int(has_heads or (len(shape) > 1 and shape[0] == self.batch)), in_sequence

    def traffic(self, num_bytes: float, powers: tuple[int, int]) -> Term:
        """Bytes at this size as a term with these powers.

        >>> Recorded(4, 512).traffic(8192, (1, 1))
        Term(factor=Fraction(4, 1), in_batch=1, in_sequence=1)
        """
        in_batch, in_sequence = powers
        return Term(
            Fraction(num_bytes) / (self.batch**in_batch * self.seq_len**in_sequence), in_batch, in_sequence
        )


def num_items(shape: Shape) -> int:
    """Elements of a tensor."""
    return math.prod(shape)
