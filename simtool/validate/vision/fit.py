"""The fit of the constants: regularised least squares over the logarithms of step times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from simtool.step.stack import StackNumbers
from simtool.stepgraph import Kind, Number
from simtool.validate.fit.features import Features, features_of
from simtool.validate.vision.cases import VisionCase
from simtool.validate.vision.constants import CONSTANTS, Constant

Floats = NDArray[np.float64]
NOISE = 0.1
"""Scatter of step times that no constant explains, and error above which a row counts less than its square."""
OVERLAP_LIMIT = 0.8
"""Share of computation that messages can hide behind, as in the language models' profiles."""
FOLDS = 5
Unknown = tuple[str, int, str]
"""A constant, a level of it, and a group of that level."""
Values = Mapping[Unknown, float]
"""Departures, in widths of their levels."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Cases with what no constant changes of them, priced once for all rows that ran the same."""

    cases: tuple[VisionCase, ...]
    features: Features
    at: NDArray[np.int64]
    """Which of the features' steps is that of a row."""

    @property
    def distinct(self) -> tuple[VisionCase, ...]:
        """One row of each of the features' steps."""
        first = {int(step): case for case, step in reversed(list(zip(self.cases, self.at, strict=True)))}
        return tuple(first[step] for step in range(len(first)))

    @property
    def families(self) -> NDArray[np.str_]:
        """Of every row."""
        return np.array([case.config.family for case in self.cases])

    @property
    def log_measured(self) -> Floats:
        """Of every row."""
        return np.log([case.measured_s for case in self.cases])


def rows_of(cases: Sequence[VisionCase]) -> Rows:
    """Price all cases."""
    steps: dict[object, int] = {}
    distinct: list[VisionCase] = []
    at = []
    for case in cases:
        ran = replace(case.config, row_id="", family="", samples_per_s=1.0, rules=())
        if ran not in steps:
            steps[ran] = len(distinct)
            distinct.append(case)
        at.append(steps[ran])
    return Rows(tuple(cases), features_of([case.case for case in distinct]), np.array(at, dtype=np.int64))


def constant_of(one: Constant, case: VisionCase, values: Values) -> float:
    """A constant as it is for a case; departures that are not among the values are none."""
    departure = sum(
        level.width * values.get((one.name, place, level.label(case)), 0.0)
        for place, level in enumerate(one.levels)
    )
    return float(np.asarray(_departed(one, one.prior(case), departure)))


def fit(rows: Rows, chosen: NDArray[np.bool_]) -> dict[Unknown, float]:
    """Departures of all groups that the chosen rows belong to; families count alike, however many rows they have."""
    unknowns = _unknowns(case for case, is_chosen in zip(rows.cases, chosen, strict=True) if is_chosen)
    model = _Model(rows, unknowns)
    measured = rows.log_measured
    sizes = Counter(rows.families[chosen])
    weight = np.array([1.0 / np.sqrt(sizes[family]) for family in rows.families[chosen]])

    def residuals(z: Floats) -> Floats:
        error = (np.log(model.step_time_s(z)) - measured)[chosen] / NOISE
        soft = np.sign(error) * np.sqrt(2.0 * (np.sqrt(1.0 + error**2) - 1.0))
        return np.concatenate([weight * soft, z])

    found = least_squares(residuals, np.zeros(len(unknowns)), xtol=1e-3, ftol=1e-4, max_nfev=20)
    return dict(zip(unknowns, (float(value) for value in found.x), strict=True))


def predicted_s(rows: Rows, values: Values) -> Floats:
    """Step times [s]."""
    unknowns = tuple(values)
    return _Model(rows, unknowns).step_time_s(np.array([values[unknown] for unknown in unknowns]))


def folds_of(families: NDArray[np.str_]) -> NDArray[np.int64]:
    """A fold for every row: families in the order of their names are dealt out one after the other.

    >>> [int(fold) for fold in folds_of(np.array(["b", "a", "b"]))]
    [1, 0, 1]
    """
    names = {name: index % FOLDS for index, name in enumerate(sorted(set(families)))}
    return np.array([names[family] for family in families], dtype=np.int64)


