"""Skipped work, whatever the reason it is skipped."""

from __future__ import annotations

from dataclasses import replace

from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Number, Op, Phase, StepGraph


@METHODS.register("fewer-operations")
def fewer_operations(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer executions of every operation, by phase of the step.

    Device work shrinks; what the host launches does not (`Op.launches`), nor do collectives between
    layers, the checkpoint, or the machine that is paid for. Scoring adds forward executions.
    """
    kept = graph.map(lambda op: replace(op, count=op.count * work_frac(op, phase)))
    if phase.score_frac == 0.0:
        return kept
    scoring = [
        replace(op, name=f"score_{op.name}", count=op.count * phase.score_frac)
        for op in graph
        if op.phase is Phase.FORWARD and not op.is_recompute
    ]
    return kept.adding(scoring)


def work_frac(op: Op, phase: EffectPhase) -> Number:
    """Share of the executions of `op` that remain."""
    if op.is_recompute:
        return phase.backward_input_frac
    return {
        Phase.FORWARD: phase.forward_frac,
        Phase.BACKWARD_INPUT: phase.backward_input_frac,
        Phase.BACKWARD_WEIGHT: phase.backward_weight_frac,
        Phase.OPTIMIZER: phase.optimizer_frac,
    }.get(op.phase, 1.0)
