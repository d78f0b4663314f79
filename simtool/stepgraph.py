"""What one training step does, as data: operations with their work, dtype and phase.

A workload writes the graph of one micro-batch of the whole model, unsharded. Methods rewrite it,
`layout` shards it over ranks and adds the collectives, `step` prices it. Every number may be an
array over candidates (layouts, batch sizes): all of them broadcast against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import Enum

import numpy as np
from numpy.typing import NDArray

Number = float | NDArray[np.float64]
"""A scalar, or an array over candidates."""


class Phase(Enum):
    """Part of the step an operation belongs to."""

    FORWARD = "forward"
    BACKWARD_INPUT = "backward_input"
    BACKWARD_WEIGHT = "backward_weight"
    OPTIMIZER = "optimizer"
    COMMUNICATION = "communication"
    DATA = "data"


class Kind(Enum):
    """Which cost model prices an operation."""

    GEMM = "gemm"
    ATTENTION = "attention"
    """Flash attention: one kernel, no score matrix in memory."""
    UNFUSED_ATTENTION = "unfused_attention"
    """Two batched products around a softmax over the whole score matrix."""
    GROUPED_GEMM = "grouped_gemm"
    """Products of many experts with the same weights' shape, each with rows of its own, in one kernel."""
    CONVOLUTION = "convolution"
    """A convolution as an implicit matrix product: `bytes`, not m x k, is what it reads and writes."""
    MEMORY = "memory"
    COLLECTIVE = "collective"


PRODUCTS = (Kind.GEMM, Kind.GROUPED_GEMM, Kind.CONVOLUTION)
"""Kinds whose work is 2 m n k."""


class Scope(Enum):
    """How often an operation runs: once per layer, embedding, head and micro-batch, or once a step."""

    LAYER = "layer"
    EMBEDDING = "embedding"
    HEAD = "head"
    STEP = "step"


class Shard(Enum):
    """Which dimension tensor and expert parallelism divide; context parallelism divides all tokens."""

    COLUMN = "column"
    """GEMM: the output features n (query, key, value, up, gate, head)."""
    ROW = "row"
    """GEMM: the inner features k (attention output, down); leaves partial sums to reduce."""
    HEADS = "heads"
    """Attention: its heads."""
    FEATURES = "features"
    """Element-wise work on activations that are already split by column."""
    SEQUENCE = "sequence"
    """Work between the split regions, with replicated weights: divided only with sequence parallelism."""
    EXPERTS = "experts"
    """Element-wise work on the copies of tokens that experts see."""
    EXPERT_COLUMN = "expert_column"
    """Grouped GEMM: experts over ranks, output features n within them."""
    EXPERT_ROW = "expert_row"
    """Grouped GEMM: experts over ranks, inner features k within them."""
    DISPATCHED = "dispatched"
    """Element-wise work on copies of tokens that only arises where experts are spread over ranks."""
    NONE = "none"
    """Replicated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """One operation, executed `count` times where its scope runs once."""

    name: str
    kind: Kind
    phase: Phase
    scope: Scope
    shard: Shard = Shard.NONE
    dtype: str = "bf16"
    flop: Number = 0.0
    """Floating-point operations of one execution [FLOP]; a multiply-add counts two."""
    bytes: Number = 0.0
    """Bytes of one execution to and from device memory [byte]."""
    m: Number = 0.0
    """GEMM rows (tokens), of one expert in a grouped GEMM; attention: queries of a sequence."""
    n: Number = 0.0
    """GEMM output features; attention: head dimension."""
    k: Number = 0.0
    """GEMM inner features; attention: query heads x sequences in the micro-batch."""
    keys: Number = 0.0
    """Attention: keys that a query sees on average; 0 for half of `m`, a causal mask over the sequence."""
    pattern: str = ""
    """Memory-bound work that does not stream through memory: ``depthwise``, ``lookup``."""
    batch: Number = 1.0
    """Grouped GEMM: products in one kernel."""
    count: Number = 1.0
    """Executions of device work; methods that skip work lower it."""
    launches: Number = 1.0
    """Kernels the host launches for it; not lowered with `count`, since the host still loops."""
    recomputable: str = ""
    """``"selective"`` if selective recomputation repeats it, else full recomputation only (forward)."""
    is_recompute: bool = False
    """True for the repetition of a forward operation inside the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGraph:
    """The operations of one micro-batch, and what must be known of the model to shard and hold it."""

    ops: tuple[Op, ...]
    num_layers: int
    tokens_per_micro_batch: Number
    facts: object = field(default=None, compare=False)
    """The model description the graph was made from (a `workload.model.Model`)."""

    def __iter__(self) -> Iterator[Op]:
        return iter(self.ops)

    def select(self, test: Callable[[Op], bool]) -> StepGraph:
        """The graph of those operations that pass `test`."""
        return replace(self, ops=tuple(op for op in self.ops if test(op)))

    def map(self, change: Callable[[Op], Op]) -> StepGraph:
        """The graph with every operation changed."""
        return replace(self, ops=tuple(change(op) for op in self.ops))

    def adding(self, ops: Iterable[Op]) -> StepGraph:
        """The graph with more operations at its end."""
        return replace(self, ops=(*self.ops, *ops))

    def executions(self, op: Op) -> Number:
        """Times that `op` runs in one micro-batch of the whole model."""
        return op.count * (self.num_layers if op.scope is Scope.LAYER else 1)

    def flop(self, *phases: Phase) -> Number:
        """Work of one micro-batch of the whole model in `phases`, all if none is named [FLOP]."""
        total: Number = 0.0
        for op in self.ops:
            if op.scope is not Scope.STEP and (not phases or op.phase in phases):
                total = total + self.executions(op) * op.flop
        return total
