"""The shape of a decoder transformer, dense or with experts, and its exact size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import model_validator

from simtool.stepgraph import Number
from simtool.workload.attention_shape import AttentionShape, Count
from simtool.workload.mlp_shape import MlpShape
from simtool.workload.model import KeptBytes
from simtool.workload.precision import Precision

ADAM_STATE_BYTES = 8.0
"""Two moments in fp32, per weight."""


class Transformer(AttentionShape, MlpShape):
    """Shape of a decoder transformer. File kind ``simtool/model/1``.

    Layers may differ in their MLP (dense or experts) and in their attention (window or whole sequence);
    work and sizes are then those of the mean layer, exact over all of them.
    """

    family: Literal["decoder"] = "decoder"
    vocab_size: Count
    """As stored in the embedding table, padding included."""
    max_positions: Count = 2048
    """Rows of the learned position table; unused by rotary and ALiBi."""
    positions: Literal["learned", "rotary", "alibi"] = "learned"
    tied_embeddings: bool = True
    """The head shares the embedding table."""
    embedding_norm: bool = False
    """A norm right after the embedding (BLOOM)."""

    @model_validator(mode="after")
    def _latent_has_no_bias(self) -> Transformer:
        if self.is_latent and (self.qkv_bias or self.output_bias):
            raise ValueError(
                "found biases with latent attention; write qkv_bias: false and output_bias: false"
            )
        return self

    @property
    def parameters_per_layer(self) -> int | float:
        """Weights of one layer, biases and norms included; the mean where layers differ."""
        if not self.has_experts:
            return self._other_parameters + self.mlp_parameters(self.hidden_size, self.ffn_hidden_size)
        return self._layers_parameters / self.num_layers

    @property
    def _layers_parameters(self) -> int:
        h, routing = self.hidden_size, self.num_expert_layers
        dense = (self.num_layers - routing) * self.mlp_parameters(h, self.ffn_hidden_size)
        experts = routing * (self.routed_parameters(h) + self.common_parameters(h))
        return self.num_layers * self._other_parameters + dense + experts

    @property
    def _other_parameters(self) -> int:
        return self.attention_parameters + 2 * self._norm_parameters

    @property
    def expert_parameters_per_layer(self) -> float:
        """Mean weights of a layer in routed experts."""
        return self.expert_layer_frac * self.routed_parameters(self.hidden_size)

    @property
    def num_active_parameters(self) -> int:
        """Weights that one token uses: of the routed experts, `top_k`.

        >>> model = Transformer(num_layers=2, hidden_size=8, num_heads=2, ffn_hidden_size=16, vocab_size=10,
        ...                     mlp_bias=False, num_experts=4, top_k=1)
        >>> model.num_parameters - model.num_active_parameters == 2 * 3 * 2 * 8 * 16
        True
        """
        idle = self.num_experts - self.top_k
        unused = self.num_expert_layers * idle * self.mlp_parameters(self.hidden_size, self.expert_ffn)
        return self.num_parameters - unused

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
    def tied_parameters(self) -> int:
        """The table that embedding and head share."""
        return self.vocab_size * self.hidden_size if self.tied_embeddings else 0

    @property
    def table_parameters(self) -> int:
        """None: the embedding is held by every replica."""
        return 0

    @property
    def num_parameters(self) -> int:
        """All weights.

        >>> Transformer(num_layers=12, hidden_size=768, num_heads=12, ffn_hidden_size=3072,
        ...             vocab_size=50257, max_positions=1024).num_parameters
        124439808
        """
        return self._layers_parameters + self.embedding_parameters + self.head_parameters

    @property
    def _norm_parameters(self) -> int:
        return self.hidden_size * (2 if self.norm == "layernorm" else 1)

    @property
    def reductions_per_layer(self) -> float:
        """Sums over tensor-parallel ranks in one pass: after attention, and after a dense or shared MLP.

        Routed experts need none: their tokens are exchanged instead.
        """
        return 2.0 - (0.0 if self.num_shared_experts else self.expert_layer_frac)

    @property
    def kv_message_features(self) -> int:
        """Features of keys and values of a token."""
        return self.kv_features + self.value_features

    @property
    def query_message_features(self) -> int:
        """Features of query and context of a token."""
        return self.attention_features + self.context_features

    @property
    def table_features(self) -> int:
        """None."""
        return 0

    @property
    def input_bytes_per_token(self) -> float:
        """Nothing that is worth counting."""
        return 0.0

    def sums_per_table(self, groups: Number) -> Number:
        """No tables."""
        return groups

    @property
    def launches_per_layer(self) -> float:
        """1: the dense decoder is the measure."""
        return 1.0

    @property
    def logit_features(self) -> int:
        """Outputs of the head per token."""
        return self.vocab_size

    @property
    def optimizer_state_bytes(self) -> float:
        """Adam's moments."""
        return ADAM_STATE_BYTES

    def head_tokens_frac(self) -> float:
        """1: every token predicts its successor."""
        return 1.0

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work that one token needs, forward and backward, no recomputation [FLOP].

        ``6 (N - N_input) + 12 L a s``: every weight that multiplies counts 2 forward and 4 backward, of
        routed experts only those that a token uses; attention is counted over the full square, as in
        Chowdhery et al. 2022 (PaLM), appendix B, and Korthikanti et al. 2022, appendix A. A causal kernel
        executes about half of the second term. A window counts twice the keys that it shows.
        """
        layer = self.attention_weights + self.active_weights(self.hidden_size)
        weights = self.num_layers * layer + self.vocab_size * self.hidden_size
        pairs = self.num_heads * self.head_width * self.mean_scored_keys(seq_len)
        return 6.0 * weights + 12.0 * self.num_layers * pairs

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """What a layer keeps of a token, after Korthikanti et al. 2022 (arXiv 2205.05198), section 4.

        Between the tensor-parallel regions: inputs of norms and of the first matrices, and masks;
        inside: query, key, value, context, both ends of the MLP's matrices. Linear layers in 8 or 4 bits
        keep their inputs as quantised.

        >>> gpt = Transformer(num_layers=1, hidden_size=128, num_heads=1, ffn_hidden_size=512, vocab_size=8)
        >>> kept = gpt.kept_bytes(64, "fp16", "unfused")  # s b h (10 + 24 + 5 a s/h)
        >>> float(kept.between + kept.inside + kept.scores) == 128 * (10 + 24 + 5 * 64 / 128)
        True
        """
        formats = Precision(precision)
        size, low = formats.size, formats.linear_size
        h, share = self.hidden_size, self.expert_layer_frac
        inputs = size + low  # a norm's input, and what the matrices behind it read
        between = (2.0 * inputs + (2.0 if self.norm == "layernorm" else 0.0)) * h
        if self.kv_lora_rank is not None:
            latent = self.kv_lora_rank + (self.qk_rope_head_dim or 0) + (self.q_lora_rank or 0)
            between = between + inputs * latent
            heads = 2 * self.attention_features + 2 * self.context_features  # keys and values of all heads
        else:
            heads = 2 * self.attention_features + 2 * self.kv_features
        ends = (self.mlp_matrices - 1) * size + low  # of the first matrices, and what the last one reads
        inner = (1.0 - share) * self.ffn_hidden_size + share * self.shared_ffn
        copies = share * self.top_k * self.rows_frac
        routed = copies * (low * h + ends * self.expert_ffn + size * h)  # dispatched, inner, returned
        routed = (
            routed + share * 2.0 * 4.0 * self.num_experts if self.has_experts else 0.0
        )  # fp32 logits, probabilities
        gated = size if self.mlp == "swiglu" else 0.0
        wide = self.mlp_matrices - 1
        widest = max(  # behind the first matrices; the gradient behind the activation takes its input's place
            wide * self.ffn_hidden_size * (share < 1.0),
            self.top_k * self.rows_frac * (wide * self.expert_ffn + h) * (share > 0.0),
        )
        outputs = self.attention_features + 2 * self.kv_features + 2 * h
        return KeptBytes(
            layer_input=size * h,
            between=between,
            inside=size * heads + ends * inner,
            scores=0.0 if attention == "flash" else (2.0 * size + 1.0) * self.num_heads * seq_len,
            routed=routed,
            backward=size * (h + widest),
            context=size * self.context_features,
            products=size * (outputs + wide * inner + copies * (wide * self.expert_ffn + h)),
            norm_extra=2.0 * 4.0 * h if self.norm == "rmsnorm" else 0.0,
            gate_extra=gated * (inner + copies * self.expert_ffn),
            repeat_extra=0.0 if self.is_latent else size * 2.0 * (self.attention_features - self.kv_features),
        )

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """Heads, key-value heads and MLP features must divide."""
        if self.num_heads % tp:
            yield f"found tp {tp} for {self.num_heads} heads", f"use {_divisors(self.num_heads)}"
        elif self.kv_heads % tp and tp % self.kv_heads:
            found = f"found tp {tp} for {self.kv_heads} key-value heads"
            yield found, f"use a divisor or a multiple of {self.kv_heads}"
        if self.ffn_hidden_size % tp:
            yield f"found tp {tp} for ffn_hidden_size {self.ffn_hidden_size}", "use a divisor of it"

    def sequence_problem(self, seq_len: int) -> tuple[str, str] | None:
        """None: a decoder takes sequences of any length."""
        return None

    def pipeline_problem(self) -> str | None:
        """None: a decoder can be cut between any layers."""
        return None


def _divisors(number: int) -> str:
    return ", ".join(str(d) for d in range(1, number + 1) if number % d == 0)
