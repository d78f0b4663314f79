"""Seconds of one operation on one accelerator: the roofline with measured efficiency."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from simtool.errors import InputError, Problem
from simtool.machine.attention import attention_time_s, unfused_attention_time_s
from simtool.machine.correction import correction_of
from simtool.machine.gemm import gemm_time_s
from simtool.machine.memory_bound import memory_time_s
from simtool.machine.power import CapLaw, cap_law, memory_slowdown, op_clocks
from simtool.profiles.schema import Accelerator
from simtool.stepgraph import PRODUCTS, Kind, Number, Op, Phase
from simtool.workload.precision import BYTES_PER_ELEMENT, PEAK_RATE

COMPUTE, MEMORY = "compute", "memory"
"""What bounds an operation, and so its power and its answer to a power cap."""

MEASURED_BYTES = 2.0
"""Size of an element of the products behind the shipped corrections: fp16 and bf16 [byte]."""


def peak_flop_per_s(accelerator: Accelerator, precision: str) -> float:
    """Dense peak rate of matrix work at `precision` [FLOP/s].

    Raises:
        InputError: the accelerator has no such rate: it cannot train at this precision.
    """
    peak, rate = accelerator.peak, PEAK_RATE.get(precision, precision)
    if rate not in peak:
        found = f"found {precision}, for which {accelerator.name} states no peak rate"
        raise InputError(
            Problem("", "workload.precision", found, "", f"use one of {', '.join(sorted(peak))}")
        )
    return float(peak[rate])


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One accelerator as the step model sees it."""

    accelerator: Accelerator
    attention_ratio: float
    """Attention time of the framework's kernel over the accelerator's curve."""
    product_ratio: float = 1.0
    """Time of matrix products under the framework over the accelerator's curve."""
    unfused_ratio: float = 1.0
    """Time of attention that writes its score matrix, over the count."""
    memory_ratio: float
    """Memory-bound time of the framework over the plain count."""
    clock: float = 1.0
    """Relative clock of compute-bound operations under the power cap."""
    memory_clock: float = 1.0
    """The same of memory-bound ones."""
    cap_law: CapLaw | None = None
    """By which a power cap set both clocks; None without a cap."""
    grouped_ratio: float = 1.0
    """Time of experts' grouped products over plain ones."""
    convolution_ratio: float = 1.0
    """Time of convolutions over matrix products of the same size."""
    low_precision_ratio: Mapping[str, float] = field(default_factory=dict)
    """Time of products in a format over the curve at its rate, by format: 8 and 4 bits, tf32, fp32."""
    irregular_ratio: Mapping[str, float] = field(default_factory=dict)
    """Time of memory-bound work that does not stream over the same bytes that do, by pattern."""
    is_measured_build: bool = False
    """Whether kernels are of the library build that the curves' corrections were measured on. The fine structure over
    sizes belongs to a build and does not carry: on kernels of other stacks and on training steps the coefficients
    alone are closer (`simtool validate --check kernels`)."""
    stack_ratio: float = 1.0
    """Time of all work under the framework on this architecture over the curves."""

    def peak_flop_per_s(self, precision: str) -> float:
        """Dense peak rate of matrix work at `precision` [FLOP/s].

        Raises:
            InputError: the accelerator has no such rate: it cannot train at this precision.
        """
        return peak_flop_per_s(self.accelerator, precision)

    def op_time_s(self, op: Op) -> dict[str, Number]:
        """Time of one execution, split into what computation and what memory bounds [s]."""
        return {bound: self.stack_ratio * seconds for bound, seconds in self._op_time_s(op).items()}

    def _op_time_s(self, op: Op) -> dict[str, Number]:
        accelerator = self.accelerator
        efficiency = accelerator.efficiency
        bandwidth = float(accelerator.memory.bandwidth)
        if op.kind is Kind.MEMORY:
            seconds = memory_time_s(op.bytes, bandwidth_bytes_per_s=bandwidth, curve=efficiency.memory)
            ratio = self.memory_ratio * self.irregular_ratio.get(op.pattern, 1.0)
            return {MEMORY: ratio * seconds * memory_slowdown(self.memory_clock)}
        # The clock scales what an operation computes, not what it moves: near the ridge it costs less.
        peak = self.peak_flop_per_s(op.dtype) * self.clock
        if op.kind in PRODUCTS:
            return {COMPUTE: self._product_time_s(op, peak, bandwidth)}
        backward = op.phase is not Phase.FORWARD
        if op.kind is Kind.ATTENTION:
            seconds = attention_time_s(
                op.k,
                1.0,
                op.m,
                op.n,
                peak_flop_per_s=peak,
                num_processors=accelerator.num_processors,
                bandwidth_bytes_per_s=bandwidth,
                element_bytes=BYTES_PER_ELEMENT[op.dtype],
                curve=efficiency.attention,
                num_keys=_keys(op, 0.5),
                backward=backward,
                correction=correction_of(efficiency.attention.correction) if self.is_measured_build else None,
            )
            return {COMPUTE: self.attention_ratio * seconds}
        if op.kind is Kind.UNFUSED_ATTENTION:
            # Passes over the score matrix dominate, so its power and its answer to a cap are memory's.
            seconds = unfused_attention_time_s(
                op.k,
                1.0,
                op.m,
                op.n,
                peak_flop_per_s=self.peak_flop_per_s(op.dtype),
                bandwidth_bytes_per_s=bandwidth,
                element_bytes=BYTES_PER_ELEMENT[op.dtype],
                memory=efficiency.memory,
                num_keys=_keys(op, 1.0),
                backward=backward,
            )
            return {MEMORY: self.unfused_ratio * seconds * memory_slowdown(self.memory_clock)}
        raise ValueError(f"{op.name}: {op.kind} is not device work")

    def _product_time_s(self, op: Op, peak: float, bandwidth: float) -> Number:
        efficiency = self.accelerator.efficiency
        # tables hold products of two-byte elements; a convolution walks its input in other steps
        alike = op.kind is not Kind.CONVOLUTION and BYTES_PER_ELEMENT[op.dtype] == MEASURED_BYTES
        alike = alike and self.is_measured_build
        seconds = gemm_time_s(
            op.m,
            op.n,
            op.k,
            peak_flop_per_s=peak,
            num_processors=self.accelerator.num_processors,
            bandwidth_bytes_per_s=bandwidth,
            element_bytes=BYTES_PER_ELEMENT[op.dtype],
            curve=efficiency.gemm,
            batch=op.batch,
            moved_bytes=None if op.kind is Kind.GEMM else op.bytes,
            correction=correction_of(efficiency.gemm.correction) if alike else None,
        )
        ratio = (
            self.product_ratio
            * float(efficiency.training_ratio)
            * self.low_precision_ratio.get(op.dtype, 1.0)
        )
        if op.dtype == "fp32" and efficiency.ordinary_ratio is not None:
            ratio *= float(efficiency.ordinary_ratio)
        if op.phase is Phase.BACKWARD_WEIGHT:
            ratio *= float(efficiency.gemm.weight_gradient_ratio)
        if op.kind is Kind.GROUPED_GEMM:
            ratio *= self.grouped_ratio
        if op.kind is Kind.CONVOLUTION:
            ratio *= self.convolution_ratio
        return ratio * seconds


