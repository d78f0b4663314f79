"""What a text says of its next token by counting alone: an interpolated table of short contexts.

Contexts nest: none, one neighbour, two, and so on. The distribution of a context leans on that of
the context without its farthest neighbour, the more the fewer times and the more variously it was
seen (Witten and Bell, IEEE Trans. Information Theory 37, 1991):

    P(token | context) = (count + distinct * P(token | shorter context)) / (total + distinct)

where *distinct* is the number of different tokens seen in the context. No sorting: contexts are
numbered by counting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.engine.plan import IntArray
from simtool.errors import InputError, Problem

MAX_CELLS = 2**26
"""Largest table, contexts times vocabulary: 256 MiB of float32."""
PER_TOKEN_FLOP = 5
"""Per token and order: a product and two sums for the two numbers, and two counts."""
PER_CELL_FLOP = 4
"""Per cell of a table: a sum for the total, a product, a sum, a division."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NgramTable:
    """Distribution of the token at every place of a text, given its neighbours."""

    rows: NDArray[np.float32]
    """Distributions, shape (contexts, vocabulary); every row sums to 1."""
    row_of: NDArray[np.int32]
    """Row of the context around each place of the text, shape (tokens,)."""
    flop: float
    """Operations that counting and mixing took [FLOP]."""


def count_ngrams(tokens: IntArray, vocab_size: int, offsets: tuple[int, ...]) -> NgramTable:
    """The table of a text.

    Args:
        tokens: ids from 0 to `vocab_size` - 1, shape (tokens,).
        vocab_size: number of different ids.
        offsets: neighbours of a place in the order in which contexts grow, e.g. (-1, -2, -3). Beyond
            either end of the text stands an id of its own.

    Raises:
        InputError: if the table would exceed `MAX_CELLS`.

    >>> table = count_ngrams(np.array([0, 1, 0, 1, 0]), 2, (-1,))
    >>> [round(float(chance), 2) for chance in table.rows[table.row_of[3]]]  # after a 0, always a 1
    [0.19, 0.81]
    """
    num_tokens, flop = len(tokens), 0.0
    context = np.zeros(num_tokens, dtype=np.int64)
    rows, spent = _mixed(tokens, context, np.full((1, vocab_size), 1.0 / vocab_size))
    flop += spent
    for offset in offsets:
        key = context * (vocab_size + 1) + _shifted(tokens, offset, vocab_size)
        is_seen = np.bincount(key, minlength=len(rows) * (vocab_size + 1)) > 0
        number = np.cumsum(is_seen) - 1
        num_contexts = int(number[-1]) + 1
        if num_contexts * vocab_size > MAX_CELLS:
            raise InputError(
                Problem(
                    "--method",
                    "counted-priors:order",
                    f"{num_contexts} contexts of {vocab_size} tokens do not fit",
                    f"at most {MAX_CELLS} cells",
                    "lower the order",
                )
            )
        parents = rows[np.flatnonzero(is_seen) // (vocab_size + 1)]
        context = number[key]
        rows, spent = _mixed(tokens, context, parents)
        flop += spent + PER_TOKEN_FLOP * num_tokens
    return NgramTable(rows=rows.astype(np.float32), row_of=context.astype(np.int32), flop=flop)


def _shifted(tokens: IntArray, offset: int, outside: int) -> IntArray:
    """The neighbour of every place; `outside` beyond the ends."""
    neighbour = np.full_like(tokens, outside)
    if offset < 0:
        neighbour[-offset:] = tokens[:offset]
    else:
        neighbour[:-offset] = tokens[offset:]
    return neighbour


def _mixed(
    tokens: IntArray, context: IntArray, parents: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Counts of every context, mixed with the distributions `parents` of its shorter context."""
    num_contexts, vocab_size = parents.shape
    cells = num_contexts * vocab_size
    counts = np.bincount(context * vocab_size + tokens, minlength=cells).reshape(num_contexts, vocab_size)
    total = counts.sum(axis=1, keepdims=True)
    distinct = np.count_nonzero(counts, axis=1, keepdims=True)
    mixed = parents * distinct
    mixed += counts
    mixed /= total + distinct
    return mixed, float(PER_CELL_FLOP * cells + PER_TOKEN_FLOP * len(tokens))
