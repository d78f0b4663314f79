"""Activation recomputation as a rewrite of the step graph: forward work that runs again."""

from __future__ import annotations

from dataclasses import replace

from simtool.stepgraph import Phase, Scope, StepGraph


def with_recompute(graph: StepGraph, kind: str, layers_frac: float = 1.0) -> StepGraph:
    """The graph with the forward operations that the backward pass repeats.

    Args:
        graph: the graph of one micro-batch.
        kind: ``"none"``; ``"selective"`` repeats the attention core (Korthikanti et al. 2022,
            section 5); ``"full"`` repeats every layer from its input.
        layers_frac: share of the layers that do so.
    """
    if kind == "none" or layers_frac == 0.0:
        return graph
    repeated = [
        replace(op, is_recompute=True, count=op.count * layers_frac, launches=op.launches * layers_frac)
        for op in graph
        if op.phase is Phase.FORWARD
        and op.scope is Scope.LAYER
        and (kind == "full" or op.recomputable == "selective")
    ]
    return graph.adding(repeated)
