"""Which operations of a backward pass make gradients of weights, and not of what flows through."""

from __future__ import annotations

from collections.abc import Iterable

from simtool.stepgraph import PRODUCTS, Kind
from simtool.workload.recorded import BACKWARD, Recorded

_HANDED_ON = frozenset({"add", "add_", "_to_copy", "clone", "sum", "copy_", "squeeze"})
"""Operations that lead from a product to the gradient of a weight."""
_OWN = frozenset({"embedding_dense_backward", "index_put", "index_put_", "_embedding_bag_dense_backward"})


def mark_weight_gradients(ops: list[Recorded], gradients: Iterable[int], weights: set[int]) -> None:
    """Set `is_weight_gradient` on the operations that only lead to gradients of weights.

    From every gradient back through sums, casts and copies to the products: an operation is marked if all
    that reads its result is marked. A product with a weight, or a cast of one, is the gradient towards
    the input.

    Args:
        ops: all operations, in their order.
        gradients: values of the gradients of the weights.
        weights: values of the weights.
    """
    makers: dict[int, list[int]] = {}
    readers: dict[int, set[int]] = {}
    for index, op in enumerate(ops):
        if op.phase != BACKWARD:
            _cast_of_weight(op, weights)
        for access in op.writes:
            makers.setdefault(access.value, []).append(index)
        for access in op.reads:
            readers.setdefault(access.value, set()).add(index)
    wanted = list(gradients)
    marked: set[int] = {index for index, op in enumerate(ops) if op.is_weight_gradient}
    final = set(wanted)
    while wanted:
        value = wanted.pop()
        for index in makers.get(value, ()):
            op = ops[index]
            if op.phase != BACKWARD or index in marked or not _leads(op, weights):
                continue
            results = {access.value for access in op.writes}
            if all(result in final or readers.get(result, set()) <= marked for result in results):
                marked.add(index)
                if op.kind is Kind.MEMORY and op.name in _HANDED_ON:
                    wanted += [access.value for access in op.reads]
    for index in marked:
        ops[index].is_weight_gradient = True


def _leads(op: Recorded, weights: set[int]) -> bool:
    if op.kind in PRODUCTS:
        return all(access.value not in weights for access in op.reads)
    return op.kind is Kind.MEMORY and (op.name in _HANDED_ON or op.name in _OWN)


def _cast_of_weight(op: Recorded, weights: set[int]) -> None:
    if op.name in ("_to_copy", "clone") and all(access.value in weights for access in op.reads):
        weights |= {access.value for access in op.writes}
