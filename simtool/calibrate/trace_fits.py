"""Curves and figures of the device that a suite's trace measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from simtool.calibrate import trace_tables as tables
from simtool.calibrate.fit import (
    ATTENTION,
    GEMM,
    MEMORY,
    NUM_FOLDS,
    Coefficient,
    Device,
    Fit,
    fit_curve,
    fit_gemm,
    fit_memory,
)
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.calibrate.trace_rows import Kernel, kernels_of
from simtool.calibrate.trace_tables import Middle, TrainingSize
from simtool.errors import InputError, Problem
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s

if TYPE_CHECKING:
    from simtool.trace import Trace

HEADROOM = 1.25
"""Rates are fitted within this multiple of the best measured one where no maker states the limit: the limit
that a curve approaches lies above every kernel on it."""
LATENCY_DEVIATION = 0.1
"""How far the time of the smallest kernel may be from that of the tiny call that was measured."""
LEAST_TRAINING = 10
"""Kernels of training size below which a curve is no finding."""
WORDS = {"gemm": "matrix products", "attention": "attention", "memory": "streaming kernels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFigures:
    """Measured power; what was not measured is None."""

    idle_w: float | None = None
    """With no context on the device."""
    limit_w: float | None = None
    compute_w: tuple[float, ...] = ()
    """Of each long point that computes."""
    memory_w: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a trace tells of its device."""

    device: Device
    """With the rates that the curves are shares of: the maker's, or else the best measured ones or what the
    curves approach, whichever is higher."""
    dtype: str
    """Number format that the curves were fitted to, as the trace names it."""
    size: TrainingSize
    rates: Mapping[str, float]
    """Best sustained rate by number format of profiles [FLOP/s]."""
    bandwidth_bytes_per_s: float
    """Best sustained bandwidth."""
    gemm: Fit
    attention: Fit | None
    memory: Fit
    weight_gradient: Middle | None
    attention_backward: Middle | None
    training: Middle | None
    launch_floor_s: Mapping[str, float]
    power: PowerFigures


def findings(
    trace: Trace, *, peak_flop_per_s: float | None, bandwidth_bytes_per_s: float | None, seed: int
) -> Findings:
    """Fit everything that a trace holds.

    Args:
        trace: of a suite.
        peak_flop_per_s: of a data sheet, at the number format that was swept; if None, the best measured rate
            or what the curve approaches, whichever is higher.
        bandwidth_bytes_per_s: of a data sheet; if None it is found likewise.
        seed: of the draw of shapes that are held out together.

    Raises:
        InputError: no suite's trace, or one with too few products or streaming kernels.
    """
    kernels = kernels_of(trace)
    told = trace.manifest.device
    where = str(trace.folder)
    if not kernels:
        found, mend = "holds no kernels", "name the folder that 'simtool measure --suite' left"
        raise InputError(Problem(where, "kernels", found, "", mend))
    dtype = main_dtype(kernels)
    size = tables.TRAINING_SIZES["cpu" if told.kind == "cpu" else "cuda"]
    cache_bytes = told.cache_size_bytes or tables.UNKNOWN_CACHE_BYTES
    rates = tables.best_rates(kernels)
    bandwidth = tables.best_bandwidth(kernels, cache_bytes)
    gemm_rows = tables.gemm_table(kernels, dtype, size, seed)
    memory_rows = tables.memory_table(kernels, cache_bytes, seed)
    attention_rows = tables.attention_table(kernels, dtype, size, seed)
    short = [
        Problem(where, what, f"holds {_counted(rows)}", f"{LEAST_TRAINING} of training size, {NUM_FOLDS} shapes",
                "measure longer: the same command goes on where it stopped")
        for what, rows in (("gemm", gemm_rows), ("bandwidth", memory_rows))
        if not _is_enough(rows)
    ]  # fmt: skip
    if short:
        raise InputError(short)
    best = rates[tables.PROFILE_DTYPES[dtype]]
    device = Device(
        peak_flop_per_s=peak_flop_per_s or HEADROOM * best,
        num_processors=told.num_processors or 1,
        bandwidth_bytes_per_s=bandwidth_bytes_per_s or HEADROOM * bandwidth,
        cache_bytes=cache_bytes,
        element_bytes=tables.ELEMENT_BYTES[dtype],
    )
    floor_s = tables.launch_floor_s(kernels)
    memory = fit_memory(memory_rows, device, _with_floor(MEMORY, floor_s, "add", told.kind))
    if bandwidth_bytes_per_s is None:
        memory, limit = _settled(memory, "bandwidth_frac", device.bandwidth_bytes_per_s, bandwidth)
        device = replace(device, bandwidth_bytes_per_s=limit)
    gemm = fit_gemm(gemm_rows, device, _with_floor(GEMM, floor_s, "mm", told.kind))
    if peak_flop_per_s is None:
        gemm, limit = _settled(gemm, "peak_frac", device.peak_flop_per_s, best)
        device = replace(device, peak_flop_per_s=limit)
    weight_gradient = tables.layout_ratio(kernels, "NT", size)
    return Findings(
        device=device,
        dtype=dtype,
        size=size,
        rates=rates,
        bandwidth_bytes_per_s=bandwidth,
        gemm=gemm,
        attention=_fit_attention(attention_rows, device) if _is_enough(attention_rows) else None,
        memory=memory,
        weight_gradient=weight_gradient,
        attention_backward=tables.backward_ratio(kernels, size),
        training=tables.training_ratio(
            trace, dtype, size, _price(gemm.curve, device), weight_gradient.value if weight_gradient else 1.0
        ),
        launch_floor_s=floor_s,
        power=_power(kernels, trace),
    )


