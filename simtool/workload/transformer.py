"""Decoder transformers as step graphs: the operations of one micro-batch.

Covers the GPT-2/3, OPT, BLOOM, Llama, Mistral, Qwen, Mixtral, DeepSeek, GPT-OSS and Llama 4 styles:
multi-head, grouped-query, multi-query and latent attention, windows, plain and gated MLPs, mixtures of
experts, learned, rotary and ALiBi positions, tied and untied embeddings.
"""

from __future__ import annotations

from simtool.stepgraph import Kind, Number, Op, Phase, Scope, Shard, StepGraph
from simtool.workload.block import (
    ACTIVATION_ELEMENTS_PER_FEATURE,
    LOSS_BYTES_PER_LOGIT,
    NORM_ELEMENTS_PER_HIDDEN,
    POSITION_ELEMENTS_PER_HEAD_FEATURE,
    RESIDUAL_ELEMENTS_PER_HIDDEN,
    Block,
)
from simtool.workload.decoder_shape import Transformer
from simtool.workload.graphs import step_graph
from simtool.workload.optimizers import adam
from simtool.workload.precision import BYTES_PER_ELEMENT, Precision

__all__ = ["BYTES_PER_ELEMENT", "Transformer", "build_step_graph"]

TABLE_GRADIENT_PASSES = 1.2
"""Bytes of zeroing (2) and adding up (10) a dense gradient over those of adding it up."""
ROUTING_ELEMENTS_PER_EXPERT = 8.0
"""Per token, in one pass: logits in fp32 through softmax, selection and the balance loss, read and written."""


