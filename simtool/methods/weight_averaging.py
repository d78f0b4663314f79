"""Weight averaging: fewer steps, each with a pass over the weights at its end.

The pass stands in the multiplier of the optimizer: 1.1 where every step is averaged costs a tenth of Adam.
"""

from __future__ import annotations

from simtool.methods.effect import EffectPhase
from simtool.methods.fewer_operations import fewer_operations
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("weight-averaging")
def weight_averaging(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Steps with more work on the weights, and fewer of them."""
    return fewer_operations(graph, phase)
