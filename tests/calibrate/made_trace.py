"""The trace that a suite would leave on a device whose curves are known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s
from simtool.rng import stream
from simtool.trace import Manifest, TraceWriter
from simtool.trace.manifest import Clock, Device, Power, Software

PEAK, BANDWIDTH, PROCESSORS, CACHE = 300e12, 2e12, 108, 40e6
IDLE_W, LIMIT_W, COMPUTE_W, MEMORY_W = 55.0, 400.0, 380.0, 300.0
WEIGHTS = tuple((n, k) for n in (1024, 2048, 4096, 6144, 8192) for k in (1024, 3072, 4096))
BACKWARD, WEIGHT_GRADIENT, TRAINING = 2.8, 1.06, 1.15


@dataclass(frozen=True)
class GemmTruth:
    peak_frac: float = 0.72
    k_half: float = 180.0
    tile_half: float = 8.0
    wave_frac: float = 0.35
    bandwidth_frac: float = 0.8
    latency: float = 3e-6


@dataclass(frozen=True)
class AttentionTruth:
    peak_frac: float = 0.65
    seq_half: float = 500.0
    head_half: float = 40.0
    tail_waves: float = 0.8
    latency: float = 9e-6
    backward_ratio: float = BACKWARD


def product_s(m: float, n: float, k: float) -> float:
    return float(
        gemm_time_s(
            m, n, k, peak_flop_per_s=PEAK, num_processors=PROCESSORS, bandwidth_bytes_per_s=BANDWIDTH,
            element_bytes=2.0, curve=GemmTruth(),
        )
    )  # fmt: skip


def attention_s(batch: float, heads: float, length: float, width: float, *, backward: bool) -> float:
    return float(
        attention_time_s(
            batch, heads, length, width, peak_flop_per_s=PEAK, num_processors=PROCESSORS,
            bandwidth_bytes_per_s=BANDWIDTH, element_bytes=2.0, curve=AttentionTruth(), backward=backward,
        )
    )  # fmt: skip


class Maker:
    """Writes rows of the kernels stream, each with a little noise."""

    def __init__(self, writer: TraceWriter, noise: float) -> None:
        self._writer, self._noise = writer, noise
        self._generator = stream(0, "test", "noise")

    def row(self, part: str, op: str, time_s: float | None, shape: str = "", **more: Any) -> None:
        told: dict[str, Any] = {
            "begin_s": 0.0, "point": f"{part} {op} {shape} {sorted(more.items())}", "part": part, "op": op,
            "dtype": "bfloat16", "layout": "", "shape": shape, "flop": 0.0, "size_bytes": 0.0, "window_s": 0.3,
        }  # fmt: skip
        if time_s is not None:
            noisy_s = time_s * float(self._generator.normal(1.0, self._noise))
            told |= {f"duration_{name}_s": noisy_s for name in ("median", "p10", "p90")}
            told |= {"num_calls": 10, "num_repeats": 5, "mode": "eager"}
        self._writer.kernel(told | more)


def make(folder: Path, *, kind: str = "measured", noise: float = 0.01, architecture: str = "ampere") -> Path:
    """A folder as `simtool measure --suite gpu` leaves it."""
    manifest = Manifest(
        task="suite-gpu",
        device=Device(
            name="NVIDIA Made 80GB",
            kind="cuda",
            driver="999.1",
            power_limit_w=LIMIT_W if kind == "measured" else None,
            architecture=architecture,
            num_processors=PROCESSORS,
            memory_size_bytes=80e9,
            cache_size_bytes=CACHE,
        ),
        software=Software(simtool="0.1.0", torch="2.13.0"),
        clock=Clock(durations="device", started="2026-11-24T00:00:00+00:00"),
        power=Power(kind=kind, source="nvml-counter"),  # type: ignore[arg-type]
    )
    with TraceWriter(folder, manifest) as writer:
        make = Maker(writer, noise)
        _products(make)
        _attentions(make)
        _streams(make)
        _ops(writer)
        for op, time_s in (("add", 2.5e-6), ("mm", GemmTruth().latency)):
            make.row("launch", op, 6e-6, "width=8")
            make.row("launch", op, time_s, "width=8", mode="graph")
        if kind == "none":
            return folder
        for op, power_w in (
            ("idle", IDLE_W),
            ("mm", COMPUTE_W),
            ("copy", MEMORY_W),
            ("idle_with_context", 70.0),
        ):
            make.row("power", op, None, power_w=power_w, power_kind=kind)
    return folder


def _products(make: Maker) -> None:
    for n, k in WEIGHTS:
        for m in (16, 512, 1024, 4096, 8192):
            flop = 2.0 * m * n * k
            moved = 2.0 * (m * k + k * n + m * n)
            shape = f"m={m} n={n} k={k}"
            time_s = product_s(m, n, k)
            make.row("gemm", "mm", time_s, shape, layout="TN", flop=flop, size_bytes=moved)
            if m == 4096:
                ratio_s = WEIGHT_GRADIENT * time_s
                make.row("gemm", "mm", ratio_s, shape, layout="NT", flop=flop, size_bytes=moved)
    shape = "m=4096 n=4096 k=4096"
    make.row("gemm", "mm", 2.0 * 4096**3 / 18e12, shape, layout="TN", flop=2.0 * 4096**3, dtype="float32")
    make.row("gemm", "mm", 2.0 * 4096**3 / 110e12, shape, layout="TN", flop=2.0 * 4096**3, dtype="tfloat32")


def _attentions(make: Maker) -> None:
    for heads, width in ((8, 64), (16, 64), (32, 64), (16, 128), (32, 128), (64, 128), (24, 96)):
        for length in (512, 1024, 2048, 4096, 8192):
            batch = 16384 // length
            flop = 2.0 * batch * heads * length**2 * width
            shape = f"batch={batch} num_heads={heads} seq_len={length} head_dim={width}"
            for op, backward in (("attention", False), ("attention_backward", True)):
                time_s = attention_s(batch, heads, length, width, backward=backward)
                make.row("attention", op, time_s, shape, flop=flop * (2.5 if backward else 1.0))


def _streams(make: Maker) -> None:
    for power in range(12, 33):
        size = 2.0**power
        if size < 1e6 or size > 2.0 * CACHE:
            for op in ("copy", "add", "sum"):
                make.row(
                    "bandwidth",
                    op,
                    size / (0.9 * BANDWIDTH) + 2.5e-6,
                    f"elements={int(size)}",
                    size_bytes=size,
                )


def _ops(writer: TraceWriter) -> None:
    for task in ("char-gpt-wide", "byte-gpt-wide", "masked-encoder-wide"):
        rows = []
        for m, n, k in ((8192, 4096, 1024), (8192, 1024, 4096)):
            for phase, ratio in (("forward", 1.0), ("backward_weight", WEIGHT_GRADIENT)):
                each_s = TRAINING * ratio * product_s(m, n, k) * 6
                rows.append(
                    {
                        "signature": f"{task}/none: n64", "phase": phase, "op": "mm", "dtype": "bfloat16", "calls": 6,
                        "shapes": f"[[{m},{k}],[{k},{n}]]", "flop": 6 * 2.0 * m * n * k, "size_bytes": 1.0,
                        "num_sampled": 5, **{f"duration_{name}_s": each_s for name in ("mean", "median", "p10", "p90")},
                    }
                )  # fmt: skip
        writer.ops(rows)
