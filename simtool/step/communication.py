"""Seconds of communication of one rank: between shards, between stages, between replicas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.layout.layouts import Layouts
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric
from simtool.stepgraph import Number
from simtool.workload.transformer import BYTES_PER_ELEMENT, Transformer

GRADIENT_BYTES = {"bf16": 4.0, "fp16": 2.0, "fp32": 4.0}
"""On the wire, per weight: bf16 training reduces in fp32, fp16 training at half precision
(Megatron's defaults)."""
SHARDED_GRADIENT_BYTES = {"bf16": 2.0, "fp16": 2.0, "fp32": 4.0}
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


def communication(
    model: Transformer,
    layouts: Layouts,
    parameters_per_rank: Number,
    fabric: Fabric,
    *,
    seq_len: int,
    precision: str,
    gradient_exchange: str,
) -> Communication:
    """All communication of one rank, by group.

    Ranks are placed tensor-parallel first, then data-parallel, then by stage (Megatron's order): a
    tensor group fills a node before it spans nodes, the data-parallel groups of a node share its
    network, and neighbouring stages are on different nodes as soon as tp x dp fills one.
    """
    size = BYTES_PER_ELEMENT[precision]
    domain = fabric.accelerators_per_domain
    activations = layouts.micro_batch * seq_len * model.hidden_size * size
    tp, dp = np.asarray(layouts.tp), np.asarray(layouts.dp)
    tensor_ranks = np.minimum(tp, domain)
    data_ranks = np.clip(domain // np.minimum(tp, domain), 1, dp)

    def tensor(kind: str) -> Number:
        return collective_time_s(kind, activations, tp, tensor_ranks, fabric)

    split = np.asarray(layouts.sequence_parallel)
    reduction = np.where(split, tensor("reduce_scatter") + tensor("all_gather"), tensor("all_reduce"))

    def data(kind: str, bytes_per_weight: float) -> Number:
        return collective_time_s(kind, parameters_per_rank * bytes_per_weight, dp, data_ranks, fabric)

    sharded = np.asarray(layouts.zero)
    gradient = GRADIENT_BYTES[precision]
    reduced = data("all_reduce", gradient)
    split_first = data("reduce_scatter", gradient) if gradient_exchange == "reduce_scatter" else reduced
    step = np.where(sharded >= 1, split_first + data("all_gather", size), reduced)
    gather = 2.0 * data("all_gather", size) + data("reduce_scatter", SHARDED_GRADIENT_BYTES[precision])
    same_node = np.asarray(tp * dp < domain)
    hop = collective_time_s("point_to_point", activations / tp, 2.0, np.where(same_node, 2.0, 1.0), fabric)
    return Communication(
        tensor_layer_pass_s=2.0 * reduction,
        tensor_edge_s=reduction,
        pipeline_hop_s=np.where(np.asarray(layouts.pp) > 1, hop, 0.0),
        data_step_s=np.where(sharded >= 3, 0.0, step),
        data_micro_batch_s=np.where(sharded >= 3, gather, 0.0),
    )
