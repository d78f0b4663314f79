"""One recorded operation of a trace as an operation of a workload, by its operator and shapes.

Kernels of one operator, phase and shape are one operation; how often it ran follows from its work: the trace's
total over the work of one call. Argument places are those of torch's operators, the optional ones left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from simtool.workload.captured import CapturedOp
from simtool.workload.traced_groups import Group
from simtool.workload.traced_sizes import Recorded, Term, num_items

MAX_PASSES = 2
"""Products of one call of an operator: the backward pass of a convolution has two."""
_SECOND = frozenset({"addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"})
"""Products whose first argument is what the result is added to."""
_ATTENTION_PASSES = {False: 2, True: 5}
"""Products of attention in the forward and in the backward pass, which computes the scores once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A matrix product or convolution of which one call multiplies `batch` times m x k by k x n."""

    m: Term
    n: Term
    k: Term
    batch: Term
    is_weight_gradient: bool
    weight: int = 0
    """Elements of the weight, where one of the operands is one."""
    input_items: Term | None = None
    """What the forward pass reads beside the weight."""
    traffic: Term | None = None
    """Elements that a convolution reads and writes."""

    def calls(self, group: Group, at: Recorded) -> int:
        """How often it ran."""
        one = 2.0 * math.prod(float(value(size, at)) for size in (self.m, self.n, self.k, self.batch))
        return num_calls(group, one)


def num_calls(group: Group, one: float) -> int:
    """Calls of an operator in a group, by the work of one.

    Raises:
        LookupError: one call has no work, or there are fewer kernels than calls.
    """
    if not one > 0:
        raise LookupError("no work")
    calls = max(1, round(group.flop / one))
    if calls > MAX_PASSES * group.num_kernels:
        raise LookupError("more calls than kernels")
    return calls


def value(term: Term, at: Recorded) -> Fraction:
    """A term at the recorded size."""
    return term.factor * Fraction(at.batch**term.in_batch * at.seq_len**term.in_sequence)


def matrix_product(group: Group, at: Recorded) -> Product:
    """Sizes of a product by the operands' shapes.

    Raises:
        LookupError: shapes of a form that is not known.
    """
    operands = group.shapes[1:] if group.operator in _SECOND else group.shapes
    left, right = operands[0], operands[1]
    if group.operator == "linear":
        left, right = (math.prod(left[:-1]), left[-1]), (right[1], right[0])
    if len(left) == 2 and len(right) == 3:
        raise LookupError("grouped")
    if max(len(left), len(right)) > 2:
        return _batched(left, right, at)
    (m, k), n = left, right[1]
    sums_tokens = at.is_rows(k) and (
        not at.is_rows(m) or (group.is_backward and group.settings.get("layout") == "NT")
    )
    if sums_tokens:
        return Product(
            m=at.fixed(m), n=at.fixed(n), k=at.rows(k), batch=at.fixed(1),
            is_weight_gradient=group.is_backward, input_items=at.rows(k) * at.fixed(m + n),
        )  # fmt: skip
    rows = at.rows(m) if at.is_rows(m) else at.fixed(m)
    return Product(
        m=rows, n=at.fixed(n), k=at.fixed(k), batch=at.fixed(1), is_weight_gradient=False,
        weight=n * k if rows.powers != (0, 0) else 0, input_items=rows * at.fixed(k),
    )  # fmt: skip


def _batched(left: Sequence[int], right: Sequence[int], at: Recorded) -> Product:
    leading = left[:-2] if len(left) >= len(right) else right[:-2]
    batch = at.heads(leading[0]) * at.fixed(math.prod(leading[1:])) if leading else at.fixed(1)
    m, k, n = (at.exact(size) for size in (left[-2], left[-1], right[-1]))
    if batch.in_batch:  # rows of samples are counted already
        m, k, n = (size if not size.in_batch else at.fixed(int(value(size, at))) for size in (m, k, n))
    items = batch * Term(m.factor * k.factor, m.in_batch + k.in_batch, m.in_sequence + k.in_sequence)
    return Product(m=m, n=n, k=k, batch=batch, is_weight_gradient=False, input_items=items)


def convolution(group: Group, at: Recorded) -> Product:
    """Sizes of a convolution as an implicit product: pixels of the output, channels out, channels in and taps."""
    groups = int(group.settings.get("groups", 1))
    given, weight = group.shapes[1:3] if group.is_backward else group.shapes[:2]
    n, k = weight[0] // groups, math.prod(weight[1:])
    if group.is_backward:
        output = group.shapes[0]
        pixels = output[0] * math.prod(output[2:])
    else:  # of calls with one shape and one output the trace tells the sum of the work
        pixels = given[0] * _output_pixels(group, given, weight)
    rows = at.rows(pixels)
    traffic = rows * at.fixed(n * groups)
    scale = Fraction(num_items(given), pixels) if pixels else Fraction(0)
    traffic = Term(traffic.factor + rows.factor * scale, rows.in_batch, rows.in_sequence)
    return Product(
        m=rows, n=at.fixed(n), k=at.fixed(k), batch=at.fixed(groups), is_weight_gradient=False,
        weight=num_items(weight), input_items=Term(rows.factor * scale, rows.in_batch, rows.in_sequence),
        traffic=traffic,
    )  # fmt: skip


def _output_pixels(group: Group, given: Sequence[int], weight: Sequence[int]) -> int:
    dims = len(given) - 2
    sizes = []
    for axis in range(dims):
        stride, padding, dilation = (
            _at(group.settings.get(name), axis, dims, usual)
            for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1))
        )
        sizes.append((given[2 + axis] + 2 * padding - dilation * (weight[2 + axis] - 1) - 1) // stride + 1)
    return math.prod(sizes)


def _at(values: Any, axis: int, dims: int, usual: int) -> int:
    if not isinstance(values, list) or not values:
        return usual
    return int(values[axis] if len(values) == dims else values[0])


def attention(group: Group, name: str, at: Recorded) -> tuple[CapturedOp, int, Term]:
    """An attention kernel, how often it ran, and the elements of queries, keys, values and result.

    Raises:
        LookupError: packed sequences, whose lengths were not recorded.
    """
    operands = group.shapes[1:4] if group.is_backward else group.shapes[:3]
    if len(operands) < 3 or any(len(shape) != 4 for shape in operands):
        raise LookupError("packed")
    queries, keys, values = operands
    heads_first = group.operator.startswith("_scaled_dot_product")
    head, length = (1, 2) if heads_first else (2, 1)
    is_causal = bool(group.settings.get("causal"))
    num_queries, num_keys, heads, width = queries[length], keys[length], queries[head], queries[3]
    pairs = Fraction(num_queries * num_keys)
    if is_causal:
        seen = min(num_queries, num_keys)
        pairs = Fraction(num_queries * num_keys) - Fraction(seen * (seen - 1), 2)
        pairs -= max(0, num_queries - num_keys) * num_keys
    widths = 3 * width + 2 * values[3] if group.is_backward else width + values[3]
    one = 2 * queries[0] * heads * pairs * widths
    calls = num_calls(group, float(one))
    samples = at.heads(queries[0]) * at.fixed(heads)
    m, other = at.exact(num_queries), at.exact(num_keys)
    mean_width = Fraction(width + values[3], 2)
    square = m * other * samples * Term(_ATTENTION_PASSES[group.is_backward] * 2 * mean_width)
    items = samples * m * at.fixed(width + values[3])
    kept = items.factor + Fraction(num_items(keys) + num_items(values)) / _size(items, at)
    touched = Term(kept * (2 if group.is_backward else 1), *items.powers)
    op = CapturedOp(
        name=name, kind="attention", phase="backward_input" if group.is_backward else "forward",
        count=calls, launches=max(1, round(group.num_kernels / calls)), m=m.amount,
        n=Term(mean_width).amount, k=samples.amount,
        keys=Term(Fraction(0)).amount if is_causal and num_queries == num_keys else other.amount,
        flop=square.amount, elements=touched.amount, eager_elements=touched.amount,
    )  # fmt: skip
    return op, calls, Term(kept, *items.powers)


def _size(term: Term, at: Recorded) -> Fraction:
    return Fraction(at.batch**term.in_batch * at.seq_len**term.in_sequence)


def product_ops(group: Group, product: Product, name: str, dtype: str, at: Recorded) -> Iterator[CapturedOp]:
    """The operations of a product; the backward pass of a convolution is two, where it ran so often."""
    calls = product.calls(group, at)
    phases = [(_phase(group, product), calls)]
    if group.op_class == "conv" and group.is_backward:
        inputs = calls // 2
        phases = [("backward_input", inputs), ("backward_weight", calls - inputs)]
    traffic = (product.traffic or Term(Fraction(0))).amount
    for phase, count in phases:
        if count:
            yield CapturedOp.model_validate({
                "name": name, "kind": "convolution" if group.op_class == "conv" else "gemm", "phase": phase,
                "dtype": dtype, "count": count, "launches": max(1, round(group.num_kernels / calls)),
                "m": product.m.amount, "n": product.n.amount, "k": product.k.amount, "batch": product.batch.amount,
                "elements": traffic, "eager_elements": traffic,
            })  # fmt: skip


def _phase(group: Group, product: Product) -> str:
    if not group.is_backward:
        return "forward"
    return "backward_weight" if product.is_weight_gradient else "backward_input"
