"""Embedding and head that know the bigrams of a text before the first step.

With embedding row e_x, a norm, and head (W, b), a decoder whose blocks pass their input on computes
norm(e_x) W^T + b. Here b = log P(y) and norm(e_x) W^T is the best approximation of
log P(y | x) - log P(y), weighted by the frequency of x, at the rank that the width allows. A filler
coordinate gives all rows the same length and a rotation makes them orthogonal to the vector of ones,
so that both LayerNorm and RMSNorm only scale them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from simtool.engine.plan import IntArray

EMBEDDING_RMS = 0.5
"""Root mean square of the embedding; 0.3 does as well in small decoders, 0.1 worse."""
SMOOTHING = 2.0
"""Counts of the unigram distribution added to every row."""
SVD_FLOP = 25.0
"""Operations of a singular value decomposition per cubed side, an upper estimate."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class BigramStart:
    """Values to start from."""

    embedding: Matrix
    """Shape (vocabulary, width)."""
    head: Matrix
    """Weight of the head, shape (vocabulary, width)."""
    bias: NDArray[np.float64]
    """Log probability of every token, shape (vocabulary,) [nat]."""
    flop: float
    """Operations that counting and decomposing took [FLOP]."""


def log_bigrams(tokens: IntArray, vocab_size: int) -> tuple[Matrix, NDArray[np.float64], NDArray[np.float64]]:
    """log P(y | x) [nat] with shape (x, y), log P(y) [nat], and how often x occurs as the first of two.

    >>> after, alone, _ = log_bigrams(np.array([0, 1, 0, 1, 0]), 2)
    >>> np.allclose(np.exp(after).sum(axis=1), 1.0), np.isclose(np.exp(alone).sum(), 1.0).item()
    (True, True)
    """
    pairs = np.bincount(tokens[:-1] * vocab_size + tokens[1:], minlength=vocab_size**2)
    counts = pairs.reshape(vocab_size, vocab_size).astype(np.float64)
    alone = np.bincount(tokens, minlength=vocab_size) + 0.5
    alone /= alone.sum()
    total = counts.sum(axis=1, keepdims=True)
    after = (counts + SMOOTHING * alone) / (total + SMOOTHING)
    return np.log(after), np.log(alone), total[:, 0]


def bigram_start(
    tokens: IntArray, vocab_size: int, width: int, generator: np.random.Generator
) -> BigramStart:
    """Embedding and head for a model of this width, of at least 3.

    Args:
        tokens: the training text, ids from 0 to `vocab_size` - 1.
        vocab_size: number of different ids.
        width: of the embedding.
        generator: draws the rotation.
    """
    after, alone, frequency = log_bigrams(tokens, vocab_size)
    excess = after - alone
    rank = min(width - 2, vocab_size)
    # torch's decompositions keep to the threads that torch was given; those of numpy take all cores.
    weighted = torch.from_numpy(np.sqrt(frequency)[:, None] * excess)
    directions = torch.linalg.svd(weighted)[2][:rank].numpy()
    left = excess @ directions.T
    lengths_squared = np.square(left).sum(axis=1)
    length = float(np.sqrt(lengths_squared.max())) or 1.0
    filler = np.sqrt(np.maximum(length**2 - lengths_squared, 0.0))
    drawn = generator.normal(size=(width, rank + 1))
    # Columns orthonormal, and orthogonal to the vector of ones.
    rotation = torch.linalg.qr(torch.from_numpy(drawn - drawn.mean(axis=0)))[0].numpy()
    scale = np.sqrt(width) / length
    rows = np.column_stack([left, filler]) @ rotation.T
    head = directions.T @ rotation[:, :rank].T
    products = 2.0 * vocab_size * rank * (vocab_size + 2.0 * width)
    return BigramStart(
        embedding=rows * (EMBEDDING_RMS * scale),
        head=head / scale,
        bias=alone,
        flop=SVD_FLOP * float(vocab_size) ** 3 + products + 3.0 * len(tokens),
    )
