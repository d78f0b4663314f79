"""Token dropping: all layers but the first and the last work on part of the tokens.

In those layers every sequence is shorter, so products shrink with the share of the tokens and
attention with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from simtool.methods.cut import (
    Pass,
    cut,
    fewer_executions,
    fewer_rows,
    in_layers,
    pass_of,
    scoring,
    work_frac,
    work_of,
)
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Kind, Number, Op, Scope, StepGraph

ATTENTION = (Kind.ATTENTION, Kind.UNFUSED_ATTENTION)
WHOLE_LAYERS = 2
"""The first and the last see all tokens."""


@METHODS.register("token-dropping")
def token_dropping(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Fewer tokens in the middle layers."""
    if graph.num_layers <= WHOLE_LAYERS:
        return cut(graph, phase, touches=in_layers, change=fewer_rows)
    middle = 1.0 - WHOLE_LAYERS / graph.num_layers
    kept: dict[Pass, Number] = {}
    for op in graph:
        frac, key = work_frac(op, phase), pass_of(op)
        if frac != 1.0 and in_layers(op) and key not in kept:
            kept[key] = _kept(graph, key, frac, middle)

    def rewritten() -> Iterator[Op]:
        for op in graph:
            if op.scope is Scope.STEP:
                yield fewer_executions(op, phase.optimizer_frac)
            elif not in_layers(op) or pass_of(op) not in kept:
                yield op
            else:
                share = 1.0 - middle
                yield replace(op, count=op.count * share, launches=op.launches * share)
                inner = replace(op, count=op.count * middle, launches=op.launches * middle)
                yield _shorter(inner, kept[pass_of(op)])

    return replace(graph, ops=tuple(rewritten())).adding(scoring(graph, phase))


def _shorter(op: Op, kept: Number) -> Op:
    """An operation on a part of every sequence."""
    if op.kind not in ATTENTION:
        return fewer_rows(op, kept)
    fewer = fewer_rows(op, kept)
    length = np.where(np.asarray(kept) > 0.0, kept, 1.0)
    return replace(fewer, m=op.m * length, k=op.k, flop=fewer.flop * length)


def _kept(graph: StepGraph, key: Pass, frac: float, middle: float) -> Number:
    """Share of the tokens that brings a pass to its multiplier.

    Solves ``fixed + products t + attention t^2 = frac whole`` for t, none being less than 0.
    """
    belongs: Callable[[Op], bool] = lambda op: pass_of(op) == key  # noqa: E731
    whole = work_of(graph, belongs)
    attention = middle * work_of(graph, lambda op: belongs(op) and in_layers(op) and op.kind in ATTENTION)
    products = middle * work_of(graph, lambda op: belongs(op) and in_layers(op) and op.kind not in ATTENTION)
    wanted = np.maximum(0.0, frac * whole - (whole - products - attention))
    root = products + np.sqrt(products**2 + 4.0 * attention * wanted)
    return np.where(root > 0.0, np.minimum(1.0, 2.0 * wanted / np.where(root > 0.0, root, 1.0)), frac)
