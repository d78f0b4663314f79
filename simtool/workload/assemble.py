"""From recordings at several sizes to a captured workload: parts, equal blocks, amounts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

from simtool.errors import InputError, Problem
from simtool.stepgraph import PRODUCTS, Kind
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
from simtool.workload.fused import Kernel, Kernels, fuse
from simtool.workload.model_parts import AFTER, BEFORE, Parts, find_parts
from simtool.workload.recorded import BACKWARD, FORWARD, OPTIMIZER, Access, Recorded, Recording
from simtool.workload.sizes import NoPolynomialError, Sizes

FORMATS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "float64": "fp32"}
"""Formats of products, as scenarios call them; simulated training knows no fp64."""
FP8 = ("float8_e4m3fn", "float8_e5m2")
_MAX_WORDS = 12
_SIZES = ("m", "n", "k", "keys", "batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Piece:
    """One kernel with its amounts."""

    part: str
    op: CapturedOp


def assemble(
    recordings: Sequence[Recording], sizes: Sizes, *, name: str, source: str, notes: Sequence[str], where: str
) -> CapturedWorkload:
    """One workload from recordings of the same model.

    Args:
        recordings: at `sizes.all`, in that order; the first one with the optimizer.
        sizes: the sizes.
        name: of the model.
        source: where it came from.
        notes: what a reader should know of the capture.
        where: file and line of the function that made it, for messages.

    Raises:
        InputError: the model does different things at different sizes, or amounts are no polynomials.
    """
    first = recordings[0]
    main = _main_format(first)
    parts = [find_parts(recording, first) for recording in recordings]
    fused = [fuse(recording, part.of) for recording, part in zip(recordings, parts, strict=True)]
    solve = _Solver(sizes, where)
    pieces = _pieces(recordings, fused, main, solve)
    kept = _kept(recordings, fused, parts, main, solve)
    weights, tied = _weights(first, parts[0])
    children = parts[0].children or ("",)
    inputs = [[recording.block_inputs.get(child, 0) for recording in recordings] for child in children]
    made = [
        CapturedLayer(
            name=parts[0].stack,
            repeats=1,
            input_elements=solve(values, f"inputs of {child}"),
            **_part(child if parts[0].children else BEFORE, pieces, kept, weights),
        )
        for child, values in zip(children, inputs, strict=True)
    ]
    alike = Counter(made)
    before = BEFORE if parts[0].children else "-"
    return CapturedWorkload(
        schema="simtool/workload/1",
        name=name,
        source=source,
        notes=tuple(notes),
        captured=CapturedSize(batch=first.batch, seq_len=first.seq_len),
        any_seq_len=len(sizes.lengths) > 1,
        precision=cast("Any", FORMATS[main]),
        parameters=sum(held.elements for held in first.weights),
        tied_parameters=tied,
        not_counted=tuple(sorted(first.not_counted)),
        input_bytes=solve([recording.input_bytes for recording in recordings], "inputs"),
        edge_bytes=_edge(recordings, fused, solve) if parts[0].children else Amount(),
        before=CapturedPart(**_part(before, pieces, kept, weights)),
        layers=tuple(layer.model_copy(update={"repeats": count}) for layer, count in alike.items()),
        after=CapturedPart(**_part(AFTER, pieces, kept, weights)),
        optimizer=_optimizer(first, fused[0]),
    )


class _Solver:
    """Amounts from values at all sizes; equal values are solved once."""

    def __init__(self, sizes: Sizes, where: str) -> None:
        self._sizes, self._where = sizes, where
        self._known: dict[tuple[Fraction, ...], Amount] = {}

    def __call__(self, values: Sequence[float | Fraction], what: str) -> Amount:
        key = tuple(Fraction(value) for value in values)
        if key not in self._known:
            try:
                self._known[key] = self._sizes.solve(key)
            except NoPolynomialError as error:
                found = (
                    f"found {float(error.found):g} {what} at batch {error.size[0]} and seq_len {error.size[1]}, "
                    f"where the other sizes give {float(error.expected):g}"
                )
                mend = (
                    "the model must be linear in the batch and at most quadratic in the sequence length: choose "
                    "sizes on one side of windows and roundings, or fix seq_len (a function without that argument)"
                )
                raise InputError(Problem(self._where, "", found, "", mend)) from None
        return self._known[key]

    def differ(self, found: str) -> InputError:
        """The model does other things at another size."""
        mend = "let it do the same at every size, or fix seq_len (a function without that argument)"
        return InputError(Problem(self._where, "", found, "", mend))


def _main_format(recording: Recording) -> str:
    """The format of most products, else of most memory traffic."""
    work: Counter[str] = Counter()
    for op in recording.ops:
        if op.phase == FORWARD and op.dtype in FORMATS:
            work[op.dtype] += max(op.flop, 0) or sum(access.num_bytes for access in op.writes) // 10**6 + 1
    return work.most_common(1)[0][0] if work else "float32"


def _pieces(
    recordings: Sequence[Recording], fused: Sequence[Kernels], main: str, solve: _Solver
) -> list[_Piece]:
    rows = [[kernel for kernel in one.kernels if kernel.ops[0].phase != OPTIMIZER] for one in fused]
    if len({len(row) for row in rows}) > 1:
        counts = ", ".join(
            f"{len(row)} at ({recording.batch}, {recording.seq_len})"
            for row, recording in zip(rows, recordings, strict=True)
        )
        raise solve.differ(f"found another number of kernels at other (batch, seq_len): {counts}")
    pieces = []
    for kernels in zip(*rows, strict=True):
        forms = {(kernel.part, *((op.name, op.phase, op.kind) for op in kernel.ops)) for kernel in kernels}
        if len(forms) > 1:
            words = " and ".join(sorted({kernel.ops[0].name for kernel in kernels}))
            raise solve.differ(
                f"found other operations at other sizes near {kernels[0].ops[0].path!r}: {words}"
            )
        pieces.append(_Piece(part=kernels[0].part, op=_op(kernels, main, solve)))
    return pieces


def _op(kernels: Sequence[Kernel], main: str, solve: _Solver) -> CapturedOp:
    lead = kernels[0].ops[0]
    path = _within(lead.path, kernels[0].part)
    values: dict[str, Any] = {"name": path, "kind": lead.kind.value, "phase": _phase(kernels[0])}
    words = [op.name.strip("_") for op in kernels[0].ops]
    words = [word for place, word in enumerate(words) if place == 0 or word != words[place - 1]]
    more = f" and {len(words) - _MAX_WORDS} more" if len(words) > _MAX_WORDS else ""
    values["of"] = " ".join(words[:_MAX_WORDS]) + more if lead.kind is Kind.MEMORY else ""
    values["launches"] = len(kernels[0].ops)
    if lead.dtype != main and lead.kind is not Kind.MEMORY:
        values["dtype"] = "fp8" if lead.dtype in FP8 else FORMATS.get(lead.dtype, "fp32")
    if lead.kind is not Kind.MEMORY:
        for name in _SIZES:
            values[name] = solve([getattr(kernel.ops[0], name) for kernel in kernels], f"as {name} of {path}")
        if lead.flop != 2 * lead.m * lead.n * lead.k * lead.batch:
            values["flop"] = solve([kernel.ops[0].flop for kernel in kernels], f"FLOP of {path}")
    if lead.kind not in PRODUCTS or lead.kind is Kind.CONVOLUTION:
        compiled = [_volume((*kernel.reads, *kernel.writes), main) for kernel in kernels]
        eager = [
            _volume([a for op in kernel.ops for a in (*op.reads, *op.writes)], main) for kernel in kernels
        ]
        for start, volumes in (("", compiled), ("eager_", eager)):
            for place, unit in enumerate(("elements", "bytes")):
                values[f"{start}{unit}"] = solve([volume[place] for volume in volumes], f"{unit} of {path}")
    return CapturedOp(**values)


def _within(path: str, part: str) -> str:
    """A module's path without that of the part it is in, so that equal blocks have equal names."""
    if part in (BEFORE, AFTER):
        return path or "model"
    return path.removeprefix(part).strip(".") or "block"


