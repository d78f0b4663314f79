"""Orthogonalised momentum: fewer steps, and more work in the optimizer, from the model's own shapes.

How dear that is depends on shapes alone, so a ratio measured on one model says nothing of another.
The multiplier of the optimizer is therefore read as 1 + the orthogonalisations of a step: 2 is one of
five Newton-Schulz iterations in every step, 1.5 one in every second step, 1.4 one of two iterations.
"""

from __future__ import annotations

from dataclasses import replace

from simtool.methods.cut import cut, fewer_executions
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.stepgraph import PRODUCTS, Kind, Op, Phase, Scope, StepGraph
from simtool.workload.precision import BYTES_PER_ELEMENT

NUM_ITERATIONS = 5
"""Of one orthogonalisation (K. Jordan et al., "Muon: an optimizer for hidden layers", 2024)."""
SECOND_MOMENT_BYTES = 8.0
"""Read and written by Adam for every weight, and not by momentum."""


@METHODS.register("muon")
def muon(graph: StepGraph, phase: EffectPhase) -> StepGraph:
    """Newton-Schulz products for every matrix of the layers, and no second moment there."""
    plain = phase.model_copy(update={"optimizer_frac": 1.0})
    left = cut(graph, plain, change=fewer_executions)
    repeats = phase.optimizer_frac - 1.0
    if repeats <= 0.0:
        return left
    matrices = [
        op
        for op in graph
        if op.kind in PRODUCTS
        and op.scope is Scope.LAYER
        and op.phase is Phase.FORWARD
        and not op.is_recompute
    ]
    spared = SECOND_MOMENT_BYTES * sum(graph.executions(op) * op.batch * op.n * op.k for op in matrices)
    products = [
        product
        for matrix in matrices
        for product in iteration(
            matrix, repeats * NUM_ITERATIONS * float(graph.executions(matrix)) * float(matrix.batch)
        )
    ]
    return left.map(
        lambda op: (
            replace(op, bytes=op.bytes - spared) if op.phase is Phase.OPTIMIZER and op.name == "adam" else op
        )
    ).adding(products)


def iteration(matrix: Op, count: float) -> tuple[Op, Op, Op]:
    """One Newton-Schulz iteration of the weight of a forward product, ``count`` times a step.

    ``A = X X^T``, ``B = b A + c A A``, ``X <- a X + B X`` for the r x s matrix X, r <= s: products of
    ``2 r^2 s``, ``2 r^3`` and ``2 r^2 s`` operations.
    """
    short, long = min(float(matrix.n), float(matrix.k)), max(float(matrix.n), float(matrix.k))
    sizes = {"gram": (short, short, long), "square": (short, short, short), "apply": (short, long, short)}
    gram, square, apply = (
        Op(
            name=f"orthogonalise_{matrix.name}_{part}",
            kind=Kind.GEMM,
            phase=Phase.OPTIMIZER,
            scope=Scope.STEP,
            dtype=matrix.dtype,
            flop=2.0 * m * n * k,
            bytes=BYTES_PER_ELEMENT[matrix.dtype] * (m * k + k * n + m * n),
            m=m,
            n=n,
            k=k,
            count=count,
        )
        for part, (m, n, k) in sizes.items()
    )
    return gram, square, apply
