"""Time of operations that only move bytes: norms, activations, residual sums, optimizers."""

from __future__ import annotations

from typing import Protocol, SupportsFloat

from simtool.stepgraph import Number


class MemoryCurve(Protocol):
    """The coefficients of `memory_time_s`: `profiles.curves.MemoryBound`, or plain floats during a fit."""

    @property
    def bandwidth_frac(self) -> SupportsFloat:
        """Share of the memory bandwidth."""

    @property
    def latency(self) -> SupportsFloat:
        """Time of the smallest kernel [s]."""


def memory_time_s(num_bytes: Number, *, bandwidth_bytes_per_s: Number, curve: MemoryCurve) -> Number:
    """Time of one kernel that moves `num_bytes` to and from device memory [s].

    ``num_bytes / (bandwidth x bandwidth_frac) + latency``. Holds for data that the cache does not
    already hold, which is the rule between the operations of a training step.

    Args:
        num_bytes: bytes read plus bytes written; arrays broadcast.
        bandwidth_bytes_per_s: device memory bandwidth [byte/s].
        curve: the efficiency coefficients.

    >>> from types import SimpleNamespace
    >>> curve = SimpleNamespace(bandwidth_frac=0.8, latency=2e-6)
    >>> memory_time_s(1.6e9, bandwidth_bytes_per_s=2e12, curve=curve)  # 1.6 GB at 1.6 TB/s
    0.001002
    """
    return num_bytes / (bandwidth_bytes_per_s * float(curve.bandwidth_frac)) + float(curve.latency)
