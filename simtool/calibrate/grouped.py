"""Grouped products of experts: tables of fused mixture-of-experts layers, and their fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from simtool.calibrate.corrections import Shape, is_enough
from simtool.calibrate.fit import GEMM, Device, Fit, fit_curve
from simtool.calibrate.smooth import Term, design
from simtool.calibrate.tables import TRAINING_FLOP, FloatArray, KernelTable, groups, read_columns, read_words
from simtool.machine.gemm import gemm_time_s

TRAINING_ROWS_PER_EXPERT = 128.0
STREAMED_FRAC = 0.85
"""Share of the bandwidth that gathering rows and the activation reach: the prior of memory-bound kernels."""
LOADS = {"balanced": 1.0, "power_law_1.01": 2.0, "power_law_1.2": 4.0}
"""Number of each synthetic load of experts, in the order of its unevenness."""
GROUPED: tuple[Term, ...] = (
    Term(
        name="sizes",
        axes={
            "rows": (0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 2048, 8192),
            "experts": (1, 4, 16, 64, 256),
            "inter": (64, 256, 1024, 4096, 16384),
            "load": (1, 2, 4),
        },
        roughness=(0.1, 0.1, 0.1, 0.0),
    ),
)


def read_grouped(path: Path) -> KernelTable:
    """Fused gated experts of one rank, from a table of NVIDIA aiconfigurator; one group a layer's shape.

    Rows with expert parallelism are left out: the table does not say how many tokens reach the rank.
    """
    numbers = ("num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size")
    table = read_columns(path, (*numbers, "moe_ep_size", "latency"))
    load = np.array([LOADS[word] for word in read_words(path, "distribution")])
    alone = table["moe_ep_size"] == 1.0
    c, load = {name: column[alone] for name, column in table.items()}, load[alone]
    inter, chosen = c["inter_size"] / c["moe_tp_size"], c["num_tokens"] * c["topk"]
    experts = np.minimum(c["num_experts"], chosen)
    flop = 6.0 * chosen * inter * c["hidden_size"]
    rows = chosen / experts
    return KernelTable(
        columns={
            "rows": rows,
            "experts": experts,
            "hidden": c["hidden_size"],
            "inter": inter,
            "load": load,
        },
        time_s=c["latency"] * 1e-3,
        work=flop,
        group=groups(c["hidden_size"], inter, c["topk"], c["num_experts"]),
        is_training=(rows >= TRAINING_ROWS_PER_EXPERT) & (flop > TRAINING_FLOP),
    )


def fit_grouped(table: KernelTable, device: Device) -> Fit:
    """Both products of all experts by the form of `machine.gemm`, gathering and activation by bandwidth."""

    def predict(curve: SimpleNamespace, kernels: KernelTable) -> FloatArray:
        c = kernels.columns

        def product_s(n: FloatArray, k: FloatArray) -> FloatArray:
            time_s = gemm_time_s(
                c["rows"],
                n,
                k,
                peak_flop_per_s=device.peak_flop_per_s,
                num_processors=device.num_processors,
                bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
                element_bytes=device.element_bytes,
                curve=curve,
                batch=c["experts"],
            )
            return np.asarray(time_s)

        moved = device.element_bytes * c["rows"] * c["experts"] * (3.0 * c["inter"] + 2.0 * c["hidden"])
        streamed_s = moved / (STREAMED_FRAC * device.bandwidth_bytes_per_s)
        return product_s(2.0 * c["inter"], c["hidden"]) + product_s(c["hidden"], c["inter"]) + streamed_s

    def matrix(kernels: KernelTable) -> object:
        c = kernels.columns
        return design(GROUPED[0], (c["rows"], c["experts"], c["inter"], c["load"]))

    shape = Shape(terms=GROUPED, matrix=matrix) if is_enough(table) else None
    return fit_curve(table, GEMM, predict, shape)
