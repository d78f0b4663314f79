"""What rewrites share: where a method cuts, and how much is cut there so that the whole comes out right.

A multiplier of `EffectPhase` speaks of all the work of one pass. A method does not cut everywhere,
though: frozen layers save nothing in the head, dropped tokens nothing in the first layer. So a rewrite
says which operations it touches, and what is left of *them* follows from the multiplier, down to none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simtool.methods.effect import EffectPhase
from simtool.stepgraph import PRODUCTS, Kind, Number, Op, Phase, Scope, StepGraph
from simtool.workload.precision import BYTES_PER_ELEMENT

Pass = tuple[Phase, bool]
"""Phase of an operation, and whether it is recomputation."""


def pass_of(op: Op) -> Pass:
    """The pass whose multiplier an operation obeys."""
    return op.phase, op.is_recompute


def work_frac(op: Op, phase: EffectPhase) -> float:
    """The multiplier of an operation's pass; recomputation serves the backward pass."""
    if op.is_recompute:
        return phase.backward_input_frac
    return {
        Phase.FORWARD: phase.forward_frac,
        Phase.BACKWARD_INPUT: phase.backward_input_frac,
        Phase.BACKWARD_WEIGHT: phase.backward_weight_frac,
        Phase.OPTIMIZER: phase.optimizer_frac,
    }.get(op.phase, 1.0)


def work_of(graph: StepGraph, test: Callable[[Op], bool]) -> Number:
    """Operations of one micro-batch in the operations that pass `test` [FLOP]."""
    return graph.select(test).flop()


def cut(
    graph: StepGraph,
    phase: EffectPhase,
    *,
    change: Callable[[Op, Number], Op],
    touches: Callable[[Op], bool] | None = None,
) -> StepGraph:
    """The graph with each pass at its multiplier, by changes of some of its operations.

    Args:
        graph: the graph of one micro-batch.
        phase: the multipliers.
        change: an operation of which a share is left, by that share.
        touches: where the method cuts; None is everywhere. In a pass without such work, all is touched.
    """
    scale: dict[Pass, Number] = {}
    if touches is not None:
        for key in {pass_of(op) for op in graph if op.scope is not Scope.STEP}:
            whole = work_of(graph, lambda op, key=key: pass_of(op) == key)  # type: ignore[misc]
            touched = work_of(graph, lambda op, key=key: pass_of(op) == key and touches(op))  # type: ignore[misc]
            if bool(np.all(np.asarray(touched) > 0.0)):
                scale[key] = whole / touched

    def rewritten(op: Op) -> Op:
        frac = work_frac(op, phase)
        if frac == 1.0:
            return op
        if op.scope is Scope.STEP:
            return fewer_executions(op, frac)
        if touches is None or pass_of(op) not in scale:
            return change(op, frac)
        return change(op, np.maximum(0.0, 1.0 - (1.0 - frac) * scale[pass_of(op)])) if touches(op) else op

    return graph.map(rewritten).adding(scoring(graph, phase))


def scoring(graph: StepGraph, phase: EffectPhase) -> tuple[Op, ...]:
    """Further forward passes, or parts of them, that decide what to skip."""
    if phase.score_frac == 0.0:
        return ()
    return tuple(
        replace(op, name=f"score_{op.name}", count=op.count * phase.score_frac)
        for op in graph
        if op.phase is Phase.FORWARD and not op.is_recompute
    )


def in_layers(op: Op) -> bool:
    """Work that every layer repeats."""
    return op.scope is Scope.LAYER


def fewer_executions(op: Op, left: Number) -> Op:
    """Run less often; what the host launches stays."""
    return replace(op, count=op.count * left)


def fewer_rows(op: Op, left: Number) -> Op:
    """Fewer tokens at a time: smaller products, while the weights are read as before.

    Rows of a product are its m, in a weight gradient its inner size; attention has fewer sequences;
    element-wise work moves fewer bytes.
    """
    if not bool(np.all(np.asarray(left) > 0.0)):  # an empty product is none
        op = fewer_executions(op, np.where(np.asarray(left) > 0.0, 1.0, 0.0))
        left = np.where(np.asarray(left) > 0.0, left, 1.0)
    if op.kind in PRODUCTS:
        m, k = (op.m, op.k * left) if op.phase is Phase.BACKWARD_WEIGHT else (op.m * left, op.k)
        moved = op.bytes * left
        if op.kind is not Kind.CONVOLUTION:  # whose image outweighs its weights by far
            size = op.batch * BYTES_PER_ELEMENT[op.dtype]
            rows = size * (m * k + k * op.n + m * op.n)
            moved = rows + (op.bytes - size * (op.m * op.k + op.k * op.n + op.m * op.n))
        return replace(op, m=m, k=k, flop=op.flop * left, bytes=moved)
    if op.kind in (Kind.ATTENTION, Kind.UNFUSED_ATTENTION):
        return replace(op, k=op.k * left, flop=op.flop * left, bytes=op.bytes * left)
    return replace(op, bytes=op.bytes * left)
