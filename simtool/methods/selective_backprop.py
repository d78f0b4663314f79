"""Selective backpropagation: a scoring forward pass of all rows, then a step with fewer of them.

The scoring pass runs on whole products, the step on smaller ones.
"""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_rows
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("selective-backprop")
def selective_backprop(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer rows in every product, and a scoring pass before."""
    return cut(graph, phase, change=fewer_rows)
