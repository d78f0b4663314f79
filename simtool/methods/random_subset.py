"""A subset of the data: steps of the same kind, on fewer different samples."""

from __future__ import annotations

from simtool.methods.effect import EffectPhase
from simtool.methods.fewer_operations import fewer_operations
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("random-subset")
def random_subset(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Steps as they are; the effect file says how many."""
    return fewer_operations(graph, phase)
