"""Kernels of whole shapes unseen, of other stacks, and beyond the fitted range: how far off the curves are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from simtool.calibrate import other_tables, tables
from simtool.calibrate.devices import MEASURED
from simtool.calibrate.fit import Device, Fit, fit_attention, fit_gemm
from simtool.calibrate.grouped import fit_grouped, read_grouped
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.machine.correction import Correction, correction_of
from simtool.machine.gemm import GemmCurve, gemm_time_s
from simtool.profiles.find import ProfileLibrary
from simtool.validate.check import CHECKS, Outcome

FOLDER = Path("data/kernels")
FITTED_ROWS, FITTED_WIDTH = 4400.0, 8192.0
"""Range of the fit whose extrapolation is scored: rows, and width of a weight in either direction."""
LOW_PRECISION = {"h200-sxm": "h200_sxm", "b200-sxm": "b200_sxm"}
GROUPED = {
    "a100-sxm-80": "a100_sxm",
    "h100-sxm": "h100_sxm",
    "h200-sxm": "h200_sxm",
    "b200-sxm": "b200_sxm",
}
NOTES = (
    (
        "cells: median / p90 of |predicted / measured - 1| in percent. Whole (n, k) weight shapes, head layouts and "
        "expert layers are held out in five folds; coefficients and correction are refitted in each"
    ),
    (
        "large: m >= 512 (experts: 128 rows each) and 10 GFLOP; coefficients: the same fit without the correction; "
        "constant: one share of the peak rate, fitted to the same folds; roofline: nothing fitted"
    ),
    f"beyond: fitted to m <= {FITTED_ROWS:g}, n and k <= {FITTED_WIDTH:g} of six devices, scored above any of them",
    (
        "other stacks: large kernels, predicted by the shipped profile, times its ratio of training where they were "
        "timed within a layer (Vidur, SimuMax); layouts NN and NT are gradients, NT times its own ratio"
    ),
    (
        "scatter: of products, what is left of the error when the next smaller and the next larger m of the same "
        "weight are known: a model that is smooth in m and has not seen the weight does no better"
    ),
    (
        "no profile ships fp8 or experts of its own: both are fitted here alone; rows with expert parallelism are "
        "left out, since the table does not say how many tokens reach a rank"
    ),
)
COLUMNS = ("kernels", "number", "held out", "large", "coefficients", "constant", "roofline", "scatter")


@dataclass
class _Found:
    """Rows of the table, figures, and errors to pool."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    pooled: dict[str, list[FloatArray]] = field(default_factory=dict)

    def add(
        self,
        what: str,
        name: str,
        fit: Fit,
        table: KernelTable,
        roofline_s: FloatArray,
        scatter: FloatArray | None = None,
    ) -> None:
        """A table whose shapes were held out in turn."""
        off = np.abs(fit.predicted_s / table.time_s - 1.0)
        rooflines = np.abs(roofline_s / table.time_s - 1.0)
        self.pooled.setdefault(what, []).append(off)
        key = f"{what}_{name}".replace("-", "_")
        self.figures |= {f"{key}_p50_frac": fit.everywhere.p50, f"{key}_p90_frac": fit.everywhere.p90}
        fits = ((fit.everywhere, fit.training), (fit.plain_everywhere, fit.constant_everywhere))
        cells = [_pair(one.p50, one.p90) for pair in fits for one in pair]
        cells.append(_pair(*np.percentile(rooflines, [50, 90])))
        if scatter is not None:
            p50, p90 = np.percentile(scatter, [50, 90])
            self.figures |= {f"{key}_scatter_p50_frac": float(p50), f"{key}_scatter_p90_frac": float(p90)}
        cells.append("" if scatter is None else _pair(p50, p90))
        self.rows.append((f"{what} {name}", str(len(table)), *cells))

    def pool(self, what: str, key: str) -> None:
        """All tables of a class in one line."""
        off = np.concatenate(self.pooled[what])
        self.line(f"{what}, all tables", key, off)

    def line(self, head: str, key: str, off: FloatArray, plain: FloatArray | None = None) -> None:
        """Errors without a fit of their own; beside them those of the coefficients alone."""
        p50, p90 = np.percentile(np.abs(off), [50, 90])
        self.figures |= {f"{key}_p50_frac": float(p50), f"{key}_p90_frac": float(p90)}
        beside = "" if plain is None else _pair(*np.percentile(np.abs(plain), [50, 90]))
        self.rows.append((head, str(len(off)), _pair(p50, p90), "", beside, "", "", ""))


