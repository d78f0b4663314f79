"""Layer freezing: no backward pass through the front layers, and with a cache no forward pass either.

The head is trained and runs always. As soon as any layer is frozen, so is the embedding below it. A
forward multiplier below 1 means that the output of the front comes from a cache.
"""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_executions
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Number, Op, Scope, StepGraph

FRONT = (Scope.LAYER, Scope.EMBEDDING)


@METHODS.register("layer-freezing")
def layer_freezing(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """No backward pass through front layers and embedding; with a cache, no forward pass."""
    return cut(graph, phase, touches=lambda op: op.scope in FRONT, change=_frozen)


def _frozen(op: Op, left: Number) -> Op:
    return fewer_executions(op, 0.0 if op.scope is Scope.EMBEDDING else left)
