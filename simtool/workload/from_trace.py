"""A workload from a trace: what a device did in one step, as operations that follow batch and sequence length.

The step of median length of one rank stands for all. Products, convolutions and attention are taken by their
shapes, everything else by the bytes it moves. Collectives are left out: the layout of a scenario brings its own.
What a trace cannot tell is said in the notes of the workload, never filled in silently.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from pydantic import ValidationError

from simtool.trace.kernels import KernelTable
from simtool.workload.amount import Amount
from simtool.workload.captured import (
    CapturedLayer,
    CapturedOp,
    CapturedOptimizer,
    CapturedPart,
    CapturedSize,
    CapturedWorkload,
    Kept,
)
from simtool.workload.traced_groups import (
    ITEM_BYTES,
    OPTIMIZER,
    PRODUCTS,
    Group,
    groups_of,
    main_format,
    median_step,
    refuse,
)
from simtool.workload.traced_ops import Product, attention, convolution, matrix_product, product_ops
from simtool.workload.traced_sizes import Recorded, Term, num_items

_SAVES = frozenset({
    "mul", "div", "pow", "gelu", "silu", "relu", "sigmoid", "tanh", "native_layer_norm", "_softmax", "_log_softmax",
    "_fused_rms_norm", "rsqrt", "cudnn_batch_norm", "native_batch_norm", "miopen_batch_norm", "native_dropout",
})  # fmt: skip
"""Operators of which autograd keeps an operand or the result, of the operand's size."""
_EMBEDDINGS = ("embedding", "index_select")
_PASSES = {"Adam": (7, 2), "SGD": (5, 1)}
"""Elements that the optimizer reads and writes for a weight, and those of its state: weight, gradient and moments
read, weight and moments written."""
_SHOWN = 4


@dataclass(slots=True)
class _Found:
    """What has been gathered so far."""

    ops: list[CapturedOp] = field(default_factory=list)
    kept: list[Term] = field(default_factory=list)
    weights: set[tuple[int, ...]] = field(default_factory=set)
    parameters: int = 0
    embeddings: set[tuple[int, ...]] = field(default_factory=set)
    like_embedding: int = 0
    """Weights of a product as large as an embedding."""
    input_bytes: Amount = field(default_factory=Amount)
    unknown_s: dict[str, float] = field(default_factory=dict)
    """Time of what no shapes of use were recorded of, by operator."""

    def lose(self, group: Group) -> None:
        """Leave out a group."""
        name = group.operator or group.op_class
        self.unknown_s[name] = self.unknown_s.get(name, 0.0) + group.duration_s


def from_kernels(
    kernels: KernelTable,
    *,
    batch: int | None = None,
    seq_len: int | None = None,
    name: str,
    source: str,
    where: str,
    rank: int | None = None,
) -> CapturedWorkload:
    """The workload of a recorded step.

    Args:
        kernels: work of a device, with shapes.
        batch: samples in the recorded micro-batch; told by the shapes of attention or of the embedding if not given.
        seq_len: tokens in a sample, 1 where it is none of tokens; likewise.
        name: of the workload.
        source: where the trace came from.
        where: what messages call it.
        rank: the one whose work is taken; the first.

    Raises:
        InputError: no product has recorded shapes, or none of them has as many rows as there are tokens.
    """
    step, own = median_step(kernels, where, rank)
    groups = groups_of(own)
    if not any(group.op_class in PRODUCTS and group.flop > 0 for group in groups):
        raise refuse(where, "holds no product whose shapes were recorded", "record with record_shapes=True")
    at = _size(groups, batch, seq_len, where)
    main = main_format(groups)
    found = _Found()
    for group in groups:
        try:
            _take(group, found, main, at)
        except (LookupError, TypeError, ValueError, ArithmeticError):  # of a form or size that no call has
            found.lose(group)
    if not any(
        op.m.terms and op.m.terms[0][0] != (0, 0) for op in found.ops if op.kind in ("gemm", "convolution")
    ):
        raise refuse(
            where,
            f"has no product with rows of {at.batch} x {at.seq_len} tokens; its products have the sizes "
            f"{_largest(groups)}",
            "say with --batch and --seq what was recorded",
        )
    trains = any(group.is_backward for group in groups)
    try:
        return CapturedWorkload(
            schema="simtool/workload/1", name=name, source=source,
            notes=tuple(_notes(own, groups, found, at, trains, step)),
            captured=CapturedSize(batch=at.batch, seq_len=at.seq_len), any_seq_len=at.seq_len > 1,
            precision="bf16" if main == "fp8" else main, kernels="eager", parameters=found.parameters,
            not_counted=tuple(sorted(found.unknown_s)), input_bytes=found.input_bytes,
            before=CapturedPart(parameters=0), layers=(_layer(found, trains),), after=CapturedPart(parameters=0),
            optimizer=_optimizer(groups, found.parameters),
        )  # fmt: skip
    except ValidationError as error:
        first = error.errors()[0]
        found_there = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise refuse(where, f"holds sizes that no model has ({found_there})", "record it again") from error


