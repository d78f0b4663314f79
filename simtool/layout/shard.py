"""From the graph of the whole model to the work of one rank."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simtool.layout.layouts import Layouts, held_by_fullest
from simtool.stepgraph import Kind, Number, Op, Phase, Scope, Shard, StepGraph
from simtool.workload.model import Model
from simtool.workload.precision import BYTES_PER_ELEMENT

ATTENTION = (Kind.ATTENTION, Kind.UNFUSED_ATTENTION)


def shard(graph: StepGraph, model: Model, layouts: Layouts, expert_load: float = 1.0) -> StepGraph:
    """What one rank executes: dimensions divided by tensor parallelism, the optimizer by all.

    Layer operations stay per layer and micro-batch. The optimizer's work is that of the fullest
    rank: its share of the weights, divided over data-parallel ranks from ZeRO 1 on. Context parallelism
    divides the tokens, expert parallelism the experts.

    Args:
        graph: of the whole model.
        model: what it was made from.
        layouts: one layout, or arrays of candidates.
        expert_load: rows of the fullest expert-parallel rank over the mean; `Op.flop` keeps the mean.
    """
    held = held_by_fullest(model, layouts)
    split = layouts.zero >= 1
    common = held.common / np.where(split, layouts.shard_ranks, 1.0)
    experts = held.experts / np.where(split, layouts.expert_shard_ranks, 1.0)
    dense = model.num_parameters - model.table_parameters  # tables are updated by the row, in their own place
    optimizer_share = (common + experts) / dense

    def per_rank(op: Op) -> Op:
        if op.scope is Scope.STEP and op.kind is Kind.GEMM:  # whole products, dealt out over the ranks
            return replace(op, count=op.count * optimizer_share)
        if op.scope is Scope.STEP:
            return replace(op, flop=op.flop * optimizer_share, bytes=op.bytes * optimizer_share)
        return _divide(_fewer_tokens(op, layouts.cp), layouts, expert_load)

    return graph.map(per_rank)


def _fewer_tokens(op: Op, cp: Number) -> Op:
    """A rank's share of the tokens of every sequence; attention still sees all keys."""
    if bool(np.all(np.asarray(cp) == 1.0)):
        return op
    if op.kind in ATTENTION:
        seen = 0.5 * op.m if op.kind is Kind.ATTENTION else op.m
        keys = np.where(np.asarray(op.keys) > 0.0, op.keys, seen)
        return replace(op, m=op.m / cp, keys=keys, flop=op.flop / cp, bytes=op.bytes / cp)
    if op.kind is Kind.MEMORY:
        return op if op.phase is Phase.BACKWARD_WEIGHT else replace(op, bytes=op.bytes / cp)
    m, k = (op.m, op.k / cp) if op.phase is Phase.BACKWARD_WEIGHT else (op.m / cp, op.k)
    return _product(op, m, op.n, k, op.batch, op.flop / cp)


def _product(op: Op, m: Number, n: Number, k: Number, batch: Number, flop: Number) -> Op:
    """The product with other sizes; what it writes beyond an element for each of its results stays so."""
    size = BYTES_PER_ELEMENT[op.dtype]
    moved = batch * size * (m * k + k * n + m * n)
    if op.kind is Kind.GROUPED_GEMM:
        more = op.bytes - op.batch * size * (op.m * op.k + op.k * op.n + op.m * op.n)
        moved = moved + more * (batch * m * n) / (op.batch * op.m * op.n)
    return replace(op, flop=flop, bytes=moved, m=m, n=n, k=k, batch=batch)


def _divide(op: Op, layouts: Layouts, expert_load: float) -> Op:
    tp = layouts.tp
    match op.shard:
        case Shard.NONE:
            return op
        case Shard.SEQUENCE:
            ranks = np.where(layouts.sequence_parallel, tp, 1.0)
            if op.kind is not Kind.GEMM:
                return replace(op, bytes=op.bytes / ranks)
            is_weight = op.phase is Phase.BACKWARD_WEIGHT
            m, k = (op.m, op.k / ranks) if is_weight else (op.m / ranks, op.k)
            return _product(op, m, op.n, k, op.batch, op.flop / ranks)
        case Shard.FEATURES:
            return replace(op, bytes=op.bytes / tp)
        case Shard.HEADS:
            return replace(op, flop=op.flop / tp, bytes=op.bytes / tp, k=op.k / tp)
        case Shard.COLUMN | Shard.ROW if op.kind is Kind.GEMM:
            n, k = (op.n / tp, op.k) if op.shard is Shard.COLUMN else (op.n, op.k / tp)
            return _product(op, op.m, n, k, op.batch, op.flop / tp)
        case Shard.EXPERTS | Shard.DISPATCHED | Shard.EXPERT_COLUMN | Shard.EXPERT_ROW:
            return _at_experts(op, layouts, expert_load)
    raise ValueError(f"{op.name}: {op.shard} does not apply to {op.kind}")


def _at_experts(op: Op, layouts: Layouts, expert_load: float) -> Op:
    """Work at the experts of one rank.

    The ``etp x ep`` ranks that hold all experts once bring the tokens of as many ranks, each 1/tp of its
    micro-batch: a rank's experts get ``etp x ep / tp`` times the rows of an expert in the graph, and
    ``1/ep`` of the experts each have ``1/etp`` of the features.
    """
    tp, ep, etp = layouts.tp, layouts.ep, layouts.etp
    load = np.where(np.asarray(ep) > 1, expert_load, 1.0)
    if op.kind is Kind.MEMORY and op.phase is Phase.BACKWARD_WEIGHT:
        return replace(op, bytes=op.bytes / (etp * ep))
    if op.kind is Kind.MEMORY:
        here = np.where(np.asarray(ep) > 1, 1.0, 0.0) if op.shard is Shard.DISPATCHED else 1.0
        return replace(op, bytes=op.bytes / tp * load, count=op.count * here)
    rows = etp * ep / tp * load
    is_weight = op.phase is Phase.BACKWARD_WEIGHT
    m, k = (op.m, op.k * rows) if is_weight else (op.m * rows, op.k)
    n, k = (op.n / etp, k) if op.shard is Shard.EXPERT_COLUMN else (op.n, k / etp)
    return _product(op, m, n, k, op.batch / ep, op.flop / tp)
