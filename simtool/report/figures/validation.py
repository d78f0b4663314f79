"""Published steps beside predictions: how far off, and how far a constant MFU would be."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style, writer
from simtool.report.table import Table
from simtool.validate.predict import Prediction
from simtool.validate.score import Validation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAME = "validation"
KINDS = {"dense": style.BLUE, "experts": style.ORANGE, "32k tokens and more": style.GREEN}
ERROR_LIMIT_FRAC = 1.0
"""Errors beyond this are drawn at the edge."""


def draw_validation(found: Validation, folder: Path) -> list[Path]:
    """Write the figure and its numbers; the paths written."""
    numbers = table(found)
    return writer.write(folder, NAME, numbers, lambda: draw(numbers))


def table(found: Validation) -> Table:
    """One line for every scored row."""
    scored = found.scored
    return Table(
        {
            "id": [one.row_id for one in scored],
            "family": [one.family for one in scored],
            "kind": [kind_of(one) for one in scored],
            "measured_tokens_per_s": [_rate(one) for one in scored],
            "predicted_tokens_per_s": [one.tokens_per_s for one in scored],
            "error_frac": [one.ratio - 1.0 for one in scored],
            "constant_mfu_error_frac": [
                found.baseline[one.row_id] / (one.measured_s or np.nan) - 1.0 for one in scored
            ],
        }
    )


def kind_of(one: Prediction) -> str:
    """Which colour a row has."""
    if one.seq_len >= 32_768:
        return "32k tokens and more"
    return "experts" if one.has_experts else "dense"


def _rate(one: Prediction) -> float:
    return one.tokens / ((one.measured_s or np.nan) * one.num_devices)


def draw(numbers: Table) -> Figure:
    """Throughput predicted against measured, and the errors of families in order."""
    figure = style.new_figure(3.2)
    left, right = figure.subplots(1, 2)
    _scatter(left, numbers)
    _ordered(right, numbers)
    style.headline(
        figure, f"{numbers.num_rows} published steps, predicted by constants that did not see their families"
    )
    style.footer(
        figure,
        "simtool validate; base: one constant MFU per accelerator and precision, fitted on the same rows. Errors above "
        f"{ERROR_LIMIT_FRAC:.0%} are drawn there.",
    )
    return figure


def _scatter(axes: Axes, numbers: Table) -> None:
    style.panel(axes, "a", "tokens per second of one accelerator")
    measured, predicted = numbers.numbers("measured_tokens_per_s"), numbers.numbers("predicted_tokens_per_s")
    low, high = 0.7 * float(np.min(measured)), 1.4 * float(np.max(measured))
    axes.fill_between([low, high], [low / 1.2, high / 1.2], [low * 1.2, high * 1.2], color=style.FAINT, lw=0)
    axes.plot([low, high], [low, high], color=style.GREY, lw=0.6)
    kinds = numbers.texts("kind")
    for kind, colour in KINDS.items():
        chosen = np.array([one == kind for one in kinds])
        axes.plot(measured[chosen], predicted[chosen], "o", ms=2.2, mew=0, alpha=0.7, color=colour)
    axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    axes.set(xlabel="measured", ylabel="predicted (grey: within 20 %)")
    style.key(axes, KINDS, loc="upper left")


def _ordered(axes: Axes, numbers: Table) -> None:
    style.panel(axes, "b", "mean error of a family, families in order")
    for column, colour, name in (
        ("constant_mfu_error_frac", style.GREY, "constant MFU"),
        ("error_frac", style.BLUE, "simtool"),
    ):
        families: dict[str, list[float]] = defaultdict(list)
        for family, error in zip(numbers.texts("family"), numbers.numbers(column), strict=True):
            families[family].append(abs(float(np.log1p(error))))
        errors = np.sort(np.minimum(np.expm1([np.mean(own) for own in families.values()]), ERROR_LIMIT_FRAC))
        share = (np.arange(len(errors)) + 0.5) / len(errors)
        axes.plot(share, errors, color=colour, label=name)
        middle = float(np.median(errors))
        axes.annotate(
            f"{name}: median {middle:.0%}", (0.5, middle), (0.05, middle + 0.12), color=colour, fontsize=7.0
        )
    axes.set(xlabel="share of the families", ylabel="error", xlim=(0, 1), ylim=(0, ERROR_LIMIT_FRAC))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
