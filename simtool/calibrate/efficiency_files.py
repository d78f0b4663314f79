"""Readable efficiency files from fits, own and taken over."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from simtool.calibrate import other_tables, tables
from simtool.calibrate.corrections import section as section_of
from simtool.calibrate.devices import AICONFIGURATOR, MEASURED, Measured, Table
from simtool.calibrate.fit import GEMM, Fit, Residuals, fit_attention, fit_gemm, fit_memory
from simtool.calibrate.other_tables import BackwardRatios
from simtool.calibrate.recipes import FILES, EfficiencyFile, Share
from simtool.calibrate.training_ratio import restated_ratio
from simtool.config.dump import Inline, dump_yaml
from simtool.config.marks import Keys
from simtool.profiles.curves import Basis
from simtool.provenance import Kind

KERNELS = Path("data/kernels")
BOARD_SPREAD = 0.02
"""Least spread: boards of one kind differ by about this much, whatever the table's size says."""

ANALYTIC_GEMM = {
    "k_half": 130.0,
    "tile_half": 10.0,
    "wave_frac": 0.3,
    "bandwidth_frac": 0.82,
    "latency": 3e-6,
}
ANALYTIC_ATTENTION = {
    "peak_frac": 0.81,  # 0.62 with heads of 128: the mean of what A100 and H100 reach in training
    "seq_half": 1000.0,
    "head_half": 40.0,
    "tail_waves": 1.0,
    "latency": 8e-6,
}
ANALYTIC_MEMORY = {"bandwidth_frac": 0.8, "latency": 3e-6}
ANALYTIC_SPREADS = {"peak_frac": 0.2, "bandwidth_frac": 0.1, "backward_ratio": 0.15}
ANALYTIC_SPREAD = 0.5
ANALYTIC_SOURCE = "no table: the middle of the devices that have one"
ANALYTIC_MEMORY_SOURCE = f"empirical factor and latency of {AICONFIGURATOR}"
ANALYTIC_BACKWARD = {"backward_ratio": 2.9, "weight_gradient_ratio": 1.04}
ANALYTIC_BACKWARD_SOURCE = "as A100 and B200"
WORDS = {"gemm": "matrix products", "attention": "attention", "memory": "residual sums"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFits:
    """What was fitted for one device; None where there is no table."""

    gemm: Fit | None = None
    attention: Fit | None = None
    memory: Fit | None = None
    backward: BackwardRatios | None = None


def fit_all(reference: Path) -> dict[str, DeviceFits]:
    """Fits of all devices that have tables below ``reference/data/kernels``.

    Raises:
        InputError: a table is missing or cannot be read.
    """
    return {name: _fit_device(measured, reference / KERNELS) for name, measured in MEASURED.items()}


def _fit_device(measured: Measured, folder: Path) -> DeviceFits:
    device = measured.device
    gemm = attention = memory = backward = None
    if measured.gemm is not None:
        gemm = fit_gemm(_read_gemm(measured.gemm, folder), device, num_weights=measured.gemm.num_weights)
    if measured.attention is not None:
        attention = fit_attention(tables.read_attention(folder / measured.attention.paths[0]), device)
    if measured.memory is not None:
        paths = [folder / path for path in measured.memory.paths]
        memory = fit_memory(other_tables.read_vidur_adds(paths, device.cache_bytes), device)
    if measured.backward is not None:
        backward = other_tables.read_simumax_backward(folder / measured.backward.paths[0])
    return DeviceFits(gemm=gemm, attention=attention, memory=memory, backward=backward)


def _read_gemm(table: Table, folder: Path) -> tables.KernelTable:
    readers = {
        "aiconfigurator": tables.read_gemm,
        "vidur": other_tables.read_vidur_products,
        "llmcompass": other_tables.read_llmcompass_products,
    }
    return readers[table.reader](folder / table.paths[0])


def efficiency_files(fits: Mapping[str, DeviceFits]) -> dict[str, str]:
    """Text of every efficiency file, by its name without ``.yaml``."""
    return {name: _text(name, recipe, fits) for name, recipe in FILES.items()}


def _text(name: str, recipe: EfficiencyFile, fits: Mapping[str, DeviceFits]) -> str:
    gemm = _gemm(name, recipe, fits)
    efficiency = {
        "gemm": gemm,
        "attention": _attention(name, recipe, fits),
        "memory": _memory(name, recipe, fits),
        "grouped_gemm": _grouped_basis(name, recipe),
        "convolution": "transferred" if recipe.gemm else "analytic",
        "training_ratio": _training_ratio(recipe, fits, gemm),
    }
    body = dump_yaml(
        {"extends": f"../families/{recipe.family}.yaml", "efficiency": efficiency}, _comments(efficiency)
    )
    return f"# {_headline(name, recipe)}\n# Written by simtool.calibrate.kernels: do not edit, calibrate again.\n{body}"


def _headline(name: str, recipe: EfficiencyFile) -> str:
    if recipe.gemm == name:
        return f"How much of its peak rates {name} reaches, fitted to kernels that were timed on it."
    if recipe.gemm:
        return f"How much of their peak rates {name} devices reach, taken over from {recipe.gemm}."
    return f"How much of their peak rates {name} devices reach: no kernel table, the analytic form."


def _gemm(name: str, recipe: EfficiencyFile, fits: Mapping[str, DeviceFits]) -> dict[str, Any]:
    section, basis = _curve(name, recipe, "gemm", recipe.gemm, fits, {"peak_frac": 0.8, **ANALYTIC_GEMM})
    if recipe.peak is not None:
        section["peak_frac"] = _share(recipe.peak)
    if not recipe.waves:
        section["wave_frac"] = _whole_device()
    section["weight_gradient_ratio"] = _backward(name, recipe, fits, "weight_gradient_ratio")
    residuals = _residuals(fits[recipe.gemm].gemm if basis == "measured" else None)
    return {**section, "basis": basis, **residuals, **_correction(recipe, "gemm", recipe.gemm, fits)}


def _attention(name: str, recipe: EfficiencyFile, fits: Mapping[str, DeviceFits]) -> dict[str, Any]:
    section, basis = _curve(name, recipe, "attention", recipe.attention, fits, ANALYTIC_ATTENTION)
    if not recipe.waves:
        section["tail_waves"] = _whole_device()
    section["backward_ratio"] = _backward(name, recipe, fits, "backward_ratio")
    fit = fits[recipe.attention].attention if basis == "measured" else None
    correction = _correction(recipe, "attention", recipe.attention, fits)
    return {**section, "basis": basis, **_residuals(fit), **correction}


def _memory(name: str, recipe: EfficiencyFile, fits: Mapping[str, DeviceFits]) -> dict[str, Any]:
    section, basis = _curve(name, recipe, "memory", recipe.memory, fits, ANALYTIC_MEMORY)
    fit = fits[recipe.memory].memory if basis == "measured" else None
    residuals = _residuals(fit)
    return {**section, "basis": basis, **{key: residuals[key] for key in residuals if "_all_" not in key}}


def _grouped_basis(name: str, recipe: EfficiencyFile) -> Basis:
    """SimuMax's tables hold grouped products in all three layouts; they check the curve of plain ones."""
    own = MEASURED[name].backward if name in MEASURED else None
    if recipe.backward == name and own is not None and own.has_grouped:
        return "measured"
    return "transferred" if recipe.gemm else "analytic"


def _curve(
    name: str,
    recipe: EfficiencyFile,
    what: str,
    origin: str,
    fits: Mapping[str, DeviceFits],
    analytic: Mapping[str, float],
) -> tuple[dict[str, Any], str]:
    """Coefficients of one op class, and their basis: measured, transferred or analytic."""
    if not origin:
        source = ANALYTIC_MEMORY_SOURCE if what == "memory" else ANALYTIC_SOURCE
        spreads = {key: ANALYTIC_SPREADS.get(key, ANALYTIC_SPREAD) for key in analytic}
        return {
            key: sourced_number(key, x, "assumed", source, spreads[key]) for key, x in analytic.items()
        }, "analytic"
    fit: Fit = getattr(fits[origin], what)
    table: Table = getattr(MEASURED[origin], what)
    if origin == name:
        numbers = {
            key: sourced_number(
                key, x, "calibrated", f"{WORDS[what]} on {name}, {table.source}", fit.spreads[key]
            )
            for key, x in fit.values.items()
        }
        return numbers, "measured"
    source = f"taken over from {WORDS[what]} on {origin}, {table.source}"
    numbers = {
        key: sourced_number(key, x, "assumed", source, max(recipe.distance, fit.spreads[key]))
        for key, x in fit.values.items()
    }
    return numbers, "transferred"


def _correction(
    recipe: EfficiencyFile, what: str, origin: str, fits: Mapping[str, DeviceFits]
) -> dict[str, Any]:
    """What the coefficients miss, if the table shows it and the recipe takes it along."""
    fit: Fit | None = getattr(fits[origin], what) if origin else None
    if what not in recipe.corrected or fit is None or fit.shape is None or fit.anchors is None:
        return {}
    table: Table = getattr(MEASURED[origin], what)
    source = f"{WORDS[what]} on {origin}, {table.source}, smoothed"
    return {"correction": section_of(fit.shape.terms, fit.anchors, source)}


def _backward(name: str, recipe: EfficiencyFile, fits: Mapping[str, DeviceFits], key: str) -> Inline:
    origin = recipe.backward
    ratios = fits[origin].backward if origin else None
    table = MEASURED[origin].backward if origin else None
    if ratios is None or table is None:
        return sourced_number(key, ANALYTIC_BACKWARD[key], "assumed", ANALYTIC_BACKWARD_SOURCE, 0.15)
    value, spread = (
        (ratios.attention, ratios.attention_spread)
        if key == "backward_ratio"
        else (ratios.weight_gradient, ratios.weight_gradient_spread)
    )
    own = origin == name
    source = f"{'' if own else 'taken over from '}{table.source}, median over shapes"
    return sourced_number(
        key, value, "calibrated" if own else "assumed", source, max(spread, 0.0 if own else 0.1)
    )


def _training_ratio(
    recipe: EfficiencyFile, fits: Mapping[str, DeviceFits], gemm: Mapping[str, Any]
) -> Inline:
    ratio = recipe.ratio
    value, source = ratio.value, ratio.source
    own_fit = fits[recipe.gemm].gemm if recipe.gemm and "gemm" in recipe.corrected else None
    if ratio.over or own_fit is not None:
        over = fits[ratio.over or recipe.gemm].gemm
        if over is None:
            raise ValueError(f"{ratio.over} has no table of matrix products")
        own = SimpleNamespace(**{key: _plain(gemm[key]["value"]) for key in GEMM})
        device = MEASURED[recipe.gemm or ratio.over].device
        correction = None if own_fit is None else own_fit.correction
        value = restated_ratio(value, over.curve, own, device, correction)
        found_over = f"the curve of {ratio.over}" if ratio.over else "the coefficients"
        source += f", over {found_over}; restated over this curve"
    return sourced_number(
        "training_ratio", value, "assumed" if ratio.is_assumed else "calibrated", source, ratio.spread
    )


def _share(share: Share) -> Inline:
    kind: Kind = "assumed" if share.is_assumed else "published"
    return sourced_number("peak_frac", share.value, kind, share.source, share.spread)


def _whole_device() -> Inline:
    return Inline(
        value=0.0, kind="assumed", source="one operation runs on the whole device at once", spread=0.1
    )


def _residuals(fit: Fit | None) -> dict[str, Any]:
    if fit is None:
        return {}
    return {
        "residual_p50": rounded(fit.training.p50, 2),
        "residual_p90": rounded(fit.training.p90, 2),
        "residual_all_p50": rounded(fit.everywhere.p50, 2),
        "residual_all_p90": rounded(fit.everywhere.p90, 2),
        "num_measured": fit.num_measured,
    }


def _comments(efficiency: Mapping[str, Any]) -> dict[Keys, str]:
    told = {
        "residual_p50": "held-out shapes of training size",
        "residual_all_p50": "held-out shapes of every size",
    }
    return {
        ("efficiency", section, key): told[key]
        for section, members in efficiency.items()
        if isinstance(members, dict)
        for key in members
        if key in told
    }


def sourced_number(key: str, value: float, kind: Kind, source: str, spread: float) -> Inline:
    """A coefficient as a profile's file has it; latencies in microseconds."""
    written: float | str = rounded(value, 3)
    if key == "latency":
        written = f"{rounded(value * 1e6, 3):g} us"
    return Inline(value=written, kind=kind, source=source, spread=rounded(max(spread, BOARD_SPREAD), 2))


def _plain(written: float | str) -> float:
    """The number that a file's value stands for [base unit]."""
    return float(written.removesuffix(" us")) * 1e-6 if isinstance(written, str) else float(written)


def rounded(value: float, digits: int) -> float:
    """Few digits, so that another machine's last bits do not change a file."""
    if value == 0:
        return 0.0
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))


def residual_table(fits: Mapping[str, DeviceFits]) -> str:
    """Held-out p50 and p90 by device and op class, beside one constant efficiency on the same shapes."""
    head = (
        f"{'':23}{'':>8}   {'training size':^17}{'all sizes':^17}{'constant, training':^19}{'constant, all':^17}\n"
        f"{'device':12}{'kernels of':11}{'number':>8}   " + f"{'p50':>8}{'p90':>8} " * 4
    )
    lines = [head.rstrip()]
    for name, device in fits.items():
        for what in ("gemm", "attention", "memory"):
            fit: Fit | None = getattr(device, what)
            if fit is not None:
                parts = (fit.training, fit.everywhere, fit.constant_training, fit.constant_everywhere)
                lines.append(f"{name:12}{what:11}{fit.num_measured:8}   " + " ".join(map(_cells, parts)))
    return "\n".join(lines)


def _cells(residuals: Residuals) -> str:
    return f"{residuals.p50:8.1%}{residuals.p90:8.1%}"