def _size(groups: Sequence[Group], batch: int | None, seq_len: int | None, where: str) -> Recorded:
    """The recorded size: as given, else by the shapes of attention or of the embedding."""
    told: Counter[tuple[int, int]] = Counter()
    for group in groups:
        if (
            group.op_class == "attention"
            and not group.is_backward
            and group.flop > 0
            and len(group.shapes[0]) == 4
        ):
            heads_first = group.operator.startswith("_scaled_dot_product")
            told[group.shapes[0][0], group.shapes[0][2 if heads_first else 1]] += group.num_kernels
    for group in () if told else groups:
        if group.operator == "embedding" and len(group.shapes) > 1 and len(group.shapes[1]) == 2:
            told[group.shapes[1][0], group.shapes[1][1]] += group.num_kernels
    likely = next((size for size, _ in told.most_common() if min(size) > 0), (None, None))
    batch = likely[0] if batch is None else batch
    seq_len = likely[1] if seq_len is None else seq_len
    if batch is None or seq_len is None:
        raise refuse(
            where,
            "does not tell batch and sequence length: it holds neither attention nor an embedding of tokens",
            "say --batch, and --seq (1 where samples are no sequences)",
        )
    return Recorded(batch, seq_len)


def _take(group: Group, found: _Found, main: str, at: Recorded) -> None:
    """Add the operations of a group."""
    if group.phase == OPTIMIZER or group.op_class in ("communication", "optimizer"):
        return
    name = group.operator or group.op_class
    if group.op_class in PRODUCTS and not group.flop > 0:
        found.lose(group)
        return
    if group.op_class in PRODUCTS:
        dtype = group.dtype if group.dtype not in ("", main) else ""
        if group.op_class == "attention":
            op, calls, kept = attention(group, name, at)
            found.ops.append(op)
            _keep(group, kept, calls, found)
            return
        product = (convolution if group.op_class == "conv" else matrix_product)(group, at)
        found.ops += list(product_ops(group, product, name, dtype, at))
        _weigh(group, product, found, at)
        return
    if group.op_class == "copy" and not group.shapes and group.phase == "data":
        found.input_bytes = found.input_bytes + at.traffic(_bytes(group), (1, 0)).amount
        return
    _move(group, found, main, at, name)


def _bytes(group: Group) -> float:
    """Bytes of all kernels: as known, else the operands once and the largest of them again."""
    if not math.isnan(group.size_bytes) and group.size_bytes > 0:
        return group.size_bytes
    items = [num_items(shape) for shape in group.shapes]
    return float((sum(items) + max(items, default=0)) * ITEM_BYTES.get(group.dtype, 4) * group.num_kernels)


def _move(group: Group, found: _Found, main: str, at: Recorded, name: str) -> None:
    """Element-wise work and copies within the device."""
    num_bytes = _bytes(group)
    if num_bytes <= 0:
        found.lose(group)
        return
    largest = max(group.shapes, key=num_items, default=())
    if group.operator in _EMBEDDINGS and len(group.shapes) > 1:
        largest = group.shapes[1]  # what is picked, not what it is picked from
    term = at.traffic(num_bytes / group.num_kernels, at.powers(largest, frozenset(found.weights)))
    in_main = group.dtype == main
    amount = Term(term.factor / ITEM_BYTES[main], *term.powers).amount if in_main else term.amount
    unit = "elements" if in_main else "bytes"
    if not amount:
        return
    found.ops.append(
        CapturedOp.model_validate({
            "name": name, "kind": "memory", "phase": "backward_input" if group.is_backward else "forward",
            "count": group.num_kernels, unit: amount, f"eager_{unit}": amount,
        })
    )  # fmt: skip
    if group.operator.rstrip("_") in _SAVES and largest:
        kept = at.traffic(num_items(largest), at.powers(largest, frozenset(found.weights)))
        _keep(group, kept, group.num_kernels, found)
    if group.operator in _EMBEDDINGS and not group.is_backward and len(group.shapes[0]) == 2:
        found.parameters += 0 if group.shapes[0] in found.embeddings else num_items(group.shapes[0])
        found.embeddings.add(group.shapes[0])
        found.weights.add(group.shapes[0])


