"""From the kernels of a suite's trace to tables that curves are fitted to, and to figures that are read off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.calibrate.tables import TRAINING_FLOP, TRAINING_ROWS, FloatArray, KernelTable
from simtool.calibrate.trace_rows import Kernel, products_of
from simtool.rng import stream

if TYPE_CHECKING:
    from simtool.trace import Trace

PROFILE_DTYPES: Mapping[str, str] = {
    "float32": "fp32",
    "tfloat32": "tf32",
    "float16": "fp16",
    "bfloat16": "bf16",
}
"""Number formats as the trace names them, and as profiles do."""
ELEMENT_BYTES: Mapping[str, float] = {"float32": 4.0, "tfloat32": 4.0, "float16": 2.0, "bfloat16": 2.0}
LATENCY_BYTES = 1e6
"""Streaming kernels up to this size show what a launch costs."""
CACHE_FACTOR = 2.0
"""Streaming kernels from this multiple of the cache on show what memory does; between the two, the cache."""
UNKNOWN_CACHE_BYTES = 64.0 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSize:
    """From where on a kernel counts as one of training."""

    rows: int
    flop: float

    @property
    def words(self) -> str:
        """As a comment in a file."""
        return f"held-out shapes of training size: from {self.rows} rows and {self.flop / 1e6:,.0f} MFLOP"


TRAINING_SIZES: Mapping[str, TrainingSize] = {
    "cuda": TrainingSize(rows=TRAINING_ROWS, flop=TRAINING_FLOP),
    "cpu": TrainingSize(rows=64, flop=1e7),
}
"""By kind of device: a kernel of about 10 microseconds on an accelerator, of 100 on a CPU."""


def timed(kernels: Sequence[Kernel], **wanted: str) -> list[Kernel]:
    """Kernels with a time, and with these facts."""
    return [
        kernel
        for kernel in kernels
        if math.isfinite(kernel.time_s)
        and all(getattr(kernel, name) == value for name, value in wanted.items())
    ]


def best_rates(kernels: Sequence[Kernel]) -> dict[str, float]:
    """Highest rate of products that was sustained, by number format of profiles [FLOP/s]."""
    best: dict[str, float] = {}
    for kernel in timed(kernels, op="mm"):
        if (dtype := PROFILE_DTYPES.get(kernel.dtype)) and kernel.part in ("gemm", "power"):
            best[dtype] = max(best.get(dtype, 0.0), kernel.flop_per_s)
    return best


def best_bandwidth(kernels: Sequence[Kernel], cache_bytes: float) -> float:
    """Highest bandwidth that was sustained on what no cache holds; 0 where there is no such kernel [byte/s]."""
    large = [
        kernel
        for kernel in timed(kernels, part="bandwidth")
        if kernel.size_bytes > CACHE_FACTOR * cache_bytes
    ]
    return max((kernel.bytes_per_s for kernel in large), default=0.0)


def gemm_table(kernels: Sequence[Kernel], dtype: str, size: TrainingSize, seed: int) -> KernelTable:
    """Products as a linear layer's forward pass has them; one group for each weight."""
    chosen = timed(kernels, part="gemm", op="mm", layout="TN", dtype=dtype)
    columns = {name: _column(chosen, name) for name in ("m", "n", "k")}
    flop = np.array([kernel.flop for kernel in chosen])
    return KernelTable(
        columns=columns,
        time_s=_times(chosen),
        work=flop,
        group=_groups([(kernel.sizes["n"], kernel.sizes["k"]) for kernel in chosen], "gemm", seed),
        is_training=(columns["m"] >= size.rows) & (flop > size.flop),
    )


def attention_table(kernels: Sequence[Kernel], dtype: str, size: TrainingSize, seed: int) -> KernelTable:
    """Causal attention, forward; one group for each number of heads and size of a head."""
    chosen = timed(kernels, part="attention", op="attention", dtype=dtype)
    columns = {name: _column(chosen, name) for name in ("batch", "num_heads", "seq_len", "head_dim")}
    flop = np.array([kernel.flop for kernel in chosen])
    heads = [(kernel.sizes["num_heads"], kernel.sizes["head_dim"]) for kernel in chosen]
    return KernelTable(
        columns=columns,
        time_s=_times(chosen),
        work=flop,
        group=_groups(heads, "attention", seed),
        is_training=(columns["seq_len"] >= size.rows) & (flop > size.flop),
    )


