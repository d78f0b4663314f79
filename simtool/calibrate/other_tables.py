"""Readers of the smaller collections: Vidur, LLMCompass and SimuMax."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtool.calibrate.tables import KernelTable, gemm_table, joined, memory_table, read_columns
from simtool.errors import InputError, Problem

ELEMENT_BYTES = 2.0
"""All of these were measured in fp16 or bf16."""
FLASH_BACKWARD_FLOP = 2.5
"""Products of the flash backward over those of the forward, as SimuMax counts them: five to two."""
MIN_HEADS = 16
"""Fewer heads leave processors of a large device idle, in the forward more than in the backward."""

_MODEL = ("num_tokens", "num_tensor_parallel_workers", "n_embd", "n_expanded_embd", "n_head", "n_kv_head")
_PRODUCTS = ("attn_pre_proj", "attn_post_proj", "mlp_up_proj", "mlp_down_proj")


def read_vidur_adds(paths: Sequence[Path], cache_bytes: float) -> KernelTable:
    """Residual sums of a Llama layer: two tensors read, one written."""
    column = "time_stats.add.mean"
    table = joined([read_columns(path, ("num_tokens", "n_embd", column)) for path in paths])
    num_bytes = 3.0 * ELEMENT_BYTES * table["num_tokens"] * table["n_embd"]
    return memory_table(num_bytes, table[column] * 1e-3, cache_bytes)


def read_vidur_products(path: Path) -> KernelTable:
    """The four matrix products of a Llama layer, timed in sequence within the layer."""
    columns = {name: f"time_stats.{name}.median" for name in _PRODUCTS}
    table = read_columns(path, (*_MODEL, *columns.values()))
    tokens, workers, hidden = table["num_tokens"], table["num_tensor_parallel_workers"], table["n_embd"]
    key_values = table["n_kv_head"] * hidden / table["n_head"]
    wide = table["n_expanded_embd"] / workers
    shapes = {
        "attn_pre_proj": ((hidden + 2.0 * key_values) / workers, hidden),
        "attn_post_proj": (hidden, hidden / workers),
        "mlp_up_proj": (2.0 * wide, hidden),  # up and gate in one product
        "mlp_down_proj": (hidden, wide),
    }
    return gemm_table(
        np.concatenate([tokens] * len(shapes)),
        np.concatenate([n for n, _ in shapes.values()]),
        np.concatenate([k for _, k in shapes.values()]),
        np.concatenate([table[columns[name]] * 1e-3 for name in shapes]),
    )


def read_llmcompass_products(path: Path) -> KernelTable:
    """Matrix products as lines ``m, k, n, time, rate``."""
    rows = []
    try:
        for line in path.read_text("utf-8").splitlines():
            fields = line.split(",")
            rows.append([float(field) for field in fields[:3]] + [float(fields[3].removesuffix("ms")) * 1e-3])
    except (OSError, UnicodeDecodeError, ValueError, IndexError) as error:
        raise _problem(path, error) from None
    m, k, n, time_s = np.array(rows).T
    return gemm_table(m, n, k, time_s)


def read_simumax_products(path: Path, layout: str) -> KernelTable:
    """Matrix products of a SimuMax system file in one layout.

    ``TN`` forward, ``NN`` gradient of the input, ``NT`` gradient of the weight with a sum in fp32.
    """
    try:
        measured = json.loads(path.read_text("utf-8"))["accelerator"]["op"]["matmul"]
        peak_flop_per_s = float(measured["tflops"]) * 1e3 * 1e9
        rates = dict(measured["accurate_efficient_factor"])
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise _problem(path, error) from None
    rows = []
    for shape, rate in rates.items():
        if f"layout={layout}" in shape:
            size = _fields(shape)
            flop = 2.0 * size["m"] * size["n"] * size["k"]
            rows.append((size["m"], size["n"], size["k"], flop / (peak_flop_per_s * rate)))
    if not rows:
        raise _problem(path, ValueError(f"no product in layout {layout}"))
    m, n, k, time_s = np.array(rows, float).T
    return gemm_table(m, n, k, time_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackwardRatios:
    """Medians over shapes of training size, with the spread between shapes."""

    attention: float
    """Time of the flash backward over the forward."""
    attention_spread: float
    weight_gradient: float
    """Time of a weight gradient (fp32 sum) over the forward product of the same layer."""
    weight_gradient_spread: float


def read_simumax_backward(path: Path) -> BackwardRatios:
    """Backward over forward from the measured efficiencies of a SimuMax system file."""
    try:
        measured = json.loads(path.read_text("utf-8"))["accelerator"]["op"]
        rates = {
            name: measured[name]["accurate_efficient_factor"] for name in ("sdp_fwd", "sdp_bwd", "matmul")
        }
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise _problem(path, error) from None
    attention = [
        FLASH_BACKWARD_FLOP * rate / rates["sdp_bwd"][shape]
        for shape, rate in rates["sdp_fwd"].items()
        if shape in rates["sdp_bwd"] and _fields(shape)["head_num"] >= MIN_HEADS
    ]
    forward, gradient = {}, {}
    for shape, rate in rates["matmul"].items():
        size = _fields(shape)
        if "layout=TN" in shape:  # output rows are tokens
            forward[size["m"], size["n"], size["k"]] = rate
        elif "layout=NT" in shape:  # output is the weight's shape, the inner size is tokens
            gradient[size["k"], size["m"], size["n"]] = rate
    weight = [forward[layer] / gradient[layer] for layer in sorted(forward) if layer in gradient]
    return BackwardRatios(
        attention=float(np.median(attention)),
        attention_spread=_spread(attention),
        weight_gradient=float(np.median(weight)),
        weight_gradient_spread=_spread(weight),
    )


def _fields(shape: str) -> dict[str, int]:
    return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", shape)}


def _spread(ratios: Sequence[float]) -> float:
    """Half the central 68 % of the ratios, relative to the median."""
    low, middle, high = np.percentile(ratios, [16, 50, 84])
    return float((high - low) / 2.0 / middle)


def _problem(path: Path, error: Exception) -> InputError:
    return InputError(
        Problem(str(path), "", f"cannot be read: {error}", "", "give the folder of the reference data")
    )
