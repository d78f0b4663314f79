"""Fits the constants of a projection to pairs: the same model on two devices.

Every operation of known work gives ``y = log(measured / machine model)``, and

    y = x . (stack + architecture) + own + noise,    x = (1 - work_frac, work_frac)

with one stack for all devices, a part of each architecture's own, a part that the operation has on every
device, and what is left. All of them are normal with stated priors, so the fit is a closed form: generalised
least squares with the priors as further rows. Three pairs are little: the priors are tight, and what a model
as a whole deviates by (`BETWEEN`) keeps hundreds of kernels of one model from counting as hundreds of facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

from simtool.provenance import Sourced
from simtool.transfer.classes import model_class
from simtool.transfer.constants import MODEL_CLASSES, ByClass, Carry, ModelClass, Regimes, Residual, Transfer
from simtool.transfer.roofline import Roofline
from simtool.transfer.traced import Traced, TracedOp
from simtool.transfer.work import FORMATS, work_of

STACK_PRIOR: Mapping[ModelClass, tuple[float, float]] = {
    "gemm": (1.0, 0.3), "attention": (1.0, 0.3), "conv": (0.3, 0.3), "memory": (1.0, 0.3)
}  # fmt: skip
"""Standard deviation of the log of the stack's factors, (floor, work): eager kernels may be several times
slower to start than those that the curves were fitted to, and near to them when large. Of convolutions the
pairs hold a single one, run once: too little to leave the model for."""
ARCHITECTURE_PRIOR: Mapping[ModelClass, tuple[float, float]] = {"attention": (0.7, 0.7)}
"""The same of an architecture's own factors: a factor of two. Attention alone has them, because its kernels are of
other libraries and generations from device to device. For the other classes two models in a fold cannot tell a
factor from the spread between models, and fitting one made what was held out worse."""
OWN = (0.25, 0.3)
"""Of an operation's deviation on all devices, (floor, work)."""
NOISE = (0.25, 0.12)
"""Of what is left."""
ONCE = 0.4
"""Further noise of an operation that was seen once; it falls with the root of the number."""
BETWEEN = 0.2
"""Of a model's deviation as a whole, by class and device."""
CARRY = (0.3, 0.8)
"""Share of an operation's deviation that is carried over, (floor, work)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One operation of known work on one device."""

    model: str
    """Which pair it belongs to."""
    key: str
    """The same on all devices of the pair."""
    architecture: str
    model_class: ModelClass
    work_frac: float
    deviation: float
    """Log of measured over modelled time."""
    count: float


def observations(model: str, side: Roofline, traced: Traced) -> list[Observation]:
    """What a trace says of the machine model of its device.

    Args:
        model: name of the pair.
        side: the device's machine model.
        traced: the trace.
    """
    found = []
    for op in traced.ops:
        work = work_of(op)
        if work is None or (op.dtype in FORMATS and side.rate_of(FORMATS[op.dtype]) is None):
            continue
        modelled = side.modelled(work)
        found.append(
            Observation(
                model=model, key=op_key(op), architecture=side.accelerator.architecture,
                model_class=model_class(op.kind), work_frac=modelled.work_frac,
                deviation=log(op.duration_s / modelled.time_s), count=op.count,
            )
        )  # fmt: skip
    return found


def op_key(op: TracedOp) -> str:
    """What an operation is on any device: its operator without the maker's library, and its shapes.

    >>> from simtool.transfer.traced import TracedOp
    >>> op = TracedOp(
    ...     kind="convolution", name="", operator="aten::cudnn_convolution", variant="", settings="", count=1.0,
    ...     dtype="bfloat16", shapes="[[4,3,8,8],[8,3,2,2],[8]]", duration_s=1.0, flop=1.0, size_bytes=None,
    ... )
    >>> op_key(op)
    'convolution convolution bfloat16 [[4,3,8,8],[8,3,2,2]]'
    """
    base = op.operator.rpartition("::")[2]
    for maker in ("cudnn_", "miopen_"):
        base = base.removeprefix(maker)
    shapes = op.shapes
    if op.kind == "convolution" and shapes.count("],[") > 1:
        shapes = shapes[: shapes.index("],[", shapes.index("],[") + 1)] + "]]"  # without the bias
    return f"{op.kind} {base} {op.dtype} {shapes}"


@dataclass(frozen=True, slots=True)
class Factors:
    """Fitted logs and their standard deviations, by (class, architecture or empty for the stack)."""

    middle: Mapping[tuple[ModelClass, str], tuple[float, float]]
    spread: Mapping[tuple[ModelClass, str], tuple[float, float]]