@step_graph.register
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
        precision: dtype of the matrix work, a key of `BYTES_PER_ELEMENT`; in 8 and 4 bits that of the
            layers' linear maps alone.
        attention: ``"flash"`` or ``"unfused"``.
        gradient_sum: ``"fused"`` into the products, or ``"separate"``: a pass over all gradients of
            every micro-batch.
    """
    formats = Precision(precision)
    tokens = micro_batch * seq_len
    layer = Block(Scope.LAYER, formats, tokens)
    head = Block(Scope.HEAD, formats, tokens)
    embedding = Block(Scope.EMBEDDING, formats, tokens)
    h = model.hidden_size

    attention_half(layer, model, seq_len=seq_len, sequences=micro_batch, kernel=attention)
    layer.elementwise("mlp_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    routing = model.expert_layer_frac
    if routing < 1.0:
        dense_mlp(layer.sharing(1.0 - routing), h, model.ffn_hidden_size, model.mlp_matrices)
    if routing > 0.0:
        expert_mlp(layer.sharing(routing), model, gradient_sum)
    layer.elementwise("mlp_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    if gradient_sum == "separate":
        layer.accumulate(model.parameters_per_layer - model.expert_parameters_per_layer)
        if routing > 0.0:
            layer.accumulate(model.expert_parameters_per_layer, Shard.EXPERTS)
        head.accumulate(model.vocab_size * h)

    embedding.elementwise("embedding", 2.0 * h, Shard.SEQUENCE)
    # The table's gradient is dense, however few rows it has: zeroed, written, and added to the step's sum.
    embedding.accumulate(TABLE_GRADIENT_PASSES * model.vocab_size * h)
    if model.embedding_norm:
        embedding.elementwise("embedding_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    head.elementwise("final_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    head.linear("logits", inner=h, outer=model.vocab_size, column=True)
    head.elementwise("loss", LOSS_BYTES_PER_LOGIT / formats.size * model.vocab_size, Shard.FEATURES)
    return StepGraph(
        ops=(*embedding.ops, load_tokens(tokens), *layer.ops, *head.ops, *adam(model.num_parameters)),
        num_layers=model.num_layers,
        tokens_per_micro_batch=tokens,
        facts=model,
    )


def load_tokens(tokens: Number) -> Op:
    """Inputs and labels of the micro-batch, copied to the device."""
    return Op(
        name="load_tokens",
        kind=Kind.MEMORY,
        phase=Phase.DATA,
        scope=Scope.EMBEDDING,
        dtype="int64",
        bytes=2 * 8.0 * tokens,
    )


def attention_half(layer: Block, model: Transformer, *, seq_len: int, sequences: Number, kernel: str) -> None:
    """Norm, self-attention and residual sum of a layer."""
    h = model.hidden_size
    layer.elementwise("attention_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    self_attention(layer, model, seq_len=seq_len, sequences=sequences, kernel=kernel)
    layer.elementwise("attention_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)


def mlp_half(layer: Block, model: Transformer) -> None:
    """Norm, dense MLP and residual sum of a layer."""
    h = model.hidden_size
    layer.elementwise("mlp_norm", NORM_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)
    dense_mlp(layer, h, model.ffn_hidden_size, model.mlp_matrices)
    layer.elementwise("mlp_residual", RESIDUAL_ELEMENTS_PER_HIDDEN * h, Shard.SEQUENCE)


def self_attention(layer: Block, model: Transformer, *, seq_len: int, sequences: Number, kernel: str) -> None:
    """Projections to queries, keys and values, the attention core, and the projection back."""
    h, a, kv = model.hidden_size, model.attention_features, model.kv_features
    context = model.context_features
    if model.kv_lora_rank is None:
        layer.linear("qkv", inner=h, outer=a + 2 * kv, column=True)
        rotated = a + kv
    else:
        per_head = (model.qk_nope_head_dim or 0) + model.value_head_size
        if model.q_lora_rank is None:
            layer.linear("query", inner=h, outer=a, column=True)
        else:
            layer.replicated("query_down", inner=h, outer=model.q_lora_rank)
            layer.elementwise("query_norm", NORM_ELEMENTS_PER_HIDDEN * model.q_lora_rank, Shard.SEQUENCE)
            layer.linear("query_up", inner=model.q_lora_rank, outer=a, column=True)
        layer.replicated("latent_down", inner=h, outer=model.kv_lora_rank + (model.qk_rope_head_dim or 0))
        layer.elementwise("latent_norm", NORM_ELEMENTS_PER_HIDDEN * model.kv_lora_rank, Shard.SEQUENCE)
        layer.linear("latent_up", inner=model.kv_lora_rank, outer=model.num_heads * per_head, column=True)
        rotated = 2 * a  # keys of all heads are put together from their parts
    if model.qk_norm:
        layer.elementwise("query_key_norm", NORM_ELEMENTS_PER_HIDDEN * (a + kv), Shard.FEATURES)
    layer.elementwise("position", POSITION_ELEMENTS_PER_HEAD_FEATURE * rotated, Shard.FEATURES)
    windowed = model.windowed_frac
    whole = 0.0 if model.causal else float(seq_len)
    for share, keys in ((1.0 - windowed, whole), (windowed, model.windowed_keys(seq_len))):
        if share > 0.0:
            layer.sharing(layer.share * share).attention(
                kernel=kernel,
                seq_len=seq_len,
                sequences=sequences,
                num_heads=model.num_heads,
                features=a + kv + model.value_features + context,
                width=model.head_width,
                keys=keys,
            )
    layer.linear("attention_output", inner=context, outer=h, column=False)


def dense_mlp(layer: Block, hidden: int, inner: int, matrices: int, name: str = "mlp") -> None:
    """Up, activation, down; a gate doubles the first."""
    layer.linear(f"{name}_up", inner=hidden, outer=(matrices - 1) * inner, column=True)
    activation = ACTIVATION_ELEMENTS_PER_FEATURE * matrices * inner
    layer.elementwise(f"{name}_activation", activation, Shard.FEATURES)
    layer.linear(f"{name}_down", inner=inner, outer=hidden, column=False)


def expert_mlp(layer: Block, model: Transformer, gradient_sum: str) -> None:
    """Router, copies of tokens sorted by expert, grouped products, their weighted sum; shared experts beside.

    Copies are read and written where they leave (permutation), and once more where they arrive in the
    order of the senders (`Shard.DISPATCHED`); the way back is the same, and ends in a sum.
    """
    h, inner, copies = model.hidden_size, model.expert_ffn, model.top_k * model.rows_frac
    rows = layer.tokens * copies / model.num_experts
    layer.replicated("router", inner=h, outer=model.num_experts)
    layer.elementwise("routing", ROUTING_ELEMENTS_PER_EXPERT * model.num_experts, Shard.SEQUENCE)
    layer.elementwise("expert_permutation", 2.0 * copies * h, Shard.EXPERTS)
    layer.elementwise("expert_arrival", 2.0 * 2.0 * copies * h, Shard.DISPATCHED)
    layer.grouped(
        "expert_up",
        inner=h,
        outer=(model.mlp_matrices - 1) * inner,
        column=True,
        num_experts=model.num_experts,
        rows=rows,
        gradient_sum=gradient_sum,
    )
    activation = ACTIVATION_ELEMENTS_PER_FEATURE * model.mlp_matrices * inner
    layer.elementwise("expert_activation", copies * activation, Shard.EXPERTS)
    layer.grouped(
        "expert_down",
        inner=inner,
        outer=h,
        column=False,
        num_experts=model.num_experts,
        rows=rows,
        gradient_sum=gradient_sum,
    )
    layer.elementwise("expert_sum", (copies + 1.0) * h, Shard.EXPERTS)
    if model.num_shared_experts:
        dense_mlp(layer, h, model.shared_ffn, model.mlp_matrices, "shared")
        layer.elementwise("shared_sum", 3.0 * h, Shard.SEQUENCE)
        if model.shared_expert_gate:
            layer.replicated("shared_gate", inner=h, outer=1)
