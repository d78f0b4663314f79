"""The operations of a trace, equal ones together: what is projected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simtool.trace.intervals import total, union
from simtool.trace.kernels import NOTHING, KernelTable
from simtool.transfer.classes import class_of

if TYPE_CHECKING:
    import pyarrow as pa

_TEXTS = ("op_class", "variant", "operator", "shapes", "settings", "dtype", "name")
_BINS_PER_OCTAVE = 4.0
"""Kernels of one name whose work is not known are equal if their durations are within a quarter of an octave."""
UNTIMED_PHASES = ("prepare", "eval", "data")
"""Phases of a recorded run that are no device work of training."""
_OPERATOR_CLASSES = (
    ("gemm", ("mm", "addmm", "bmm", "baddbmm", "linear", "_scaled_mm", "matmul")),
    ("conv", ("convolution", "convolution_backward")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedOp:
    """Equal operations: the same kernel of the same operator on the same shapes."""

    kind: str
    """One of `classes.CLASSES`."""
    name: str
    """Of the kernel; of the operator where no kernels were told apart."""
    operator: str
    variant: str
    shapes: str
    settings: str
    dtype: str
    """Torch's name, or empty."""
    count: float
    """How many there are."""
    duration_s: float
    """Mean of one."""
    flop: float | None
    """Of one; None where it is not known."""
    size_bytes: float | None
    group_size: int | None = None
    """Ranks of a collective."""

    @property
    def total_s(self) -> float:
        """Of all [s]."""
        return self.count * self.duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """What one rank's device did."""

    ops: tuple[TracedOp, ...]
    busy_frac: float
    """Time in which the device did anything over the sum of durations: below 1 where kernels overlap."""
    num_steps: float

    @property
    def device_time_s(self) -> float:
        """Sum of all durations [s]."""
        return sum(op.total_s for op in self.ops)


def from_kernels(kernels: KernelTable, num_steps: int) -> Traced:
    """The operations of one rank's kernels.

    Args:
        kernels: of one rank.
        num_steps: steps that they belong to.
    """
    codes, words = [], {}
    for name in _TEXTS:
        numbers, words[name] = kernels.texts(name)
        codes.append(numbers)
    duration, size = kernels.numbers("duration_s"), kernels.numbers("size_bytes")
    flop, group_size = kernels.numbers("flop"), kernels.numbers("group_size")
    has_shapes = codes[_TEXTS.index("shapes")] >= 0
    codes += [
        np.where(has_shapes, NOTHING, _octaves(duration)), np.where(has_shapes, NOTHING, _octaves(size)),
        group_size, np.isnan(flop).astype(np.int64), np.isnan(size).astype(np.int64),
    ]  # fmt: skip
    rows, place = np.unique(np.stack(codes, axis=1), axis=0, return_inverse=True)
    place = place.reshape(-1)
    count = np.bincount(place, minlength=len(rows)).astype(float)
    sums = {
        name: np.bincount(place, np.nan_to_num(values), len(rows)) / count
        for name, values in (("duration_s", duration), ("flop", flop), ("size_bytes", size))
    }
    ops = []
    for number, row in enumerate(rows.tolist()):
        text = {name: words[name][code] if code >= 0 else "" for name, code in zip(_TEXTS, row, strict=False)}
        *_, ranks, no_flop, no_size = row
        ops.append(
            TracedOp(
                kind=class_of(text["op_class"], text["operator"], text["name"]), name=text["name"],
                operator=text["operator"], variant=text["variant"], shapes=text["shapes"],
                settings=text["settings"], dtype=text["dtype"], count=float(count[number]),
                duration_s=float(sums["duration_s"][number]),
                flop=None if no_flop else float(sums["flop"][number]),
                size_bytes=None if no_size else float(sums["size_bytes"][number]),
                group_size=ranks if ranks > 1 else None,
            )
        )  # fmt: skip
    begin = kernels.numbers("start_s")
    whole = float(duration.sum())
    busy = total(union(begin, begin + duration))
    return Traced(
        ops=tuple(ops), busy_frac=min(1.0, busy / whole) if whole > 0 else 1.0, num_steps=float(num_steps)
    )


def _octaves(values: NDArray[Any]) -> NDArray[np.int64]:
    """Number of the bin of every value; that of nothing for what is not known or 0."""
    known = np.nan_to_num(values) > 0
    bins = np.floor(_BINS_PER_OCTAVE * np.log2(np.where(known, values, 1.0))).astype(np.int64)
    return np.where(known, bins + 2**20, NOTHING)


def from_steps(ops: pa.Table, signatures: pa.Table) -> Traced:
    """The operations of a recorded run: those of one step of each kind, as often as there were such steps.

    Args:
        ops: the stream `ops`.
        signatures: the stream `signatures`.
    """
    steps = {row["signature"]: float(row["num_steps"]) for row in signatures.to_pylist()}
    rows = [row for row in ops.to_pylist() if _is_timed(row) and steps.get(row["signature"], 0.0) > 0]
    found = tuple(_recorded(rows, steps))
    used = {row["signature"] for row in rows}
    return Traced(ops=found, busy_frac=1.0, num_steps=sum(steps[name] for name in used))


def _is_timed(row: Mapping[str, Any]) -> bool:
    seconds = row["duration_mean_s"]
    return seconds is not None and seconds > 0 and row["calls"] > 0 and row["phase"] not in UNTIMED_PHASES


def _recorded(rows: Sequence[Mapping[str, Any]], steps: Mapping[str, float]) -> Iterator[TracedOp]:
    for row in rows:
        calls = float(row["calls"])
        operator, op_class = row["op"], _operator_class(row["op"])
        yield TracedOp(
            kind=class_of(op_class, operator, ""), name=operator, operator=operator, variant="",
            shapes=row["shapes"], settings="", dtype=row["dtype"], count=calls * steps[row["signature"]],
            duration_s=row["duration_mean_s"] / calls,
            flop=row["flop"] / calls if row["flop"] else None,
            size_bytes=row["size_bytes"] / calls if row["size_bytes"] else None,
        )  # fmt: skip


def _operator_class(operator: str) -> str:
    """Class of the trace's kind for an operator that was recorded without its kernels."""
    if "attention" in operator:
        return "attention"
    if operator.startswith(("_fused_adam", "_fused_sgd")):
        return "optimizer"
    return next((kind for kind, names in _OPERATOR_CLASSES if operator in names), "memory")
