"""Which kernel tables there are, and what they were measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from simtool.calibrate.fit import Device

AICONFIGURATOR = "NVIDIA aiconfigurator 095f58a (Apache-2.0)"
VIDUR = "Microsoft Vidur 7d47513 (MIT)"
LLMCOMPASS = "LLMCompass 2e015fd (BSD-3-Clause)"
SIMUMAX = "SimuMax 4dcaae5 (Apache-2.0)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Files of one op class, below the folder of kernel tables, and where they come from."""

    paths: tuple[str, ...]
    reader: str
    """``aiconfigurator``, ``vidur`` or ``llmcompass``."""
    has_grouped: bool = False
    """Holds grouped products of experts as well."""
    source: str
    """Maker, version and licence of the collection, and the software that was timed."""
    num_weights: int = 0
    """Weights that the benchmark took in turn, where the cache that held them shows in the table; see `fit_gemm`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A device with kernel tables."""

    device: Device
    gemm: Table | None = None
    attention: Table | None = None
    memory: Table | None = None
    backward: Table | None = None
    """Measured forward and backward times, for the two backward ratios."""


ROTATED_WEIGHTS = 6
"""aiconfigurator's loop: collector/vllm/collect_gemm.py, `outside_loop_count`."""


def _aiconfigurator(what: str, device: str, software: str, num_weights: int = 0) -> Table:
    return Table(
        paths=(f"aiconfigurator/{what}_bf16_{device}.csv.gz",),
        reader="aiconfigurator",
        source=f"{AICONFIGURATOR}, {software}",
        num_weights=num_weights,
    )


def _vidur(device: str, *models: str) -> Table:
    paths = tuple(f"vidur/compute/{device}_{model}_mlp.csv.gz" for model in models)
    return Table(paths=paths, reader="vidur", source=VIDUR)


def _simumax(name: str, device: str, *, has_grouped: bool = False) -> Table:
    return Table(
        paths=(f"simumax/{name}.json",),
        reader="simumax",
        source=f"{SIMUMAX}, {device}",
        has_grouped=has_grouped,
    )


def _device(
    peak_tflop_per_s: float, num_processors: int, bandwidth_gb_per_s: float, cache_mb: float
) -> Device:
    return Device(
        peak_flop_per_s=peak_tflop_per_s * 1e3 * 1e9,
        num_processors=num_processors,
        bandwidth_bytes_per_s=bandwidth_gb_per_s * 1e9,
        cache_bytes=cache_mb * 1e6,
    )


MEASURED: Mapping[str, Measured] = {
    "a100-sxm-80": Measured(
        device=_device(312, 108, 2039, 40),
        gemm=_aiconfigurator("gemm", "a100_sxm", "SGLang 0.5.10, short bursts"),
        attention=_aiconfigurator("attention_context", "a100_sxm", "SGLang 0.5.10"),
        memory=_vidur("a100", "llama2-70b", "llama2-7b"),
        backward=_simumax("a100_pcie", "A100 PCIe"),
    ),
    "h100-sxm": Measured(
        device=_device(989.4, 132, 3350, 50),
        gemm=_aiconfigurator("gemm", "h100_sxm", "vLLM 0.24, short bursts"),
        attention=_aiconfigurator("attention_context", "h100_sxm", "vLLM 0.24, FlashAttention-3"),
        memory=_vidur("h100", "llama2-70b", "llama2-7b"),
    ),
    "h200-sxm": Measured(
        device=_device(989.4, 132, 4800, 50),
        gemm=_aiconfigurator("gemm", "h200_sxm", "vLLM 0.22, loops of 1 s and longer"),
        attention=_aiconfigurator("attention_context", "h200_sxm", "vLLM 0.22, FlashAttention-3"),
    ),
    "b200-sxm": Measured(
        device=_device(2250, 148, 8000, 126),
        gemm=_aiconfigurator("gemm", "b200_sxm", "vLLM 0.22, loops of 1 s and longer"),
        attention=_aiconfigurator("attention_context", "b200_sxm", "vLLM 0.22, FlashInfer"),
        backward=_simumax("b200_bf16_ceperm", "B200", has_grouped=True),
    ),
    "gb200": Measured(
        device=_device(2500, 148, 8000, 126),
        gemm=_aiconfigurator("gemm", "gb200", "vLLM 0.22, loops of 1 s and longer"),
    ),
    "l40s": Measured(
        device=_device(362, 142, 864, 96),
        # The only one whose cache is several times as fast as its memory and large against what a launch hides:
        # elsewhere six weights that fit take hardly longer than a launch, and the fit is the same without this.
        gemm=_aiconfigurator("gemm", "l40s", "vLLM 0.24, short bursts", ROTATED_WEIGHTS),
    ),
    "a40": Measured(
        device=_device(149.7, 84, 696, 6),
        gemm=_vidur("a40", "llama2-7b"),
        memory=_vidur("a40", "llama2-7b"),
    ),
    "mi210": Measured(
        device=_device(181, 104, 1638, 8),
        gemm=Table(paths=("llmcompass/matmul_MI210.csv",), reader="llmcompass", source=LLMCOMPASS),
    ),
}
"""Rates, bandwidth and processors as in the profiles of the same name; A40 and MI210 lend their curves
to their families (A40 by NVIDIA's data sheet, dense rate)."""
