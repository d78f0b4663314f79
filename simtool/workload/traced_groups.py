"""The kernels of one recorded step, those together that did the same."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.trace.kernels import NOTHING, KernelTable

FORMATS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "tf32": "fp32", "float64": "fp32"}
"""Formats as scenarios call them; simulated training knows neither tf32 nor fp64."""
ITEM_BYTES = {"bf16": 2, "fp16": 2, "fp32": 4, "fp8": 1}
BACKWARD, OPTIMIZER = "backward", "optimizer"
PRODUCTS = ("gemm", "conv", "attention")
"""Classes of kernels whose work is counted."""
Shapes = Sequence[tuple[int, ...]]
_KEYS = ("op_class", "operator", "shapes", "settings", "dtype", "phase")
_DTYPE = _KEYS.index("dtype")
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Kernels of one operator, phase, format and shape in a step."""

    operator: str
    """Without its name space."""
    op_class: str
    phase: str
    dtype: str
    """As a scenario calls it, or empty."""
    shapes: Shapes
    settings: dict[str, Any]
    num_kernels: int
    flop: float
    size_bytes: float
    """Of all; NaN where it is not known."""
    duration_s: float

    @property
    def is_backward(self) -> bool:
        """Of the backward pass."""
        return self.phase == BACKWARD


def refuse(where: str, found: str, mend: str) -> InputError:
    """The refusal of a trace."""
    return InputError(Problem(where, "", found, "", mend))


def median_step(kernels: KernelTable, where: str, rank: int | None) -> tuple[int, KernelTable]:
    """Number and kernels of the step whose work took the median time."""
    if not len(kernels):
        raise refuse(where, "holds no work of a device", "import a trace of the profiler")
    if rank is not None and rank not in kernels.ranks:
        known = ", ".join(map(str, kernels.ranks[:_SHOWN]))
        raise refuse(where, f"holds no rank {rank}, but {known}", "name one of them with --rank")
    own = kernels.of_rank(kernels.ranks[0] if rank is None else rank)
    if not own.steps:
        raise refuse(where, "holds no work that was launched within a step", "annotate steps when recording")
    numbers, durations = own.numbers("step"), own.numbers("duration_s")
    ordered = sorted(own.steps, key=lambda step: (float(durations[numbers == step].sum()), step))
    step = ordered[len(ordered) // 2]
    return step, own.of_step(step)


def groups_of(kernels: KernelTable) -> list[Group]:
    """Kernels that did the same, in the order in which they first ran."""
    columns = {name: kernels.texts(name) for name in _KEYS}
    duration, flop, size = (kernels.numbers(name) for name in ("duration_s", "flop", "size_bytes"))
    keys = np.stack([columns[name][0] for name in _KEYS], 1)
    unique, first, place = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    alike: dict[tuple[str, ...], list[NDArray[np.int64]]] = {}
    for number in np.argsort(first).tolist():
        words = [
            columns[name][1][code] if code != NOTHING else ""
            for name, code in zip(_KEYS, unique[number].tolist(), strict=True)
        ]
        words[_DTYPE] = _format(
            words[_DTYPE]
        )  # kernels of one product: in tf32, and the sum of its parts in fp32
        alike.setdefault(tuple(words), []).append(members[number])
    return [
        Group(
            op_class=op_class, operator=operator.rpartition("::")[2], shapes=_shapes(shapes),
            settings=_settings(settings), dtype=dtype, phase=phase, num_kernels=sum(map(len, parts)),
            flop=float(np.nansum(flop[np.concatenate(parts)])), size_bytes=float(size[np.concatenate(parts)].sum()),
            duration_s=float(duration[np.concatenate(parts)].sum()),
        )
        for (op_class, operator, shapes, settings, dtype, phase), parts in alike.items()
    ]  # fmt: skip


def _format(dtype: str) -> str:
    return "fp8" if dtype.startswith("float8") else FORMATS.get(dtype, "")


def _shapes(text: str) -> tuple[tuple[int, ...], ...]:
    read = json.loads(text) if text else []
    return tuple(tuple(shape) for shape in read if all(isinstance(size, int) for size in shape))


def _settings(text: str) -> dict[str, Any]:
    read = json.loads(text) if text else {}
    return read if isinstance(read, dict) else {}


def main_format(groups: Sequence[Group]) -> Any:
    """The format of most work; work in fp8 leaves the rest in bf16."""
    work: Counter[str] = Counter()
    for group in groups:
        if group.op_class in PRODUCTS and group.dtype:
            work[group.dtype] += int(group.flop) + 1
    return work.most_common(1)[0][0] if work else "fp32"
