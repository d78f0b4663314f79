"""Small batches early: products with fewer rows, and more steps for as many samples.

The effect file gives the share of the rows in each stretch of training, and the number of steps. Small
products use a device less well, which the rewrite keeps and a plain multiplier would not.
"""

from __future__ import annotations

from simtool.methods.cut import cut, fewer_rows
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("batch-ramp")
def batch_ramp(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer rows in every product."""
    return cut(graph, phase, change=fewer_rows)
