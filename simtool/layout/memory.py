"""Bytes on the fullest accelerator, by part, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.layout.layouts import Layouts, parameters_on, split_stages
from simtool.stepgraph import Number
from simtool.workload.transformer import BYTES_PER_ELEMENT, Transformer

GRADIENT_BYTES = 4.0
"""Gradients are accumulated in fp32."""
LOGIT_BYTES = 6.0
"""The loss keeps logits in fp32 and their gradient at half precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes on the fullest accelerator, by part."""

    weights_bytes: Number
    gradients_bytes: Number
    optimizer_bytes: Number
    activations_bytes: Number
    workspace_bytes: Number
    """Collective buffers, allocator slack and framework context."""
    capacity_bytes: Number

    @property
    def total_bytes(self) -> Number:
        """Sum of the parts."""
        return (
            self.weights_bytes
            + self.gradients_bytes
            + self.optimizer_bytes
            + self.activations_bytes
            + self.workspace_bytes
        )

    @property
    def fits(self) -> NDArray[np.bool_]:
        """Whether the sum is within the capacity."""
        return np.asarray(self.total_bytes <= self.capacity_bytes)


def estimate_memory(
    model: Transformer,
    layouts: Layouts,
    *,
    seq_len: int,
    precision: str,
    recompute: str,
    attention: str,
    capacity_bytes: Number,
    workspace_bytes: Number,
) -> MemoryEstimate:
    """Memory of the fullest rank.

    Weights, gradients and optimizer take 2 + 4 + 12 bytes per weight in mixed precision (4 + 4 + 8
    in fp32), divided over data-parallel ranks: the optimizer from ZeRO 1, gradients from 2, weights
    from 3 on. Activations follow Korthikanti et al. 2022 (arXiv 2205.05198), section 4, per kind of
    tensor: what lies between the tensor-parallel regions is divided only with sequence parallelism.
    In flight are min(micro-batches, pp) micro-batches on the first stage, (1 + (pp-1)/(pp vpp))
    times as many with interleaving.
    """
    first, middle, last = parameters_on(model, layouts)
    weight_bytes = BYTES_PER_ELEMENT[precision]
    optimizer_bytes = 12.0 if weight_bytes < BYTES_PER_ELEMENT["fp32"] else 8.0
    zero, dp = layouts.zero, layouts.dp
    per_weight = (
        weight_bytes / np.where(zero >= 3, dp, 1.0),
        GRADIENT_BYTES / np.where(zero >= 2, dp, 1.0),
        optimizer_bytes / np.where(zero >= 1, dp, 1.0),
    )
    gathered = np.where(zero >= 3, 2.0 * model.parameters_per_layer * weight_bytes / layouts.tp, 0.0)

    stages = split_stages(model, layouts.pp, layouts.vpp)
    tokens = layouts.micro_batch * seq_len
    layer, working = _activation_bytes_per_token(model, layouts, seq_len, precision, recompute, attention)
    interleaved = np.where(layouts.vpp > 1, 1.0 + (layouts.pp - 1) / (layouts.pp * layouts.vpp), 1.0)
    logits = tokens * model.vocab_size * LOGIT_BYTES / layouts.tp
    single = np.asarray(layouts.pp == 1)

    def activations(num_layers: Number, rank_from_last: Number, has_head: bool) -> Number:
        in_flight = np.minimum(layouts.num_micro_batches, rank_from_last) * interleaved
        kept = tokens * (in_flight * num_layers * layer + working)
        return kept + (logits if has_head else np.where(single, logits, 0.0))

    kept = np.broadcast_arrays(
        activations(stages.first, layouts.pp, has_head=False),
        activations(stages.middle, np.maximum(layouts.pp - 1, 1), has_head=False),
        activations(stages.last, 1.0, has_head=True),
    )
    weights = np.broadcast_arrays(first, middle, last)
    totals = np.stack([w * sum(per_weight) + a for w, a in zip(weights, kept, strict=True)])
    fullest = np.argmax(totals, axis=0)
    parameters = np.choose(fullest, weights)
    return MemoryEstimate(
        weights_bytes=parameters * per_weight[0] + gathered,
        gradients_bytes=parameters * per_weight[1],
        optimizer_bytes=parameters * per_weight[2],
        activations_bytes=np.choose(fullest, kept),
        workspace_bytes=workspace_bytes,
        capacity_bytes=capacity_bytes,
    )


def _activation_bytes_per_token(
    model: Transformer, layouts: Layouts, seq_len: int, precision: str, recompute: str, attention: str
) -> tuple[Number, Number]:
    """Bytes per token that one layer keeps for the backward pass, and that one recomputed layer needs."""
    size = BYTES_PER_ELEMENT[precision]
    h, a, kv, f = model.hidden_size, model.attention_features, model.kv_features, model.ffn_hidden_size
    outside = np.where(layouts.sequence_parallel, layouts.tp, 1.0)
    between = (4.0 * size + (2.0 if model.norm == "layernorm" else 0.0)) * h  # norm and matrix inputs; masks
    inside = size * (
        2 * a + 2 * kv + model.mlp_matrices * f
    )  # query, key, value, context; MLP matrices' ends
    scores = 0.0 if attention == "flash" else (2.0 * size + 1.0) * model.num_heads * seq_len
    everything = between / outside + (inside + scores) / layouts.tp
    if recompute == "full":
        return size * h / outside, everything
    if recompute == "selective":
        return everything - scores / layouts.tp, scores / layouts.tp
    return everything, 0.0
