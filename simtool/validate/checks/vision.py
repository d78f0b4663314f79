"""Throughput of image, encoder and recommendation models: NVIDIA's and Intel's examples, Lambda, timm, Zeus, MLPerf."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.vision.baseline import by_accelerator, by_model, constant_mfu_s
from simtool.validate.vision.cases import VisionCase, express
from simtool.validate.vision.fit import Floats, out_of_fold_s, rows_of
from simtool.validate.vision.rows import Row, Skipped

TABLES = ("vision_and_other_throughput.csv", "mlperf_training.csv")
NEEDED = ("id", "source", "accelerator", "n_accel", "framework", "family", "quality", "notes")
NOT_SCORED = "paper_recalled"
NAMES = {"convnet": "ResNet, EfficientNet", "vision": "ViT", "encoder": "BERT", "recommender": "DLRM"}
COLUMNS = ("median / p90 in %", "rows", "families", "simtool", "MFU", "MFU by model")


def read_tables(reference: Path) -> Iterator[Row]:
    """Rows of both tables that are of high or medium quality and were not recalled from a paper.

    Raises:
        InputError: a table is missing, cannot be read, or lacks a column.
    """
    for name in TABLES:
        path = reference / "validation" / name
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            problem = Problem(str(path), "", f"cannot be read: {error}", "", "give the folder of the tables")
            raise InputError(problem) from None
        columns = set(rows[0]) if rows else set()
        if missing := [column for column in NEEDED if column not in columns]:
            needed = f"needed: {', '.join(NEEDED)}"
            raise InputError(Problem(str(path), missing[0], "column is missing", needed, "add it"))
        for row in rows:
            if row["quality"] in ("high", "medium") and row.get("source_kind") != NOT_SCORED:
                yield row


def vision(reference: Path, library: ProfileLibrary) -> Outcome:
    """Score out of fold: every family is predicted from constants that were fitted without it."""
    cases: list[VisionCase] = []
    skipped: list[Skipped] = []
    for row in read_tables(reference):
        found = express(row, library)
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            cases.append(found)
    if not cases:
        raise InputError(
            Problem(str(reference), "", "found no row that can be expressed", "", "check the tables")
        )
    rows = rows_of(cases)
    errors = np.log(out_of_fold_s(rows)) - rows.log_measured
    baselines = [
        np.log(constant_mfu_s(cases, keys)) - rows.log_measured for keys in (by_accelerator, by_model)
    ]
    kinds = np.array([case.config.model.kind for case in cases])
    groups: list[tuple[str, NDArray[np.bool_]]] = [("all", np.ones(len(cases), dtype=bool))]
    groups += [(name, kinds == kind) for kind, name in NAMES.items() if (kinds == kind).any()]
    stacks = np.array([case.config.stack for case in cases])
    groups += [(str(name), stacks == name) for name in sorted(set(stacks))]
    table = [_line(name, chosen, rows.families, errors, baselines) for name, chosen in groups]
    figures = _figures(rows.families, errors, baselines, len(cases), skipped)
    return Outcome(
        title=(
            f"{len(cases)} published throughputs of {len(set(rows.families))} families, each predicted from its "
            "configuration with constants fitted on the other families (5 folds)"
        ),
        columns=COLUMNS,
        rows=tuple(table),
        figures=figures,
        notes=_notes(cases, skipped, figures),
    )


CHECKS.register("vision")(vision)


def family_errors(families: NDArray[np.str_], errors: Floats) -> Floats:
    """Mean over the rows of each family.

    >>> family_errors(np.array(["a", "b", "a"]), np.array([1.0, 5.0, 3.0])).tolist()
    [2.0, 5.0]
    """
    return np.array([float(np.mean(errors[families == name])) for name in sorted(set(families))])


def _line(
    name: str,
    chosen: NDArray[np.bool_],
    families: NDArray[np.str_],
    errors: Floats,
    baselines: Sequence[Floats],
) -> tuple[str, ...]:
    inside, ours = families[chosen], errors[chosen]
    by_family = family_errors(inside, np.abs(ours))
    others = [family_errors(inside, np.abs(other[chosen])) for other in baselines]
    return (
        name,
        str(int(chosen.sum())),
        str(len(by_family)),
        f"{_percent(np.median(by_family))} / {_percent(np.percentile(by_family, 90))}",
        *(f"{_percent(np.median(other))} / {_percent(np.percentile(other, 90))}" for other in others),
    )


def _percent(log_error: np.floating | float) -> str:
    return f"{100.0 * float(np.expm1(log_error)):.1f}"


def _figures(
    families: NDArray[np.str_],
    errors: Floats,
    baselines: Sequence[Floats],
    num_cases: int,
    skipped: Sequence[Skipped],
) -> dict[str, float]:
    ours = family_errors(families, np.abs(errors))
    found = {
        "time_error_family_median_frac": float(np.expm1(np.median(ours))),
        "time_error_family_p90_frac": float(np.expm1(np.percentile(ours, 90))),
        "time_error_row_median_frac": float(np.expm1(np.median(np.abs(errors)))),
        "time_bias_family_median_frac": float(np.expm1(np.median(family_errors(families, errors)))),
    }
    for name, other in zip(("mfu", "mfu_by_model"), baselines, strict=True):
        theirs = family_errors(families, np.abs(other))
        found[f"{name}_error_family_median_frac"] = float(np.expm1(np.median(theirs)))
        found[f"{name}_error_family_p90_frac"] = float(np.expm1(np.percentile(theirs, 90)))
    inside = sum(one.is_of_a_known_model for one in skipped)
    found["rows"] = float(num_cases)
    found["families"] = float(len(ours))
    found["not_expressed_frac"] = len(skipped) / (num_cases + len(skipped))
    found["not_expressed_known_models_frac"] = inside / (num_cases + inside)
    return found


def _notes(
    cases: Sequence[VisionCase], skipped: Sequence[Skipped], figures: Mapping[str, float]
) -> tuple[str, ...]:
    inside = [one for one in skipped if one.is_of_a_known_model]
    total, known = len(cases) + len(skipped), len(cases) + len(inside)
    reasons = Counter(one.reason for one in inside).most_common()
    rules = Counter(rule for case in cases for rule in set(case.case.rules))
    why = ", ".join(f"{count} {reason}" for reason, count in reasons)
    used = ", ".join(f"{rule} {count}" for rule, count in sorted(rules.items()))
    share, whole = len(inside) / known, len(skipped) / total
    without = "detection, segmentation, speech, translation, diffusion, language"
    errors = "|log(predicted/measured)| in per cent, rows of a family averaged first"
    mfu = "one share of the peak per accelerator and precision, and per model too: medians over the fitting families"
    bias, middle = figures["time_bias_family_median_frac"], figures["time_error_row_median_frac"]
    centre = f"The median family is predicted {bias:+.1%} too slow; the median over rows is {middle:.1%}"
    return (
        f"Not expressed: {len(inside)} of the {known} rows of models with a preset ({share:.1%}): {why}.",
        f"Of all {total} rows of both tables {whole:.0%} are not expressed: most are without a preset ({without}).",
        f"Errors are {errors}. MFU: {mfu}.",
        f"{centre}.",
        f"Rules that filled blanks, and rows that used them: {used}.",
    )
