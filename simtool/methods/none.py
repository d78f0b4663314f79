"""No method. Whole steps; an effect file of this name measures the baseline against itself."""

from __future__ import annotations

from simtool.methods.effect import EffectPhase
from simtool.methods.fewer_operations import fewer_operations
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("none")
def none(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Whole steps; multipliers of an effect file still hold."""
    return fewer_operations(graph, phase)
