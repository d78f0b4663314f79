"""Tensor selection: gradients of some weights of the layers are left out; the head is trained.

The forward pass stays; input gradients end below the foremost tensor that is trained.
"""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_executions, in_layers
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("tensor-selection")
def tensor_selection(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer gradients in the layers."""
    return cut(graph, phase, touches=in_layers, change=fewer_executions)
