"""A run as the PyTorch profiler would record it on a device whose curves and powers are known, with its power log."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from simtool.machine.attention import attention_time_s
from simtool.machine.collectives import collective_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.machine.memory_bound import memory_time_s
from simtool.machine.network import Fabric, Link
from simtool.rng import stream
from tests.trace.kineto_files import ADD, FLASH, GEMM, NCCL, Recorder

PEAK, BANDWIDTH, PROCESSORS, LIMIT_W = 989.4e12, 3.35e12, 132, 700.0
DEVICE = {"id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85018279936, "numSms": PROCESSORS}
BEGAN_US = 1_700_000_000e6
SIZES = (
    (1024, 1024),
    (1024, 4096),
    (4096, 1024),
    (4096, 4096),
    (2048, 8192),
    (8192, 2048),
    (768, 3072),
    (5120, 1280),
)
HEADS = ((16, 64), (32, 128), (12, 64), (40, 128), (8, 96), (24, 64))


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A device."""

    gemm: dict[str, float] = field(
        default_factory=lambda: {
            "peak_frac": 0.7, "k_half": 151.0, "tile_half": 1.24, "wave_frac": 0.255, "bandwidth_frac": 0.7,
            "latency": 4.0e-6, "weight_gradient_ratio": 1.15,
        }
    )  # fmt: skip
    attention: dict[str, float] = field(
        default_factory=lambda: {
            "peak_frac": 0.6, "seq_half": 781.0, "head_half": 43.2, "tail_waves": 0.472, "latency": 7e-6,
            "backward_ratio": 2.5,
        }
    )  # fmt: skip
    memory: dict[str, float] = field(default_factory=lambda: {"bandwidth_frac": 0.75, "latency": 3e-6})
    power_w: dict[str, float] = field(
        default_factory=lambda: {"compute": 620.0, "memory": 430.0, "communication": 250.0, "waiting": 180.0}
    )
    noise: float = 0.02


class Maker:
    """Kernels one after the other on one device, each called by its operator shortly before."""

    def __init__(self, truth: Truth, seed: int = 0) -> None:
        self.truth, self.record = truth, Recorder()
        self.now_us = BEGAN_US
        self.doing: list[tuple[float, float, str]] = []
        self._generator = stream(seed, "test", "profile")

    def call(
        self, name: str, kernel: str, shapes: Sequence[Sequence[int]], time_s: float, doing: str, *,
        strides: Any = None, values: Sequence[str] = (), outer: str = "", **facts: Any,
    ) -> None:  # fmt: skip
        duration_us = 1e6 * time_s * float(np.exp(self._generator.normal(0.0, self.truth.noise)))
        begin_us = self.now_us
        told = {
            "Input Dims": list(shapes), "Input type": ["c10::BFloat16"] * len(shapes) + ["Scalar"] * (len(values)),
            "Concrete Inputs": [""] * len(shapes) + list(values),
        }  # fmt: skip
        told["Input Dims"] = [*shapes, *([[]] * len(values))]
        if strides is not None:
            told["Input Strides"] = strides
        if outer:
            self.record.host(outer, begin_us - 4, 7)
        self.record.host(name, begin_us - 3, 4, **told)
        self.record.kernel(kernel, begin_us - 2, begin_us, duration_us, **facts)
        self.doing.append((begin_us, begin_us + duration_us, doing))
        self.now_us = begin_us + duration_us + 1.0

    def wait(self, seconds: float) -> None:
        self.now_us += 1e6 * seconds

    def product(self, m: int, n: int, k: int, *, layout: str = "TN") -> None:
        truth = SimpleNamespace(**self.truth.gemm)
        time_s = float(
            gemm_time_s(
                m, n, k, peak_flop_per_s=PEAK, num_processors=PROCESSORS, bandwidth_bytes_per_s=BANDWIDTH,
                element_bytes=2.0, curve=truth,
            )
        )  # fmt: skip
        time_s *= truth.weight_gradient_ratio if layout == "NT" else 1.0
        strides = [[k, 1], [1, k]] if layout == "TN" else [[1, m], [n, 1]]
        outer = "autograd::engine::evaluate_function: MmBackward0" if layout == "NT" else ""
        self.call("aten::mm", GEMM, [[m, k], [k, n]], time_s, "compute", strides=strides, outer=outer)

    def attention(self, batch: int, heads: int, length: int, width: int, *, backward: bool = False) -> None:
        time_s = float(
            attention_time_s(
                batch, heads, length, width, peak_flop_per_s=PEAK, num_processors=PROCESSORS,
                bandwidth_bytes_per_s=BANDWIDTH, element_bytes=2.0, curve=SimpleNamespace(**self.truth.attention),
                num_keys=(length + 1) / 2, backward=backward,
            )
        )  # fmt: skip
        shape = [batch, length, heads, width]
        if backward:
            self.call(
                "aten::_flash_attention_backward", FLASH.replace("fwd", "bwd"), [shape] * 5, time_s, "compute",
                values=["", "", "", "", "", "", "True"],
                outer="autograd::engine::evaluate_function: ScaledDotProductFlashAttentionBackward0",
            )  # fmt: skip
        else:
            values = ["", "", "", "", "0.", "True"]
            self.call("aten::_flash_attention_forward", FLASH, [shape] * 3, time_s, "compute", values=values)

    def addition(self, num_elements: int) -> None:
        """Reads two tensors in bfloat16 and writes one."""
        time_s = float(
            memory_time_s(
                6.0 * num_elements,
                bandwidth_bytes_per_s=BANDWIDTH,
                curve=SimpleNamespace(**self.truth.memory),
            )
        )
        self.call("aten::add", ADD, [[num_elements], [num_elements]], time_s, "memory")

    def reduction(self, num_elements: int, link: Link, ranks: int = 8) -> None:
        fabric = Fabric(scale_up=link, scale_out=link, accelerators_per_domain=8)
        time_s = float(collective_time_s("all_reduce", 2.0 * num_elements, ranks, ranks, fabric))
        self.call(
            "c10d::allreduce_", NCCL, [[num_elements]], time_s, "communication",
            **{"Collective name": "allreduce", "In msg nelems": num_elements, "dtype": "BFloat16", "Group size": ranks},
        )  # fmt: skip

    def power_log(self, period_s: float = 0.02, **columns: float) -> str:
        """What nvidia-smi would have logged."""
        from tests.trace.power_files import stamp

        begins, ends = (np.array([one[place] for one in self.doing]) for place in (0, 1))
        watts = np.array([self.truth.power_w[one[2]] for one in self.doing])
        head = ["timestamp", "index", "name", "power.draw [W]", *(f"{name}" for name in columns)]
        lines = [", ".join(head)]
        times_us = np.arange(BEGAN_US - 1e5, self.now_us + 1e5, period_s * 1e6)
        for time_us in times_us.tolist():
            # a meter that averages over its period
            low, high = time_us - period_s * 5e5, time_us + period_s * 5e5
            shared = np.maximum(0.0, np.minimum(ends, high) - np.maximum(begins, low)) / (high - low)
            power_w = float(shared @ watts + (1.0 - shared.sum()) * self.truth.power_w["waiting"])
            when = stamp(time_us * 1e-6, "%Y/%m/%d %H:%M:%S.%f")
            values = [f"{value:g}" for value in columns.values()]
            lines.append(", ".join([when, "0", "NVIDIA H100 80GB HBM3", f"{power_w:.2f}", *values]))
        return "\n".join(lines) + "\n"

    def document(self) -> dict[str, Any]:
        return self.record.document(deviceProperties=[DEVICE])

    def write(self, path: Path) -> Path:
        path.write_text(json.dumps(self.document()), "utf-8")
        return path


