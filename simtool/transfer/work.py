"""What the machine model needs of an operation, from the shapes that a trace recorded of it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from simtool.stepgraph import Kind, Op, Phase, Scope
from simtool.transfer.traced import TracedOp
from simtool.workload.precision import BYTES_PER_ELEMENT

FORMATS = {
    "float64": "fp64", "float32": "fp32", "tf32": "tf32", "bfloat16": "bf16", "float16": "fp16", "int8": "int8",
    "float8": "fp8", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "float8_e4m3fnuz": "fp8",
    "float8_e5m2fnuz": "fp8",
}  # fmt: skip
"""Rate of a hardware profile by torch's name of the number format."""
_BIASED = frozenset(("addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"))
"""Products whose first tensor is added to the result (torch's operator schemas)."""
_HEADS_SECOND = ("_scaled_dot_product",)
"""Attention whose tensors are (batch, heads, sequence, width); others are (batch, sequence, heads, width)."""


@dataclass(frozen=True, slots=True)
class Work:
    """Work of one kernel: a whole operation of the step graph, and the kernel's share in it."""

    op: Op
    share: float
    """Several kernels of one operator share its work."""


def _op(kind: Kind, dtype: str, phase: Phase = Phase.FORWARD, **sizes: float) -> Op:
    plain = Op(name=kind.value, kind=kind, phase=phase, scope=Scope.STEP, dtype=dtype)
    return replace(plain, **sizes)  # type: ignore[arg-type]  # all of them are numbers


def large(kind: Kind, dtype: str) -> Op:
    """Work so large that its time is operations or bytes alone: what kernels of unknown work are scaled by.

    A product of three sides of 8192; attention of 64 heads of 128 over 8192 tokens; 8 GB to and fro.
    """
    if kind is Kind.MEMORY:
        return _op(kind, "bf16", bytes=8e9)
    if kind is Kind.ATTENTION:
        return _op(kind, dtype, m=8192.0, n=128.0, k=64.0)
    return _op(Kind.GEMM, dtype, m=8192.0, n=8192.0, k=8192.0)


def work_of(op: TracedOp) -> Work | None:
    """The work of an operation, or None where the trace does not tell it.

    >>> from simtool.transfer.traced import TracedOp
    >>> product = TracedOp(
    ...     kind="gemm", name="", operator="aten::addmm", variant="", settings="", dtype="bfloat16", count=1.0,
    ...     shapes="[[30],[4,20],[20,30]]", duration_s=1e-5, flop=4800.0, size_bytes=None,
    ... )
    >>> work = work_of(product)
    >>> work.op.m, work.op.n, work.op.k, work.share
    (4.0, 30.0, 20.0, 1.0)
    """
    if op.kind in ("gemm", "attention", "convolution"):
        dtype = FORMATS.get(op.dtype)
        if dtype not in BYTES_PER_ELEMENT or not op.flop or not op.shapes:
            return None
        shapes = _shapes(op.shapes)
        rule = {"gemm": _product, "attention": _attention, "convolution": _convolution}[op.kind]
        try:
            whole, flop = rule(op, shapes, dtype)
        except (IndexError, ValueError, TypeError, ZeroDivisionError):
            return None  # shapes of a form that no rule knows
        return Work(whole, min(1.0, op.flop / flop))
    if op.kind == "communication" or op.size_bytes is None:
        return None
    return Work(_op(Kind.MEMORY, "bf16", bytes=op.size_bytes), 1.0)


@lru_cache(maxsize=65536)
def _shapes(text: str) -> tuple[Any, ...]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    return tuple(found) if isinstance(found, list) else ()


def _product(op: TracedOp, shapes: tuple[Any, ...], dtype: str) -> tuple[Op, float]:
    base = op.operator.rpartition("::")[2]
    left, right = shapes[1:3] if base in _BIASED and len(shapes) > 2 else shapes[0:2]
    if base == "linear":
        rows, columns, inner, batch = math.prod(left[:-1]), right[0], right[1], 1
    else:
        rows, columns, inner = left[-2], right[-1], left[-1]
        batch = math.prod(left[:-2] if len(left) >= len(right) else right[:-2])
    if inner != (right[1] if base == "linear" else right[-2]):
        raise ValueError("operands do not fit")
    flop = 2.0 * batch * rows * columns * inner
    whole = _op(
        Kind.GEMM, dtype, m=float(rows), n=float(columns), k=float(inner), batch=float(batch), flop=flop
    )
    return whole, flop


def _attention(op: TracedOp, shapes: tuple[Any, ...], dtype: str) -> tuple[Op, float]:
    """Keys that a query sees follow from the operations, of which a backward pass does 5 products for 2."""
    base = op.operator.rpartition("::")[2]
    backward = "backward" in base
    queries, _, values = shapes[1:4] if backward and len(shapes) > 3 else shapes[:3]
    head, length = (1, 2) if base.startswith(_HEADS_SECOND) else (2, 1)
    batch, width, value_width = queries[0], queries[3], values[3]
    products = 3 * width + 2 * value_width if backward else width + value_width
    rows = batch * queries[head] * queries[length]
    flop = op.flop or 0.0
    keys = flop / (2.0 * rows * products)
    phase = Phase.BACKWARD_INPUT if backward else Phase.FORWARD
    whole = _op(
        Kind.ATTENTION, dtype, phase, m=float(queries[length]), n=float(width), k=float(batch * queries[head]),
        keys=keys, flop=flop,
    )  # fmt: skip
    return whole, flop


def _convolution(op: TracedOp, shapes: tuple[Any, ...], dtype: str) -> tuple[Op, float]:
    backward = "backward" in op.operator
    weight = shapes[2] if backward else shapes[1]
    columns, inner = weight[0], math.prod(weight[1:])
    flop = op.flop or 0.0
    whole = _op(
        Kind.CONVOLUTION, dtype, m=flop / (2.0 * columns * inner), n=float(columns), k=float(inner),
        bytes=op.size_bytes or 0.0, flop=flop,
    )  # fmt: skip
    return whole, flop
