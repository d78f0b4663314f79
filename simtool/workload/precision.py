"""Number formats of training: sizes, and which format the linear layers use where it is not that of the rest.

Training in 8 or 4 bits quantises the matrix products of the layers; attention, head, norms and the router
stay in bf16 (Micikevicius et al. 2022, arXiv 2209.05433; NVIDIA Transformer Engine's recipes).
"""

from __future__ import annotations

from dataclasses import dataclass

BYTES_PER_ELEMENT = {
    "fp8": 1.0,
    "mxfp8": 1.0 + 1.0 / 32.0,  # a scale of a byte for 32 elements (Open Compute MX formats 1.0)
    "nvfp4": 0.5 + 1.0 / 16.0,  # a scale of a byte for 16 elements
    "bf16": 2.0,
    "fp16": 2.0,
    "tf32": 4.0,
    "fp32": 4.0,
}
"""Size in memory, scales of blocks included [byte]."""

PEAK_RATE = {"mxfp8": "fp8", "nvfp4": "fp4"}
"""The rate of a profile that a format runs at, where it is not its own name."""

LOW_PRECISIONS = ("fp8", "mxfp8", "nvfp4")
"""Formats of linear layers only."""

COPIES_OF_LOW = 2.0
"""Quantised copies of one tensor: by rows for the forward product, by columns for the gradients."""


@dataclass(frozen=True, slots=True)
class Precision:
    """The formats of one training run."""

    name: str

    @property
    def base(self) -> str:
        """Format of weights, activations, attention and head.

        >>> Precision("mxfp8").base, Precision("fp16").base
        ('bf16', 'fp16')
        """
        return "bf16" if self.is_low else self.name

    @property
    def is_low(self) -> bool:
        """Whether linear layers use another format than the rest."""
        return self.name in LOW_PRECISIONS

    @property
    def size(self) -> float:
        """Of an element of the base format [byte]."""
        return BYTES_PER_ELEMENT[self.base]

    @property
    def linear_size(self) -> float:
        """Of an element as linear layers read it [byte]."""
        return BYTES_PER_ELEMENT[self.name]
