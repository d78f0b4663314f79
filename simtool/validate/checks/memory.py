"""Device memory of published runs that state it, from their configuration alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from simtool.errors import InputError, Problem
from simtool.profiles.find import ProfileLibrary
from simtool.units import BYTES_PER_GIB
from simtool.validate.case import Skipped
from simtool.validate.check import CHECKS, Outcome
from simtool.validate.memory_rows import MemoryPrediction, predict_memory
from simtool.validate.table import read_rows

TABLE = Path("validation") / "llm_training_throughput.csv"
BLANK = ("", "nan")


def check_memory(reference: Path, library: ProfileLibrary) -> Outcome:
    """Predict every row that states its memory; rows of low quality are left out."""
    path = reference / TABLE
    rows = [row for row in read_rows(path) if row.get("mem_gb", "") not in BLANK]
    found = [predict_memory(row, library) for row in rows if row["quality"] != "low"]
    predictions = [one for one in found if isinstance(one, MemoryPrediction)]
    skipped = [one for one in found if isinstance(one, Skipped)]
    if not predictions:
        raise InputError(
            Problem(str(path), "mem_gb", "found no row whose memory can be predicted", "", "check the table")
        )
    slack = {family: slack_from_others(predictions, family) for family in {p.family for p in predictions}}
    ours = _by_family(predictions, lambda p: p.predicted_bytes(slack[p.family]))
    trivial = _by_family(predictions, lambda p: p.baseline_bytes)
    mean = {family: float(np.mean(np.abs(errors))) for family, errors in ours.items()}
    constant = [float(np.mean(np.abs(errors))) for errors in trivial.values()]
    figures = {
        "num_rows": float(len(predictions)),
        "num_families": float(len(ours)),
        "coverage_frac": len(predictions) / len(rows),
        "memory_error_median_frac": float(np.expm1(np.median(list(mean.values())))),
        "memory_error_p90_frac": float(np.expm1(np.percentile(list(mean.values()), 90))),
        "memory_bias_frac": float(np.expm1(np.median([np.mean(errors) for errors in ours.values()]))),
        "memory_error_row_median_frac": float(
            np.expm1(np.median(np.abs(np.concatenate(list(ours.values())))))
        ),
        "baseline_error_median_frac": float(np.expm1(np.median(constant))),
        "baseline_error_p90_frac": float(np.expm1(np.percentile(constant, 90))),
    }
    return Outcome(
        title=(
            f"Memory of {len(predictions)} published rows of {len(ours)} families, predicted from model, layout and "
            "the framework's written rule"
        ),
        columns=("family", "rows", "reading", "stated", "predicted", "error", "bias", "18 B/weight"),
        rows=tuple(
            _line(
                family,
                [p for p in predictions if p.family == family],
                slack[family],
                ours[family],
                trivial[family],
            )
            for family in sorted(mean, key=mean.__getitem__)
        ),
        figures=figures,
        notes=(
            (
                f"Over families: median {figures['memory_error_median_frac']:.1%}, p90 "
                f"{figures['memory_error_p90_frac']:.0%}, bias {figures['memory_bias_frac']:+.1%}; median row "
                f"{figures['memory_error_row_median_frac']:.1%}. 18 bytes a weight over all devices: "
                f"{figures['baseline_error_median_frac']:.0%}, p90 {figures['baseline_error_p90_frac']:.0%}."
            ),
            (
                "Stated and predicted are GiB, means of the family. The one fitted number, reserved blocks over "
                f"tensors, is the median of the other families' rows: {min(slack.values()):.3f} to "
                f"{max(slack.values()):.3f}."
            ),
            f"Left out: {len(rows) - len(found)} rows of low quality; {_reasons(skipped)}.",
        ),
    )


def slack_from_others(predictions: Sequence[MemoryPrediction], family: str) -> float:
    """Reserved blocks over tensors: the median over rows of the other families that print reserved blocks.

    1 where there is no other family.
    """
    ratios = [
        p.measured_bytes / p.tensors_bytes
        for p in predictions
        if p.reading == "reserved" and p.family != family
    ]
    return float(np.median(ratios)) if ratios else 1.0


def _by_family(
    predictions: Sequence[MemoryPrediction], predicted_bytes: Callable[[MemoryPrediction], float]
) -> dict[str, list[float]]:
    errors: dict[str, list[float]] = defaultdict(list)
    for p in predictions:
        errors[p.family].append(float(np.log(predicted_bytes(p) / p.measured_bytes)))
    return dict(errors)


def _line(
    family: str,
    members: Sequence[MemoryPrediction],
    slack: float,
    errors: Sequence[float],
    trivial: Sequence[float],
) -> tuple[str, ...]:
    stated = np.mean([p.measured_bytes for p in members]) / BYTES_PER_GIB
    predicted = np.mean([p.predicted_bytes(slack) for p in members]) / BYTES_PER_GIB
    return (
        family,
        str(len(members)),
        members[0].reading,
        f"{stated:.1f}",
        f"{predicted:.1f}",
        f"{np.expm1(np.mean(np.abs(errors))):.1%}",
        f"{np.expm1(np.mean(errors)):+.1%}",
        f"{np.expm1(np.mean(np.abs(trivial))):.0%}",
    )


def _reasons(skipped: Sequence[Skipped]) -> str:
    counted = Counter(one.reason for one in skipped)
    return ", ".join(f"{count} {reason}" for reason, count in counted.most_common()) or "nothing else"


CHECKS.register("memory")(check_memory)
