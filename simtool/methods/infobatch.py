"""Pruned epochs: whole samples are left out, so there are fewer steps of the same kind.

Losses that decide are those of the training steps, so nothing is added to a step.
"""

from __future__ import annotations

from simtool.methods.effect import EffectPhase
from simtool.methods.fewer_operations import fewer_operations
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("infobatch")
def infobatch(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Steps as they are, but fewer of them."""
    return fewer_operations(graph, phase)
