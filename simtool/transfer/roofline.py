"""What the machine model says of an operation on one accelerator, and how much of it is latency."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from simtool.machine.device import Device
from simtool.profiles.curves import Attention, Gemm, MemoryBound
from simtool.profiles.schema import Accelerator
from simtool.stepgraph import PRODUCTS, Kind, Op
from simtool.transfer.constants import ModelClass
from simtool.transfer.work import Work, large
from simtool.workload.precision import BYTES_PER_ELEMENT

_KINDS: dict[ModelClass, Kind] = {
    "gemm": Kind.GEMM, "attention": Kind.ATTENTION, "conv": Kind.CONVOLUTION, "memory": Kind.MEMORY
}  # fmt: skip
_LIKE = ("bf16", "fp16", "fp32")
"""Formats whose efficiency stands for that of formats without their own, the first that there is."""


@dataclass(frozen=True, slots=True)
class Modelled:
    """Time of one operation by the machine model."""

    time_s: float
    work_frac: float
    """Share of operations and bytes in it; the rest is latency."""


@dataclass(frozen=True)
class Roofline:
    """One accelerator's machine model, for isolated kernels.

    What the profile adds for sustained training (`training_ratio`) is left out: the measured durations hold
    what their run did to its device.

    Args:
        accelerator: its profile.
    """

    accelerator: Accelerator

    @cached_property
    def _device(self) -> Device:
        return Device(
            accelerator=self.accelerator, attention_ratio=1.0, memory_ratio=1.0, is_measured_build=True
        )

    def rate_of(self, dtype: str) -> str | None:
        """The rate that products in a format run at; tf32 is full precision where there is no such rate.

        >>> from simtool.profiles.find import default_library
        >>> volta = Roofline(default_library().get("accelerator", "v100-sxm2-32"))
        >>> volta.rate_of("tf32"), volta.rate_of("bf16")
        ('fp32', None)
        """
        peak = self.accelerator.peak
        name = "fp32" if dtype == "tf32" and "tf32" not in peak else dtype
        return name if name in peak else None

    def modelled(self, work: Work) -> Modelled:
        """Time of an operation whose format has a rate here."""
        op = work.op
        if op.kind is not Kind.MEMORY:
            op = replace(op, dtype=self.rate_of(op.dtype) or op.dtype)
        whole_s = self._time_s(op)
        latency_s = self.floor_s(self._class(op))
        # The latency is paid by every kernel, whatever its share of the work.
        work_s = work.share * max(0.0, whole_s - latency_s)
        time_s = latency_s + work_s
        return Modelled(time_s, work_s / time_s if time_s > 0 else 1.0)

    def large_s(self, model_class: ModelClass, dtype: str) -> float:
        """Time of work so large that latency does not count [s].

        A format that the machine model does not price takes the time of one that it does, at its own rate.
        """
        kind, rate = _KINDS[model_class], self.rate_of(dtype) or dtype
        if kind is Kind.MEMORY or rate in BYTES_PER_ELEMENT:
            return self._time_s(large(kind, rate))
        peak = self.accelerator.peak
        like = next(name for name in (*_LIKE, *peak) if name in peak)
        return self._time_s(large(kind, like)) * float(peak[like]) / float(peak[rate])

    def floor_s(self, model_class: ModelClass) -> float:
        """Time of the smallest kernel of a class [s]."""
        return float(self.section(model_class).latency)

    def section(self, model_class: ModelClass) -> Gemm | Attention | MemoryBound:
        """The profile's curve of a class; convolutions are priced as products."""
        efficiency = self.accelerator.efficiency
        if model_class == "attention":
            return efficiency.attention
        return efficiency.memory if model_class == "memory" else efficiency.gemm

    def spread(self, model_class: ModelClass, work_frac: float) -> float:
        """Relative standard deviation of the curve, as far as its main constants tell it."""
        section = self.section(model_class)
        limit = section.bandwidth_frac if isinstance(section, MemoryBound) else section.peak_frac
        of_work, of_floor = limit.spread or 0.0, section.latency.spread or 0.0
        return work_frac * of_work + (1.0 - work_frac) * of_floor

    def _time_s(self, op: Op) -> float:
        seconds = float(sum(float(part) for part in self._device.op_time_s(op).values()))
        if op.kind in PRODUCTS:
            seconds /= float(self.accelerator.efficiency.training_ratio)
        return seconds

    @staticmethod
    def _class(op: Op) -> ModelClass:
        return next(name for name, kind in _KINDS.items() if kind is op.kind)