def rows(m: int) -> Iterator[tuple[int, int, int]]:
    return ((m, n, k) for n, k in SIZES)


def run(truth: Truth, *, seed: int = 0, steps: int = 2) -> Maker:
    """Training steps of a made model: every size of products, attention and additions, forward and backward."""
    make = Maker(truth, seed)
    for step in range(1, steps + 1):
        begin_us = make.now_us
        for m in (512, 4096, 16384):
            for sizes in rows(m):
                make.product(*sizes)
        for m, n, k in rows(4096):
            make.product(n, k, m, layout="NT")
        for heads, width in HEADS:
            for length in (512, 2048, 8192):
                make.attention(2, heads, length, width)
                make.attention(2, heads, length, width, backward=True)
        for exponent in range(12, 29):
            make.addition(2**exponent)
        make.record.step(step, begin_us - 10, make.now_us - begin_us + 5)
        make.wait(1e-4)
    return make


def loads(truth: Truth, *, rounds: int = 4) -> Maker:
    """Stretches of 0.2 s and longer of one kind of work each, as a meter can tell apart, and mixed ones."""
    make = Maker(truth)
    sizes = list(rows(16384))
    link = Link(name="made", bandwidth_bytes_per_s=450e9, efficiency_frac=0.6, latency_s=1e-6, startup_s=2e-5)
    for number in range(1, rounds + 1):
        begin_us = make.now_us
        end_us = begin_us + 2e5
        while make.now_us < end_us:
            make.product(*sizes[len(make.doing) % len(sizes)])
        end_us = make.now_us + 2e5
        while make.now_us < end_us:
            make.addition(2**28 + 2 ** (20 + len(make.doing) % 7))
        end_us = make.now_us + 2e5
        while make.now_us < end_us:
            make.reduction(2 ** (20 + len(make.doing) % 8), link)
        make.wait(0.15 + 0.05 * number)
        end_us = make.now_us + 2e5
        while make.now_us < end_us:
            make.product(*sizes[len(make.doing) % len(sizes)])
            make.addition(2 ** (24 + len(make.doing) % 5))
        make.record.step(number, begin_us - 10, make.now_us - begin_us + 5)
    return make


def host_bound(truth: Truth, *, layers: int = 6, launch_us: float = 25.0, steps: int = 3) -> Maker:
    """Training steps of small layers whose kernels end before the host calls for the next."""
    make = Maker(truth)

    def paced() -> None:
        last_begin_us = make.doing[-1][0]
        make.now_us = last_begin_us + launch_us

    for step in range(1, steps + 1):
        begin_us = make.now_us
        for _ in range(layers):
            for m, n, k in ((256, 512, 512), (256, 1536, 512)):
                make.product(m, n, k)
                paced()
            make.attention(2, 8, 128, 64)
            paced()
            make.addition(2**17)
            paced()
        for _ in range(layers):
            make.attention(2, 8, 128, 64, backward=True)
            paced()
            for m, n, k in ((512, 512, 256), (1536, 512, 256)):
                make.product(m, n, k, layout="NT")
                paced()
        make.record.step(step, begin_us - 10, make.now_us - begin_us + 5)
    return make
