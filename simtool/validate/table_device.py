"""A device whose products and attention take measured times, where somebody measured its very kernels."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.machine.device import MEMORY, Device
from simtool.stepgraph import Kind, Number, Op, Phase
from simtool.units import BYTES_PER_GIB, TERA

SUSTAINED = ((1e11, 1.0), (TERA, 1.14), (np.inf, 1.065))
"""Time of a product in loops of a second and more over that in short bursts, up to a size in FLOP: B200, the same
shapes in two of aiconfigurator's tables (vLLM 0.22, sustained, and 0.24, bursts; Apache-2.0). The board throttles.
"""
FLASH_BACKWARD_FLOP = 2.5
"""Products of the flash backward over those of the forward, as SimuMax counts them: five to two."""
LAYOUTS = {"TN": Phase.FORWARD, "NN": Phase.BACKWARD_INPUT, "NT": Phase.BACKWARD_WEIGHT}
STAGES = {
    "fwd": Phase.FORWARD,
    "bwd_grad_act": Phase.BACKWARD_INPUT,
    "bwd_grad_w": Phase.BACKWARD_WEIGHT,
}

Shape = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KernelTimes:
    """Measured kernels of one kind: shapes (one a row) and times."""

    shapes: NDArray[np.float64]
    time_s: NDArray[np.float64]

    def nearest(self, shape: Shape) -> tuple[Shape, float]:
        """The measured shape with the least sum of |log ratios|, and its time [s].

        >>> times = KernelTimes(np.array([[8.0, 8.0], [64.0, 8.0]]), np.array([1.0, 2.0]))
        >>> times.nearest((48.0, 8.0))
        ((64.0, 8.0), 2.0)
        """
        place = int(np.argmin(np.sum(np.abs(np.log(self.shapes / np.array(shape))), axis=1)))
        return tuple(float(size) for size in self.shapes[place]), float(self.time_s[place])


Tables = Mapping[tuple[Kind, Phase], KernelTimes]
"""By kind of operation and phase."""


PERMUTATIONS = ("expert_permutation", "expert_arrival", "expert_sum")
"""Operations of the step graph that the permutation kernels do."""


@dataclass(frozen=True, kw_only=True)
class TableDevice(Device):
    """Measured time at the nearest measured shape, carried to the shape asked for by the device's curve.

    At a measured shape this is the measured time. Products last longer under sustained load (`SUSTAINED`).
    One layout at a time.
    """

    tables: Tables
    permute_bytes_per_s: Mapping[Phase, float] = field(default_factory=dict)
    """Rate of sorting tokens by expert and back."""

    def op_time_s(self, op: Op) -> dict[str, Number]:
        """As `Device.op_time_s`."""
        curve = super().op_time_s(op)
        if op.name in PERMUTATIONS and op.phase in self.permute_bytes_per_s:
            latency = float(self.accelerator.efficiency.memory.latency)
            return {MEMORY: op.bytes / self.permute_bytes_per_s[op.phase] + latency}
        times = self.tables.get((op.kind, op.phase))
        if times is None:
            return curve
        near, measured_s = times.nearest(_shape_of(op))
        there = super().op_time_s(_with_shape(op, near))
        ratio = measured_s / float(sum(np.asarray(seconds) for seconds in there.values()))
        if op.kind is not Kind.ATTENTION:
            ratio *= sustained_ratio(float(np.asarray(2.0 * op.m * op.n * op.k * op.batch)))
        return {bound: ratio * seconds for bound, seconds in curve.items()}


def sustained_ratio(flop: float) -> float:
    """`SUSTAINED` at a product of `flop` operations.

    >>> sustained_ratio(5e10), sustained_ratio(5e11)
    (1.0, 1.14)
    """
    return next(ratio for limit, ratio in SUSTAINED if flop < limit)


def _shape_of(op: Op) -> Shape:
    m, n, k, batch = (float(np.asarray(size)) for size in (op.m, op.n, op.k, op.batch))
    if op.kind is Kind.ATTENTION:
        keys = float(np.asarray(op.keys)) or 0.5 * m
        return 2.0 * keys, k * m / (2.0 * keys), n  # the sequence, heads of whole sequences, their width
    if op.phase is Phase.BACKWARD_WEIGHT:
        m, n = sorted((m, n))
    return (m, n, k) if op.kind is Kind.GEMM else (batch, m, n, k)


def _with_shape(op: Op, shape: Shape) -> Op:
    if op.kind is Kind.ATTENTION:
        length, heads, width = shape
        return replace(op, m=length, k=heads, n=width, keys=0.5 * length)
    batch, m, n, k = shape if len(shape) == 4 else (1.0, *shape)
    moved = op.bytes * batch * (m * k + k * n + m * n)
    here = op.batch * (op.m * op.k + op.k * op.n + op.m * op.n)
    return replace(op, m=m, n=n, k=k, batch=batch, bytes=moved / here)


def read_simumax_kernels(path: Path) -> Tables:
    """Times of products, grouped products and attention from a SimuMax system file.

    Rates there are shares of the peak rate stated beside them; attention counts the whole square of queries
    and keys.

    Raises:
        InputError: the file is missing or damaged.
    """
    found: dict[tuple[Kind, Phase], dict[Shape, float]] = defaultdict(dict)
    try:
        ops = json.loads(path.read_text("utf-8"))["accelerator"]["op"]
        for text, rate in _rates(ops["matmul"]):
            size, phase = _numbers(text), LAYOUTS[_word(text, "layout")]
            m, n, k = size["m"], size["n"], size["k"]
            rows = tuple(sorted((m, n))) if phase is Phase.BACKWARD_WEIGHT else (m, n)
            found[Kind.GEMM, phase][(*rows, k)] = 2.0 * m * n * k / rate
        for text, rate in _rates(ops["group_matmul"]):
            size, phase = _numbers(text), STAGES[_word(text, "stage")]
            shape = _grouped(size["ng"], size["M"], size["N"], size["K"], phase)
            found[Kind.GROUPED_GEMM, phase][shape] = 2.0 * float(np.prod(shape)) / rate
        for name, phase, products in (
            ("sdp_fwd", Phase.FORWARD, 1.0),
            ("sdp_bwd", Phase.BACKWARD_INPUT, FLASH_BACKWARD_FLOP),
        ):
            for text, rate in _rates(ops[name]):
                size = _numbers(text)
                width = 0.5 * (size["qk_head_dim"] + size["v_head_dim"])
                length, heads = size["seq_len"], size["batch"] * size["head_num"]
                shape = (length, heads, width)
                time_s = products * 4.0 * length**2 * heads * width / rate
                known = found[Kind.ATTENTION, phase].get(shape, np.inf)
                found[Kind.ATTENTION, phase][shape] = min(known, time_s)
        return {
            kind: KernelTimes(np.array(list(times)), np.array(list(times.values())))
            for kind, times in found.items()
        }
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None


def read_simumax_permutation(path: Path) -> dict[Phase, float]:
    """Rate of sorting tokens by expert and back, from a SimuMax system file [byte/s].

    Bandwidths there are in 2^30 byte/s; the start-up that its benchmark took off is in them, not here.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        bands = json.loads(path.read_text("utf-8"))["accelerator"]["bandwidth"]
        return {
            phase: float(bands[name]["gbps"]) * float(bands[name]["efficient_factor"]) * BYTES_PER_GIB
            for name, phase in (("permute_fwd", Phase.FORWARD), ("permute_bwd", Phase.BACKWARD_INPUT))
        }
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(
        Problem(str(path), "", f"cannot be read: {error}", "", "give the folder of the reference data")
    )


def _grouped(experts: float, rows: float, outer: float, inner: float, phase: Phase) -> Shape:
    """The product that a phase computes for experts of ``outer x inner`` weights and `rows` rows each."""
    if phase is Phase.FORWARD:
        return experts, rows, outer, inner
    if phase is Phase.BACKWARD_INPUT:
        return experts, rows, inner, outer
    return (experts, *sorted((inner, outer)), rows)


def _rates(op: Mapping[str, object]) -> list[tuple[str, float]]:
    """Shapes and rates [FLOP/s]."""
    peak = float(str(op["tflops"])) * TERA
    shares = op["accurate_efficient_factor"]
    if not isinstance(shares, dict):
        raise TypeError("no table of shapes")
    return [(str(text), float(share) * peak) for text, share in shares.items()]


def _numbers(text: str) -> dict[str, float]:
    return {name: float(number) for name, number in re.findall(r"(\w+)=(\d+)\b", text)}


def _word(text: str, name: str) -> str:
    found = re.search(rf"\b{name}=(\w+)", text)
    if found is None:
        raise ValueError(f"{text!r} states no {name}")
    return found[1]