def _keys(op: Op, masked_frac: float) -> Number:
    """Keys of an attention operation; where it states none, `masked_frac` of its queries."""
    return np.where(np.asarray(op.keys) > 0.0, op.keys, masked_frac * np.asarray(op.m))


def device_under_cap(
    accelerator: Accelerator,
    *,
    attention_ratio: float,
    memory_ratio: float,
    product_ratio: float = 1.0,
    unfused_ratio: float = 1.0,
    power_limit_w: float | None,
    idle_w: float,
    power_cap_w: float | None,
    grouped_ratio: float = 1.0,
    convolution_ratio: float = 1.0,
    low_precision_ratio: Mapping[str, float] | None = None,
    irregular_ratio: Mapping[str, float] | None = None,
    stack_ratio: float = 1.0,
) -> Device:
    """The device with its clocks lowered as far as the cap demands of either kind of operation.

    Args:
        accelerator: the board.
        attention_ratio: as in `Device`.
        memory_ratio: as in `Device`.
        power_limit_w: sustained board power without a cap [W].
        idle_w: idle power [W], static where the profile states no answer to a cap.
        power_cap_w: the cap [W]; None for no cap.
        grouped_ratio: as in `Device`.
        convolution_ratio: as in `Device`.
        low_precision_ratio: as in `Device`.
        irregular_ratio: as in `Device`.
        stack_ratio: as in `Device`.
    """
    clock, memory_clock, law = 1.0, 1.0, None
    if power_cap_w is not None and power_limit_w is not None:
        law, phase = cap_law(accelerator, idle_frac=idle_w / power_limit_w), accelerator.power.by_phase
        clock, memory_clock = op_clocks(
            law,
            compute_w=power_limit_w * float(phase.compute),
            memory_w=power_limit_w * float(phase.memory),
            limit_w=power_limit_w,
            cap_w=power_cap_w,
        )
    return Device(
        accelerator=accelerator,
        attention_ratio=attention_ratio,
        memory_ratio=memory_ratio,
        product_ratio=product_ratio,
        unfused_ratio=unfused_ratio,
        clock=clock,
        memory_clock=memory_clock,
        cap_law=law,
        grouped_ratio=grouped_ratio,
        convolution_ratio=convolution_ratio,
        low_precision_ratio=low_precision_ratio or {},
        irregular_ratio=irregular_ratio or {},
        stack_ratio=stack_ratio,
    )
