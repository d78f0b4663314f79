"""Robust fits of the kernel models, and how far they are off on shapes they never saw.

Residuals are log(predicted / measured); the loss is soft_l1, so that a few odd kernels do not pull;
each coefficient has a weak prior, so that what the table does not show stays where physics puts it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from simtool.calibrate.tables import FloatArray, KernelTable, thinned
from simtool.machine.attention import attention_time_s
from simtool.machine.gemm import gemm_time_s

ROBUST_SCALE = 0.1
"""Log residual beyond which a kernel counts as odd."""
PRIOR_WEIGHT = 0.02
"""Weight of a prior against the mean over kernels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a kernel model needs to know beside its coefficients."""

    peak_flop_per_s: float
    num_processors: int
    bandwidth_bytes_per_s: float
    element_bytes: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients with relative standard errors, and held-out residuals beside a baseline's."""

    values: dict[str, float]
    spreads: dict[str, float]
    num_measured: int
    residual_p50: float
    """Median |relative error|, held-out shapes of training size."""
    residual_p90: float
    residual_all_p50: float
    residual_all_p90: float
    baseline_p50: float
    """The same as `residual_p50` for one constant efficiency, fitted on the same rows."""
    baseline_p90: float


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A number to fit: prior, its standard deviation on the fitted scale, and whether it is a share."""

    prior: float
    deviation: float
    is_frac: bool = False

    def inward(self, value: float) -> float:
        """To the unbounded scale on which the fit moves."""
        return float(np.log(value / (1.0 - value)) if self.is_frac else np.log(value))

    def outward(self, x: float) -> float:
        """Back to the number."""
        return float(1.0 / (1.0 + np.exp(-x)) if self.is_frac else np.exp(x))

    def spread(self, value: float, error: float) -> float:
        """Relative standard error of the number."""
        return error * (1.0 - value) if self.is_frac else error


GEMM: Mapping[str, Coefficient] = {
    "peak_frac": Coefficient(0.80, 0.5, is_frac=True),
    "k_half": Coefficient(150.0, 0.7),
    "tile_half": Coefficient(20.0, 1.0),
    "wave_frac": Coefficient(0.5, 1.0, is_frac=True),
    "bandwidth_frac": Coefficient(0.8, 0.5, is_frac=True),
    "latency": Coefficient(4e-6, 0.7),
}
ATTENTION: Mapping[str, Coefficient] = {
    "peak_frac": Coefficient(0.65, 0.5, is_frac=True),
    "seq_half": Coefficient(600.0, 1.0),
    "head_half": Coefficient(20.0, 1.0),
    "tail_waves": Coefficient(0.5, 1.0),
    "latency": Coefficient(8e-6, 0.7),
}


def fit_gemm(table: KernelTable, device: Device) -> Fit:
    """Coefficients of `machine.gemm.gemm_time_s`."""

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        c = rows.columns
        return np.asarray(
            gemm_time_s(
                c["m"],
                c["n"],
                c["k"],
                peak_flop_per_s=device.peak_flop_per_s,
                num_processors=device.num_processors,
                bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
                element_bytes=device.element_bytes,
                curve=curve,
            )
        )

    return _fit(table, GEMM, predict)


def fit_attention(table: KernelTable, device: Device) -> Fit:
    """Coefficients of `machine.attention.attention_time_s`, forward and causal."""

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        c = rows.columns
        return np.asarray(
            attention_time_s(
                c["batch"],
                c["num_heads"],
                c["seq_len"],
                c["head_dim"],
                peak_flop_per_s=device.peak_flop_per_s,
                num_processors=device.num_processors,
                bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
                element_bytes=device.element_bytes,
                curve=curve,
                num_kv_heads=c["num_kv_heads"],
            )
        )

    return _fit(table, ATTENTION, predict)


def _fit(
    table: KernelTable,
    coefficients: Mapping[str, Coefficient],
    predict: Callable[[SimpleNamespace, KernelTable], FloatArray],
) -> Fit:
    from scipy.optimize import least_squares

    seen = thinned(table.where(~table.held_out))
    weight = np.where(seen.is_training, 1.0, 0.3)  # training shapes are what a step is made of
    weight = weight / np.sqrt(np.sum(weight**2))
    names = list(coefficients)
    start = np.array([coefficients[name].inward(coefficients[name].prior) for name in names])
    deviation = np.array([coefficients[name].deviation for name in names])

    def curve_at(x: FloatArray) -> SimpleNamespace:
        return SimpleNamespace(**{name: coefficients[name].outward(x[i]) for i, name in enumerate(names)})

    def residuals(x: FloatArray) -> FloatArray:
        error = np.log(predict(curve_at(x), seen) / seen.time_s)
        robust = ROBUST_SCALE * np.sqrt(2.0 * (np.sqrt(1.0 + (error / ROBUST_SCALE) ** 2) - 1.0))
        prior = PRIOR_WEIGHT * ROBUST_SCALE * (x - start) / deviation
        return np.concatenate([weight * np.sign(error) * robust, prior])

    solved = least_squares(residuals, start, x_scale=deviation)
    curve = curve_at(solved.x)
    error = np.sqrt(np.diag(np.linalg.inv(solved.jac.T @ solved.jac)) * 2.0 * solved.cost / len(seen.time_s))
    values = {name: float(getattr(curve, name)) for name in names}
    out = table.where(table.held_out)
    training = out.where(out.is_training)
    off = _residuals(predict(curve, training), training.time_s)
    everywhere = _residuals(predict(curve, out), out.time_s)
    fitted = seen.where(seen.is_training)
    constant = float(np.median(fitted.flop / fitted.time_s))
    plain = _residuals(training.flop / constant, training.time_s)
    return Fit(
        values=values,
        spreads={
            name: coefficients[name].spread(values[name], float(error[i])) for i, name in enumerate(names)
        },
        num_measured=len(table.time_s),
        residual_p50=off[0],
        residual_p90=off[1],
        residual_all_p50=everywhere[0],
        residual_all_p90=everywhere[1],
        baseline_p50=plain[0],
        baseline_p90=plain[1],
    )


def _residuals(predicted: FloatArray, measured: FloatArray) -> tuple[float, float]:
    off = np.abs(predicted / measured - 1.0)
    p50, p90 = np.percentile(off, [50, 90])
    return float(p50), float(p90)
