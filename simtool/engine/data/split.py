"""Training, validation and test part of a data set; they share no sample and never change."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.engine.data.files import data_error
from simtool.engine.plan import IntArray
from simtool.rng import stream

HELD_OUT_FRAC = 0.15
"""Share of the samples in the validation part, and again in the test part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Indices of the samples of each part."""

    train: IntArray
    validation: IntArray
    test: IntArray


def split(
    num_samples: int, where: str, *, max_train: int | None = None, max_held_out: int | None = None
) -> Split:
    """A split by one fixed permutation, the same whatever the seed of a run.

    Args:
        num_samples: in all.
        where: the data, for messages.
        max_train: training samples at most.
        max_held_out: samples of the validation part, and of the test part, at most.

    Raises:
        InputError: too few samples for three parts.

    >>> parts = split(100, "example", max_train=50)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (50, 15, 15)
    """
    held_out = int(HELD_OUT_FRAC * num_samples)
    if held_out < 2:
        raise data_error(where, f"found {num_samples} samples", "at least 14", "name more data")
    order = stream(0, "data", "split").permutation(num_samples)
    shown = held_out if max_held_out is None else min(held_out, max_held_out)
    return Split(
        train=order[2 * held_out :][:max_train],
        validation=order[:held_out][:shown],
        test=order[held_out : 2 * held_out][:shown],
    )
