"""Fitting on some families, predicting others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from simtool.errors import InputError, Problem
from simtool.validate.case import Case
from simtool.validate.fit.constants import stack
from simtool.validate.fit.features import features_of
from simtool.validate.fit.solve import Fitted, Floats, fit
from simtool.validate.fit.stored import NUM_FOLDS, Interval, Stored, fitted_step_time_s, fold_of

LEAST_ROWS = 100
"""Below, hundreds of unknowns would be their priors."""
WIDE = Interval(low=-0.6, high=0.6)
"""Where too few unseen stacks tell: a factor of 1.8 either way."""
TAILS = (10.0, 90.0)


def is_evidence(case: Case) -> bool:
    """Whether a row is fitted to and scored: measured, of one's own reading, and no more than a run's steps.

    Rows of low quality contradict themselves; recalled ones were not read at their source; accelerator-hours of whole
    runs hold restarts.
    """
    row = case.row
    return (
        case.measured_s is not None
        and row["quality"] != "low"
        and row["source_kind"] != "paper_recalled"
        and row["task"] != "pretrain-end-to-end"
    )


def fit_table(cases: Sequence[Case], source: str, tell: Callable[[str], None] = lambda _: None) -> Stored:
    """Fit to all rows that are evidence, and five times to four fifths of their families.

    Raises:
        InputError: too few rows.
    """
    evidence = [case for case in cases if is_evidence(case)]
    if len(evidence) < LEAST_ROWS:
        found = f"found {len(evidence)} rows that can be fitted to"
        raise InputError(Problem(source, "", found, f"at least {LEAST_ROWS}", "give a larger table"))
    tell(f"all {len(evidence)} rows")
    whole = fit(features_of(evidence))
    folds, times, known = [], np.zeros(len(evidence)), np.zeros(len(evidence), dtype=bool)
    which = np.array([fold_of(case.row["family"]) for case in evidence])
    for fold in range(NUM_FOLDS):
        tell(f"fold {fold + 1} of {NUM_FOLDS}")
        fitted, predicted, seen = left_out(evidence, which == fold)
        folds.append(fitted)
        times[which == fold], known[which == fold] = predicted, seen
    errors = np.log(times) - np.log([case.measured_s or np.nan for case in evidence])
    return Stored(
        whole=whole,
        folds=tuple(folds),
        rows={case.row["id"]: fold_of(case.row["family"]) for case in evidence},
        seen=_interval(errors[known]),
        unseen=_interval(errors[~known]),
        source=source,
    )


def left_out(cases: Sequence[Case], out: np.ndarray) -> tuple[Fitted, Floats, np.ndarray]:
    """A fit without the marked cases, their predictions by it [s], and whether their stacks were in it."""
    inside = [case for case, left in zip(cases, out, strict=True) if not left]
    outside = [case for case, left in zip(cases, out, strict=True) if left]
    fitted = fit(features_of(inside))
    stacks = {stack(case) for case in inside}
    seen = np.array([stack(case) in stacks for case in outside], dtype=bool)
    return fitted, fitted_step_time_s(fitted, outside), seen


def _interval(errors: Floats) -> Interval:
    if len(errors) < 10:
        return WIDE
    low, high = np.percentile(errors, TAILS)
    return Interval(low=float(low), high=float(high))
