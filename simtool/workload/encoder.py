"""Encoders (BERT) and encoder-decoders (T5): sizes, work and step graph.

Tokens are those of the encoder. A decoder behind it reads `target_frac` tokens for each of them, and meets the
encoder's output in a second attention. Layers of both stacks are priced as their mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.stepgraph import Number, Scope, Shard, StepGraph
from simtool.workload.attention_shape import Count, CountOrZero
from simtool.workload.block import (
    LOSS_BYTES_PER_LOGIT,
    NORM_ELEMENTS_PER_HIDDEN,
    RESIDUAL_ELEMENTS_PER_HIDDEN,
    Block,
)
from simtool.workload.family import Family
from simtool.workload.graphs import step_graph
from simtool.workload.model import KeptBytes
from simtool.workload.optimizers import adam
from simtool.workload.precision import Precision
from simtool.workload.transformer import (
    TABLE_GRADIENT_PASSES,
    Transformer,
    attention_half,
    load_tokens,
    mlp_half,
)

Share = Annotated[float, Field(gt=0.0, le=1.0)]
ShareOrNone = Annotated[float, Field(ge=0.0, le=1.0)]
CROSS_LAUNCHES = 5.0 / 11.0
"""Operations of the second attention of a decoder's layer over those of a layer without it."""


