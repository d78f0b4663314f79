"""Skipped work, whatever the reason it is skipped."""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_executions
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("fewer-operations")
def fewer_operations(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer executions of every operation, by phase of the step.

    Device work shrinks; what the host launches does not (`Op.launches`), nor do collectives between
    layers, the checkpoint, or the machine that is paid for. Scoring adds forward executions.
    """
    return cut(graph, phase, change=fewer_executions)
