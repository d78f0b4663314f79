"""The shape of self-attention: multi-head, grouped or latent, over all tokens or a window."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Strict
from simtool.stepgraph import Number

Count = Annotated[int, Field(gt=0, le=10**9)]
CountOrZero = Annotated[int, Field(ge=0, le=10**9)]

LATENT_FIELDS = ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")


class AttentionShape(Strict):
    """What attention needs to know of a layer."""

    hidden_size: Count
    num_heads: Count
    num_kv_heads: Count | None = None
    """Key-value heads: fewer than `num_heads` is grouped-query, 1 is multi-query; all heads if not given."""
    head_dim: Count | None = None
    """Features of one head; hidden_size / num_heads if not given."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    qkv_bias: bool = True
    output_bias: bool = True
    """Bias of the projection after attention."""
    qk_norm: bool = False
    """A norm with weights over the features of every query and key head (Qwen3)."""
    attention_sinks: bool = False
    """A learned logit per head that takes attention from the keys (GPT-OSS)."""
    causal: bool = True
    """A token sees itself and its predecessors; else all of its sequence."""
    attention_window: Count | None = None
    """Tokens that a token sees at most, in the layers with a window."""
    window_kind: Literal["sliding", "chunked"] = "sliding"
    """The last tokens before each token, or the part so far of the chunk that a token stands in (Llama 4)."""
    full_attention_period: Count | None = None
    """Every n-th layer sees the whole sequence in spite of `attention_window`; no layer if not given."""
    kv_lora_rank: Count | None = None
    """Latent attention (DeepSeek-V2, arXiv 2405.04434): features of the latent keys and values of a token."""
    q_lora_rank: Count | None = None
    """Latent attention: features of the latent query; queries straight from the hidden state if not given."""
    qk_nope_head_dim: Count | None = None
    """Latent attention: features of a query or key head without position."""
    qk_rope_head_dim: Count | None = None
    """Latent attention: features of a query head with position, and of the key that all heads share."""
    v_head_dim: Count | None = None
    """Latent attention: features of a value head."""

    @model_validator(mode="after")
    def _heads_divide(self) -> AttentionShape:
        if self.head_dim is None and not self.is_latent and self.hidden_size % self.num_heads:
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

    @model_validator(mode="after")
    def _latent_is_whole(self) -> AttentionShape:
        missing = [name for name in LATENT_FIELDS if getattr(self, name) is None]
        if self.is_latent and missing:
            raise ValueError(f"found kv_lora_rank without {', '.join(missing)}; latent attention needs them")
        if not self.is_latent and (len(missing) < len(LATENT_FIELDS) or self.q_lora_rank is not None):
            raise ValueError(
                "found fields of latent attention without kv_lora_rank; add it, or leave them out"
            )
        if self.full_attention_period is not None and self.attention_window is None:
            raise ValueError("found full_attention_period without attention_window; add the window")
        return self

    @property
    def is_latent(self) -> bool:
        """Whether keys and values come out of a common latent vector."""
        return self.kv_lora_rank is not None

    @property
    def kv_heads(self) -> int:
        """Key-value heads."""
        return self.num_kv_heads or self.num_heads

    @property
    def head_size(self) -> int:
        """Features of one query head."""
        if self.is_latent:
            return (self.qk_nope_head_dim or 0) + (self.qk_rope_head_dim or 0)
        return self.head_dim or self.hidden_size // self.num_heads

    @property
    def value_head_size(self) -> int:
        """Features of one value head."""
        return self.v_head_dim or self.head_size

    @property
    def attention_features(self) -> int:
        """Features of all query heads."""
        return self.num_heads * self.head_size

    @property
    def context_features(self) -> int:
        """Features that attention gives to its output projection."""
        return self.num_heads * self.value_head_size

    @property
    def kv_features(self) -> int:
        """Features of all key heads."""
        return self.kv_heads * self.head_size

    @property
    def value_features(self) -> int:
        """Features of all value heads."""
        return self.kv_heads * self.value_head_size

    @property
    def head_width(self) -> float:
        """Mean features of a query and a value head: a score and its use cost 4 x this FLOP a pair.

        >>> AttentionShape(hidden_size=64, num_heads=4).head_width
        16.0
        """
        return 0.5 * (self.head_size + self.value_head_size)

    @property
    def attention_weights(self) -> int:
        """Elements of the projections' matrices in one layer."""
        h, a, context = self.hidden_size, self.attention_features, self.context_features
        if self.kv_lora_rank is None:
            return h * (a + 2 * self.kv_features) + context * h
        query = h * a if self.q_lora_rank is None else self.q_lora_rank * (h + a)
        latent = h * (self.kv_lora_rank + (self.qk_rope_head_dim or 0))
        per_head = (self.qk_nope_head_dim or 0) + self.value_head_size
        return query + latent + self.kv_lora_rank * self.num_heads * per_head + context * h

    @property
    def attention_parameters(self) -> int:
        """Weights of attention in one layer: matrices, biases, norms within, sinks."""
        a, kv = self.attention_features, self.kv_features
        biases = self.qkv_bias * (a + 2 * kv) + self.output_bias * self.hidden_size
        if self.kv_lora_rank is not None:
            biases = self.kv_lora_rank + (self.q_lora_rank or 0)  # no biases; the norms of the latent vectors
        norms = 2 * self.head_size * (2 if self.norm == "layernorm" else 1) if self.qk_norm else 0
        return self.attention_weights + biases + norms + (self.num_heads if self.attention_sinks else 0)

    @property
    def windowed_frac(self) -> float:
        """Share of the layers whose attention is limited to a window."""
        if self.attention_window is None:
            return 0.0
        return 1.0 if self.full_attention_period is None else 1.0 - 1.0 / self.full_attention_period

    def windowed_keys(self, seq_len: Number) -> float:
        """Keys that a token of a layer with a window sees on average, in sequences of `seq_len` tokens.

        ``w - w^2 / (2 s)`` for a sliding window of w < s tokens, ``w / 2`` for chunks; half the
        sequence where the window holds all of it, twice as many without a causal mask.

        >>> shape = AttentionShape(hidden_size=64, num_heads=4, attention_window=128)
        >>> shape.windowed_keys(1024), shape.windowed_keys(64)
        (120.0, 32.0)
        """
        length = float(seq_len)
        window = min(float(self.attention_window or length), length)
        causal = 0.5 * window if self.window_kind == "chunked" else window - window * window / (2.0 * length)
        return causal if self.causal else min(2.0 * causal, length)

    def mean_scored_keys(self, seq_len: Number) -> Number:
        """Mean keys of a query over the layers, as model work counts them: masked halves included.

        The whole sequence without windows; a window counts twice the keys that it shows on average.
        """
        share = self.windowed_frac
        if share == 0.0:
            return seq_len
        return (1.0 - share) * seq_len + share * min(2.0 * self.windowed_keys(seq_len), float(seq_len))