class Encoder(Family):
    """Shape of an encoder, or of an encoder with a decoder. File kind ``simtool/encoder/1``."""

    family: Literal["encoder"] = "encoder"
    num_encoder_layers: Count
    """Layers of the encoder."""
    num_decoder_layers: CountOrZero = 0
    """Layers of a decoder behind it (T5); 0 for an encoder alone (BERT)."""
    hidden_size: Count
    num_heads: Count
    head_dim: Count | None = None
    """Features of one head; hidden_size / num_heads if not given."""
    ffn_hidden_size: Count
    vocab_size: Count
    mlp: Literal["gelu", "relu", "swiglu"] = "gelu"
    """``swiglu`` stands for any gated MLP of three matrices."""
    norm: Literal["layernorm", "rmsnorm"] = "layernorm"
    bias: bool = True
    """Biases of all linear maps in the layers."""
    positions: Literal["learned", "rotary", "alibi", "relative"] = "learned"
    max_positions: Count = 512
    """Rows of the learned position table."""
    position_buckets: Count = 32
    """Relative positions that are told apart, one weight a head (T5)."""
    num_token_types: CountOrZero = 0
    """Rows of the table of token types (BERT has 2)."""
    embedding_norm: bool = False
    final_norm: bool = True
    """A norm behind the last layer of each stack."""
    tied_embeddings: bool = True
    """The head shares the embedding table."""
    pooler: bool = False
    """A square map of the first token (BERT)."""
    head_transform: bool = False
    """A square map and a norm before the head, and a bias behind it (BERT)."""
    num_classes: CountOrZero = 0
    """Outputs of a second head on the pooled token (BERT's next sentence has 2)."""
    masked_frac: ShareOrNone = 1.0
    """Share of the tokens that the head of an encoder sees: masked ones, where the others are left out; 0 where
    the task has a small head of its own, as fine-tuning has."""
    target_frac: Share = 1.0
    """Tokens of the decoder for each of the encoder."""

    @model_validator(mode="after")
    def _stacks_are_possible(self) -> Encoder:
        _ = encoder_stack(self)
        return self

    @property
    def num_layers(self) -> int:
        """Layers of both stacks."""
        return self.num_encoder_layers + self.num_decoder_layers

    @property
    def has_decoder(self) -> bool:
        """Whether a decoder reads what the encoder writes."""
        return self.num_decoder_layers > 0

    @property
    def _norm_parameters(self) -> int:
        return self.hidden_size * (2 if self.norm == "layernorm" else 1)

    @property
    def _layers_parameters(self) -> int:
        plain = encoder_stack(self)
        cross = plain.attention_parameters + self._norm_parameters
        return self.num_layers * int(plain.parameters_per_layer) + self.num_decoder_layers * cross

    @property
    def parameters_per_layer(self) -> float:
        """Mean weights of a layer."""
        return self._layers_parameters / self.num_layers

    @property
    def embedding_parameters(self) -> int:
        """Tables of tokens, positions and types, and the norm after them."""
        rows = self.vocab_size + self.num_token_types
        rows += self.max_positions if self.positions == "learned" else 0
        return rows * self.hidden_size + (self._norm_parameters if self.embedding_norm else 0)

    @property
    def head_parameters(self) -> int:
        """Final norms, relative positions, pooler, and the head's own weights."""
        h, stacks = self.hidden_size, 2 if self.has_decoder else 1
        own = 0 if self.tied_embeddings else self.vocab_size * h
        if self.head_transform:
            own += h * h + h + self._norm_parameters + self.vocab_size
        if self.pooler:
            own += h * h + h
        if self.num_classes:
            own += self.num_classes * (h + 1)
        if self.positions == "relative":
            own += stacks * self.position_buckets * self.num_heads
        return own + (stacks * self._norm_parameters if self.final_norm else 0)

    @property
    def tied_parameters(self) -> int:
        """The table that embedding and head share."""
        return self.vocab_size * self.hidden_size if self.tied_embeddings else 0

    @property
    def num_parameters(self) -> int:
        """All weights.

        >>> Encoder(num_encoder_layers=6, num_decoder_layers=6, hidden_size=512, num_heads=8, ffn_hidden_size=2048,
        ...         vocab_size=32128, mlp="relu", norm="rmsnorm", bias=False, positions="relative").num_parameters
        60506624
        """
        return self._layers_parameters + self.embedding_parameters + self.head_parameters

    @property
    def reductions_per_layer(self) -> float:
        """After attention, after the second attention of a decoder, and after the MLP."""
        return 2.0 + self.num_decoder_layers / self.num_layers

    @property
    def launches_per_layer(self) -> float:
        """A decoder's layer attends twice."""
        return 1.0 + CROSS_LAUNCHES * self.num_decoder_layers / self.num_layers

    @property
    def logit_features(self) -> int:
        """Outputs of the head per token that it sees."""
        return self.vocab_size

    def head_tokens_frac(self) -> float:
        """Share of the encoder's tokens that the head sees; with a decoder, its tokens."""
        return self.target_frac if self.has_decoder else self.masked_frac

    def model_flop_per_token(self, seq_len: Number) -> Number:
        """Work for one token of the encoder, forward and backward [FLOP]: ``6 N`` of what multiplies, and attention.

        The whole square of the encoder's attention is work; the causal one of the decoder is counted likewise.
        """
        stack, frac = encoder_stack(self), self.target_frac
        layer = stack.attention_weights + stack.active_weights(self.hidden_size)
        pairs = self.num_heads * stack.head_width * seq_len
        encoder = self.num_encoder_layers * (6.0 * layer + 12.0 * pairs)
        keys_and_values = 2 * self.hidden_size * stack.kv_features  # of the encoder's tokens
        crossing = stack.attention_weights - keys_and_values
        decoder = self.num_decoder_layers * (
            frac * (6.0 * (layer + crossing) + 12.0 * pairs * (frac + 1.0)) + 6.0 * keys_and_values
        )
        head = self.vocab_size * self.hidden_size
        head += self.hidden_size**2 if self.head_transform else 0
        return encoder + decoder + 6.0 * self.head_tokens_frac() * head

    def kept_bytes(self, seq_len: int, precision: str, attention: str) -> KeptBytes:
        """What the mean layer keeps for one token of the encoder."""
        kept = encoder_stack(self).kept_bytes(seq_len, precision, attention)
        size, share = Precision(precision).size, self.num_decoder_layers / self.num_layers
        scale = 1.0 - share + share * self.target_frac
        heads = size * (2.0 * self.target_frac + 2.0) * self.num_heads * encoder_stack(self).head_size
        scores = (1.0 - share) * kept.scores + share * self.target_frac * (
            1.0 + self.target_frac
        ) * kept.scores
        return KeptBytes(
            layer_input=scale * kept.layer_input,
            between=scale * kept.between + share * 2.0 * self.target_frac * size * self.hidden_size,
            inside=scale * kept.inside + share * heads,
            scores=scores,
        )

    def tensor_problems(self, tp: int) -> Iterator[tuple[str, str]]:
        """As of a decoder."""
        yield from encoder_stack(self).tensor_problems(tp)

    def sequence_problem(self, seq_len: int) -> tuple[str, str] | None:
        """A table of positions has so many rows."""
        if self.positions == "learned" and seq_len > self.max_positions:
            return (
                f"found {seq_len} with {self.max_positions} learned positions",
                "lower it, or raise max_positions",
            )
        return None

    def pipeline_problem(self) -> str | None:
        """None: a stack can be cut between any layers."""
        return None


