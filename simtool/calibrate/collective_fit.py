"""Robust fits of a link's latencies, efficiency and ramp, and how far off they are on what they never saw.

Residuals are log(predicted / measured) under a soft_l1 loss, with a weak prior on each coefficient. Whole
strata are held out in turn: each group size (or number of nodes), each band of message sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simtool.calibrate.collective_tables import BYTES_PER_MIB, FloatArray, Mask, Timings
from simtool.calibrate.fit import Coefficient
from simtool.machine.collectives import collective_time_s
from simtool.machine.network import Fabric, Link

ROBUST_SCALE = 0.1
"""Log residual beyond which a collective counts as odd."""
PRIOR_WEIGHT = 0.02
"""Weight of a prior against the mean over rows."""
LARGE_BYTES = BYTES_PER_MIB
"""Messages of training: a mebibyte and more."""

ONLY_WAY = {
    "all_gather": "ring",
    "reduce_scatter": "ring",
    "all_to_all": "direct",
    "point_to_point": "direct",
}
"""Algorithm of the kinds that have no choice."""

Values = dict[str, float]
Predict = Callable[[Values, Mask], FloatArray]

INSIDE: Mapping[str, Coefficient] = {
    "startup_s": Coefficient(7e-6, 0.7),
    "latency_s": Coefficient(1e-6, 0.7),
    "efficiency_frac": Coefficient(0.78, 0.5, is_frac=True),
    "ramp_time_s": Coefficient(150e-6, 1.0),
}
"""Of a link within a domain."""
ACROSS: Mapping[str, Coefficient] = {
    "relay_latency_s": Coefficient(3e-6, 0.7),
    "efficiency_frac": Coefficient(0.93, 0.5, is_frac=True),
    "ramp_time_s": Coefficient(150e-6, 1.0),
}
"""Of a ring across domains."""
IN_SWITCH: Mapping[str, Coefficient] = {
    "in_switch_gain": Coefficient(1.25, 0.2),
    "in_switch_startup_s": Coefficient(60e-6, 0.7),
}
"""Of a reduction inside the switch."""
PLAIN: Mapping[str, Coefficient] = {
    "startup_s": Coefficient(15e-6, 2.0),
    "efficiency_frac": Coefficient(0.7, 1.0, is_frac=True),
}
"""The plain model to compare with: one start-up and one efficiency for all collectives of a link."""
ALONE = Link(name="none", bandwidth_bytes_per_s=np.inf, efficiency_frac=1.0, latency_s=0.0, startup_s=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Residual:
    """Quantiles of |relative error|."""

    p50: float
    p90: float
    num_measured: int

    def __str__(self) -> str:
        return f"{self.p50:7.1%}{self.p90:8.1%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Residuals of one way of holding out, messages of training and all, beside the plain model's."""

    stratum: str
    large: Residual
    everything: Residual
    plain_large: Residual
    plain_everything: Residual


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFit:
    """What was fitted to all rows of a network, and the held-out residuals."""

    name: str
    values: Values
    spreads: Values
    """Relative standard errors."""
    num_measured: int
    held_out: tuple[HeldOut, ...]
    anchors: Any = None
    """What the values miss: `collective_corrections.Anchors`; None for a network without."""


def solve(
    coefficients: Mapping[str, Coefficient],
    predict: Predict,
    measured_s: FloatArray,
    chosen: Mask,
    near: Values | None = None,
) -> tuple[Values, Values]:
    """Coefficients that fit the chosen rows, and their relative standard errors.

    The search begins at the priors, or `near` values.
    """
    from scipy.optimize import least_squares

    names = list(coefficients)
    prior = np.array([coefficients[name].inward(coefficients[name].prior) for name in names])
    start = prior if near is None else np.array([coefficients[name].inward(near[name]) for name in names])
    deviation = np.array([coefficients[name].deviation for name in names])
    weight = 1.0 / np.sqrt(np.count_nonzero(chosen))

    def values_at(x: FloatArray) -> Values:
        return {name: coefficients[name].outward(x[i]) for i, name in enumerate(names)}

    def residuals(x: FloatArray) -> FloatArray:
        error = np.log(predict(values_at(x), chosen) / measured_s[chosen])
        robust = ROBUST_SCALE * np.sqrt(2.0 * (np.sqrt(1.0 + (error / ROBUST_SCALE) ** 2) - 1.0))
        pull = PRIOR_WEIGHT * ROBUST_SCALE * (x - prior) / deviation
        return np.concatenate([weight * np.sign(error) * robust, pull])

    solved = least_squares(residuals, start, x_scale=deviation)
    error = np.sqrt(np.diag(np.linalg.inv(solved.jac.T @ solved.jac)) * 2.0 * solved.cost * weight**2)
    found = values_at(solved.x)
    return found, {
        name: coefficients[name].spread(found[name], float(error[i])) for i, name in enumerate(names)
    }