def _with_floor(
    coefficients: Mapping[str, Coefficient], floor_s: Mapping[str, float], op: str, kind: str
) -> Mapping[str, Coefficient]:
    """The priors, with the latency of a tiny call in place of the usual one.

    On an accelerator that is a call within a graph: alone it would wait for the host, which a profile of the
    device does not hold.
    """
    measured_s = floor_s.get(f"{op} {'eager' if kind == 'cpu' else 'graph'}")
    if measured_s is None:
        return coefficients
    return {**coefficients, "latency": Coefficient(measured_s, LATENCY_DEVIATION)}


def _settled(fit: Fit, name: str, headroom: float, best: float) -> tuple[Fit, float]:
    """A curve as a share of the stated limit, and that limit: what it approaches, or the best rate if higher."""
    reached = fit.values[name] * headroom
    limit = max(reached, best)
    return replace(fit, values={**fit.values, name: reached / limit}), limit


def main_dtype(kernels: Sequence[Kernel]) -> str:
    """The number format of most products."""
    found = [kernel.dtype for kernel in tables.timed(kernels, part="gemm", op="mm")]
    known = [dtype for dtype in found if dtype in tables.PROFILE_DTYPES]
    return max(dict.fromkeys(known), key=known.count, default="float32")


def _counted(rows: KernelTable) -> str:
    return f"{np.count_nonzero(rows.is_training)} kernels of training size, {rows.num_groups} shapes"


def _is_enough(rows: KernelTable) -> bool:
    if rows.num_groups < NUM_FOLDS or np.count_nonzero(rows.is_training) < LEAST_TRAINING:
        return False
    folds = rows.group % NUM_FOLDS
    return all(rows.is_training[folds != fold].any() for fold in range(NUM_FOLDS))


def _fit_attention(rows: KernelTable, device: Device) -> Fit:
    """As `fit.fit_attention`, of kernels that write no cache of keys and values."""

    def predict(curve: SimpleNamespace, chosen: KernelTable) -> FloatArray:
        c = chosen.columns
        time_s = attention_time_s(
            c["batch"],
            c["num_heads"],
            c["seq_len"],
            c["head_dim"],
            peak_flop_per_s=device.peak_flop_per_s,
            num_processors=device.num_processors,
            bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
            element_bytes=device.element_bytes,
            curve=curve,
        )
        return np.asarray(time_s)

    kept = {name: coefficient for name, coefficient in ATTENTION.items() if not coefficient.is_nuisance}
    return fit_curve(rows, kept, predict)


def _price(curve: SimpleNamespace, device: Device) -> tables.Price:
    def price_s(m: FloatArray, n: FloatArray, k: FloatArray) -> FloatArray:
        time_s = gemm_time_s(
            m,
            n,
            k,
            peak_flop_per_s=device.peak_flop_per_s,
            num_processors=device.num_processors,
            bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
            element_bytes=device.element_bytes,
            curve=curve,
        )
        return np.asarray(time_s)

    return price_s


def _power(kernels: list[Kernel], trace: Trace) -> PowerFigures:
    if trace.manifest.power.kind != "measured":
        return PowerFigures()
    idle = tables.power_w(kernels, "idle")
    return PowerFigures(
        idle_w=idle[0] if idle else None,
        limit_w=trace.manifest.device.power_limit_w,
        compute_w=tuple(tables.power_w(kernels, "mm")),
        memory_w=tuple(tables.power_w(kernels, "copy")),
    )
