"""Fits that begin at a prior and leave it only where the data say so.

A trace of somebody's model holds a few dozen shapes, not a sweep: it tells some coefficients of a curve and
not others. One is fitted if the data tell at least as much of it as the prior does; the others stay, and are
named. The loss is that of `calibrate.fit`: soft_l1 of log(predicted / measured), a shape counts once.

The error of a coefficient is the larger of two: that of the posterior, with the noise that the residuals
show but at least 10 % a shape, and that from leaving out shapes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from simtool.calibrate.fit import NUM_FOLDS, ODD_KERNEL, OTHER_WEIGHT, Coefficient, Predict, Residuals
from simtool.calibrate.tables import FloatArray, KernelTable

TOLD_BY_DATA = 1.0 / np.sqrt(2.0)
"""Posterior over prior deviation up to which a coefficient is fitted: the data tell as much as the prior."""
LEAST_COMPARED = 5
"""Shapes from which on a fit that predicts worse than the prior is not taken; with fewer, leaving one out says too
little to judge by."""
LEAST_GROUPS = 2
"""Shapes below which nothing can be held out."""
_TINY_STEP = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One coefficient after a fit."""

    value: float
    spread: float
    """Relative standard error."""
    prior: float
    prior_spread: float
    is_fitted: bool
    """False where the data tell less than the prior: it stayed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorFit:
    """Coefficients, and every kernel beside what was predicted of it by a fit that had not seen its shape."""

    estimates: Mapping[str, Estimate]
    """Without the nuisances."""
    nuisances: Mapping[str, float]
    table: KernelTable
    held_out_s: FloatArray
    """Predicted from the other shapes [s]."""
    prior_s: FloatArray
    """Predicted by the prior, from no shape."""
    constant_s: FloatArray
    """Predicted by one constant rate, fitted to the other shapes."""

    @property
    def curve(self) -> SimpleNamespace:
        """The coefficients as attributes, as the machine models take them; nuisances included."""
        return SimpleNamespace(**{name: one.value for name, one in self.estimates.items()}, **self.nuisances)

    @property
    def taken_curve(self) -> SimpleNamespace:
        """`curve` where the fit takes the place of the prior, else the prior."""
        if self.is_taken:
            return self.curve
        return SimpleNamespace(**{name: one.prior for name, one in self.estimates.items()}, **self.nuisances)

    @property
    def fitted(self) -> tuple[str, ...]:
        """Names of the coefficients that left their prior."""
        return tuple(name for name, one in self.estimates.items() if one.is_fitted)

    @property
    def is_taken(self) -> bool:
        """Whether it takes the place of the prior."""
        return not self.why_kept

    @property
    def why_kept(self) -> str:
        """Why the prior stays; empty where something was fitted, and predicts unseen shapes better or well."""
        if not self.fitted:
            return "the traces tell less of it than the prior"
        main, measured_s = self.table.is_training, self.table.time_s
        error, of_prior = (
            float(np.mean(np.abs(np.log(predicted / measured_s)[main])))
            for predicted in (self.held_out_s, self.prior_s)
        )
        if self.table.num_groups < LEAST_COMPARED or error < max(of_prior, ODD_KERNEL):
            return ""
        return "the fit predicts what was held out no better"

    def residuals(self, predicted_s: FloatArray, *, all_sizes: bool = False) -> Residuals:
        """Errors of predictions on the kernels that take the time, or on all."""
        chosen = np.ones(len(self.table), bool) if all_sizes else self.table.is_training
        return Residuals.of(predicted_s[chosen], self.table.time_s[chosen])


@dataclass(frozen=True, slots=True)
class _Solution:
    values: dict[str, float]
    free: tuple[str, ...]
    deviations: dict[str, float]
    """Posterior, on the scale on which the fit moves; of what stayed that of the prior."""


def fit_with_prior(table: KernelTable, coefficients: Mapping[str, Coefficient], predict: Predict) -> PriorFit:
    """Fit `predict` to a table of at least `LEAST_GROUPS` shapes.

    Args:
        table: distinct kernels; whole groups are held out together.
        coefficients: priors; a coefficient that cannot move is left out and known to `predict`.
        predict: seconds of the kernels of a table, from coefficients as attributes.
    """
    num_folds = min(NUM_FOLDS, table.num_groups)
    place = np.unique(table.group, return_inverse=True)[1].reshape(-1) % num_folds
    locked: set[str] = set()
    while True:
        whole = _settle(table, coefficients, predict, locked)
        partial = [
            _settle(table.where(place != fold), coefficients, predict, locked) for fold in range(num_folds)
        ]
        moved = np.array(
            [[coefficients[name].inward(one.values[name]) for name in coefficients] for one in partial]
        )
        # delete-a-group jackknife on the fitted scale
        scatter = np.sum((moved - moved.mean(axis=0)) ** 2, axis=0)
        jackknife = dict(
            zip(coefficients, np.sqrt((num_folds - 1) / num_folds * scatter).tolist(), strict=True)
        )
        unsteady = {name: jackknife[name] / coefficients[name].deviation for name in whole.free}
        worst = max(unsteady, key=lambda name: unsteady[name], default=None)
        if worst is None or unsteady[worst] <= 1.0:
            break
        locked.add(worst)  # it says what one shape says, and another what another says
    held_out, constant = np.empty(len(table)), np.empty(len(table))
    for fold, solution in enumerate(partial):
        held, seen = place == fold, table.where(place != fold)
        held_out[held] = predict(SimpleNamespace(**solution.values), table.where(held))
        large = seen.where(seen.is_training) if seen.is_training.any() else seen
        constant[held] = table.work[held] / np.median(large.work / large.time_s)
    estimates = {}
    for name, coefficient in coefficients.items():
        is_fitted, value = name in whole.free, whole.values[name]
        error = max(whole.deviations[name], jackknife[name]) if is_fitted else coefficient.deviation
        estimates[name] = Estimate(
            value=value, spread=coefficient.spread(value, error), prior=coefficient.prior,
            prior_spread=coefficient.spread(coefficient.prior, coefficient.deviation), is_fitted=is_fitted,
        )  # fmt: skip
    shipped = {name: one for name, one in estimates.items() if not coefficients[name].is_nuisance}
    prior = {name: coefficient.prior for name, coefficient in coefficients.items()}
    return PriorFit(
        estimates=shipped,
        nuisances={name: one.value for name, one in estimates.items() if name not in shipped},
        table=table, held_out_s=held_out, prior_s=predict(SimpleNamespace(**prior), table), constant_s=constant,
    )  # fmt: skip


def _settle(
    table: KernelTable, coefficients: Mapping[str, Coefficient], predict: Predict, locked: Collection[str]
) -> _Solution:
    """Fit all coefficients, and put back to its prior, one after the other, the one that the data tell least of."""
    free = [name for name in coefficients if name not in locked]
    while True:
        solved = _solve(table, coefficients, free, predict)
        told = {name: solved.deviation(name, 1.0) / coefficients[name].deviation for name in free}
        worst = max(free, key=lambda name: told[name], default=None)
        if worst is None or told[worst] <= TOLD_BY_DATA:
            deviations = {name: solved.deviation(name, solved.noise) for name in free}
            kept = {name: one.deviation for name, one in coefficients.items()} | deviations
            return _Solution(_values(coefficients, free, solved.x), tuple(free), kept)
        free.remove(worst)


def _values(coefficients: Mapping[str, Coefficient], free: Sequence[str], x: FloatArray) -> dict[str, float]:
    moved = dict(zip(free, x.tolist(), strict=True))
    return {
        name: one.outward(moved[name]) if name in moved else one.prior for name, one in coefficients.items()
    }


@dataclass(frozen=True, slots=True)
class _Solved:
    """The best values of the free coefficients on their scale, and what the data tell of them."""

    names: tuple[str, ...]
    x: FloatArray
    data: FloatArray
    """Information of the data, at a noise of 10 % a shape."""
    prior: FloatArray
    noise: float
    """Variance of the residuals over that, at least 1."""

    def deviation(self, name: str, noise: float) -> float:
        """Posterior deviation."""
        posterior = np.linalg.inv(self.data / noise + self.prior)
        place = self.names.index(name)
        return float(np.sqrt(posterior[place, place]))


def _solve(
    table: KernelTable, coefficients: Mapping[str, Coefficient], free: Sequence[str], predict: Predict
) -> _Solved:
    from scipy.optimize import least_squares

    if not free:
        return _Solved((), np.empty(0), np.empty((0, 0)), np.empty((0, 0)), 1.0)
    seen = table.thinned()
    prior = np.array([coefficients[name].inward(coefficients[name].prior) for name in free])
    deviation = np.array([coefficients[name].deviation for name in free])
    weight = np.where(seen.is_training, 1.0, OTHER_WEIGHT)
    weight *= seen.num_groups / np.sum(weight)  # kernels of one shape are one observation, not many
    pull = np.sqrt(weight)

    def of_data(x: FloatArray) -> FloatArray:
        predicted = predict(SimpleNamespace(**_values(coefficients, free, x)), seen)
        error = np.log(predicted / seen.time_s) / ODD_KERNEL
        robust = np.copysign(np.sqrt(2.0 * (np.sqrt(1.0 + error**2) - 1.0)), error)
        return np.asarray(pull * robust)

    def residuals(x: FloatArray) -> FloatArray:
        return np.concatenate([of_data(x), (x - prior) / deviation])

    found = np.asarray(least_squares(residuals, prior, method="lm", xtol=1e-8, ftol=1e-8, gtol=1e-8).x)
    steps = _TINY_STEP * np.eye(len(free))
    slopes = np.stack(
        [(of_data(found + step) - of_data(found - step)) / (2 * _TINY_STEP) for step in steps], axis=1
    )
    data, known = slopes.T @ slopes, np.diag(1.0 / deviation**2)
    num_told = float(np.trace(data @ np.linalg.inv(data + known)))
    noise = float(np.sum(of_data(found) ** 2)) / max(1.0, seen.num_groups - num_told)
    return _Solved(tuple(free), found, data, known, max(1.0, noise))