def out_of_fold_s(rows: Rows) -> Floats:
    """Step times, each from constants that were fitted without the row's family's fold [s]."""
    folds = folds_of(rows.families)
    found = np.zeros(len(rows.cases))
    for fold in range(FOLDS):
        held = folds == fold
        if held.any():
            found[held] = predicted_s(rows, fit(rows, ~held))[held]
    return found


def _unknowns(cases: Iterable[VisionCase]) -> tuple[Unknown, ...]:
    found = {
        (one.name, place, level.label(case))
        for case in cases
        for one in CONSTANTS
        for place, level in enumerate(one.levels)
    }
    return tuple(sorted(found))


def _departed(one: Constant, start: Number, departure: Number) -> Number:
    if one.link == "log":
        return np.asarray(start * np.exp(departure))
    return np.asarray(1.0 / (1.0 + (1.0 / start - 1.0) * np.exp(-np.asarray(departure))))


class _Model:
    """Step times of rows as a function of the unknowns."""

    def __init__(self, rows: Rows, unknowns: Sequence[Unknown]) -> None:
        self.rows = rows
        cases = rows.distinct
        place_of = {unknown: index for index, unknown in enumerate(unknowns)}
        none = len(unknowns)
        self.starts = {one.name: np.array([one.prior(case) for case in cases]) for one in CONSTANTS}
        self.gathers = {
            one.name: [
                (
                    level.width,
                    np.array([place_of.get((one.name, place, level.label(case)), none) for case in cases]),
                )
                for place, level in enumerate(one.levels)
            ]
            for one in CONSTANTS
        }
        self.dtype = np.array([case.config.precision for case in cases])

    def step_time_s(self, z: Floats) -> Floats:
        """Step times of all rows [s]."""
        given = np.append(z, 0.0)
        constants: dict[str, Number] = {}
        for one in CONSTANTS:
            departure = sum((width * given[at] for width, at in self.gathers[one.name]), np.zeros(1))
            constants[one.name] = _departed(one, self.starts[one.name], departure)
        times = self.rows.features.step_time_s(stack_numbers_of(constants), self._ratios(constants))
        return np.asarray(times[self.rows.at])

    def _ratios(self, constants: Mapping[str, Number]) -> dict[str, Number]:
        device = constants["device_ratio"]
        memory = device * constants["memory_ratio"]
        wide = [(self.dtype == name, constants[name]) for name in ("fp32", "tf32")]
        product = device * np.select([is_it for is_it, _ in wide], [ratio for _, ratio in wide], 1.0)
        return {
            Kind.GEMM.value: product,
            Kind.CONVOLUTION.value: product,
            f"{Kind.GEMM.value} fp8": device * constants["fp8"],
            Kind.ATTENTION.value: device * constants["attention_ratio"],
            Kind.UNFUSED_ATTENTION.value: device * constants["unfused_ratio"],
            Kind.MEMORY.value: memory,
            f"{Kind.MEMORY.value} depthwise": memory * constants["depthwise"],
            f"{Kind.MEMORY.value} lookup": memory * constants["lookup"],
        }


def stack_numbers_of(constants: Mapping[str, Number]) -> StackNumbers:
    """The numbers of stacks that only share out data: what concerns other parallelism is never used."""
    names = ("launch_floor_s", "step_constant_s", "dp_exposed", "ep_exposed", "straggler")
    return StackNumbers(
        launch_floor_tp_ratio=0.0,
        tp_exposed=1.0,
        pp_exposed=1.0,
        bubble=1.0,
        overlap_limit=OVERLAP_LIMIT,
        ep_exposed_across=constants["ep_exposed"],
        input_rate_bytes_per_s=constants["input_rate"],
        **{name: constants[name] for name in names},
    )
