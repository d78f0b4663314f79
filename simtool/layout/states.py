"""Bytes of weights, gradients and optimizer states on one rank, as ZeRO and the framework leave them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.layout.habits import MemoryHabits
from simtool.layout.layouts import Held, Layouts
from simtool.stepgraph import Number
from simtool.workload.model import Model
from simtool.workload.precision import BYTES_PER_ELEMENT, COPIES_OF_LOW, Precision

FULL_BYTES = BYTES_PER_ELEMENT["fp32"]


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """Bytes per weight, after ZeRO: of what replicas hold, of experts, of tables that are dealt out."""

    common: tuple[Number, Number, Number]
    experts: tuple[Number, Number, Number]
    tables: tuple[Number, Number, Number]

    def of(self, held: Held) -> tuple[Number, Number, Number]:
        """Weights, gradients and optimizer of what a rank holds [byte]."""
        weights, gradients, optimizer = (
            held.common * common + held.experts * experts + held.tables * tables
            for common, experts, tables in zip(self.common, self.experts, self.tables, strict=True)
        )
        return weights, gradients, optimizer


def state_bytes(
    model: Model, layouts: Layouts, precision: str, habits: MemoryHabits, *, offloaded: bool = False
) -> States:
    """Bytes per weight of one rank.

    In mixed precision 2 + 4 + 12: weights, the sum of their gradients, a master copy and two moments
    (Rajbhandari et al. 2020, arXiv 1910.02054; gradients summed in fp32). ZeRO divides the optimizer from
    stage 1 on, gradients from 2, weights from 3 over the ranks that hold the same. Where shards are fp32,
    they are the master copy: 4 + 4 + 8, all divided; the half-precision copy lives in what is gathered.

    Args:
        model: what is trained; it knows its optimizer's states.
        layouts: one layout, or arrays of candidates.
        precision: of the training.
        habits: of the framework.
        offloaded: optimizer, and the gradients that it reads, are in the host's memory.
    """
    formats = Precision(precision)
    size, zero = formats.size, np.asarray(layouts.zero)
    is_half = size < FULL_BYTES
    copies = COPIES_OF_LOW * formats.linear_size if formats.is_low and habits.quantised_weights else 0.0
    as_shards = np.logical_and(habits.shards_are_master and is_half, zero >= 3)
    gradient = size if habits.gradient_bytes is None else max(habits.gradient_bytes, size)
    master = np.where(as_shards, 0.0, FULL_BYTES if is_half and habits.has_master else 0.0)
    optimizer = master + model.optimizer_state_bytes * habits.moments_frac
    weights = np.where(as_shards, FULL_BYTES, size) + copies
    gradients = np.where(as_shards, FULL_BYTES, gradient)
    bucket = np.where((zero == 0) & (layouts.num_replicas > 1), size if habits.bucket_copy else 0.0, 0.0)

    def split(ranks: Number) -> tuple[Number, Number, Number]:
        kept = (
            weights / np.where(zero >= 3, ranks, 1.0),
            gradients / np.where(zero >= 2, ranks, 1.0) + bucket,
            optimizer / np.where(zero >= 1, ranks, 1.0),
        )
        return (kept[0], 0.0, 0.0) if offloaded else kept

    return States(
        common=split(layouts.shard_ranks),
        experts=split(layouts.expert_shard_ranks),
        tables=(FULL_BYTES, 0.0, 0.0),
    )


def whole_bytes(
    model: Model, layouts: Layouts, precision: str, habits: MemoryHabits, held: Held
) -> tuple[Number, Number]:
    """Whole copies beside the shards: gathered weights and buffers, and gradients before they are divided [byte].

    ZeRO 3 holds the layer at work and the next one whole; fully sharded pipelines keep a stage's weights and
    the sum of its gradients whole for a step. Fused accumulation leaves an unused gradient of every shape.
    """
    size = Precision(precision).size
    expert = model.expert_parameters_per_layer
    common = (model.parameters_per_layer - expert) / layouts.tp
    layer = common + expert / (layouts.etp * layouts.ep)
    edge = max(model.embedding_parameters - model.table_parameters, model.head_parameters) / layouts.tp
    sharded = np.asarray(layouts.zero) >= 3
    live = np.minimum(habits.live_weights, held.total)
    units = habits.gathered_layers * layer + (edge if habits.gathers_edges else 0.0) + live
    stays = np.logical_and(habits.stays_gathered_in_pipeline, np.asarray(layouts.pp) > 1)
    gathered = np.where(sharded, size * np.where(stays, held.common + held.experts, units), 0.0)
    buckets = np.where(np.asarray(layouts.zero) >= 2, habits.bucket_bytes, 0.0)
    summed = np.where(sharded & stays, FULL_BYTES * (held.common + held.experts), 0.0)
    one_expert = expert / (layouts.etp * model.num_experts)
    unused = size * (common + one_expert) if habits.placeholder_gradients else 0.0
    return gathered + buckets, summed + unused