def memory_table(kernels: Sequence[Kernel], cache_bytes: float, seed: int) -> KernelTable:
    """Streaming kernels beyond the cache, and those so small that they show the launch; a group for each size."""
    chosen = [
        kernel
        for kernel in timed(kernels, part="bandwidth")
        if kernel.size_bytes < LATENCY_BYTES or kernel.size_bytes > CACHE_FACTOR * cache_bytes
    ]
    moved = np.array([kernel.size_bytes for kernel in chosen])
    # kernels of one size carry one number, whatever they do with it
    bands = [(round(8.0 * math.log2(kernel.size_bytes)),) for kernel in chosen]
    return KernelTable(
        columns={"num_bytes": moved},
        time_s=_times(chosen),
        work=moved,
        group=_groups(bands, "bandwidth", seed),
        is_training=moved > CACHE_FACTOR * cache_bytes,
    )


def _column(kernels: Sequence[Kernel], name: str) -> FloatArray:
    return np.array([kernel.sizes[name] for kernel in kernels])


def _times(kernels: Sequence[Kernel]) -> FloatArray:
    return np.array([kernel.time_s for kernel in kernels])


def _groups(keys: Sequence[tuple[float, ...]], purpose: str, seed: int) -> Any:
    """Number of each shape, in an order drawn by the seed: which shapes are held out together is chance."""
    distinct = sorted(set(keys))
    drawn = stream(seed, "calibrate", purpose).permutation(len(distinct))
    number = {key: int(place) for key, place in zip(distinct, drawn, strict=True)}
    return np.array([number[key] for key in keys], dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Middle:
    """A figure over several kernels: the middle, how they scatter, and how many they are."""

    value: float
    spread: float
    """Relative standard deviation."""
    num: int


def middle(values: Sequence[float]) -> Middle | None:
    """Median of positive numbers and the scatter of their logarithms; None of fewer than two."""
    if len(values) < 2:
        return None
    return Middle(float(np.median(values)), float(np.std(np.log(values))), len(values))


def layout_ratio(kernels: Sequence[Kernel], layout: str, size: TrainingSize) -> Middle | None:
    """Time of products in a layout over those of the forward pass, at the same sizes."""
    forward = {_key(kernel): kernel.time_s for kernel in timed(kernels, part="gemm", layout="TN")}
    return middle(
        [
            kernel.time_s / forward[_key(kernel)]
            for kernel in timed(kernels, part="gemm", layout=layout)
            if _key(kernel) in forward and kernel.flop > size.flop
        ]
    )


def backward_ratio(kernels: Sequence[Kernel], size: TrainingSize) -> Middle | None:
    """Time of attention's backward over its forward, at the same sizes."""
    forward = {_key(kernel): kernel.time_s for kernel in timed(kernels, op="attention", part="attention")}
    return middle(
        [
            kernel.time_s / forward[_key(kernel)]
            for kernel in timed(kernels, op="attention_backward")
            if _key(kernel) in forward and kernel.flop > size.flop
        ]
    )


def _key(kernel: Kernel) -> tuple[Any, ...]:
    return (kernel.dtype, *sorted(kernel.sizes.items()))


Price = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def training_ratio(
    trace: Trace, dtype: str, size: TrainingSize, price_s: Price, weight_ratio: float
) -> Middle | None:
    """Time of products within training steps over that of the same products alone.

    Args:
        trace: with operations of steps.
        dtype: of the products that were measured alone.
        size: below it a product is not counted.
        price_s: seconds of products alone, from rows, columns and inner sizes.
        weight_ratio: what a weight's gradient takes longer.

    Returns:
        The median over tasks of the ratio of their sums; None where fewer than two tasks have such products.
        On a shared CPU operations are timed on the wall, so the undisturbed ones count.

    Raises:
        InputError: no operations of steps are there, or they hold what none can have left.
    """
    sums: dict[str, list[float]] = {}
    for product in products_of(trace):
        m, n, k = product.sizes
        if product.dtype != dtype or m < size.rows or 2.0 * m * n * k <= size.flop:
            continue
        factor = weight_ratio if product.phase == "backward_weight" else 1.0
        alone_s = factor * product.calls * float(price_s(np.array([m]), np.array([n]), np.array([k]))[0])
        held = sums.setdefault(product.task, [0.0, 0.0])
        held[0] += product.time_s
        held[1] += alone_s
    return middle([within_s / alone_s for within_s, alone_s in sums.values()])


def launch_floor_s(kernels: Sequence[Kernel]) -> dict[str, float]:
    """Time of the smallest call of each kind, by ``op mode`` [s]."""
    return {f"{kernel.op} {kernel.mode}": kernel.time_s for kernel in timed(kernels, part="launch")}


def power_w(kernels: Sequence[Kernel], *ops: str) -> list[float]:
    """Measured power of the long points of some kinds [W]."""
    return [
        kernel.power_w
        for kernel in kernels
        if kernel.part == "power" and kernel.op in ops and math.isfinite(kernel.power_w)
    ]
