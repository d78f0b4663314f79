"""Errors of predictions, beside the trivial baseline of one constant MFU per accelerator and precision."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.validate.case import Case, Skipped, express
from simtool.validate.fit.cross import is_evidence
from simtool.validate.fit.stored import Stored, fold_of, load
from simtool.validate.predict import Prediction, predict_cases
from simtool.validate.table import SHIPPED, read_rows

LONG_TOKENS = 32_768
SWEEP_ROWS = 8
"""Rows of a family from which on their order is scored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a set of predictions does; families count once each, however many rows they have."""

    name: str
    num_rows: int
    num_families: int
    median_frac: float
    """Median over families of the mean |log(predicted / measured)|, as a relative error."""
    p90_frac: float
    """Its ninetieth percentile."""
    row_median_frac: float
    """Median over rows."""
    bias_frac: float
    """Median over families of the mean log(predicted / measured); above 0: predicted too slow."""
    baseline_median_frac: float
    baseline_p90_frac: float
    rank: float | None
    """Median over sweeps of the rank correlation of throughputs; None without a sweep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """All predictions of a table, and the scores by group."""

    predictions: tuple[Prediction, ...]
    baseline: dict[str, float]
    """Constant-MFU prediction of the step time by row id [s]."""
    skipped: tuple[Skipped, ...]
    scores: tuple[Score, ...]

    @property
    def scored(self) -> tuple[Prediction, ...]:
        """Those that the scores are of."""
        return tuple(one for one in self.predictions if one.is_evidence)

    @property
    def coverage_frac(self) -> float:
        """Share of the rows that the model can express."""
        return len(self.predictions) / max(1, len(self.predictions) + len(self.skipped))


def validate_table(
    library: ProfileLibrary, path: Path = SHIPPED, by: str | None = None, stored: Stored | None = None
) -> Validation:
    """Predict every row of a table of published results, and score those that are evidence.

    Args:
        library: where profiles are found.
        path: the table.
        by: a column of the predictions to group the scores by, beside the usual groups.
        stored: fitted constants, the shipped ones if not given.
    """
    cases: list[Case] = []
    skipped: list[Skipped] = []
    for row in read_rows(path):
        found = express(row, library)
        if isinstance(found, Case):
            cases.append(found)
        else:
            skipped.append(found)
    if not cases:
        reasons = Counter(one.reason for one in skipped).most_common(3)
        why = ", ".join(f"{count} {reason}" for reason, count in reasons)
        nothing = f"found no row that can be predicted: {why}"
        raise InputError(Problem(str(path), "", nothing, "", "check the table"))
    predictions = predict_cases(cases, stored or load(), [is_evidence(case) for case in cases], library)
    scored = [one for one in predictions if one.is_evidence]
    baseline = constant_mfu(scored)
    scores = [score(name, chosen, baseline) for name, chosen in _groups(scored, by).items() if chosen]
    return Validation(
        predictions=tuple(predictions), baseline=baseline, skipped=tuple(skipped), scores=tuple(scores)
    )


OLD_TENSOR_CORES = "v100"
GROUPS: dict[str, Callable[[Prediction], bool]] = {
    "all": lambda _: True,
    "dense": lambda one: not one.has_experts,
    "dense, full layout": lambda one: (
        not one.has_experts
        and one.states_layout
        and one.precision != "fp32"
        and not one.accelerator.startswith(OLD_TENSOR_CORES)
        and "R-t5" not in one.rules
        and "T5" not in one.source
    ),
    "experts": lambda one: one.has_experts,
    "32k tokens and more": lambda one: one.seq_len >= LONG_TOKENS,
    "1,000 devices and more": lambda one: one.num_devices >= 1000,
    "stack seen": lambda one: one.stack_seen,
    "stack unseen": lambda one: not one.stack_seen,
}
BY: dict[str, Callable[[Prediction], str]] = {
    "accelerator": lambda one: one.accelerator,
    "framework": lambda one: one.software,
    "precision": lambda one: one.precision,
    "source": lambda one: one.source or "not stated",
    "scale": lambda one: _decade(one.num_devices),
    "family": lambda one: one.family,
}
"""What scores can be grouped by."""


def _decade(number: float) -> str:
    low = 10 ** int(np.log10(number))
    return f"{low:,} to {10 * low - 1:,}"


def _groups(scored: Sequence[Prediction], by: str | None) -> dict[str, list[Prediction]]:
    groups = {name: [one for one in scored if belongs(one)] for name, belongs in GROUPS.items()}
    key = BY[by or "framework"]
    names = {key(one) for one in scored}
    for name in sorted(names, key=lambda one: (len(one) if by == "scale" else 0, one)):
        groups[name] = [one for one in scored if key(one) == name]
    return groups


def score(name: str, predictions: Sequence[Prediction], baseline: dict[str, float]) -> Score:
    """Family-weighted errors of predictions and of the baseline on the same rows."""
    errors = [float(np.log(one.ratio)) for one in predictions]
    theirs = [float(np.log(baseline[one.row_id] / (one.measured_s or np.nan))) for one in predictions]
    families = [one.family for one in predictions]
    mean = _by_family(families, np.abs(errors))
    constant = _by_family(families, np.abs(theirs))
    return Score(
        name=name,
        num_rows=len(predictions),
        num_families=len(mean),
        median_frac=float(np.expm1(np.median(mean))),
        p90_frac=float(np.expm1(np.percentile(mean, 90))),
        row_median_frac=float(np.expm1(np.median(np.abs(errors)))),
        bias_frac=float(np.expm1(np.median(_by_family(families, errors)))),
        baseline_median_frac=float(np.expm1(np.median(constant))),
        baseline_p90_frac=float(np.expm1(np.percentile(constant, 90))),
        rank=_rank(predictions),
    )


def _by_family(families: Sequence[str], values: Iterable[float]) -> list[float]:
    found: dict[str, list[float]] = defaultdict(list)
    for family, value in zip(families, values, strict=True):
        found[family].append(float(value))
    return [float(np.mean(own)) for own in found.values()]


def _rank(predictions: Sequence[Prediction]) -> float | None:
    """What a choice of layout needs: whether faster configurations are predicted to be faster."""
    from scipy.stats import spearmanr

    sweeps: dict[str, list[Prediction]] = defaultdict(list)
    for one in predictions:
        sweeps[one.family].append(one)
    found = []
    for own in sweeps.values():
        measured = [one.tokens / ((one.measured_s or np.nan) * one.num_devices) for one in own]
        if len(own) >= SWEEP_ROWS and len(set(measured)) > 1:
            found.append(float(spearmanr([one.tokens_per_s for one in own], measured).statistic))
    return float(np.median(found)) if found else None


def constant_mfu(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Step time by row id if every step ran at one MFU per accelerator and precision.

    The MFU is the median over the families of the *other* folds on the same accelerator and precision, over all
    other families where there is none: it is fitted on the part that the model's constants are fitted on.
    """
    by_kind: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in predictions:
        by_kind[one.accelerator, one.precision][one.family].append(one.mfu)
    typical = {
        kind: {family: float(np.mean(values)) for family, values in families.items()}
        for kind, families in by_kind.items()
    }
    everything = [(family, value) for families in typical.values() for family, value in families.items()]
    found = {}
    for one in predictions:
        fold = fold_of(one.family)
        own = typical[one.accelerator, one.precision]
        others = [mfu for family, mfu in own.items() if fold_of(family) != fold]
        others = others or [mfu for family, mfu in everything if fold_of(family) != fold] or [one.mfu]
        found[one.row_id] = one.at_peak_s / float(np.median(others))
    return found
