"""From the graph of the whole model to the work of one rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simtool.layout.layouts import Layouts, parameters_on
from simtool.stepgraph import Kind, Op, Scope, Shard, StepGraph
from simtool.workload.transformer import BYTES_PER_ELEMENT, Transformer


def shard(graph: StepGraph, model: Transformer, layouts: Layouts) -> StepGraph:
    """What one rank executes: dimensions divided by tensor parallelism, the optimizer by all.

    Layer operations stay per layer and micro-batch. The optimizer's work is that of the fullest
    rank: its share of the weights, divided over data-parallel ranks from ZeRO 1 on.
    """
    fullest = np.maximum.reduce(np.broadcast_arrays(*parameters_on(model, layouts)))
    optimizer_share = fullest / np.where(layouts.zero >= 1, layouts.dp, 1.0) / model.num_parameters

    def per_rank(op: Op) -> Op:
        if op.scope is Scope.STEP and op.kind is Kind.GEMM:  # whole products, dealt out over the ranks
            return replace(op, count=op.count * optimizer_share)
        if op.scope is Scope.STEP:
            return replace(op, flop=op.flop * optimizer_share, bytes=op.bytes * optimizer_share)
        return _divide(op, layouts)

    return graph.map(per_rank)


def _divide(op: Op, layouts: Layouts) -> Op:
    tp = layouts.tp
    match op.shard:
        case Shard.NONE:
            return op
        case Shard.SEQUENCE:
            return replace(op, bytes=op.bytes / np.where(layouts.sequence_parallel, tp, 1.0))
        case Shard.FEATURES:
            return replace(op, bytes=op.bytes / tp)
        case Shard.HEADS:
            return replace(op, flop=op.flop / tp, bytes=op.bytes / tp, k=op.k / tp)
        case Shard.COLUMN | Shard.ROW if op.kind is Kind.GEMM:
            n, k = (op.n / tp, op.k) if op.shard is Shard.COLUMN else (op.n, op.k / tp)
            moved = BYTES_PER_ELEMENT[op.dtype] * (op.m * k + k * n + op.m * n)
            return replace(op, flop=op.flop / tp, bytes=moved, n=n, k=k)
    raise ValueError(f"{op.name}: {op.shard} does not apply to {op.kind}")
