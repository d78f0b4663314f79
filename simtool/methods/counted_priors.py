"""Counted priors: fewer steps from a better start and softer targets, none of them cheaper.

The effect file says how many steps remain; counting is done once, and is charged there too.
"""

from __future__ import annotations

from simtool.methods.effect import EffectPhase
from simtool.methods.fewer_operations import fewer_operations
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import StepGraph


@METHODS.register("counted-priors")
def counted_priors(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Steps as they are, but fewer of them."""
    return fewer_operations(graph, phase)
