"""Writing the operations of one scope, each forward with its backward.

Shapes in comments: M tokens of a micro-batch, h hidden size, a heads x head size, f MLP size, v vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from simtool.stepgraph import Kind, Number, Op, Phase, Scope, Shard
from simtool.workload.precision import BYTES_PER_ELEMENT, COPIES_OF_LOW, Precision

# Elements that element-wise work moves per token, in one pass (forward or backward).
NORM_ELEMENTS_PER_HIDDEN = 2.0  # read x, write y
RESIDUAL_ELEMENTS_PER_HIDDEN = 4.0  # read x and residual, write the sum and the dropout mask or its input
POSITION_ELEMENTS_PER_HEAD_FEATURE = 4.0  # bias or rotary and the layout change: two reads, two writes
ACTIVATION_ELEMENTS_PER_FEATURE = 2.0  # per MLP matrix: read, write
LOSS_BYTES_PER_LOGIT = 16.0  # fp32 logits: write, read for the sum of exponentials, read, write
SUM_BYTES_PER_WEIGHT = 8.0  # a product that adds to the gradients' sum in fp32 reads and writes it
ACCUMULATE_BYTES_PER_WEIGHT = 10.0  # read the gradient (2), read and write its sum in fp32 (8)
UNFUSED_PASSES = 6.0  # over the scores: write, softmax read and write, dropout read and write, read
FLASH_BACKWARD_FLOP = 2.5  # the backward repeats the scores: 5 products for 2
UNFUSED_BACKWARD_FLOP = 2.0


@dataclass(slots=True)
class Block:
    """Collects the operations of one scope.

    `share` is the part of the scope's repetitions that hold the operations added: a layer of a model whose
    layers differ is the mean of its layers, so that L of them are the model.
    """

    scope: Scope
    precision: Precision
    tokens: Number
    share: float = 1.0
    ops: list[Op] = field(default_factory=list)

    @property
    def element_bytes(self) -> float:
        """Size of an element between the matrix products [byte]."""
        return self.precision.size

    def sharing(self, share: float) -> Block:
        """The same list of operations, for what only a share of the layers holds."""
        return replace(self, share=share, ops=self.ops)

    def of_tokens(self, tokens: Number) -> Block:
        """The same list of operations, for another number of rows."""
        return replace(self, tokens=tokens, ops=self.ops)

    def add(self, op: Op) -> None:
        """One operation more."""
        self.ops.append(op if self.share == 1.0 else replace(op, count=self.share, launches=self.share))

    def linear(self, name: str, *, inner: int, outer: int, column: bool) -> None:
        """Y[M, outer] = X[M, inner] W; dX = dY W^T; dW = X^T dY.

        Tensor parallelism divides the outer features of a column layer, the inner ones of a row
        layer. dX turns a column layer into a row layer; dW always divides the sharded weight side,
        written as n here (m and n of a product are interchangeable).
        """
        m = self.tokens
        forward, other = (Shard.COLUMN, Shard.ROW) if column else (Shard.ROW, Shard.COLUMN)
        dtype = self.precision.base
        if self.precision.is_low and self.scope is Scope.LAYER:
            dtype = self.precision.name
            ends = (Shard.SEQUENCE, Shard.FEATURES) if column else (Shard.FEATURES, Shard.SEQUENCE)
            self._quantise(name, Phase.FORWARD, inner, ends[0])
            self._quantise(name, Phase.BACKWARD_INPUT, outer, ends[1])
        self._gemm(name, Phase.FORWARD, m, outer, inner, forward, dtype)
        self._gemm(name, Phase.BACKWARD_INPUT, m, inner, outer, other, dtype)
        whole, sharded = (inner, outer) if column else (outer, inner)
        self._gemm(name, Phase.BACKWARD_WEIGHT, whole, sharded, m, Shard.COLUMN, dtype)

    def first(self, name: str, *, inner: int, outer: int) -> None:
        """A product on what needs no gradient: the data."""
        m, dtype = self.tokens, self.precision.base
        self._gemm(name, Phase.FORWARD, m, outer, inner, Shard.SEQUENCE, dtype)
        self._gemm(name, Phase.BACKWARD_WEIGHT, inner, outer, m, Shard.SEQUENCE, dtype)

    def replicated(self, name: str, *, inner: int, outer: int) -> None:
        """A product whose weight every tensor-parallel rank holds: a router, a projection to a low rank."""
        m, dtype = self.tokens, self.precision.base
        self._gemm(name, Phase.FORWARD, m, outer, inner, Shard.SEQUENCE, dtype)
        self._gemm(name, Phase.BACKWARD_INPUT, m, inner, outer, Shard.SEQUENCE, dtype)
        self._gemm(name, Phase.BACKWARD_WEIGHT, inner, outer, m, Shard.SEQUENCE, dtype)

    def _gemm(
        self, name: str, phase: Phase, m: Number, n: Number, k: Number, shard: Shard, dtype: str
    ) -> None:
        self.add(
            Op(
                name=name,
                kind=Kind.GEMM,
                phase=phase,
                scope=self.scope,
                shard=shard,
                dtype=dtype,
                flop=2.0 * m * n * k,
                bytes=BYTES_PER_ELEMENT[dtype] * (m * k + k * n + m * n),
                m=m,
                n=n,
                k=k,
            )
        )

    def grouped(
        self,
        name: str,
        *,
        inner: int,
        outer: int,
        column: bool,
        num_experts: int,
        rows: Number,
        gradient_sum: str = "fused",
    ) -> None:
        """The product of `linear` in every expert, each with `rows` rows and weights of its own.

        Experts have few rows for their weights, so that what a weight gradient writes counts: its own size,
        or the sum in fp32 that it is added to.
        """
        dtype = self.precision.name if self.precision.is_low else self.precision.base
        forward, other = (
            (Shard.EXPERT_COLUMN, Shard.EXPERT_ROW) if column else (Shard.EXPERT_ROW, Shard.EXPERT_COLUMN)
        )
        if self.precision.is_low:
            copies = num_experts * rows / self.tokens
            self._quantise(name, Phase.FORWARD, copies * inner, Shard.EXPERTS)
            self._quantise(name, Phase.BACKWARD_INPUT, copies * outer, Shard.EXPERTS)
        whole, sharded = (inner, outer) if column else (outer, inner)
        for phase, m, n, k, shard in (
            (Phase.FORWARD, rows, outer, inner, forward),
            (Phase.BACKWARD_INPUT, rows, inner, outer, other),
            (Phase.BACKWARD_WEIGHT, whole, sharded, rows, Shard.EXPERT_COLUMN),
        ):
            written = BYTES_PER_ELEMENT[dtype]
            if phase is Phase.BACKWARD_WEIGHT:
                written = SUM_BYTES_PER_WEIGHT if gradient_sum == "fused" else self.element_bytes
            self.add(
                Op(
                    name=name,
                    kind=Kind.GROUPED_GEMM,
                    phase=phase,
                    scope=self.scope,
                    shard=shard,
                    dtype=dtype,
                    flop=2.0 * num_experts * m * n * k,
                    bytes=num_experts * (BYTES_PER_ELEMENT[dtype] * (m * k + k * n) + written * m * n),
                    m=m,
                    n=n,
                    k=k,
                    batch=num_experts,
                )
            )

    def _quantise(self, name: str, phase: Phase, elements_per_token: Number, shard: Shard) -> None:
        """A tensor of the base format becomes two of the low one: read it, write it by rows and columns."""
        moved = self.element_bytes + COPIES_OF_LOW * self.precision.linear_size
        self._memory(f"quantise_{name}", phase, moved * elements_per_token * self.tokens, shard)

    def elementwise(self, name: str, elements_per_token: Number, shard: Shard) -> None:
        """Memory-bound work, as much in the backward pass as in the forward."""
        self.passes(name, elements_per_token, elements_per_token, shard)

    def passes(self, name: str, forward: Number, backward: Number, shard: Shard) -> None:
        """Memory-bound work: elements that either pass moves for a token."""
        for phase, elements in ((Phase.FORWARD, forward), (Phase.BACKWARD_INPUT, backward)):
            self._memory(name, phase, self.element_bytes * elements * self.tokens, shard)

    def _memory(self, name: str, phase: Phase, moved: Number, shard: Shard) -> None:
        self.add(
            Op(
                name=name,
                kind=Kind.MEMORY,
                phase=phase,
                scope=self.scope,
                shard=shard,
                dtype=self.precision.base,
                bytes=moved,
            )
        )

    def accumulate(self, num_weights: Number, shard: Shard = Shard.FEATURES) -> None:
        """Adding a micro-batch's weight gradients to the step's sum."""
        self.add(
            Op(
                name="accumulate_gradients",
                kind=Kind.MEMORY,
                phase=Phase.BACKWARD_WEIGHT,
                scope=self.scope,
                shard=shard,
                dtype="fp32",
                bytes=ACCUMULATE_BYTES_PER_WEIGHT * num_weights,
            )
        )

    def attention(
        self,
        *,
        kernel: str,
        seq_len: Number,
        sequences: Number,
        num_heads: int,
        features: Number,
        width: float,
        keys: Number = 0.0,
        num_keys: Number | None = None,
        name: str = "attention",
    ) -> None:
        """Scores, softmax and weighted sum: one flash kernel, or two products around a softmax.

        Args:
            kernel: ``"flash"`` or ``"unfused"``, which computes what a mask discards too.
            seq_len: queries of a sequence.
            sequences: sequences in the micro-batch.
            num_heads: query heads.
            features: of queries, keys, values and context of a token, together.
            width: mean features of a head's query and value.
            keys: keys that a query sees on average; 0 for half the queries, a causal mask.
            num_keys: keys of a sequence, `seq_len` if not given.
            name: of the operation.
        """
        flash = kernel == "flash"
        length = seq_len if num_keys is None else num_keys
        seen = (keys if _given(keys) else 0.5 * seq_len) if flash else length
        scores = sequences * num_heads * float(seq_len) * length
        read = self.tokens * features * self.element_bytes
        backward = FLASH_BACKWARD_FLOP if flash else UNFUSED_BACKWARD_FLOP
        for phase, flop_ratio in ((Phase.FORWARD, 1.0), (Phase.BACKWARD_INPUT, backward)):
            moved = read if flash else read + UNFUSED_PASSES * scores * self.element_bytes
            self.add(
                Op(
                    name=name,
                    kind=Kind.ATTENTION if flash else Kind.UNFUSED_ATTENTION,
                    phase=phase,
                    scope=self.scope,
                    shard=Shard.HEADS,
                    dtype=self.precision.base,
                    flop=4.0 * sequences * seq_len * num_heads * width * seen * flop_ratio,
                    bytes=moved * (1.0 if phase is Phase.FORWARD else 2.0),
                    m=seq_len,
                    n=width,
                    k=sequences * num_heads,
                    keys=keys if flash else (0.0 if num_keys is None else num_keys),
                    recomputable="selective",
                )
            )


def _given(keys: Number) -> bool:
    return not isinstance(keys, int | float) or keys > 0.0
