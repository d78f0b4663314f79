"""Robust fits of the kernel models, and how far they are off on shapes they never saw.

Residuals are log(predicted / measured); the loss is soft_l1, so that a few odd kernels do not pull;
each coefficient has a weak prior, so that what a table does not show stays where physics puts it. A large
table also shows what the coefficients miss: `calibrate.corrections`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from simtool.calibrate.cached_loop import loop_bytes
from simtool.calibrate.corrections import Shape, attention_shape, correction_from, is_enough, product_shape
from simtool.calibrate.smooth import Solver, penalty
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.machine.attention import attention_time_s
from simtool.machine.correction import Correction
from simtool.machine.gemm import gemm_time_s
from simtool.machine.memory_bound import memory_time_s

ODD_KERNEL = 0.1
"""Log residual beyond which a kernel counts as odd and pulls linearly, not quadratically."""
OTHER_WEIGHT = 0.1
"""Weight of a kernel that is not of training size: a step is not made of them."""
NUM_FOLDS = 5
"""Each shape is held out once, with a fifth of all shapes."""

Predict = Callable[[SimpleNamespace, KernelTable], FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What a kernel model needs to know beside its coefficients."""

    peak_flop_per_s: float
    num_processors: int
    bandwidth_bytes_per_s: float
    cache_bytes: float
    """Of the last level."""
    element_bytes: float = 2.0


@dataclass(frozen=True, slots=True)
class Coefficient:
    """A number to fit: its prior, how far the prior may be off, and how it is bounded."""

    prior: float
    deviation: float
    """Standard deviation of the prior of the logarithm, or of the log-odds of a share."""
    is_frac: bool = False
    """Between 0 and 1, else above 0."""
    is_nuisance: bool = False
    """Explains the measurement, not the kernel; fitted, never shipped."""

    def inward(self, value: float) -> float:
        """To the unbounded scale on which the fit moves."""
        return float(np.log(value / (1.0 - value)) if self.is_frac else np.log(value))

    def outward(self, x: float) -> float:
        """Back to the number."""
        return float(1.0 / (1.0 + np.exp(-x)) if self.is_frac else np.exp(x))

    def spread(self, value: float, error: float) -> float:
        """Relative standard error of the number, from its error on the fitted scale."""
        return error * (1.0 - value) if self.is_frac else error


GEMM: Mapping[str, Coefficient] = {
    "peak_frac": Coefficient(0.8, 0.5, is_frac=True),
    "k_half": Coefficient(130.0, 0.4),
    "tile_half": Coefficient(10.0, 0.8),
    "wave_frac": Coefficient(0.4, 0.8, is_frac=True),
    "bandwidth_frac": Coefficient(0.82, 0.5, is_frac=True),
    "latency": Coefficient(2.5e-6, 0.4),
}
LOOP: Mapping[str, Coefficient] = {
    # Of `cached_loop`: the whole cache, at the few times the memory's rate that last-level caches reach.
    "cache_share": Coefficient(1.0, 0.3, is_nuisance=True),
    "cache_speed": Coefficient(3.0, 0.5, is_nuisance=True),
    "cache_cliff": Coefficient(6.0, 0.5, is_nuisance=True),
}
ATTENTION: Mapping[str, Coefficient] = {
    "peak_frac": Coefficient(0.8, 0.4, is_frac=True),
    "seq_half": Coefficient(600.0, 0.6),
    "head_half": Coefficient(32.0, 0.6),
    "tail_waves": Coefficient(1.0, 0.6),
    "latency": Coefficient(8e-6, 0.5),
    # Inference kernels also write their keys and values to a cache, which training does not keep.
    "cache_write_passes": Coefficient(1.0, 1.0, is_nuisance=True),
}
MEMORY: Mapping[str, Coefficient] = {
    "bandwidth_frac": Coefficient(0.85, 0.4, is_frac=True),
    "latency": Coefficient(2e-6, 0.4),
    # A benchmark repeats one kernel on the same tensors, part of which the cache still holds.
    "cached_frac": Coefficient(0.2, 0.8, is_frac=True, is_nuisance=True),
}