def _phase(kernel: Kernel) -> str:
    if kernel.ops[0].phase != BACKWARD:
        return kernel.ops[0].phase
    return "backward_weight" if all(op.is_weight_gradient for op in kernel.ops) else "backward_input"


def _volume(accesses: Sequence[Access], main: str) -> tuple[int, int]:
    """Elements in the main format, and bytes in others."""
    elements = sum(access.elements for access in accesses if access.dtype == main)
    return elements, sum(access.num_bytes for access in accesses if access.dtype != main)


Volumes = dict[str, tuple[Kept, Kept]]
"""What a compiler and what autograd keep, by part."""


def _kept(
    recordings: Sequence[Recording],
    fused: Sequence[Kernels],
    parts: Sequence[Parts],
    main: str,
    solve: _Solver,
) -> Volumes:
    found = []
    for recording, kernels, part in zip(recordings, fused, parts, strict=True):
        makers = {access.value: op.phase for op in recording.ops for access in op.writes}
        compiled: dict[str, list[Access]] = {}
        for access, only in kernels.kept:
            compiled.setdefault(only or BEFORE, []).append(access)
        eager: dict[str, list[Access]] = {}
        for value, (access, paths) in recording.saved.items():
            if makers.get(value) == FORWARD:
                users = {part.of_path(path) for path in paths}
                eager.setdefault(users.pop() if len(users) == 1 else BEFORE, []).append(access)
        found.append((compiled, eager))

    def amounts(kind: int, part: str) -> Kept:
        volumes = [_volume(one[kind].get(part, []), main) for one in found]
        elements, others = zip(*volumes, strict=True)
        what = "elements kept for the backward pass"
        return Kept(elements=solve(elements, what), bytes=solve(others, what))

    names = dict.fromkeys(part for one in found for kind in one for part in kind)
    return {part: (amounts(0, part), amounts(1, part)) for part in names}