@lru_cache(maxsize=256)
def encoder_stack(model: Encoder) -> Transformer:
    """The layers of the encoder, as those of a decoder that sees all tokens."""
    return Transformer(
        num_layers=model.num_encoder_layers,
        hidden_size=model.hidden_size,
        num_heads=model.num_heads,
        head_dim=model.head_dim,
        ffn_hidden_size=model.ffn_hidden_size,
        vocab_size=model.vocab_size,
        mlp=model.mlp,
        norm=model.norm,
        causal=False,
        qkv_bias=model.bias,
        output_bias=model.bias,
        mlp_bias=model.bias,
        positions="alibi",
    )


@step_graph.register
def encoder_step_graph(
    model: Encoder,
    *,
    seq_len: int,
    micro_batch: Number,
    precision: str,
    attention: str,
    gradient_sum: str = "fused",
) -> StepGraph:
    """The operations of one micro-batch, unsharded; arguments as `workload.transformer.build_step_graph`'s."""
    formats, h = Precision(precision), model.hidden_size
    tokens = micro_batch * seq_len
    layer, stack = Block(Scope.LAYER, formats, tokens), encoder_stack(model)
    share = model.num_decoder_layers / model.num_layers
    encoder = layer.sharing(1.0 - share)
    attention_half(encoder, stack, seq_len=seq_len, sequences=micro_batch, kernel=attention)
    mlp_half(encoder, stack)
    if model.has_decoder:
        decoder = layer.sharing(share).of_tokens(tokens * model.target_frac)
        targets = round(seq_len * model.target_frac)
        behind = stack.model_copy(update={"causal": True})
        attention_half(decoder, behind, seq_len=targets, sequences=micro_batch, kernel=attention)
        _cross_attention(decoder, stack, targets, seq_len, micro_batch, attention)
        mlp_half(decoder, behind)
    seen = tokens * model.head_tokens_frac()
    head = Block(Scope.HEAD, formats, seen)
    if model.final_norm:
        head.of_tokens(tokens).elementwise("final_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    if model.head_tokens_frac() > 0.0:
        if model.head_transform:
            head.replicated("head_transform", inner=h, outer=h)
            head.elementwise("head_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
        head.linear("logits", inner=h, outer=model.vocab_size, column=True)
        head.elementwise("loss", LOSS_BYTES_PER_LOGIT / formats.size * model.vocab_size, Shard.FEATURES)
    embedding = Block(
        Scope.EMBEDDING, formats, tokens * (1.0 + (model.target_frac if model.has_decoder else 0.0))
    )
    embedding.elementwise("embedding", 2.0 * h, Shard.SEQUENCE)
    embedding.accumulate(TABLE_GRADIENT_PASSES * model.vocab_size * h)
    if model.embedding_norm:
        embedding.elementwise("embedding_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    if gradient_sum == "separate":
        layer.accumulate(model.parameters_per_layer)
        head.accumulate(model.vocab_size * h)
    return StepGraph(
        ops=(*embedding.ops, load_tokens(tokens), *layer.ops, *head.ops, *adam(model.num_parameters)),
        num_layers=model.num_layers,
        tokens_per_micro_batch=tokens,
        facts=model,
    )


def _cross_attention(
    decoder: Block, stack: Transformer, targets: int, seq_len: int, sequences: Number, kernel: str
) -> None:
    """Queries of the decoder meet keys and values of the encoder's tokens."""
    h, a, kv = stack.hidden_size, stack.attention_features, stack.kv_features
    decoder.elementwise("cross_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    decoder.linear("cross_query", inner=h, outer=a, column=True)
    decoder.of_tokens(sequences * seq_len).linear("cross_key_value", inner=h, outer=2 * kv, column=True)
    decoder.attention(
        kernel=kernel,
        seq_len=targets,
        sequences=sequences,
        num_heads=stack.num_heads,
        features=2 * a + 2 * kv * seq_len / targets,
        width=stack.head_width,
        keys=float(seq_len),
        num_keys=float(seq_len),
        name="cross_attention",
    )
    decoder.linear("cross_output", inner=a, outer=h, column=False)
    decoder.elementwise("cross_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