def fit_factors(rows: Sequence[Observation], architectures: Sequence[str]) -> Factors:
    """The most probable factors and how sure they are.

    Args:
        rows: of all models and devices.
        architectures: that may have factors of their own.
    """
    middle, spread = {}, {}
    for part in MODEL_CLASSES:
        of_part = [row for row in rows if row.model_class == part]
        names = ["", *(architectures if part in ARCHITECTURE_PRIOR else ())]
        own = [ARCHITECTURE_PRIOR[part]] * (len(names) - 1) if len(names) > 1 else []
        prior = np.array([STACK_PRIOR[part], *own]).reshape(-1)
        values, deviations = _posterior(of_part, names, prior)
        for place, name in enumerate(names):
            at = slice(2 * place, 2 * place + 2)
            middle[part, name] = (float(values[at][0]), float(values[at][1]))
            spread[part, name] = (float(deviations[at][0]), float(deviations[at][1]))
    return Factors(middle, spread)


def _posterior(
    rows: Sequence[Observation], names: Sequence[str], prior: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if not rows:
        return np.zeros(len(prior)), prior
    work = np.array([row.work_frac for row in rows])
    regimes = np.stack((1.0 - work, work), axis=1)
    design = np.zeros((len(rows), len(prior)))
    for place, name in enumerate(names):
        here = np.array([name in ("", row.architecture) for row in rows])
        design[here, 2 * place : 2 * place + 2] = regimes[here]
    deviation = np.array([row.deviation for row in rows])
    noise = _covariance(rows, regimes)
    gain = np.diag(prior**2) @ design.T
    gain = gain @ np.linalg.inv(design @ gain + noise)
    left = np.diag(prior**2) - gain @ design @ np.diag(prior**2)
    return gain @ deviation, np.sqrt(np.maximum(np.diag(left), 0.0))


def _covariance(rows: Sequence[Observation], regimes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what the factors leave: the operation's own on all devices, noise, and the model's on a device."""
    own = np.sqrt(regimes @ np.square(OWN))
    noise = regimes @ np.square(NOISE) + ONCE**2 / np.array([row.count for row in rows])
    ops = np.array([f"{row.model} {row.key}" for row in rows])
    runs = np.array([f"{row.model} {row.architecture}" for row in rows])
    shared = (ops[:, None] == ops) * np.outer(own, own) + BETWEEN**2 * (runs[:, None] == runs)
    found: NDArray[np.float64] = shared + np.diag(noise)
    return found


def constants(factors: Factors, residual: Mapping[str, float], source: str, name: str = "eager") -> Transfer:
    """The factors as a profile.

    Args:
        factors: what was fitted.
        residual: relative standard deviations by class, and ``op``; what is absent is assumed.
        source: what it was fitted to.
        name: of the profile.
    """

    def number(value: float, spread: float | None, kind: str = "calibrated") -> Sourced:
        return Sourced(value=value, unit="", kind=kind, source=source, spread=spread)  # type: ignore[arg-type]

    def regimes(part: ModelClass, where: str) -> Regimes:
        floor, work = factors.middle[part, where]
        floor_spread, work_spread = factors.spread[part, where]
        return Regimes(
            floor=number(_rounded(exp(floor)), _rounded(floor_spread)),
            work=number(_rounded(exp(work)), _rounded(work_spread)),
        )

    architectures = sorted({where for _, where in factors.middle if where})
    return Transfer.model_validate(
        {
            "schema": "simtool/transfer/1",
            "name": name,
            "title": "Kernels of PyTorch in eager mode, fitted to pairs of traces",
            "stack": ByClass(**{part: regimes(part, "") for part in MODEL_CLASSES}),
            "architecture": {
                where: ByClass(**{part: regimes(part, where) for part in ARCHITECTURE_PRIOR})
                for where in architectures
            },
            "carry": Carry(
                floor=_assumed(CARRY[0], 0.5, "round figure: kernels that are all latency share little"),
                work=_assumed(
                    CARRY[1], 0.2, "round figure: strided operands and odd sizes are slow everywhere"
                ),
            ),
            "residual": Residual(
                **{
                    part: number(_rounded(residual[part]), None) if part in residual else _assumed(*_UNSEEN)
                    for part in (*MODEL_CLASSES, "op")
                },
                communication=_assumed(0.3, 0.5, "no pair of traces has collectives"),
                unknown_work=_assumed(0.25, 0.5, "no pair of traces lacks shapes throughout"),
            ),
        }
    )


_UNSEEN = (0.4, 0.5, "the pairs hold too few of them: twice what other classes were off by")


def _assumed(value: float, spread: float, source: str) -> Sourced:
    return Sourced(value=value, unit="", kind="assumed", source=source, spread=spread)


def _rounded(value: float) -> float:
    """To three digits, as it is written.

    >>> _rounded(1.23456), _rounded(0.0123456)
    (1.23, 0.0123)
    """
    return float(f"{value:.3g}")


def pooled(errors: Sequence[float], prior: float, num_prior: float = 2.0) -> float:
    """Root mean square of errors with a prior that counts as `num_prior` of them.

    >>> pooled([], 0.2), round(pooled([0.1, 0.1], 0.1), 9)
    (0.2, 0.1)
    """
    return sqrt((sum(error**2 for error in errors) + num_prior * prior**2) / (len(errors) + num_prior))
