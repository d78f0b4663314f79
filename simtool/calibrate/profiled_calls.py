"""What profiled runs say of each operation: sizes, and the time of one call, once for every distinct shape.

A kernel has its share of its operator's work by its duration, so its duration over its share is the time of
the whole call, of however many kernels. Calls of one shape are one observation, their median: a trace of a
thousand steps says no more of a shape than that.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.calibrate.profiled_runs import Run
from simtool.calibrate.tables import FloatArray
from simtool.trace.kernels import NOTHING

FITTED = ("gemm", "attention", "memory")
"""Classes of work that have a curve."""
RATES: Mapping[str, str] = {
    "float64": "fp64", "float32": "fp32", "tf32": "tf32", "bfloat16": "bf16", "float16": "fp16", "int8": "int8",
    "float8": "fp8", "float8_e4m3fn": "fp8", "float8_e5m2": "fp8", "float8_e4m3fnuz": "fp8", "float8_e5m2fnuz": "fp8",
}  # fmt: skip
"""Rate of a profile by the number format of a trace."""
ITEM_BYTES: Mapping[str, float] = {
    "fp64": 8.0, "fp32": 4.0, "tf32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.0, "fp8": 1.0,
}  # fmt: skip
MIN_TIME_S = 1e-7
"""No kernel is shorter; a duration of nothing is a profiler's, not a device's."""
FLOP_TOLERANCE = 0.01
"""A share of an operation's work that is larger than the whole is of another operation than its shapes say."""
_BIASED = frozenset({"addmm", "addmm_", "baddbmm", "baddbmm_", "_addmm_activation"})
_PLAIN = frozenset({"mm", "bmm", "matmul", "_scaled_mm", "_int_mm"})
_CONVOLUTIONS = frozenset({"convolution", "_convolution", "cudnn_convolution", "miopen_convolution"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One shape of one operation, over all its calls in one run."""

    run: int
    op_class: str
    operator: str
    variant: str
    """Of attention the library."""
    rate: str
    """Number format as profiles name it."""
    phase: str
    layout: str
    """TN, NN or NT of a product; empty where the strides were not recorded."""
    sizes: Mapping[str, float]
    flop: float
    size_bytes: float
    time_s: float
    """Median over calls."""
    scatter_frac: float
    """Half the distance from the 10th to the 90th percentile, over the median."""
    num_calls: int
    total_s: float
    steps: Mapping[int, float]
    """Median in every step."""

    @property
    def is_backward(self) -> bool:
        """Whether it ran in the backward pass."""
        return self.phase == "backward" or "backward" in self.operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Time of one class of work in the traces, and how much of it has known sizes."""

    total_s: float
    known_s: float

    @property
    def known_frac(self) -> float:
        """Share of the time whose sizes are known."""
        return self.known_s / self.total_s if self.total_s > 0 else 0.0


def calls_of(runs: Sequence[Run]) -> list[Call]:
    """All distinct shapes of all runs."""
    return [call for number, run in enumerate(runs) for call in _of_run(number, run)]


def coverage(runs: Sequence[Run], calls: Sequence[Call]) -> dict[str, Coverage]:
    """Time by class of work, whether fitted or not."""
    total: dict[str, float] = {}
    for run in runs:
        numbers, words = run.kernels.texts("op_class")
        seconds = np.bincount(numbers, run.kernels.numbers("duration_s"), len(words))
        for word, time_s in zip(words, seconds.tolist(), strict=True):
            total[word] = total.get(word, 0.0) + time_s
    known = {word: sum(call.total_s for call in calls if call.op_class == word) for word in total}
    return {word: Coverage(total_s=total[word], known_s=min(known[word], total[word])) for word in total}


_KEYS = ("op_class", "operator", "shapes", "settings", "dtype", "phase", "variant")


def _of_run(number: int, run: Run) -> Iterator[Call]:
    kernels = run.kernels
    texts = {name: kernels.texts(name) for name in _KEYS}
    duration = kernels.numbers("duration_s")
    chosen = kernels.where("op_class", *FITTED, "conv") & (texts["shapes"][0] != NOTHING)
    chosen &= (texts["operator"][0] != NOTHING) & (duration >= MIN_TIME_S) & np.isfinite(duration)
    places = np.flatnonzero(chosen)
    if not len(places):
        return
    codes = np.stack([texts[name][0][places] for name in _KEYS], 1)
    distinct, which = np.unique(codes, axis=0, return_inverse=True)
    order = np.argsort(which.reshape(-1), kind="stable")
    borders = np.flatnonzero(np.diff(which.reshape(-1)[order])) + 1
    work = (duration, kernels.numbers("flop"), kernels.numbers("size_bytes"), kernels.numbers("step"))
    for code, members in zip(distinct.tolist(), np.split(places[order], borders), strict=True):
        told = {
            name: texts[name][1][word] if word != NOTHING else ""
            for name, word in zip(_KEYS, code, strict=True)
        }
        call = _call(number, told, *(values[members] for values in work))
        if call is not None:
            yield call


def _call(
    run: int, told: Mapping[str, str], duration_s: FloatArray, flop: FloatArray, moved: FloatArray,
    step: NDArray[np.int64],
) -> Call | None:  # fmt: skip
    """One observation, or None where the sizes do not follow from what was recorded."""
    op_class = told["op_class"]
    described = sizes_of(op_class, told["operator"], told["shapes"], told["settings"])
    if described is None:
        return None
    sizes, whole = dict(described[0]), described[1]
    if op_class == "memory":
        known = (moved > 0) & np.isfinite(moved)
        time_s, work_bytes = duration_s[known], moved[known]
        if not len(time_s):
            return None
        sizes["num_bytes"] = size_bytes = float(np.median(work_bytes))
    else:
        share = flop / whole
        known = (share > 0) & (share <= 1.0 + FLOP_TOLERANCE)
        if not known.any():
            return None
        time_s = duration_s[known] / np.minimum(share[known], 1.0)
        size_bytes = float(np.nanmedian(moved[known] / share[known])) if (moved[known] > 0).any() else 0.0
    steps = step[known]
    low_s, middle_s, high_s = (float(one) for one in np.percentile(time_s, [10, 50, 90]))
    settings = json.loads(told["settings"] or "{}")
    return Call(
        run=run, op_class=op_class, operator=told["operator"], variant=told["variant"],
        rate=RATES.get(told["dtype"], ""), phase=told["phase"], layout=settings.get("layout", ""), sizes=sizes,
        flop=whole, size_bytes=size_bytes, time_s=middle_s, scatter_frac=(high_s - low_s) / (2.0 * middle_s),
        num_calls=len(time_s), total_s=float(duration_s[known].sum()),
        steps={int(one): float(np.median(time_s[steps == one])) for one in np.unique(steps).tolist()},
    )  # fmt: skip


Described = tuple[tuple[tuple[str, float], ...], float]


@lru_cache(maxsize=2**16)
def sizes_of(op_class: str, operator: str, shapes: str, settings: str) -> Described | None:
    """Sizes by name and the operations of one call [FLOP]; None where they do not follow from the shapes.

    >>> sizes_of("gemm", "aten::mm", "[[512,64],[64,256]]", "")
    ((('batch', 1.0), ('m', 512.0), ('n', 256.0), ('k', 64.0)), 16777216.0)
    >>> sizes, flop = sizes_of("attention", "aten::_flash_attention_forward", "[[2,8,4,64],[2,8,4,64],[2,8,4,64]]",
    ...                        '{"causal":true}')
    >>> dict(sizes)["num_keys"], flop  # 36 of 64 pairs, 2 x 4 heads, twice 2 x 64
    (4.5, 73728.0)
    """
    base = operator.rpartition("::")[2]
    try:
        read = json.loads(shapes)
        facts = json.loads(settings) if settings else {}
        if op_class == "gemm":
            return _product(base, read)
        if op_class == "attention":
            return _attention(base, read, facts["causal"])
        if op_class == "conv":
            return _convolution(base, read, facts)
        return (), 0.0
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None


def _positive(sizes: Mapping[str, Any], flop: float) -> Described | None:
    found = tuple((name, float(size)) for name, size in sizes.items())
    good = all(math.isfinite(size) and size > 0 for _, size in found)
    return (found, flop) if good and math.isfinite(flop) and flop > 0 else None


def _product(base: str, shapes: Sequence[Sequence[int]]) -> Described | None:
    if base == "linear":
        given, weight = shapes[0], shapes[1]
        batch, rows, inner, columns = 1, math.prod(given[:-1]), given[-1], weight[0]
        matches = len(weight) == 2 and inner == weight[1]
    elif base in _BIASED or base in _PLAIN:
        left, right = shapes[1:3] if base in _BIASED else shapes[0:2]
        rows, inner, columns = left[-2], left[-1], right[-1]
        batch = math.prod(left[:-2])
        matches = len(left) == len(right) and inner == right[-2] and list(left[:-2]) == list(right[:-2])
    else:
        return None
    sizes = {"batch": batch, "m": rows, "n": columns, "k": inner}
    return _positive(sizes, 2.0 * batch * rows * columns * inner) if matches else None


def _attention(base: str, shapes: Sequence[Sequence[int]], causal: bool) -> Described | None:
    backward = "backward" in base
    queries, keys, values = shapes[int(backward) : 3 + int(backward)]
    head, length = (1, 2) if base.startswith("_scaled_dot_product") else (2, 1)
    num_queries, num_keys = queries[length], keys[length]
    pairs = float(num_queries * num_keys)
    if causal:
        seen = min(num_queries, num_keys)
        pairs = num_queries * num_keys - seen * (seen - 1) / 2 - max(0, num_queries - num_keys) * num_keys
    width, value_width = queries[3], values[3]
    one = 2.0 * queries[0] * queries[head] * pairs
    sizes = {
        "batch": queries[0], "num_heads": queries[head], "seq_len": num_queries, "head_dim": width,
        "num_kv_heads": keys[head], "num_keys": pairs / num_queries,
    }  # fmt: skip
    return _positive(sizes, one * (3 * width + 2 * value_width) if backward else one * (width + value_width))


def _convolution(base: str, shapes: Sequence[Sequence[int]], facts: Mapping[str, Any]) -> Described | None:
    """As the product that it comes to: output places by output channels, over input channels and taps."""
    if base not in _CONVOLUTIONS or facts.get("transposed") or facts["groups"] != 1:
        return None
    given, weight = shapes[0], shapes[1]
    outputs = given[0]
    for axis, (size, taps) in enumerate(zip(given[2:], weight[2:], strict=True)):
        stride, padding, dilation = (
            facts[name][axis if len(facts[name]) == len(weight) - 2 else 0]
            for name in ("stride", "padding", "dilation")
        )
        outputs *= (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1
    inner = weight[1] * math.prod(weight[2:])
    sizes = {"batch": 1, "m": outputs, "n": weight[0], "k": inner}
    return _positive(sizes, 2.0 * outputs * weight[0] * inner)