@dataclass(frozen=True, slots=True)
class Residuals:
    """Absolute relative errors on held-out shapes."""

    p50: float
    p90: float

    @classmethod
    def of(cls, predicted: FloatArray, measured: FloatArray) -> Residuals:
        """Median and 90th percentile of |predicted / measured - 1|."""
        return cls(*(float(x) for x in np.percentile(np.abs(predicted / measured - 1.0), [50, 90])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Coefficients with relative standard errors, and held-out residuals beside a baseline's."""

    values: dict[str, float]
    """Coefficients from all shapes, without the nuisances."""
    spreads: dict[str, float]
    """Standard error of each over its value, from leaving out a fifth of the shapes at a time."""
    nuisances: dict[str, float]
    num_measured: int
    training: Residuals
    """On held-out kernels of training size."""
    everywhere: Residuals
    """On all held-out kernels."""
    constant_training: Residuals
    """The same for one constant efficiency, fitted to the same shapes."""
    constant_everywhere: Residuals
    plain_training: Residuals
    """The same for the coefficients alone, without a correction."""
    plain_everywhere: Residuals
    shape: Shape | None = field(default=None, compare=False)
    """What is corrected; None where the table is too small to show it."""
    anchors: FloatArray | None = field(default=None, compare=False)
    """Values of the correction at all anchors."""
    predicted_s: FloatArray = field(compare=False)
    """Of each kernel of the table, by a fit that never saw its shape."""

    @property
    def correction(self) -> Correction | None:
        """The correction as the machine models take it."""
        if self.shape is None or self.anchors is None:
            return None
        return correction_from(self.shape.terms, self.anchors)

    @property
    def curve(self) -> SimpleNamespace:
        """The coefficients as attributes, as the machine models take them."""
        return SimpleNamespace(**self.values)


def fit_gemm(
    table: KernelTable,
    device: Device,
    coefficients: Mapping[str, Coefficient] | None = None,
    *,
    corrected: bool = True,
    num_weights: int = 0,
) -> Fit:
    """Coefficients of `machine.gemm.gemm_time_s`, from priors of one's own or the usual ones.

    And, unless not `corrected`, what they miss, if the table is large enough. Where the table was timed in a loop
    over `num_weights` weights, what the cache holds of them is told apart (`calibrate.cached_loop`).
    """

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        m, n, k = (rows.columns[name] for name in "mnk")
        moved = None
        if num_weights:
            moved = loop_bytes(
                m,
                n,
                k,
                num_weights=num_weights,
                element_bytes=device.element_bytes,
                cache_bytes=device.cache_bytes,
                cache=curve,
            )
        time_s = gemm_time_s(
            m,
            n,
            k,
            peak_flop_per_s=device.peak_flop_per_s,
            num_processors=device.num_processors,
            bandwidth_bytes_per_s=device.bandwidth_bytes_per_s,
            element_bytes=device.element_bytes,
            curve=curve,
            moved_bytes=moved,
        )
        return np.asarray(time_s)

    shape = product_shape(device.num_processors) if corrected and is_enough(table) else None
    chosen = {**(coefficients or GEMM), **(LOOP if num_weights else {})}
    return fit_curve(table, chosen, predict, shape)


def fit_attention(table: KernelTable, device: Device, *, corrected: bool = True) -> Fit:
    """Coefficients of `machine.attention.attention_time_s`, forward and causal, and what they miss."""

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        c = rows.columns
        time_s = attention_time_s(
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
        keys_and_values = 2.0 * c["batch"] * c["seq_len"] * c["num_kv_heads"] * c["head_dim"]
        written = curve.cache_write_passes * keys_and_values * device.element_bytes
        return np.asarray(time_s + written / device.bandwidth_bytes_per_s)

    shape = attention_shape(device.num_processors) if corrected and is_enough(table) else None
    return fit_curve(table, ATTENTION, predict, shape)


def fit_memory(
    table: KernelTable, device: Device, coefficients: Mapping[str, Coefficient] | None = None
) -> Fit:
    """Coefficients of `machine.memory_bound.memory_time_s`, from priors of one's own or the usual ones."""

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        moved = np.maximum(rows.columns["num_bytes"] - curve.cached_frac * device.cache_bytes, 0.0)
        time_s = memory_time_s(moved, bandwidth_bytes_per_s=device.bandwidth_bytes_per_s, curve=curve)
        return np.asarray(time_s)

    return fit_curve(table, coefficients or MEMORY, predict)


def fit_curve(
    table: KernelTable,
    coefficients: Mapping[str, Coefficient],
    predict: Predict,
    shape: Shape | None = None,
) -> Fit:
    """Fit `predict` to all shapes, and to four fifths of them five times for residuals and errors.

    Where there is a `shape`, what the coefficients miss is fitted too, in each fold to the same four fifths.
    """
    names = list(coefficients)
    fold = table.group % NUM_FOLDS
    whole = _solve(table, coefficients, predict, None)
    solver = None if shape is None else Solver(shape.matrix(table), penalty(shape.terms), fold)
    plain, constant, factor = np.empty(len(table)), np.empty(len(table)), np.ones(len(table))
    partial = []
    for left_out in range(NUM_FOLDS):
        held, seen = fold == left_out, table.where(fold != left_out)
        x = _solve(seen, coefficients, predict, whole)
        partial.append(x)
        curve = _curve(coefficients, x)
        plain[held] = predict(curve, table.where(held))
        constant[held] = table.work[held] / _constant_rate(seen)
        if solver is not None:
            log_ratio = np.zeros(len(table))
            log_ratio[~held] = np.log(seen.time_s / predict(curve, seen))
            anchors = solver.solve(log_ratio, left_out)
            factor[held] = np.exp(solver.corrections(anchors, held))
    # delete-a-group jackknife on the fitted scale
    variance = (
        (NUM_FOLDS - 1) / NUM_FOLDS * np.sum((np.array(partial) - np.mean(partial, axis=0)) ** 2, axis=0)
    )
    found = _curve(coefficients, whole)
    values = vars(found)
    error = np.sqrt(variance)
    spreads = {name: coefficients[name].spread(values[name], float(error[i])) for i, name in enumerate(names)}
    shipped = [name for name in names if not coefficients[name].is_nuisance]
    training, everywhere = _residuals(plain * factor, table)
    plain_training, plain_everywhere = _residuals(plain, table)
    constant_training, constant_everywhere = _residuals(constant, table)
    return Fit(
        values={name: values[name] for name in shipped},
        spreads={name: spreads[name] for name in shipped},
        nuisances={name: values[name] for name in names if coefficients[name].is_nuisance},
        num_measured=len(table),
        training=training,
        everywhere=everywhere,
        constant_training=constant_training,
        constant_everywhere=constant_everywhere,
        plain_training=plain_training,
        plain_everywhere=plain_everywhere,
        shape=shape,
        anchors=None if solver is None else solver.solve(np.log(table.time_s / predict(found, table))),
        predicted_s=plain * factor,
    )


def _residuals(predicted_s: FloatArray, table: KernelTable) -> tuple[Residuals, Residuals]:
    """Of kernels of training size, and of all."""
    big = table.is_training
    return Residuals.of(predicted_s[big], table.time_s[big]), Residuals.of(predicted_s, table.time_s)


def _solve(
    table: KernelTable, coefficients: Mapping[str, Coefficient], predict: Predict, start: FloatArray | None
) -> FloatArray:
    from scipy.optimize import least_squares

    seen = table.thinned()
    prior = np.array([coefficient.inward(coefficient.prior) for coefficient in coefficients.values()])
    deviation = np.array([coefficient.deviation for coefficient in coefficients.values()])
    weight = np.where(seen.is_training, 1.0, OTHER_WEIGHT)
    weight *= seen.num_groups / np.sum(weight)  # kernels of one shape are one observation, not many
    pull = np.sqrt(weight)

    def residuals(x: FloatArray) -> FloatArray:
        error = np.log(predict(_curve(coefficients, x), seen) / seen.time_s) / ODD_KERNEL
        # soft_l1 on the kernels, none on the priors: its square is 2 (sqrt(1 + z^2) - 1)
        robust = np.copysign(np.sqrt(2.0 * (np.sqrt(1.0 + error**2) - 1.0)), error)
        return np.concatenate([pull * robust, (x - prior) / deviation])

    found = least_squares(
        residuals, prior if start is None else start, method="lm", xtol=1e-10, ftol=1e-10, gtol=1e-10
    )
    return np.asarray(found.x)


def _curve(coefficients: Mapping[str, Coefficient], x: FloatArray) -> SimpleNamespace:
    pairs = zip(coefficients.items(), x, strict=True)
    return SimpleNamespace(**{name: coefficient.outward(value) for (name, coefficient), value in pairs})


def _constant_rate(seen: KernelTable) -> float:
    big = seen.is_training
    return float(np.median(seen.work[big] / seen.time_s[big]))
