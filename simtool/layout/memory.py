"""Bytes on the fullest accelerator, by part, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.layout.layouts import Held, Layouts, choose_held, held_by_stage, split_stages
from simtool.stepgraph import Number
from simtool.workload.model import KeptBytes, Model
from simtool.workload.precision import BYTES_PER_ELEMENT, COPIES_OF_LOW, Precision

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
    model: Model,
    layouts: Layouts,
    *,
    seq_len: int,
    precision: str,
    recompute: str,
    attention: str,
    capacity_bytes: Number,
    workspace_bytes: Number,
    expert_load: float = 1.0,
) -> MemoryEstimate:
    """Memory of the fullest rank.

    Weights, gradients and optimizer take 2 + 4 + 12 bytes per weight in mixed precision (4 + 4 + 8
    in fp32), divided over data-parallel ranks: the optimizer from ZeRO 1, gradients from 2, weights
    from 3 on. Activations follow Korthikanti et al. 2022 (arXiv 2205.05198), section 4, per kind of
    tensor: what lies between the tensor-parallel regions is divided only with sequence parallelism.
    In flight are min(micro-batches, pp) micro-batches on the first stage, (1 + (pp-1)/(pp vpp))
    times as many with interleaving. Experts count likewise, with the ranks that hold the same experts in
    place of the replicas, and the copies of tokens that they keep with `expert_load`. Training in 8 or 4 bits
    keeps quantised copies of the layers' weights beside those in bf16. Tables that are dealt out over all
    ranks have no gradient or optimizer of their size.
    """
    held = held_by_stage(model, layouts)
    state = _state_bytes(model, layouts, precision)
    stages = split_stages(model, layouts.pp, layouts.vpp)
    tokens = layouts.micro_batch * seq_len / layouts.cp
    kept_bytes = model.kept_bytes(seq_len, precision, attention)
    layer, working = _activation_bytes_per_token(kept_bytes, layouts, recompute, expert_load)
    interleaved = np.where(layouts.vpp > 1, 1.0 + (layouts.pp - 1) / (layouts.pp * layouts.vpp), 1.0)
    logits = tokens * model.head_tokens_frac() * model.logit_features * LOGIT_BYTES / layouts.tp
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
    parts = [state.of(one) for one in held]
    totals = np.stack(
        np.broadcast_arrays(*(sum(part) + bytes_ for part, bytes_ in zip(parts, kept, strict=True)))
    )
    fullest = np.argmax(totals, axis=0)
    weights, gradients, optimizer = state.of(choose_held(held, fullest))
    return MemoryEstimate(
        weights_bytes=weights + state.gathered,
        gradients_bytes=gradients,
        optimizer_bytes=optimizer,
        activations_bytes=np.choose(fullest, np.broadcast_arrays(*kept, fullest)[:3]),
        workspace_bytes=workspace_bytes,
        capacity_bytes=capacity_bytes,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Bytes of weights, gradients and optimizer per weight, after ZeRO."""

    common: tuple[Number, Number, Number]
    experts: tuple[Number, Number, Number]
    tables: tuple[Number, Number, Number]
    gathered: Number

    def of(self, held: Held) -> tuple[Number, Number, Number]:
        """Weights, gradients and optimizer of what a rank holds [byte]."""
        weights, gradients, optimizer = (
            held.common * common + held.experts * experts + held.tables * tables
            for common, experts, tables in zip(self.common, self.experts, self.tables, strict=True)
        )
        return weights, gradients, optimizer


def _state_bytes(model: Model, layouts: Layouts, precision: str) -> _State:
    formats = Precision(precision)
    size = formats.size
    copies = COPIES_OF_LOW * formats.linear_size if formats.is_low else 0.0
    master = 4.0 if size < BYTES_PER_ELEMENT["fp32"] else 0.0
    optimizer = master + model.optimizer_state_bytes
    zero = layouts.zero

    def split(ranks: Number) -> tuple[Number, Number, Number]:
        return (
            (size + copies) / np.where(zero >= 3, ranks, 1.0),
            GRADIENT_BYTES / np.where(zero >= 2, ranks, 1.0),
            optimizer / np.where(zero >= 1, ranks, 1.0),
        )

    expert = model.expert_parameters_per_layer
    on_rank = (model.parameters_per_layer - expert) / layouts.tp + expert / (layouts.etp * layouts.ep)
    return _State(
        common=split(layouts.shard_ranks),
        experts=split(layouts.expert_shard_ranks),
        tables=(BYTES_PER_ELEMENT["fp32"], 0.0, 0.0),
        gathered=np.where(zero >= 3, 2.0 * on_rank * size, 0.0),
    )


def _activation_bytes_per_token(
    kept: KeptBytes, layouts: Layouts, recompute: str, expert_load: float
) -> tuple[Number, Number]:
    """Bytes per token that one layer keeps for the backward pass, and that one recomputed layer needs."""
    outside = np.where(layouts.sequence_parallel, layouts.tp, 1.0)
    scores = kept.scores / layouts.tp
    load = np.where(np.asarray(layouts.ep) > 1, expert_load, 1.0)
    everything = kept.between / outside + kept.inside / layouts.tp + kept.routed * load / layouts.tp + scores
    if recompute == "full":
        return kept.layer_input / outside, everything
    if recompute == "selective":
        return everything - scores, scores
    return everything, 0.0
