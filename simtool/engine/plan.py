"""The step plan: everything that decides what one training step costs, as a frozen value.

A method never touches the training loop. It takes a plan and returns another; the engine executes
the result, and prices it under its `signature`, which is the key of the cost table, of compilation
and of the trace alike.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]

UNPRICED = frozenset({"indices", "weights"})
"""Fields that say *which* samples; how many they are is `num_samples`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What one step does.

    >>> plan = StepPlan(num_samples=32, size=64)
    >>> plan.signature() == plan.changed(size=128).signature()
    False
    """

    num_samples: int
    """Samples that are loaded."""
    indices: IntArray | None = None
    """Which samples, shape (num_samples,); None until the order of the data has been asked."""
    weights: FloatArray | None = None
    """Weight of each sample in the loss, shape (num_samples,), so that the gradient stays unbiased."""
    size: int | None = None
    """Sequence length, side of the image [pixel] or length of the window; None is the full size."""
    window: int | None = None
    """Tokens that a token sees in attention, itself included, to each side that it may look; None is all."""
    active: tuple[int, ...] | None = None
    """Blocks that run, in order; None is all of them."""
    frozen: int = 0
    """Front blocks (with the stem) that are not trained: neither their weight gradients are
    computed nor the input gradient below them."""
    cached: bool = False
    """The output of the frozen front comes from a cache: not even its forward pass runs."""
    backward_rows: int | None = None
    """Samples of the batch that get a forward pass with gradients and a backward pass; None is all."""
    tokens_kept: int | None = None
    """Tokens of each sample that pass through the middle blocks; None is all."""
    update: frozenset[str] | None = None
    """Names of the parameters that are trained; None is all that are not frozen."""
    precision: str = "float32"
    """``"float32"`` or ``"bfloat16"`` (autocast)."""
    tags: frozenset[str] = frozenset()
    """Anything else that changes the cost of a step, e.g. ``"orthogonalise"`` on every second one."""

    def changed(self, **changes: Any) -> StepPlan:
        """The plan with some fields replaced."""
        return replace(self, **changes)

    def tagged(self, tag: str) -> StepPlan:
        """The plan with one more tag."""
        return replace(self, tags=self.tags | {tag})

    def signature(self) -> str:
        """Short text that two plans share if and only if their steps do the same work.

        Reads like ``n32 size=64 frozen=2``: fields at their default are left out.

        >>> StepPlan(num_samples=8, frozen=2, tags=frozenset({"teacher"})).signature()
        'n8 frozen=2 tags=teacher'
        """
        parts = [f"n{self.num_samples}"]
        for field in fields(self):
            if field.name in UNPRICED or field.name == "num_samples":
                continue
            value = getattr(self, field.name)
            if value != field.default:
                parts.append(f"{field.name}={_short(value)}")
        if self.weights is not None:
            parts.append("weighted")
        return " ".join(parts)


def _short(value: Any) -> str:
    if isinstance(value, frozenset):
        names = "+".join(sorted(value))
        return names if len(names) <= 40 else f"{len(value)}:{hashlib.sha256(names.encode()).hexdigest()[:8]}"
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    return str(value)
