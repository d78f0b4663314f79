"""Activation recomputation as a rewrite of the step graph: forward work that runs again."""

from __future__ import annotations

from dataclasses import replace

from simtool.stepgraph import Phase, Scope, StepGraph


def with_recompute(graph: StepGraph, kind: str) -> StepGraph:
    """The graph with the forward operations that the backward pass repeats.

    Args:
        graph: the graph of one micro-batch.
        kind: ``"none"``; ``"selective"`` repeats the attention core (Korthikanti et al. 2022,
            section 5); ``"full"`` repeats every layer from its input.
    """
    if kind == "none":
        return graph
    repeated = [
        replace(op, is_recompute=True)
        for op in graph
        if op.phase is Phase.FORWARD
        and op.scope is Scope.LAYER
        and (kind == "full" or op.recomputable == "selective")
    ]
    return graph.adding(repeated)
