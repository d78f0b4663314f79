"""Bytes that the forward pass leaves for the backward pass, and what either needs for a moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.layout.habits import MemoryHabits
from simtool.layout.layouts import Layouts
from simtool.stepgraph import Number
from simtool.workload.model import KeptBytes, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerBytes:
    """Of one token in one layer [byte]."""

    kept: Number
    """From the forward to the backward pass."""
    working: Number
    """Only while the layer goes through its backward pass: what is computed again, and gradients."""
    output: Number = 0.0
    """What a pipeline stage passed on and keeps, once a stage and not a layer."""


def layer_bytes(
    kept: KeptBytes,
    layouts: Layouts,
    recompute: str,
    habits: MemoryHabits,
    *,
    expert_load: float = 1.0,
    recompute_layers: Number = 1.0,
) -> LayerBytes:
    """What one layer keeps of a token, and what it needs in passing.

    Korthikanti et al. 2022 (arXiv 2205.05198), section 4, per kind of tensor: what lies between the
    tensor-parallel regions is divided only with sequence parallelism. With full recomputation, only the
    input of every `recompute_layers` layers stays, and as many are computed again at a time.

    Args:
        kept: bytes of one token, undivided.
        layouts: one layout, or arrays of candidates.
        recompute: ``"none"``, ``"selective"`` or ``"full"``.
        habits: of the framework.
        expert_load: copies of tokens on the fullest expert-parallel rank over the mean.
        recompute_layers: layers between two inputs that are kept.
    """
    outside = np.where(layouts.sequence_parallel, layouts.tp, 1.0)
    scores = kept.scores / layouts.tp
    load = np.where(np.asarray(layouts.ep) > 1, expert_load, 1.0)
    between = kept.between + (0.0 if habits.fused_norm else kept.norm_extra)
    inside = kept.inside + (0.0 if habits.fused_gate else kept.gate_extra)
    inside = inside + (kept.repeat_extra if habits.repeats_keys else 0.0)
    everything = between / outside + inside / layouts.tp + kept.routed * load / layouts.tp + scores
    gradients = kept.backward * load / layouts.tp if habits.counts_backward else 0.0
    output = kept.layer_input / outside if habits.holds_stage_outputs else 0.0
    if recompute == "full":
        return LayerBytes(
            kept=kept.layer_input / outside / recompute_layers,
            working=everything * recompute_layers + gradients,
            output=output,
        )
    if recompute == "selective" and habits.selective_keeps is not None:
        stock = habits.selective_keeps * kept.products + kept.context
        some = np.minimum(kept.layer_input / outside + stock * load / layouts.tp, everything)
        return LayerBytes(kept=some, working=everything - some + gradients, output=output)
    if recompute == "selective":
        return LayerBytes(kept=everything - scores, working=scores + gradients, output=output)
    return LayerBytes(kept=everything, working=gradients, output=output)


def head_bytes(
    model: Model, kept: KeptBytes, layouts: Layouts, tokens: Number, size: float, habits: MemoryHabits
) -> Number:
    """Most that head and loss hold at a time, beside what layers keep [byte].

    Either the loss, or the gradient of the logits while the head's own gradient is computed.
    """
    seen = tokens * model.head_tokens_frac()
    if kept.head is not None:
        return seen * kept.head / layouts.tp
    split = np.asarray(layouts.tp) > 1
    sharded = habits.logit_bytes if habits.sharded_logit_bytes is None else habits.sharded_logit_bytes
    logits = seen * model.logit_features / layouts.tp
    loss = logits * np.where(split, sharded, habits.logit_bytes)
    if not habits.placeholder_gradients:
        return loss
    weights = (model.head_parameters + model.tied_parameters) / layouts.tp
    return np.maximum(loss, size * (logits + weights))


def step_logits_bytes(
    model: Model, layouts: Layouts, tokens: Number, size: float, habits: MemoryHabits
) -> Number:
    """Logits of all micro-batches that the last pipeline stage hands out at the end of a step [byte]."""
    if not habits.holds_step_logits:
        return 0.0
    each = tokens * model.head_tokens_frac() * model.logit_features / layouts.tp
    return size * each * layouts.num_micro_batches


def micro_batches_in_flight(layouts: Layouts, rank_from_last: Number) -> Number:
    """Micro-batches whose activations a stage holds: min(micro-batches, stages from here to the last).

    Interleaved stages hold ``1 + (pp - 1) / (pp vpp)`` times as many (Korthikanti et al. 2022, section 4.2.3).

    >>> layouts = Layouts(tp=1.0, pp=4.0, vpp=1.0, dp=1.0, zero=0.0, micro_batch=1.0, sequence_parallel=False,
    ...                   num_micro_batches=32.0)
    >>> float(micro_batches_in_flight(layouts, 4.0)), float(micro_batches_in_flight(layouts, 1.0))
    (4.0, 1.0)
    """
    more = np.where(layouts.vpp > 1, 1.0 + (layouts.pp - 1) / (layouts.pp * layouts.vpp), 1.0)
    return np.minimum(layouts.num_micro_batches, rank_from_last) * more