def cross_validated(
    name: str,
    coefficients: Mapping[str, Coefficient],
    predict: Predict,
    predict_plain: Predict,
    measured_s: FloatArray,
    size_bytes: FloatArray,
    strata: Mapping[str, FloatArray],
) -> LinkFit:
    """Fits all rows; then, for each way of cutting them into strata, each stratum from the others.

    Args:
        name: of the network.
        coefficients: to fit.
        predict: seconds of the chosen rows from values.
        predict_plain: the same for the coefficients `PLAIN`.
        measured_s: seconds that were measured.
        size_bytes: of each row.
        strata: number of the stratum of each row, by name of the cut.
    """
    everything = np.ones(len(measured_s), dtype=bool)
    values, spreads = solve(coefficients, predict, measured_s, everything)
    plain_values, _ = solve(PLAIN, predict_plain, measured_s, everything)
    large = size_bytes >= LARGE_BYTES
    held_out = []
    for cut, number in strata.items():
        error, plain = np.empty(len(measured_s)), np.empty(len(measured_s))
        for one in np.unique(number):
            out = number == one
            for off, names, guess, near in (
                (error, coefficients, predict, values),
                (plain, PLAIN, predict_plain, plain_values),
            ):
                seen, _ = solve(names, guess, measured_s, ~out, near)
                off[out] = guess(seen, out) / measured_s[out] - 1.0
        held_out.append(
            HeldOut(
                stratum=cut,
                large=residual(error[large]),
                everything=residual(error),
                plain_large=residual(plain[large]),
                plain_everything=residual(plain),
            )
        )
    return LinkFit(
        name=name,
        values=values,
        spreads=spreads,
        num_measured=len(measured_s),
        held_out=tuple(held_out),
    )


def residual(relative_error: FloatArray) -> Residual:
    """Its quantiles; of nothing they are not a number."""
    if not len(relative_error):
        return Residual(p50=float("nan"), p90=float("nan"), num_measured=0)
    p50, p90 = np.percentile(np.abs(relative_error), [50, 90])
    return Residual(p50=float(p50), p90=float(p90), num_measured=len(relative_error))


def predicted_s(rows: Timings, fabric: Fabric, all_reduce: str | None = None) -> FloatArray:
    """The model's time of each row: as a library would choose, or without choice and correction.

    With an algorithm for all-reduces, the other kinds go their only way, and corrections are left out.
    """
    named = None if all_reduce is None else {**ONLY_WAY, "all_reduce": all_reduce}
    found = np.empty(len(rows))
    for kind in np.unique(rows.kind):
        chosen = rows.kind == kind
        found[chosen] = collective_time_s(
            str(kind),
            rows.size_bytes[chosen],
            rows.group_size[chosen],
            rows.per_domain[chosen],
            fabric,
            None if named is None else named[str(kind)],
        )
    return found


def with_values(link: Link, values: Values) -> Link:
    """The link with fitted values in place of its own."""
    named: dict[str, Any] = dict(values)
    return replace(link, **named)


def inside(link: Link) -> Fabric:
    """One domain of eight and nothing beyond."""
    return Fabric(scale_up=link, scale_out=ALONE, accelerators_per_domain=8)


def size_bands(size_bytes: FloatArray) -> FloatArray:
    """Bands of three octaves."""
    return np.floor(np.log2(size_bytes) / 3.0)