def _pair(p50: float, p90: float) -> str:
    return f"{100 * p50:.1f} / {100 * p90:.1f}"


def kernels(reference: Path, library: ProfileLibrary) -> Outcome:
    """Refit with whole weight shapes and head layouts held out; other stacks by the shipped profiles.

    Raises:
        InputError: a table is missing or damaged.
    """
    folder, found = reference / FOLDER, _Found()
    products = {
        name: (one, one.gemm)
        for name, one in MEASURED.items()
        if one.gemm is not None and one.gemm.reader == "aiconfigurator"
    }
    beyond: list[FloatArray] = []
    beyond_plain: list[FloatArray] = []
    for name, (one, gemm) in products.items():
        table = tables.read_gemm(folder / gemm.paths[0])
        fit = fit_gemm(table, one.device, num_weights=gemm.num_weights)
        roofline_s = _product_roofline_s(table, one.device)
        found.add("products", name, fit, table, roofline_s, neighbour_scatter(table, fit.predicted_s))
        for errors, corrected in ((beyond, True), (beyond_plain, False)):
            errors.append(_beyond(table, one.device, corrected, gemm.num_weights))
    for name, (one, _) in products.items():
        if one.attention is not None:
            table = tables.read_attention(folder / one.attention.paths[0])
            fit = fit_attention(table, one.device)
            found.add("attention", name, fit, table, _attention_roofline_s(table, one.device))
    for name, file in LOW_PRECISION.items():
        device = replace(
            MEASURED[name].device,
            peak_flop_per_s=2.0 * MEASURED[name].device.peak_flop_per_s,
            element_bytes=1.0,
        )
        table = tables.read_gemm(folder / f"aiconfigurator/gemm_fp8_{file}.csv.gz")
        found.add("fp8 products", name, fit_gemm(table, device), table, _product_roofline_s(table, device))
    for name, file in GROUPED.items():
        device = MEASURED[name].device
        table = read_grouped(folder / f"aiconfigurator/moe_bf16_{file}.csv.gz")
        roofline_s = np.asarray(table.work / device.peak_flop_per_s)
        found.add("experts", name, fit_grouped(table, device), table, roofline_s)
    for what in ("products", "attention", "fp8 products", "experts"):
        found.pool(what, what.replace(" ", "_"))
    found.line("products, beyond", "beyond_range", np.concatenate(beyond), np.concatenate(beyond_plain))
    _other_stacks(found, folder, library)
    return Outcome(
        title="GPU kernels on shapes that no fit saw: |predicted / measured - 1|, all sizes",
        columns=COLUMNS,
        rows=tuple(found.rows),
        figures=found.figures,
        notes=NOTES,
    )


def neighbour_scatter(table: KernelTable, predicted_s: FloatArray) -> FloatArray:
    """What the neighbours in m of the same (n, k) do not tell of a product's error, as a share of its time.

    Each product's log error, less the mean of those of the next smaller and the next larger m, is its own scatter and
    half that of two others: its standard deviation is sqrt(1.5) times that of one, if they scatter alike and alone.

    >>> from simtool.calibrate.tables import gemm_table
    >>> m, same = np.array([1.0, 2.0, 3.0]), np.full(3, 64.0)
    >>> table = gemm_table(m, same, same, np.exp([0.1, 0.1 + 0.015, 0.1]))  # one of three is 1.5 % off
    >>> neighbour_scatter(table, np.ones(3)).round(4)  # 0.015 / sqrt(1.5)
    array([0.0123])
    """
    order = np.lexsort((table.columns["m"], table.group))
    log, group = np.log(table.time_s / predicted_s)[order], table.group[order]
    inside = group[2:] == group[:-2]
    alone = (log[1:-1] - (log[2:] + log[:-2]) / 2.0)[inside] / np.sqrt(1.5)
    return np.asarray(np.abs(np.expm1(alone)))


