"""What most families share: no experts, no tables, and for models of samples no sequence to share out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from simtool.config.fields import Strict
from simtool.stepgraph import Number
from simtool.workload.plain import Plain

ADAM_STATE_BYTES = 8.0
"""Two moments in fp32, per weight."""
MOMENTUM_STATE_BYTES = 4.0
"""The momentum in fp32, per weight."""

REFERENCE_OPERATIONS = 11.0
"""Operations in the forward pass of a dense decoder's layer as its step graph counts them: a framework's launch
floor is stated for such a layer."""


class Family(Plain, Strict):
    """A model without what only some families have."""

    @property
    def tied_parameters(self) -> int:
        """None."""
        return 0

    def sums_per_table(self, groups: Number) -> Number:
        """1."""
        return np.ones_like(groups)

    @property
    def optimizer_state_bytes(self) -> float:
        """Adam's moments."""
        return ADAM_STATE_BYTES

    def head_tokens_frac(self) -> float:
        """1."""
        return 1.0

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """Data parallelism alone."""
        if tp > 1:
            yield f"found tp {tp} for a model that is not divided within its layers", "use 1"

    def sequence_problem(self, seq_len: int) -> tuple[str, str] | None:
        """Samples have no length: each counts as a token."""
        if seq_len == 1:
            return None
        return f"found {seq_len} for a model of samples", "use 1: a sample then counts as a token"

    def pipeline_problem(self) -> str | None:
        """Data parallelism alone."""
        return "a model that is not cut into stages"
