"""Efficiency files from kernel tables: ``python -m simtool.calibrate.kernels --reference DIR -o DIR``.

Fits every device that has a table, writes one readable file each, and takes the coefficients over to
the families of the nearest architecture. The same tables give the same bytes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from simtool.calibrate.fit import Device, Fit, fit_attention, fit_gemm
from simtool.calibrate.sources import INHERITED, MEASURED, PRIOR_SOURCE, Inherited
from simtool.calibrate.tables import read_attention, read_gemm

TABLES = Path("data/kernels/aiconfigurator")
TABLE_SOURCE = "kernel tables of NVIDIA aiconfigurator 095f58a (Apache-2.0)"


BACKWARD_RATIO, BACKWARD_SPREAD = 3.3, 0.15
WEIGHT_GRADIENT_RATIO, WEIGHT_GRADIENT_SPREAD = 1.08, 0.05
MEMORY_FRAC, MEMORY_LATENCY_US = 0.8, 3.0


@dataclass(frozen=True, slots=True)
class Fits:
    """What was fitted for one device."""

    gemm: Fit
    attention: Fit | None


def fit_all(reference: Path) -> dict[str, Fits]:
    """All devices that have tables under the reference folder."""
    found = {}
    for name, measured in MEASURED.items():
        device = Device(
            peak_flop_per_s=measured.peak_flop_per_s,
            num_processors=measured.num_processors,
            bandwidth_bytes_per_s=measured.bandwidth_bytes_per_s,
        )
        gemm = fit_gemm(read_gemm(reference / TABLES / f"gemm_bf16_{measured.table}.csv.gz"), device)
        attention = None
        if measured.attention_from is None:
            path = reference / TABLES / f"attention_context_bf16_{measured.table}.csv.gz"
            attention = fit_attention(read_attention(path), device)
        found[name] = Fits(gemm, attention)
    return found


def efficiency_files(fits: dict[str, Fits]) -> dict[str, str]:
    """Text of every efficiency file, by its name."""
    files = {}
    for name, measured in MEASURED.items():
        source = measured.attention_from or name
        files[f"{name}.yaml"] = "\n".join(
            [
                f"# How much of its peak {name} reaches, fitted to its kernels. Written by simtool.calibrate.kernels.",
                f"extends: ../families/{measured.family}.yaml",
                "",
                "efficiency:",
                *_gemm_lines(fits[name].gemm, "measured", name),
                *_attention_lines(
                    fits[source].attention, "measured" if source == name else "transferred", source
                ),
                *_memory_lines(),
                _number(
                    "training_ratio",
                    measured.training_ratio,
                    "calibrated",
                    PRIOR_SOURCE,
                    measured.training_spread,
                    2,
                ),
                "",
            ]
        )
    for family, inherited in INHERITED.items():
        nearest = inherited.nearest
        attention = MEASURED[nearest].attention_from or nearest
        basis = "transferred" if inherited.peak_frac is None else "analytic"
        files[f"{family}.yaml"] = "\n".join(
            [
                f"# No kernel table of this family: the curves of {nearest}. Written by simtool.calibrate.kernels.",
                f"extends: ../families/{family}.yaml",
                "",
                "efficiency:",
                *_gemm_lines(fits[nearest].gemm, basis, nearest, inherited),
                *_attention_lines(fits[attention].attention, basis, attention),
                *_memory_lines(),
                _number(
                    "training_ratio",
                    inherited.training_ratio,
                    "assumed",
                    inherited.why,
                    inherited.training_spread,
                    2,
                ),
                "",
            ]
        )
    return files


def _gemm_lines(fit: Fit, basis: str, name: str, inherited: Inherited | None = None) -> list[str]:
    lines = ["  gemm:"]
    for key, value in fit.values.items():
        if key == "peak_frac" and inherited is not None and inherited.peak_frac is not None:
            lines.append(
                _number(key, inherited.peak_frac, "assumed", inherited.peak_source, inherited.peak_spread, 4)
            )
        else:
            lines.append(_fitted(key, value, fit.spreads[key], basis, name, "matrix products"))
    ratio = _number(
        "weight_gradient_ratio",
        WEIGHT_GRADIENT_RATIO,
        "calibrated",
        f"{PRIOR_SOURCE}: backward of a linear layer 2 x 1.04 forward",
        WEIGHT_GRADIENT_SPREAD,
        4,
    )
    return [*lines, ratio, *_residual_lines(fit, basis)]


def _attention_lines(fit: Fit | None, basis: str, name: str) -> list[str]:
    if fit is None:
        raise ValueError(f"{name} has no attention table")
    lines = [
        _fitted(key, value, fit.spreads[key], basis, name, "attention") for key, value in fit.values.items()
    ]
    ratio = _number(
        "backward_ratio",
        BACKWARD_RATIO,
        "calibrated",
        f"{PRIOR_SOURCE}; tables are forward only",
        BACKWARD_SPREAD,
        4,
    )
    return ["  attention:", *lines, ratio, *_residual_lines(fit, basis)]


def _memory_lines() -> list[str]:
    source = "empirical factor and latency of NVIDIA aiconfigurator for memory-bound kernels"
    return [
        "  memory:",
        _number("bandwidth_frac", MEMORY_FRAC, "published", source, 0.1, 4),
        _number("latency", MEMORY_LATENCY_US, "published", source, 0.5, 4, unit="us"),
        "    basis: analytic",
    ]


def _residual_lines(fit: Fit, basis: str) -> list[str]:
    lines = [f"    basis: {basis}"]
    if basis == "measured":
        lines += [
            f"    residual_p50: {fit.residual_p50:.3f}  # held-out shapes of training size",
            f"    residual_p90: {fit.residual_p90:.3f}",
            f"    residual_all_p50: {fit.residual_all_p50:.3f}  # held-out shapes of every size",
            f"    residual_all_p90: {fit.residual_all_p90:.3f}",
            f"    num_measured: {fit.num_measured}",
        ]
    return lines


def _fitted(key: str, value: float, spread: float, basis: str, name: str, what: str) -> str:
    unit = ""
    if key == "latency":
        value, unit = value * 1e6, "us"
    if basis == "measured":
        return _number(key, value, "calibrated", f"{what} of {name}, {TABLE_SOURCE}", spread, 4, unit)
    return _number(key, value, "calibrated", f"taken over from {what} of {name}", max(0.2, spread), 4, unit)


def _number(
    key: str, value: float, kind: str, source: str, spread: float, indent: int, unit: str = ""
) -> str:
    written = _rounded(value, 4) + (f" {unit}" if unit else "")
    return (
        f"{' ' * indent}{key}: {{value: {written}, kind: {kind}, "
        f'source: "{source}", spread: {_rounded(min(spread, 2.0), 2)}}}'
    )


def _rounded(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def residual_table(fits: dict[str, Fits]) -> str:
    """Held-out residuals by device, beside one constant efficiency on the same shapes of training size."""
    headings = ("p50", "p90", "all p50", "all p90", "const p50", "const p90")
    lines = [f"{'device':14}{'class':11}{'kernels':>8}" + "".join(f"{heading:>11}" for heading in headings)]
    for name, both in fits.items():
        for what, fit in (("gemm", both.gemm), ("attention", both.attention)):
            if fit is not None:
                off = (
                    fit.residual_p50,
                    fit.residual_p90,
                    fit.residual_all_p50,
                    fit.residual_all_p90,
                    fit.baseline_p50,
                    fit.baseline_p90,
                )
                lines.append(
                    f"{name:14}{what:11}{fit.num_measured:8}" + "".join(f"{one:11.1%}" for one in off)
                )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit all tables, write all files, print the residuals."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--reference", type=Path, required=True, help="folder that holds data/kernels")
    parser.add_argument("-o", "--out", type=Path, help="folder for the files; only the residuals without it")
    options = parser.parse_args(arguments)
    fits = fit_all(options.reference)
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        for name, text in efficiency_files(fits).items():
            (options.out / name).write_text(text, encoding="utf-8")
    print(residual_table(fits))


if __name__ == "__main__":
    main()
