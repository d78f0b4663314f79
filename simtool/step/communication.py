"""Seconds of communication of one rank: between shards, experts, stages and replicas.

Ranks are placed tensor-parallel first, then context-, then data-parallel, then by stage (Megatron's order): a
tensor group fills a node before it spans nodes, the groups of a node share its network, and neighbouring
stages are on different nodes as soon as tp x cp x dp fills one. Experts are dealt out in the same order, their
shards first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.layout.layouts import Held, Layouts
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric
from simtool.stepgraph import Number
from simtool.workload.model import Model
from simtool.workload.precision import Precision

GRADIENT_BYTES = {"bf16": 4.0, "fp16": 2.0, "tf32": 4.0, "fp32": 4.0}
"""On the wire, per weight: bf16 training reduces in fp32, fp16 training at half precision
(Megatron's defaults)."""
SHARDED_GRADIENT_BYTES = {"bf16": 2.0, "fp16": 2.0, "tf32": 4.0, "fp32": 4.0}
"""FSDP reduces gradients at the precision of the weights (PyTorch's and LLM Foundry's default)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Communication:
    """Times before anything is hidden."""

    tensor_layer_pass_s: Number
    """Of one layer in one pass, forward or backward."""
    tensor_edge_s: Number
    """Of the embedding, or of the head, in one micro-batch."""
    pipeline_hop_s: Number
    """Activations or their gradients to the next stage, one way."""
    data_step_s: Number
    """Gradients, and weights with ZeRO 1 and 2: once a step."""
    data_micro_batch_s: Number
    """Weights and gradients with ZeRO 3: in every micro-batch."""
    expert_layer_pass_s: Number = 0.0
    """Tokens to their experts and back, in one pass of the mean layer."""
    experts_span: NDArray[np.bool_] | bool = False
    """Where the ranks of all experts do not fit into one domain."""
    context_forward_s: Number = 0.0
    """Keys and values of other ranks, in the forward pass of one layer."""
    context_backward_s: Number = 0.0
    """The same and their gradients, in the backward pass."""
    context_is_ring: NDArray[np.bool_] | bool = True
    """Whether keys are passed round while attention works on those at hand."""
    table_pass_s: Number = 0.0
    """Features from tables on other ranks, or their gradients, of one micro-batch."""


def communication(
    model: Model,
    layouts: Layouts,
    held: Held,
    fabric: Fabric,
    *,
    seq_len: int,
    precision: str,
    gradient_exchange: str,
    expert_load: float = 1.0,
) -> Communication:
    """All communication of one rank, by group.

    Args:
        model: what is trained.
        layouts: one layout, or arrays of candidates.
        held: weights of the fullest rank.
        fabric: the networks.
        seq_len: tokens in a sequence.
        precision: of the training.
        gradient_exchange: how gradients travel where ZeRO 1 splits the optimizer.
        expert_load: tokens of the fullest expert-parallel rank over the mean.
    """
    formats = Precision(precision)
    size = formats.size
    domain = fabric.accelerators_per_domain
    activations = layouts.micro_batch * seq_len * model.hidden_size * size / layouts.cp
    tp = np.asarray(layouts.tp)
    tensor_ranks = np.minimum(tp, domain)

    def tensor(kind: str) -> Number:
        return collective_time_s(kind, activations, tp, tensor_ranks, fabric)

    split = np.asarray(layouts.sequence_parallel)
    reduction = np.where(split, tensor("reduce_scatter") + tensor("all_gather"), tensor("all_reduce"))
    common = _Replicas(held.common, layouts.num_replicas, layouts.shard_ranks, tp, fabric)
    step, micro_batch = common.exchange(layouts.zero, formats, gradient_exchange)
    if bool(np.any(np.asarray(held.experts) > 0.0)):
        spread = layouts.etp * layouts.ep
        experts = _Replicas(
            held.experts, layouts.num_expert_replicas, layouts.expert_shard_ranks, spread, fabric
        )
        more = experts.exchange(layouts.zero, formats, gradient_exchange)
        step, micro_batch = step + more[0], micro_batch + more[1]
    same_node = np.asarray(tp * layouts.cp * layouts.dp < domain)
    hop = collective_time_s("point_to_point", activations / tp, 2.0, np.where(same_node, 2.0, 1.0), fabric)
    context = _context(model, layouts, layouts.micro_batch * seq_len * size, fabric)
    return Communication(
        tensor_layer_pass_s=model.reductions_per_layer * reduction,
        tensor_edge_s=reduction,
        pipeline_hop_s=np.where(np.asarray(layouts.pp) > 1, hop, 0.0),
        data_step_s=step,
        data_micro_batch_s=micro_batch,
        expert_layer_pass_s=expert_load * _experts(model, layouts, activations, fabric),
        experts_span=np.asarray(layouts.etp * layouts.ep > domain),
        context_forward_s=context[0],
        context_backward_s=context[1],
        context_is_ring=layouts.context_kind == "ring",
        table_pass_s=_tables(model, layouts, layouts.micro_batch * seq_len * size, fabric),
    )


def ranks_near(size: Number, stride: Number, domain: int) -> Number:
    """Ranks of a group in one domain, if its neighbours are `stride` accelerators apart.

    >>> float(ranks_near(64.0, 2.0, 8)), float(ranks_near(2.0, 16.0, 8))
    (4.0, 1.0)
    """
    return np.asarray(np.clip(domain // np.minimum(stride, domain), 1, size))


@dataclass(frozen=True, slots=True)
class _Replicas:
    """Ranks that hold the same weights, and over which ZeRO splits what belongs to them."""

    weights: Number
    ranks: Number
    shard: Number
    stride: Number
    fabric: Fabric

    def _within(self, kind: str, bytes_per_weight: float, ranks: Number) -> Number:
        near = ranks_near(ranks, self.stride, self.fabric.accelerators_per_domain)
        return collective_time_s(kind, self.weights * bytes_per_weight, ranks, near, self.fabric)

    def _across(self, bytes_per_weight: float) -> Number:
        """Sum of the shards over the groups that hold the same ones."""
        groups = self.ranks / self.shard
        near = ranks_near(groups, self.stride * self.shard, self.fabric.accelerators_per_domain)
        part = self.weights / self.shard * bytes_per_weight
        return collective_time_s("all_reduce", part, groups, near, self.fabric)

    def exchange(self, zero: Number, formats: Precision, gradient_exchange: str) -> tuple[Number, Number]:
        """Once a step, and in every micro-batch."""
        gradient, sharded = GRADIENT_BYTES[formats.base], SHARDED_GRADIENT_BYTES[formats.base]
        stage = np.asarray(zero)
        reduced = self._within("all_reduce", gradient, self.ranks)
        if gradient_exchange == "reduce_scatter":
            split = self._within("reduce_scatter", gradient, self.shard) + self._across(gradient)
        else:
            split = reduced
        gathered = self._within("all_gather", formats.size, self.shard)
        once = np.where(stage >= 1, split + gathered, reduced)
        always = 2.0 * gathered + self._within("reduce_scatter", sharded, self.shard)
        return np.where(stage >= 3, self._across(sharded), once), np.where(stage >= 3, always, 0.0)


def _experts(model: Model, layouts: Layouts, activations: Number, fabric: Fabric) -> Number:
    """All-to-all there and back; with experts cut in shards, their ranks gather the tokens and add the sums."""
    if model.expert_layer_frac == 0.0:
        return 0.0
    copies = activations / layouts.tp * model.top_k
    ep, etp = np.asarray(layouts.ep), np.asarray(layouts.etp)
    near = ranks_near(ep, etp, fabric.accelerators_per_domain)
    exchange = 2.0 * collective_time_s("all_to_all", copies, ep, near, fabric)
    shards = np.minimum(etp, fabric.accelerators_per_domain)
    inner = sum(
        (
            collective_time_s(kind, etp * copies, etp, shards, fabric)
            for kind in ("all_gather", "reduce_scatter")
        ),
        start=np.asarray(0.0),
    )
    return model.expert_layer_frac * (exchange + inner)


def _context(model: Model, layouts: Layouts, token_bytes: Number, fabric: Fabric) -> tuple[Number, Number]:
    """Forward and backward of one layer; a ring passes as much as a gather, in as many steps."""
    cp = np.asarray(layouts.cp)
    if bool(np.all(cp == 1.0)):
        return 0.0, 0.0
    near = ranks_near(cp, layouts.tp, fabric.accelerators_per_domain)

    def exchange(kind: str, num_bytes: Number) -> Number:
        return collective_time_s(kind, num_bytes / layouts.tp, cp, near, fabric)

    keys = token_bytes * model.kv_message_features  # of whole sequences
    if layouts.context_kind == "all_to_all":
        each = exchange("all_to_all", (keys + token_bytes * model.query_message_features) / cp / 2.0)
        return 2.0 * each, 2.0 * each
    gather = exchange("all_gather", keys)
    return gather, gather + exchange("reduce_scatter", keys)


def _tables(model: Model, layouts: Layouts, token_bytes: Number, fabric: Fabric) -> Number:
    if model.table_features == 0:
        return 0.0
    ranks = np.asarray(layouts.num_devices)
    near = ranks_near(ranks, 1.0, fabric.accelerators_per_domain)
    groups = np.where(ranks > near, ranks / near, near)
    vectors = token_bytes * model.table_features * model.sums_per_table(groups)
    return collective_time_s("all_to_all", vectors, ranks, near, fabric)
