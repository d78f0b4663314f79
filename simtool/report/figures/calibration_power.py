"""Power of a device by what it does, fitted to metered stretches of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.figures.calibration_fits import COEFFICIENTS
from simtool.report.table import Table
from simtool.units import GIGA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOING_COLOURS = {
    "compute": style.BLUE,
    "memory": style.GREEN,
    "communication": style.ORANGE,
    "waiting": style.LIGHT_GREY,
}
MOSTLY = 0.9


def draw(numbers: Table, *, coefficients: Table, source: str) -> Figure:
    """Predicted against measured power, powers by what the device does, and where logged the clock's effect."""
    has_clock = bool(np.any(~np.isnan(numbers.numbers("clock_hz"))))
    drawing = style.new_figure(2.9)
    panels = drawing.subplots(1, 2 + int(has_clock), width_ratios=[1.0, 1.0, *([0.9] if has_clock else [])])
    _predicted(panels[0], numbers)
    _by_doing(panels[1], coefficients)
    if has_clock:
        _clock(panels[2], numbers, coefficients)
    style.headline(drawing, "Power by what the device does")
    style.footer(
        drawing,
        "A point is a stretch of time, predicted from stretches of other times; its colour is what it mostly did. "
        "Grey band: within 10 %. "
        f"{source}",
    )
    return drawing


def _mostly(numbers: Table) -> list[str]:
    shares = np.stack([numbers.numbers(f"{doing}_frac") for doing in DOING_COLOURS])
    names = list(DOING_COLOURS)
    return [names[place] for place in np.argmax(shares, axis=0).tolist()]


def _predicted(axes: Axes, numbers: Table) -> None:
    measured, held, prior = (numbers.numbers(name) for name in ("power_w", "held_out_w", "prior_w"))
    doing = np.array(_mostly(numbers))
    known = ~np.isnan(held)
    every = np.concatenate([measured[known], held[known], prior[known]])
    ends = np.array([0.0, float(every.max()) * 1.08])
    axes.fill_between(ends, ends * 0.9, ends * 1.1, color=style.FAINT, linewidth=0)
    axes.plot(ends, ends, color=style.GREY, linewidth=0.7)
    axes.scatter(
        measured[known],
        prior[known],
        s=8,
        facecolors="none",
        edgecolors=style.LIGHT_GREY,
        linewidths=0.6,
        label="prior",
    )
    for name, colour in DOING_COLOURS.items():
        chosen = known & (doing == name)
        if chosen.any():
            axes.scatter(
                measured[chosen], held[chosen], s=11, color=colour, alpha=0.85, linewidths=0, label=name
            )
    error = float(np.median(np.abs(held[known] / measured[known] - 1.0)))
    style.panel(axes, "a", f"median error {style.percent(error)}")
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.set_xlabel("measured (W)")
    axes.set_ylabel("predicted (W)")
    axes.legend(loc="lower right", handletextpad=0.2)


def _by_doing(axes: Axes, coefficients: Table) -> None:
    of_power = coefficients.where("fit", "power")
    names = [name for name in DOING_COLOURS if name in of_power.columns["coefficient"]]
    highest = 0.0
    for row, name in enumerate(names):
        own = of_power.where("coefficient", name)
        prior, prior_spread, value, spread = (
            float(own.numbers(key)[0]) for key in ("prior", "prior_spread", "value", "spread")
        )
        is_fitted = bool(own.numbers("is_fitted")[0])
        axes.barh(row + 0.18, prior, 0.3, color="none", edgecolor=style.GREY, linewidth=0.7)
        axes.errorbar(prior, row + 0.18, xerr=prior * prior_spread, color=style.GREY, linewidth=0.8)
        if is_fitted:
            axes.barh(row - 0.18, value, 0.34, color=DOING_COLOURS[name])
            axes.errorbar(value, row - 0.18, xerr=value * spread, color=style.BLACK, linewidth=0.9)
        end = max(value * (1 + spread) if is_fitted else 0.0, prior * (1 + prior_spread))
        highest = max(highest, end)
        axes.annotate(
            f"{value:.0f} W" if is_fitted else "stayed", (end, row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=6.5, color=style.BLACK if is_fitted else style.GREY,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), [COEFFICIENTS[name] for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, highest * 1.25)
    axes.set_xlabel("power (W); outlined: prior")
    style.panel(axes, "b", "fitted powers")


def _clock(axes: Axes, numbers: Table, coefficients: Table) -> None:
    chosen = (numbers.numbers("compute_frac") >= MOSTLY) & ~np.isnan(numbers.numbers("clock_hz"))
    clock = numbers.numbers("clock_hz")[chosen] / GIGA
    axes.scatter(clock, numbers.numbers("power_w")[chosen], s=9, color=style.BLUE, alpha=0.7, linewidths=0)
    own = coefficients.where("fit", "cap")
    told = (
        [
            f"{COEFFICIENTS[str(name)]} {float(value):.2g}"
            for name, value, is_fitted in zip(
                *(own.columns[key] for key in ("coefficient", "value", "is_fitted")), strict=True
            )
            if is_fitted
        ]
        if own.num_rows
        else []
    )
    axes.annotate(
        "\n".join(told) or "no answer to a cap was fitted", (0.96, 0.05), xycoords="axes fraction", ha="right",
        fontsize=6.5,
    )  # fmt: skip
    style.panel(axes, "c", "computing, by clock")
    axes.set_ylim(0, None)
    axes.set_xlabel("clock (GHz)")
    axes.set_ylabel("power (W)")