def _weigh(group: Group, product: Product, found: _Found, at: Recorded) -> None:
    """Count the weight of a product of the forward pass, and what it keeps; neighbours share their input."""
    if group.is_backward:
        return
    calls = product.calls(group, at)
    found.parameters += calls * product.weight
    if product.weight and group.op_class == "gemm":
        n, k = int(product.n.factor), int(product.k.factor)
        found.like_embedding += product.weight if (n, k) in found.embeddings else 0
        found.weights |= {(n, k), (k, n)}
        if group.operator.startswith("addmm") and group.shapes[0] == (n,):
            found.parameters += calls * n
    if product.input_items is not None:
        _keep(group, product.input_items, calls, found)


def _keep(group: Group, items: Term, calls: int, found: _Found) -> None:
    if not group.is_backward:
        found.kept.append(Term(items.factor * calls, *items.powers))


def _layer(found: _Found, trains: bool) -> CapturedLayer:
    counted: dict[CapturedOp, int] = {}
    for op in found.ops:
        alone = op.model_copy(update={"count": 1})
        counted[alone] = counted.get(alone, 0) + op.count
    ops = tuple(op.model_copy(update={"count": count}) for op, count in counted.items())
    totals: dict[tuple[int, int], Fraction] = {}
    for term in found.kept if trains else ():
        totals[term.powers] = totals.get(term.powers, Fraction(0)) + term.factor
    elements = Amount.of({powers: Fraction(round(2 * factor), 2) for powers, factor in totals.items()})
    kept = Kept(elements=elements)
    return CapturedLayer(
        name="step", repeats=1, parameters=found.parameters, kept=kept, eager_kept=kept, ops=ops,
    )  # fmt: skip


def _optimizer(groups: Sequence[Group], parameters: int) -> CapturedOptimizer:
    """The optimizer's pass over the weights; of which kind it was the operators' names may tell."""
    names = {group.operator for group in groups if group.phase == OPTIMIZER or group.op_class == "optimizer"}
    if not names:
        return CapturedOptimizer(name="none", state_elements=0, elements=0, eager_elements=0)
    kind = "SGD" if any("sgd" in name for name in names) else "Adam"
    passes, states = _PASSES[kind]
    return CapturedOptimizer(
        name=kind, state_elements=states * parameters, elements=passes * parameters,
        eager_elements=passes * parameters,
    )  # fmt: skip


def _largest(groups: Sequence[Group]) -> str:
    products = sorted(
        (group for group in groups if group.op_class in PRODUCTS), key=lambda group: -group.flop
    )
    return "; ".join(
        " by ".join(" x ".join(map(str, shape)) for shape in group.shapes[:3]) for group in products[:_SHOWN]
    )


def _notes(
    kernels: KernelTable, groups: Sequence[Group], found: _Found, at: Recorded, trains: bool, step: int
) -> Iterator[str]:
    yield (
        f"step {step} of a trace at batch {at.batch} and {at.seq_len} tokens a sample; other sizes follow from "
        "the dimensions of operands that are multiples of these"
    )
    if not trains:
        yield "the trace holds no backward pass: a step is what was recorded, and nothing is kept for another"
    elif not any(group.phase == OPTIMIZER for group in groups):
        yield "the trace holds no optimizer: none is priced"
    else:
        yield "the optimizer is priced as one pass over weights and moments, Adam's where nothing says SGD"
    yield "weights are those of products, convolutions and embeddings: norms and the like are not counted"
    if found.like_embedding:
        yield (
            f"the head has as many weights as the embedding, {found.like_embedding:,}: both are counted; if they are "
            "one, take one off parameters"
        )
    if any(word == "tf32" for word in kernels.texts("dtype")[1]):
        yield "products ran in tf32: write that as the scenario's precision"
    fixed = {size for shape in found.weights for size in shape}
    twice = sorted(fixed & {size for size in (at.seq_len, at.tokens) if size > 1})
    if twice:
        yield (
            f"{' and '.join(map(str, twice))} is a size of the model and of the sequence too: rescaled sizes may be "
            "wrong; record with another length"
        )
    talks = [group for group in groups if group.op_class == "communication"]
    if talks:
        num = sum(group.num_kernels for group in talks)
        yield f"{num} collectives were left out: a layout brings its own; sizes are those of one rank's share"
    if found.unknown_s:
        whole = float(kernels.numbers("duration_s").sum())
        lost = sum(found.unknown_s.values())
        yield (
            f"{lost / whole if whole else 0.0:.1%} of the device's time is of operators without shapes of use, "
            "which are left out (not_counted)"
        )
