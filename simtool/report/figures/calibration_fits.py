"""Predicted against measured, errors by class of work, and coefficients beside their priors."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_COLOURS = {
    "gemm": style.BLUE,
    "attention": style.ORANGE,
    "memory": style.GREEN,
    "links": style.PURPLE,
    "power": style.VERMILION,
    "cap": style.SKY,
}
CLASS_NAMES = {
    "gemm": "matrix products",
    "attention": "attention",
    "memory": "memory-bound",
    "links": "collectives",
    "power": "power",
    "cap": "under a cap",
}
BAND = 0.25
"""Relative error that the grey band around equality shows."""
PREDICTORS = (("held_out_s", "fitted, shape held out"), ("prior_s", "prior"), ("constant_s", "one constant"))
WIDEST_ERROR = 3.0
"""Errors beyond this factor are drawn at the edge."""
COEFFICIENTS = {
    "peak_frac": "share of peak rate",
    "k_half": "inner size, half",
    "tile_half": "small tiles",
    "wave_frac": "last wave",
    "bandwidth_frac": "share of bandwidth",
    "latency": "smallest kernel",
    "weight_gradient_ratio": "weight gradient / forward",
    "seq_half": "sequence, half",
    "head_half": "head size, half",
    "tail_waves": "uneven end",
    "backward_ratio": "backward / forward",
    "efficiency": "share of link",
    "collective_latency": "start-up",
    "compute": "computing",
    "memory": "moving memory",
    "communication": "communicating",
    "waiting": "waiting",
    "cap_exponent": "exponent of the clock",
    "static": "static share",
    "voltage_floor": "voltage floor",
}


def draw_predicted(numbers: Table, *, kept: Collection[str], source: str) -> Figure:
    """One panel a class: predicted from the other shapes against measured, beside what the prior predicted."""
    classes = [str(one) for one in numbers.unique("op_class")]
    num_rows = 1 if len(classes) <= 3 else 2
    drawing = style.new_figure(2.9 if num_rows == 1 else 6.2)
    grid = drawing.subplots(num_rows, len(classes) // num_rows, squeeze=False).ravel()
    for axes, name, letter in zip(grid, classes, "abcd", strict=False):
        own = numbers.where("op_class", name)
        _equality(axes, own)
        measured = own.numbers("measured_s")
        axes.scatter(
            measured, own.numbers("prior_s"), s=9, facecolors="none", edgecolors=style.LIGHT_GREY, linewidths=0.7,
            label="prior",
        )  # fmt: skip
        main = own.numbers("takes_time") > 0
        for chosen, size, label in ((~main, 7.0, ""), (main, 18.0, "fitted, shape held out")):
            axes.scatter(
                measured[chosen], own.numbers("held_out_s")[chosen], s=size, color=CLASS_COLOURS[name],
                alpha=0.85 if size > 10 else 0.5, linewidths=0, label=label or None,
            )  # fmt: skip
        error = float(np.median(np.abs(own.numbers("held_out_s")[main] / measured[main] - 1.0)))
        more = "\nno better: prior kept" if name in kept else ""
        style.panel(axes, letter, CLASS_NAMES[name])
        axes.annotate(
            f"median error {style.percent(error)}{more}", (0.97, 0.04), xycoords="axes fraction", ha="right",
            fontsize=6.5,
        )  # fmt: skip
        axes.set_xlabel("measured time")
        if letter == "a":
            axes.set_ylabel("predicted time")
            axes.legend(loc="upper left", handletextpad=0.2)
    style.headline(drawing, "Time of one call: predicted from the other shapes, against measured")
    style.footer(
        drawing,
        f"Grey band: within {style.percent(BAND)}. Large points take at least 0.5 % of their class's time, and the "
        f"median is theirs. {source}",
    )
    return drawing


def _equality(axes: Axes, own: Table) -> None:
    every = np.concatenate([own.numbers(name) for name in ("measured_s", "held_out_s", "prior_s")])
    ends = np.array([every.min() / 1.6, every.max() * 1.6])
    axes.fill_between(ends, ends / (1 + BAND), ends * (1 + BAND), color=style.FAINT, linewidth=0)
    axes.plot(ends, ends, color=style.GREY, linewidth=0.7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        style.log_ticks(axis, _seconds, few=1.5)


def _seconds(value: float, _position: float | None = None) -> str:
    scale, unit = next(
        ((size, name) for size, name in style.SHORT_TIME if value >= size), style.SHORT_TIME[-1]
    )
    return f"{value / scale:g} {unit}"


def draw_residuals(numbers: Table, *, kept: Collection[str], source: str) -> Figure:
    """Of each class the errors of the fit, of its prior, and of one constant rate: every shape, median, middle half."""
    classes = [str(one) for one in numbers.unique("op_class")]
    drawing = style.new_figure(0.9 + 0.72 * len(classes))
    axes = drawing.subplots()
    colours = {"held_out_s": "", "prior_s": style.GREY, "constant_s": style.LIGHT_GREY}
    for row, name in enumerate(classes):
        own = numbers.where("op_class", name)
        main = own.numbers("takes_time") > 0
        for line, (column, _) in enumerate(PREDICTORS):
            place = row + 0.26 * (line - 1)
            factor = np.clip(own.numbers(column) / own.numbers("measured_s"), 1 / WIDEST_ERROR, WIDEST_ERROR)
            colour = colours[column] or CLASS_COLOURS[name]
            offset = place + 0.08 * (np.arange(len(factor)) % 5 - 2) / 2.0  # apart, always the same
            axes.scatter(factor, offset, s=np.where(main, 9.0, 3.0), color=colour, alpha=0.45, linewidths=0)
            low, middle, high = np.percentile(factor[main], [25, 50, 75])
            axes.plot([low, high], [place, place], color=colour, linewidth=3.5, solid_capstyle="butt")
            axes.plot([middle], [place], marker="|", markersize=9, color=style.BLACK, markeredgewidth=1.1)
            error = float(
                np.median(np.abs(own.numbers(column)[main] / own.numbers("measured_s")[main] - 1.0))
            )
            axes.annotate(
                style.percent(error), (1.0, place), xycoords=("axes fraction", "data"), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=6.5, color=style.BLACK if line == 0 else style.GREY,
            )  # fmt: skip
    axes.axvline(1.0, color=style.GREY, linewidth=0.7)
    axes.set_xscale("log")
    axes.set_xlim(1 / WIDEST_ERROR / 1.06, WIDEST_ERROR * 1.06)
    ticks = [1 / 3, 0.5, 0.67, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0]
    axes.set_xticks(ticks, ["≤ ⅓", "0.5", "0.67", "0.8", "1", "1.25", "1.5", "2", "≥ 3"])
    axes.set_xticks([], minor=True)
    lines = [(row + 0.26 * (line - 1), line, name) for row, name in enumerate(classes) for line in range(3)]
    labels = [
        f"{CLASS_NAMES[name]}{' (prior kept)' if name in kept else ''}: {PREDICTORS[line][1]}" if line == 0
        else PREDICTORS[line][1]
        for _, line, name in lines
    ]  # fmt: skip
    axes.set_yticks([place for place, _, _ in lines], labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(classes) - 0.5, -0.5)
    axes.set_xlabel("predicted over measured time; right: median error")
    style.rule(axes, "x")
    style.headline(drawing, "Errors by class of work")
    style.footer(
        drawing,
        "Bars: middle half of the shapes that take at least 0.5 % of their class's time; tick: their median. "
        f"Fitted and constant never saw the shape they predict. {source}",
    )
    return drawing


def draw_coefficients(numbers: Table, *, begun_at: str, source: str) -> Figure:
    """Every coefficient over its prior, with one standard error; grey where it stayed."""
    drawing = style.new_figure(0.75 + 0.19 * numbers.num_rows)
    axes = drawing.subplots()
    labels: list[str] = []
    for row in range(numbers.num_rows):
        cells = {name: column[row] for name, column in numbers.columns.items()}
        name, prior, value = str(cells["fit"]), float(cells["prior"] or 0.0), float(cells["value"] or 0.0)
        spreads = [float(cells[key] or 0.0) for key in ("prior_spread", "spread")]
        is_fitted = bool(cells["is_fitted"])
        axes.plot(
            np.exp([-spreads[0], spreads[0]]),
            [row, row],
            color=style.FAINT,
            linewidth=7,
            solid_capstyle="butt",
        )
        colour = CLASS_COLOURS[name] if is_fitted else style.LIGHT_GREY
        ratio = value / prior if prior else 1.0
        if is_fitted:
            axes.plot(ratio * np.exp([-spreads[1], spreads[1]]), [row, row], color=colour, linewidth=1.3)
        axes.plot([ratio], [row], marker="o", color=colour, markersize=4 if is_fitted else 3)
        shown = f"{_value(str(cells['coefficient']), name, value)}" + ("" if is_fitted else ", stayed")
        axes.annotate(
            shown, (1.0, row), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=6.5, color=style.BLACK if is_fitted else style.GREY,
        )  # fmt: skip
        coefficient = str(cells["coefficient"])
        labels.append(f"{CLASS_NAMES[name]}: {COEFFICIENTS[coefficient]}")
    axes.axvline(1.0, color=style.GREY, linewidth=0.7)
    axes.set_xscale("log", base=2)
    axes.set_yticks(range(numbers.num_rows), labels)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(numbers.num_rows - 0.5, -0.5)
    axes.set_xlim(0.2, 5.0)
    axes.set_xticks([0.25, 0.5, 1, 2, 4], ["¼", "½", "as the prior", "2", "4"])
    axes.set_xticks([], minor=True)
    style.rule(axes, "x")
    axes.set_xlabel(f"over the prior, {begun_at}")
    style.headline(drawing, "What the traces told, and what stayed at its prior")
    style.footer(drawing, f"Bands: one standard deviation of the prior; bars: one standard error. {source}")
    return drawing


def _value(coefficient: str, fit: str, value: float) -> str:
    if coefficient.endswith("latency"):
        return f"{value * 1e6:.3g} us"
    return f"{value:.0f} W" if fit == "power" else f"{value:.3g}"
