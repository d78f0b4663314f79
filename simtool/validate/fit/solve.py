"""The fit itself: regularised least squares over the logarithms of step times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from simtool.step.stack import StackNumbers
from simtool.stepgraph import Kind, Number
from simtool.validate.case import Case
from simtool.validate.fit.constants import CONSTANTS, Constant
from simtool.validate.fit.features import Features
from simtool.workload.precision import LOW_PRECISIONS

Floats = NDArray[np.float64]
NOISE = 0.05
"""Scatter of step times that no constant explains: repeats of one configuration differ by 1 to 13 %."""
SOFT = 0.12
"""Errors above this (in the logarithm) count less than their square."""
STEP = 1e-5
"""For derivatives, on the scale of the links."""
OVERLAP_LIMIT = 0.8
"""Share of computation that messages can hide behind; the data do not tell it from `dp_exposed`."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """One unknown of the fit: the shared value of a constant (an empty group), or a group's departure."""

    constant: int
    level: int
    group: str
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """Values of all constants, and how sure they are."""

    unknowns: tuple[Unknown, ...]
    values: Floats
    """Departures from the prior on the scale of the link."""
    covariance: Floats

    def constant(self, index: int, cases: Sequence[Case]) -> Floats:
        """A constant for each case, on the scale of the link."""
        one = CONSTANTS[index]
        known = {
            (unknown.level, unknown.group): value
            for unknown, value in zip(self.unknowns, self.values, strict=True)
            if unknown.constant == index
        }
        shared = known.get((-1, ""), 0.0)
        return np.array(
            [
                one.expected(case)
                + shared
                + sum(known.get((place, level.label(case)), 0.0) for place, level in enumerate(one.levels))
                for case in cases
            ]
        )


def unknowns_of(cases: Sequence[Case]) -> tuple[Unknown, ...]:
    """What there is to fit on these cases."""
    found = []
    for index, one in enumerate(CONSTANTS):
        if one.width > 0.0:
            found.append(Unknown(index, -1, "", one.width))
        for place, level in enumerate(one.levels):
            groups = sorted({level.label(case) for case in cases} - {""})
            found += [Unknown(index, place, group, level.width) for group in groups]
    return tuple(found)


class Model:
    """Step times of given cases as a function of the unknowns."""

    def __init__(self, features: Features, unknowns: Sequence[Unknown]) -> None:
        self.features, self.unknowns = features, tuple(unknowns)
        cases = features.cases
        self._starts = [np.array([one.expected(case) for case in features.cases]) for one in CONSTANTS]
        self._maps: list[Floats] = []
        """By constant: one row a case, one column an unknown, 1 where it adds."""
        for index, one in enumerate(CONSTANTS):
            rows = np.zeros((len(cases), len(self.unknowns)))
            for column, unknown in enumerate(self.unknowns):
                if unknown.constant == index:
                    rows[:, column] = _members(one, unknown, cases)
            self._maps.append(rows)

    def step_time_s(self, values: Floats, shifted: int | None = None) -> Floats:
        """Step times [s]; with one constant shifted by `STEP` in every case."""
        links = {
            one.name: one.natural(start + rows @ values + (STEP if index == shifted else 0.0))
            for index, (one, start, rows) in enumerate(zip(CONSTANTS, self._starts, self._maps, strict=True))
        }
        return predict(self.features, links)

    def slopes(self, values: Floats) -> Floats:
        """Derivative of the logarithm of each step time by each unknown.

        A case's time depends on its own constants alone, so that one evaluation a constant, not one an unknown,
        gives them all.
        """
        here = np.log(self.step_time_s(values))
        found = np.zeros((len(self.features.cases), len(self.unknowns)))
        for index, rows in enumerate(self._maps):
            slope = (np.log(self.step_time_s(values, index)) - here) / STEP
            found += slope[:, None] * rows
        return found


def predict(features: Features, constants: dict[str, Number]) -> Floats:
    """Step times from the constants of every case [s]."""
    names = {one.name for one in fields(StackNumbers)}
    stack = StackNumbers(
        overlap_limit=OVERLAP_LIMIT, **{name: value for name, value in constants.items() if name in names}
    )
    product = constants["product_ratio"]
    grouped = product * constants["grouped_ratio"]
    ratios: dict[str, Number] = {
        Kind.GEMM.value: product,
        Kind.CONVOLUTION.value: product,
        Kind.GROUPED_GEMM.value: grouped,
        Kind.ATTENTION.value: constants["attention_ratio"],
        Kind.UNFUSED_ATTENTION.value: constants["unfused_ratio"],
        Kind.MEMORY.value: constants["memory_ratio"],
    }
    for low in LOW_PRECISIONS:
        ratios[f"{Kind.GEMM.value} {low}"] = product * constants["low_precision_ratio"]
        ratios[f"{Kind.GROUPED_GEMM.value} {low}"] = grouped * constants["low_precision_ratio"]
    seconds = features.step_time_s(
        stack, ratios, repeated=constants["repeated_frac"], host_ratio=constants["host_optimizer_ratio"]
    )
    return np.asarray(seconds * constants["recipe_ratio"] * constants["release_ratio"])


def _members(one: Constant, unknown: Unknown, cases: Sequence[Case]) -> Floats:
    if unknown.level < 0:
        return np.ones(len(cases))
    label = one.levels[unknown.level].label
    return np.array([float(label(case) == unknown.group) for case in cases])


def _softened(error: Floats) -> Floats:
    """Errors whose squares grow like the errors themselves above `SOFT`."""
    soft: Floats = np.sign(error) * SOFT * np.sqrt(2.0 * (np.sqrt(1.0 + (error / SOFT) ** 2) - 1.0))
    return soft


def fit(features: Features) -> Fitted:
    """Fit all constants to the measured steps of `features`; families count alike, however many rows they have."""
    cases = features.cases
    unknowns = unknowns_of(cases)
    model = Model(features, unknowns)
    measured = np.log([case.measured_s or np.nan for case in cases])
    sizes = Counter(case.row["family"] for case in cases)
    weight = np.array([1.0 / np.sqrt(sizes[case.row["family"]]) for case in cases]) / NOISE
    widths = np.array([unknown.width for unknown in unknowns])

    def residuals(scaled: Floats) -> Floats:
        error = np.log(model.step_time_s(scaled * widths)) - measured
        return np.concatenate([weight * _softened(error), scaled])

    def jacobian(scaled: Floats) -> Floats:
        values = scaled * widths
        error = np.log(model.step_time_s(values)) - measured
        slope = (_softened(error + STEP) - _softened(error - STEP)) / (2.0 * STEP)
        data = (weight * slope)[:, None] * model.slopes(values) * widths
        return np.concatenate([data, np.eye(len(scaled))])

    found = least_squares(
        residuals, np.zeros(len(unknowns)), jacobian, method="trf", tr_solver="lsmr", ftol=1e-6, xtol=1e-6
    )
    precision = found.jac.T @ found.jac
    covariance = np.linalg.inv(precision) * np.outer(widths, widths)
    return Fitted(unknowns=unknowns, values=found.x * widths, covariance=covariance)
