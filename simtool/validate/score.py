"""Errors of predictions, beside the trivial baseline of one constant MFU per accelerator."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.validate.predict import Prediction, Skipped, predict_row
from simtool.validate.rules import Row

SHIPPED = Path(__file__).parent / "data" / "llm_training.csv.gz"
"""The rows of the public table that state what was trained, where, and how fast; see NOTICE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How well a set of predictions does; families count once each, however many rows they have."""

    name: str
    num_rows: int
    num_families: int
    median_frac: float
    """Median over families of the mean |log(predicted / measured)|, as a relative error."""
    p90_frac: float
    bias_frac: float
    """Median over families of log(predicted / measured): above 0, the prediction is too slow."""
    baseline_median_frac: float
    """The same of constant MFU per accelerator, fitted on the other families."""
    baseline_p90_frac: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """All predictions of a table and their scores."""

    predictions: tuple[Prediction, ...]
    baseline: dict[str, float]
    """Constant-MFU prediction of the step time by row id [s]."""
    skipped: tuple[Skipped, ...]
    scores: tuple[Score, ...]

    @property
    def coverage_frac(self) -> float:
        """Share of the rows that the model can express."""
        return len(self.predictions) / max(1, len(self.predictions) + len(self.skipped))


def validate_table(library: ProfileLibrary, path: Path = SHIPPED) -> Validation:
    """Predict every row of a table of published results, rows of low quality left out, and score."""
    predictions: list[Prediction] = []
    skipped: list[Skipped] = []
    for row in read_rows(path):
        if row["quality"] == "low":
            continue
        found = predict_row(row, library)
        if isinstance(found, Prediction):
            predictions.append(found)
        else:
            skipped.append(found)
    if not predictions:
        raise InputError(Problem(str(path), "", "found no row that can be predicted", "", "check the table"))
    baseline = constant_mfu(predictions)
    groups = {
        "all": predictions,
        "stack seen": [p for p in predictions if p.stack_seen],
        "stack unseen": [p for p in predictions if not p.stack_seen],
    }
    for software in sorted({p.software for p in predictions}):
        groups[software] = [p for p in predictions if p.software == software]
    scores = [score(name, chosen, baseline) for name, chosen in groups.items() if chosen]
    return Validation(
        predictions=tuple(predictions), baseline=baseline, skipped=tuple(skipped), scores=tuple(scores)
    )


def score(name: str, predictions: Sequence[Prediction], baseline: dict[str, float]) -> Score:
    """Family-weighted errors of predictions and of the baseline on the same rows."""
    ours, theirs, biases = defaultdict(list), defaultdict(list), defaultdict(list)
    for p in predictions:
        error = float(np.log(p.ratio))
        ours[p.family].append(abs(error))
        biases[p.family].append(error)
        theirs[p.family].append(abs(float(np.log(baseline[p.row_id] / p.measured_s))))
    mean = [float(np.mean(errors)) for errors in ours.values()]
    constant = [float(np.mean(errors)) for errors in theirs.values()]
    bias = [float(np.mean(errors)) for errors in biases.values()]
    return Score(
        name=name,
        num_rows=len(predictions),
        num_families=len(ours),
        median_frac=float(np.expm1(np.median(mean))),
        p90_frac=float(np.expm1(np.percentile(mean, 90))),
        bias_frac=float(np.expm1(np.median(bias))),
        baseline_median_frac=float(np.expm1(np.median(constant))),
        baseline_p90_frac=float(np.expm1(np.percentile(constant, 90))),
    )


def constant_mfu(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Step time by row id if every step ran at one MFU per accelerator and precision.

    The MFU is the median over the *other* families on the same accelerator and precision, over all
    other families where there is none: a family never predicts itself.
    """
    by_kind: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for p in predictions:
        by_kind[p.accelerator, p.precision][p.family].append(p.mfu)
    typical = {
        kind: {family: float(np.mean(values)) for family, values in families.items()}
        for kind, families in by_kind.items()
    }
    everything = [(family, value) for families in typical.values() for family, value in families.items()]
    found = {}
    for p in predictions:
        others = [mfu for family, mfu in typical[p.accelerator, p.precision].items() if family != p.family]
        others = others or [mfu for family, mfu in everything if family != p.family] or [p.mfu]
        found[p.row_id] = p.model_flop_s / float(np.median(others))
    return found


def read_rows(path: Path) -> list[Row]:
    """Rows of a table of published results, plain or gzipped CSV.

    Raises:
        InputError: the file cannot be read or lacks a column.
    """
    try:
        if path.exists() and not path.is_file():
            found = "found a folder, a device or a pipe"
            raise InputError(Problem(str(path), "", found, "", "give a CSV of results"))
        if path.suffix == ".gz":
            with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        else:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error, EOFError) as error:
        raise InputError(
            Problem(str(path), "", f"cannot be read: {error}", "", "give a CSV of results")
        ) from None
    needed = {"id", "family", "quality", "moe", "task", "accelerator", "precision", "n_accel", "tp"}
    if rows and (missing := sorted(needed - set(rows[0]))):
        raise InputError(
            Problem(
                str(path), missing[0], "column is missing", f"needed: {', '.join(sorted(needed))}", "add it"
            )
        )
    return rows
