"""Bytes on the fullest accelerator, by part, and whether they fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from simtool.layout.activations import head_bytes, layer_bytes, micro_batches_in_flight, step_logits_bytes
from simtool.layout.habits import IDEAL, MEGATRON_LOGIT_BYTES, MemoryHabits
from simtool.layout.layouts import Layouts, choose_held, held_by_stage, split_by_weights, split_stages
from simtool.layout.states import state_bytes, whole_bytes
from simtool.stepgraph import Number
from simtool.workload.model import Model
from simtool.workload.precision import Precision

Stage = Literal["fullest", "first"]
LOGIT_BYTES = MEGATRON_LOGIT_BYTES
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
    def tensors_bytes(self) -> Number:
        """What tensors take at the peak, which PyTorch calls allocated: all but the workspace."""
        return self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes

    @property
    def total_bytes(self) -> Number:
        """Sum of the parts."""
        return self.tensors_bytes + self.workspace_bytes

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
    habits: MemoryHabits = IDEAL,
    recompute_layers: Number = 1.0,
    offloaded_optimizer: bool = False,
    stage: Stage = "fullest",
) -> MemoryEstimate:
    """Memory of the fullest rank, or of the first stage.

    Every stage holds its states (`layout.states`), the activations of the micro-batches in flight, and for a
    moment either one layer's backward pass or, on the last stage, the loss (`layout.activations`). Experts count
    likewise, with the ranks that hold the same experts in place of the replicas, and the copies of tokens that
    they keep with `expert_load`. Tables that are dealt out over all ranks have no gradient or optimizer of their
    size.

    Args:
        model: what is trained.
        layouts: one layout, or arrays of candidates.
        seq_len: tokens in a sequence.
        precision: of the training.
        recompute: ``"none"``, ``"selective"`` or ``"full"``.
        attention: ``"flash"`` or ``"unfused"``.
        capacity_bytes: of the device.
        workspace_bytes: context, collective buffers, allocator slack.
        expert_load: copies of tokens on the fullest expert-parallel rank over the mean.
        habits: of the framework.
        recompute_layers: with full recomputation, layers between two inputs that are kept.
        offloaded_optimizer: optimizer and gradients are in the host's memory.
        stage: ``"first"`` for what rank 0 reports.
    """
    even = split_stages(model, layouts.pp, layouts.vpp)
    stages = split_by_weights(model, layouts.pp) if habits.splits_by_weights else even
    held = held_by_stage(model, layouts, stages)
    state = state_bytes(model, layouts, precision, habits, offloaded=offloaded_optimizer)
    tokens = layouts.micro_batch * seq_len / layouts.cp
    token = model.kept_bytes(seq_len, precision, attention)
    layer = layer_bytes(
        token,
        layouts,
        recompute,
        habits,
        expert_load=expert_load,
        recompute_layers=recompute_layers,
    )
    size = Precision(precision).size
    head = head_bytes(model, token, layouts, tokens, size, habits)
    step_logits = step_logits_bytes(model, layouts, tokens, size, habits)
    single = np.asarray(layouts.pp == 1)

    def activations(num_layers: Number, rank_from_last: Number, has_head: bool) -> Number:
        in_flight = micro_batches_in_flight(layouts, rank_from_last)
        kept = tokens * in_flight * (num_layers * layer.kept + np.where(single, 0.0, layer.output))
        moment = np.where(single | has_head, head, 0.0)
        logits = np.where(single | (not has_head), 0.0, step_logits)
        return kept + logits + np.maximum(tokens * layer.working, moment)

    kept = np.broadcast_arrays(
        activations(stages.first, layouts.pp, has_head=False),
        activations(stages.middle, np.maximum(layouts.pp - 1, 1), has_head=False),
        activations(stages.last, 1.0, has_head=True),
    )
    whole = [whole_bytes(model, layouts, precision, habits, one) for one in held]
    parts = [state.of(one) for one in held]
    totals = np.stack(
        np.broadcast_arrays(
            *(sum(part) + sum(more) + bytes_ for part, more, bytes_ in zip(parts, whole, kept, strict=True))
        )
    )
    fullest = np.argmax(totals, axis=0) if stage == "fullest" else np.zeros(totals.shape[1:], dtype=np.intp)
    chosen = choose_held(held, fullest)
    weights, gradients, optimizer = state.of(chosen)
    gathered, summed = whole_bytes(model, layouts, precision, habits, chosen)
    return MemoryEstimate(
        weights_bytes=weights + gathered,
        gradients_bytes=gradients + summed,
        optimizer_bytes=optimizer,
        activations_bytes=np.choose(fullest, np.broadcast_arrays(*kept, fullest)[:3]),
        workspace_bytes=workspace_bytes,
        capacity_bytes=capacity_bytes,
    )
