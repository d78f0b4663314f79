"""Progressive size: short sequences or small images early.

With the tokens of a step kept, short sequences save attention alone: each is shorter, and there are
more of them. A multiplier below what attention can give means fewer rows as well, as for images.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from simtool.methods.cut import Pass, fewer_executions, fewer_rows, pass_of, scoring, work_frac, work_of
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import Kind, Number, Op, Scope, StepGraph

SHORTEST_FRAC = 1.0 / 16.0
"""Shortest sequence that is assumed before rows are cut as well."""
ATTENTION = (Kind.ATTENTION, Kind.UNFUSED_ATTENTION)


@METHODS.register("progressive-size")
def progressive_size(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Shorter sequences in attention first, then fewer rows in every product."""
    shares: dict[Pass, tuple[Number, Number]] = {}
    for op in graph:
        frac, key = work_frac(op, phase), pass_of(op)
        if frac != 1.0 and op.scope is not Scope.STEP and key not in shares:
            shares[key] = _shares(graph, key, frac)

    def rewritten(op: Op) -> Op:
        if op.scope is Scope.STEP:
            return fewer_executions(op, phase.optimizer_frac)
        if pass_of(op) not in shares:
            return op
        length, rows = shares[pass_of(op)]
        if op.kind in ATTENTION:
            op = replace(op, m=op.m * length, k=op.k / length, flop=op.flop * length)
        return fewer_rows(op, rows)

    return graph.map(rewritten).adding(scoring(graph, phase))


def _shares(graph: StepGraph, key: Pass, frac: float) -> tuple[Number, Number]:
    """What is left of the length of sequences, and of the rows, so that a pass comes to its multiplier."""
    belongs: Callable[[Op], bool] = lambda op: pass_of(op) == key  # noqa: E731
    whole = work_of(graph, belongs)
    attention = work_of(graph, lambda op: belongs(op) and op.kind in ATTENTION)
    if not bool(np.all(np.asarray(whole) > 0.0)):
        return 1.0, frac
    some = np.where(np.asarray(attention) > 0.0, attention, 1.0)
    length = np.where(
        np.asarray(attention) > 0.0, np.clip(1.0 - (1.0 - frac) * whole / some, SHORTEST_FRAC, 1.0), 1.0
    )
    return length, np.minimum(1.0, frac * whole / (whole - attention * (1.0 - length)))