def _weights(recording: Recording, parts: Parts) -> tuple[dict[str, int], int]:
    """Weights by part, each once, and those that are used both before and behind the blocks."""
    users: dict[int, set[str]] = {}
    for index, op in enumerate(recording.ops):
        if op.phase == FORWARD:
            for access in op.reads:
                users.setdefault(access.value, set()).add(parts.of(index))
    weights: Counter[str] = Counter()
    tied = 0
    for held in recording.weights:
        where = users.get(held.value, {BEFORE})
        weights[next(iter(where)) if len(where) == 1 else BEFORE] += held.elements
        tied += held.elements if where == {BEFORE, AFTER} else 0
    return dict(weights), tied


def _part(part: str, pieces: Sequence[_Piece], kept: Volumes, weights: dict[str, int]) -> dict[str, Any]:
    """The fields of a part, equal operations counted."""
    counted = Counter(piece.op for piece in pieces if piece.part == part)
    ops = tuple(op if count == 1 else op.model_copy(update={"count": count}) for op, count in counted.items())
    compiled, eager = kept.get(part, (Kept(), Kept()))
    return {"parameters": weights.get(part, 0), "kept": compiled, "eager_kept": eager, "ops": ops}


def _edge(recordings: Sequence[Recording], fused: Sequence[Kernels], solve: _Solver) -> Amount:
    """The largest gradient that is made outside the blocks."""

    def largest(kernels: Kernels, recording: Recording) -> int:
        return max(
            (
                access.num_bytes
                for kernel in kernels.kernels
                if kernel.part in (BEFORE, AFTER) and _phase(kernel) == "backward_input"
                for access in kernel.writes
                if access.value not in recording.last_values
            ),
            default=0,
        )

    values = [largest(kernels, recording) for kernels, recording in zip(fused, recordings, strict=True)]
    return solve(values, "bytes of the largest gradient outside the blocks")


def _optimizer(recording: Recording, fused: Kernels) -> CapturedOptimizer:
    kernels = [kernel for kernel in fused.kernels if kernel.ops[0].phase == OPTIMIZER]
    products = [op for kernel in kernels for op in kernel.ops if op.kind in PRODUCTS]

    def total(accesses: Sequence[Access], times: int) -> int:
        return times * sum(access.elements for access in accesses if "float" in access.dtype)

    return CapturedOptimizer(
        name=recording.optimizer,
        state_elements=recording.state_elements,
        elements=sum(total((*kernel.reads, *kernel.writes), kernel.ops[0].times) for kernel in kernels),
        eager_elements=sum(
            total((*op.reads, *op.writes), op.times) for kernel in kernels for op in kernel.ops
        ),
        ops=tuple(_product(op) for op in products),
    )


def _product(op: Recorded) -> CapturedOp:
    sizes: Any = {name: Amount.of({(0, 0): Fraction(getattr(op, name))}) for name in ("m", "n", "k", "batch")}
    return CapturedOp(
        name=op.name, kind=cast("Any", op.kind.value), phase="optimizer", count=op.times, **sizes
    )