def _beyond(table: KernelTable, device: Device, corrected: bool, num_weights: int) -> FloatArray:
    m, n, k = (table.columns[name] for name in "mnk")
    inside = (m <= FITTED_ROWS) & (n <= FITTED_WIDTH) & (k <= FITTED_WIDTH)
    fit = fit_gemm(table.where(inside), device, corrected=corrected, num_weights=num_weights)
    outside = table.where(~inside)
    return _product_s(outside, device, fit.curve, fit.correction) / outside.time_s - 1.0


def _product_s(
    table: KernelTable, device: Device, curve: GemmCurve, correction: Correction | None
) -> FloatArray:
    time_s = gemm_time_s(
        table.columns["m"],
        table.columns["n"],
        table.columns["k"],
        peak_flop_per_s=device.peak_flop_per_s,
        num_processors=device.num_processors,
        bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
        element_bytes=device.element_bytes,
        curve=curve,
        correction=correction,
    )
    return np.asarray(time_s)


def _product_roofline_s(table: KernelTable, device: Device) -> FloatArray:
    m, n, k = (table.columns[name] for name in "mnk")
    moved = device.element_bytes * (m * k + k * n + m * n)
    return np.maximum(table.work / device.peak_flop_per_s, moved / device.bandwidth_bytes_per_s)


def _attention_roofline_s(table: KernelTable, device: Device) -> FloatArray:
    c = table.columns
    moved = 4.0 * c["batch"] * c["seq_len"] * c["head_dim"] * (c["num_heads"] + c["num_kv_heads"])
    return np.maximum(table.work / device.peak_flop_per_s, moved / device.bandwidth_bytes_per_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """A table of another maker."""

    head: str
    accelerator: str
    path: str
    read: Callable[[Path], KernelTable]
    in_layer: bool = True
    """Timed in sequence, within a layer."""
    is_gradient: bool = False
    """Of a weight."""


def _simumax(layout: str) -> Callable[[Path], KernelTable]:
    return lambda path: other_tables.read_simumax_products(path, layout)


STACKS = (
    *(
        _Stack(
            head=f"Vidur {short.upper()} {size.upper()}",
            accelerator=accelerator,
            path=f"vidur/compute/{short}_llama2-{size}_mlp.csv.gz",
            read=other_tables.read_vidur_products,
        )
        for short, accelerator in (("a100", "a100-sxm-80"), ("h100", "h100-sxm"))
        for size in ("70b", "7b")
    ),
    _Stack(
        head="LLMCompass A100",
        accelerator="a100-sxm-80",
        path="llmcompass/matmul_A100.csv",
        read=other_tables.read_llmcompass_products,
        in_layer=False,
    ),
    *(
        _Stack(
            head=f"SimuMax {short} {layout}",
            accelerator=accelerator,
            path=f"simumax/{file}.json",
            read=_simumax(layout),
            is_gradient=layout == "NT",
        )
        for short, accelerator, file in (
            ("A100 PCIe", "a100-pcie-80", "a100_pcie"),
            ("B200", "b200-sxm", "b200_bf16_ceperm"),
        )
        for layout in ("TN", "NN", "NT")
    ),
)


def _other_stacks(found: _Found, folder: Path, library: ProfileLibrary) -> None:
    pooled: list[FloatArray] = []
    pooled_plain: list[FloatArray] = []
    for stack in STACKS:
        accelerator = library.get("accelerator", stack.accelerator)
        efficiency = accelerator.efficiency
        device = Device(
            peak_flop_per_s=float(accelerator.peak["bf16"]),
            num_processors=accelerator.num_processors or 1,
            bandwidth_bytes_per_s=float(accelerator.memory.bandwidth),
            cache_bytes=0.0,
        )
        table = stack.read(folder / stack.path)
        table = table.where(table.is_training)
        ratio = float(efficiency.training_ratio) if stack.in_layer else 1.0
        ratio *= float(efficiency.gemm.weight_gradient_ratio) if stack.is_gradient else 1.0
        off, plain = (
            ratio * _product_s(table, device, efficiency.gemm, correction) / table.time_s - 1.0
            for correction in (correction_of(efficiency.gemm.correction), None)
        )
        pooled.append(off)
        pooled_plain.append(plain)
        found.line(stack.head, "other_" + stack.head.lower().replace(" ", "_"), off, plain)
    found.line("other stacks, all", "other_stacks", np.concatenate(pooled), np.concatenate(pooled_plain))


CHECKS.register("kernels")(kernels)
