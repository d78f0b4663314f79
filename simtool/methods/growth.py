"""Growth: early steps run some of the layers; embedding and head run always."""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_executions, in_layers
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("growth")
def growth(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer layers, embedding and head as before."""
    return cut(graph, phase, touches=in_layers, change=fewer_executions)
