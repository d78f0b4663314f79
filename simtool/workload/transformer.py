"""Dense decoder transformers: their exact size, and the operations of one micro-batch.

Covers the GPT-2/3, OPT, BLOOM, Llama 2/3, Mistral and Qwen2 styles: multi-head, grouped-query and
multi-query attention, plain and gated MLPs, learned, rotary and ALiBi positions, tied and untied
embeddings.

Shapes in comments: M tokens of a micro-batch, h hidden size, a heads x head size, f MLP size, v vocabulary.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Strict
from simtool.stepgraph import Kind, Number, Op, Phase, Scope, Shard, StepGraph

Count = Annotated[int, Field(gt=0, le=10**9)]

BYTES_PER_ELEMENT = {"fp8": 1.0, "bf16": 2.0, "fp16": 2.0, "tf32": 4.0, "fp32": 4.0}

# Elements that element-wise work moves per token, in one pass (forward or backward).
NORM_ELEMENTS_PER_HIDDEN = 2.0  # read x, write y
RESIDUAL_ELEMENTS_PER_HIDDEN = 4.0  # read x and residual, write the sum and the dropout mask or its input
POSITION_ELEMENTS_PER_HEAD_FEATURE = 4.0  # bias or rotary and the layout change: two reads, two writes
ACTIVATION_ELEMENTS_PER_FEATURE = 2.0  # per MLP matrix: read, write
LOSS_BYTES_PER_LOGIT = 16.0  # fp32 logits: write, read for the sum of exponentials, read, write
ACCUMULATE_BYTES_PER_WEIGHT = 10.0  # read the gradient (2), read and write its sum in fp32 (8)
UNFUSED_PASSES = 6.0  # over the scores: write, softmax read and write, dropout read and write, read


class Transformer(Strict):
    """Shape of a dense decoder transformer. File kind ``simtool/model/1``."""

    num_layers: Count
    hidden_size: Count
    num_heads: Count
    ffn_hidden_size: Count
    vocab_size: Count
    """As stored in the embedding table, padding included."""
    num_kv_heads: Count | None = None
    """Key-value heads: fewer than `num_heads` is grouped-query, 1 is multi-query; all heads if not given."""
    head_dim: Count | None = None
    """Features of one head; hidden_size / num_heads if not given."""
    max_positions: Count = 2048
    """Rows of the learned position table; unused by rotary and ALiBi."""
    mlp: Literal["gelu", "relu", "swiglu"] = "gelu"
    positions: Literal["learned", "rotary", "alibi"] = "learned"
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    tied_embeddings: bool = True
    """The head shares the embedding table."""
    qkv_bias: bool = True
    output_bias: bool = True
    """Bias of the projection after attention."""
    mlp_bias: bool = True
    embedding_norm: bool = False
    """A norm right after the embedding (BLOOM)."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Transformer:
        if self.head_dim is None and self.hidden_size % self.num_heads:
            raise ValueError(
                f"found hidden_size {self.hidden_size} with num_heads {self.num_heads}; "
                "hidden_size must be a multiple of num_heads; or give head_dim"
            )
        if self.num_heads % self.kv_heads:
            raise ValueError(
                f"found num_kv_heads {self.kv_heads} with num_heads {self.num_heads}; "
                "num_heads must be a multiple of num_kv_heads"
            )
        return self

    @property
    def kv_heads(self) -> int:
        """Key-value heads."""
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        """Features of one head."""
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def attention_features(self) -> int:
        """Features of all query heads."""
        return self.num_heads * self.head_size

    @property
    def kv_features(self) -> int:
        """Features of all key heads (and as many of all value heads)."""
        return self.kv_heads * self.head_size

    @property
    def mlp_matrices(self) -> int:
        """Weight matrices of the MLP: up and down, and a gate."""
        return 3 if self.mlp == "swiglu" else 2

    @property
    def parameters_per_layer(self) -> int:
        """Weights of one layer, biases and norms included."""
        h, a, kv, f = self.hidden_size, self.attention_features, self.kv_features, self.ffn_hidden_size
        attention = h * (a + 2 * kv) + a * h
        biases = self.qkv_bias * (a + 2 * kv) + self.output_bias * h
        mlp = self.mlp_matrices * h * f
        mlp_biases = self.mlp_bias * ((self.mlp_matrices - 1) * f + h)
        return attention + biases + mlp + mlp_biases + 2 * self._norm_parameters

    @property
    def embedding_parameters(self) -> int:
        """Token and position tables, and the norm after them."""
        positions = self.max_positions * self.hidden_size if self.positions == "learned" else 0
        norm = self._norm_parameters if self.embedding_norm else 0
        return self.vocab_size * self.hidden_size + positions + norm

    @property
    def head_parameters(self) -> int:
        """Final norm, and the output table where it is not the embedding's."""
        return self._norm_parameters + (0 if self.tied_embeddings else self.vocab_size * self.hidden_size)

    @property
    def num_parameters(self) -> int:
        """All weights.

        >>> Transformer(num_layers=12, hidden_size=768, num_heads=12, ffn_hidden_size=3072,
        ...             vocab_size=50257, max_positions=1024).num_parameters
        124439808
        """
        return self.num_layers * self.parameters_per_layer + self.embedding_parameters + self.head_parameters

    @property
    def _norm_parameters(self) -> int:
        return self.hidden_size * (2 if self.norm == "layernorm" else 1)

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work that one token needs, forward and backward, no recomputation [FLOP].

        ``6 (N - N_input) + 12 L a s``: every weight that multiplies counts 2 forward and 4 backward,
        attention is counted over the full square, as in Chowdhery et al. 2022 (PaLM), appendix B,
        and Korthikanti et al. 2022, appendix A. A causal kernel executes about half of the second term.
        """
        h, a, kv, f = self.hidden_size, self.attention_features, self.kv_features, self.ffn_hidden_size
        layer = h * (a + 2 * kv) + a * h + self.mlp_matrices * h * f
        weights = self.num_layers * layer + self.vocab_size * h
        return 6.0 * weights + 12.0 * self.num_layers * a * seq_len


def build_step_graph(
    model: Transformer,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch of `model`, unsharded.

    Args:
        model: the transformer.
        seq_len: tokens in a sequence.
        micro_batch: sequences in the micro-batch, scalar or array over candidates.
        precision: dtype of the matrix work, a key of `BYTES_PER_ELEMENT`.
        attention: ``"flash"`` or ``"unfused"``.
        gradient_sum: ``"fused"`` into the products, or ``"separate"``: a pass over all gradients of
            every micro-batch.
    """
    size = BYTES_PER_ELEMENT[precision]
    tokens = micro_batch * seq_len
    layer = _Block(Scope.LAYER, precision, size, tokens)
    head = _Block(Scope.HEAD, precision, size, tokens)
    embedding = _Block(Scope.EMBEDDING, precision, size, tokens)
    h, a, kv, f = model.hidden_size, model.attention_features, model.kv_features, model.ffn_hidden_size

    layer.elementwise("attention_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    layer.linear("qkv", inner=h, outer=a + 2 * kv, column=True)
    layer.elementwise("position", POSITION_ELEMENTS_PER_HEAD_FEATURE * (a + kv), Shard.FEATURES)
    layer.attention(model, seq_len, micro_batch, attention)
    layer.linear("attention_output", inner=a, outer=h, column=False)
    layer.elementwise("attention_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    layer.elementwise("mlp_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    layer.linear("mlp_up", inner=h, outer=(model.mlp_matrices - 1) * f, column=True)
    activation = ACTIVATION_ELEMENTS_PER_FEATURE * model.mlp_matrices * f
    layer.elementwise("mlp_activation", activation, Shard.FEATURES)
    layer.linear("mlp_down", inner=f, outer=h, column=False)
    layer.elementwise("mlp_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    if gradient_sum == "separate":
        layer.accumulate(model.parameters_per_layer)
        head.accumulate(model.vocab_size * h)

    embedding.elementwise("embedding", 2.0 * h, Shard.SEQUENCE)
    if model.embedding_norm:
        embedding.elementwise("embedding_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    head.elementwise("final_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    head.linear("logits", inner=h, outer=model.vocab_size, column=True)
    head.elementwise("loss", LOSS_BYTES_PER_LOGIT / size * model.vocab_size, Shard.FEATURES)

    data = Op(
        name="load_tokens",
        kind=Kind.MEMORY,
        phase=Phase.DATA,
        scope=Scope.EMBEDDING,
        dtype="int64",
        bytes=2 * 8.0 * tokens,  # inputs and labels, copied to the device
    )
    return StepGraph(
        ops=(*embedding.ops, data, *layer.ops, *head.ops, *_optimizer(model)),
        num_layers=model.num_layers,
        tokens_per_micro_batch=tokens,
        facts=model,
    )


class _Block:
    """Collects the operations of one scope, forward with their backward."""

    def __init__(self, scope: Scope, dtype: str, element_bytes: float, tokens: Number) -> None:
        self.scope, self.dtype, self.element_bytes, self.tokens = scope, dtype, element_bytes, tokens
        self.ops: list[Op] = []

    def linear(self, name: str, *, inner: int, outer: int, column: bool) -> None:
        """Y[M, outer] = X[M, inner] W; dX = dY W^T; dW = X^T dY.

        Tensor parallelism divides the outer features of a column layer, the inner ones of a row
        layer. dX turns a column layer into a row layer; dW always divides the sharded weight side,
        written as n here (m and n of a product are interchangeable).
        """
        m = self.tokens
        forward, other = (Shard.COLUMN, Shard.ROW) if column else (Shard.ROW, Shard.COLUMN)
        self._gemm(name, Phase.FORWARD, m, outer, inner, forward)
        self._gemm(name, Phase.BACKWARD_INPUT, m, inner, outer, other)
        whole, sharded = (inner, outer) if column else (outer, inner)
        self._gemm(name, Phase.BACKWARD_WEIGHT, whole, sharded, m, Shard.COLUMN)

    def _gemm(self, name: str, phase: Phase, m: Number, n: Number, k: Number, shard: Shard) -> None:
        self.ops.append(
            Op(
                name=name,
                kind=Kind.GEMM,
                phase=phase,
                scope=self.scope,
                shard=shard,
                dtype=self.dtype,
                flop=2.0 * m * n * k,
                bytes=self.element_bytes * (m * k + k * n + m * n),
                m=m,
                n=n,
                k=k,
            )
        )

    def elementwise(self, name: str, elements_per_token: float, shard: Shard) -> None:
        """Memory-bound work, as much in the backward pass as in the forward."""
        moved = self.element_bytes * elements_per_token * self.tokens
        for phase in (Phase.FORWARD, Phase.BACKWARD_INPUT):
            self.ops.append(
                Op(
                    name=name,
                    kind=Kind.MEMORY,
                    phase=phase,
                    scope=self.scope,
                    shard=shard,
                    dtype=self.dtype,
                    bytes=moved,
                )
            )

    def accumulate(self, num_weights: int) -> None:
        """Adding a micro-batch's weight gradients to the step's sum."""
        self.ops.append(
            Op(
                name="accumulate_gradients",
                kind=Kind.MEMORY,
                phase=Phase.BACKWARD_WEIGHT,
                scope=self.scope,
                shard=Shard.FEATURES,
                dtype="fp32",
                bytes=ACCUMULATE_BYTES_PER_WEIGHT * num_weights,
            )
        )

    def attention(self, model: Transformer, seq_len: int, micro_batch: Number, kernel: str) -> None:
        """Scores, softmax and weighted sum: one flash kernel, or two products around a softmax."""
        full_flop = 4.0 * self.tokens * seq_len * model.attention_features
        scores = micro_batch * model.num_heads * float(seq_len) * seq_len
        read = self.tokens * 2.0 * (model.attention_features + model.kv_features) * self.element_bytes
        flash = kernel == "flash"
        for phase, flop_ratio in ((Phase.FORWARD, 1.0), (Phase.BACKWARD_INPUT, 2.5 if flash else 2.0)):
            # A causal flash kernel skips the masked half; its backward repeats the scores (5 products, not 4).
            moved = read if flash else read + UNFUSED_PASSES * scores * self.element_bytes
            self.ops.append(
                Op(
                    name="attention",
                    kind=Kind.ATTENTION if flash else Kind.UNFUSED_ATTENTION,
                    phase=phase,
                    scope=self.scope,
                    shard=Shard.HEADS,
                    dtype=self.dtype,
                    flop=full_flop * flop_ratio * (0.5 if flash else 1.0),
                    bytes=moved * (1.0 if phase is Phase.FORWARD else 2.0),
                    m=seq_len,
                    n=model.head_size,
                    k=micro_batch * model.num_heads,
                    recomputable="selective",
                )
            )


# Adam with a master copy, per weight: read gradient (4), master (4), two moments (8); write master
# (4), two moments (8), the working copy (2).
ADAM_BYTES_PER_PARAMETER = 30.0
ADAM_FLOP_PER_PARAMETER = 11.0
CLIP_BYTES_PER_PARAMETER = 4.0  # one read of the fp32 gradient for its norm


def _optimizer(model: Transformer) -> tuple[Op, ...]:
    weights = float(model.num_parameters)
    return (
        Op(
            name="clip_gradients",
            kind=Kind.MEMORY,
            phase=Phase.OPTIMIZER,
            scope=Scope.STEP,
            dtype="fp32",
            flop=2.0 * weights,
            bytes=CLIP_BYTES_PER_PARAMETER * weights,
        ),
        Op(
            name="adam",
            kind=Kind.MEMORY,
            phase=Phase.OPTIMIZER,
            scope=Scope.STEP,
            dtype="fp32",
            flop=ADAM_FLOP_PER_PARAMETER * weights,
            bytes=ADAM_BYTES_PER_PARAMETER * weights,
        ),
    )
