"""Power of a run over time, by component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simtool.ledger import COMPONENTS, Ledger
from simtool.report import style
from simtool.report.figures.site_time import length_words
from simtool.report.table import Table
from simtool.result.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

NUM_BINS = 480
"""Stretches of time that a page can tell apart; shorter steps become mean, lowest and highest."""


def table(result: Result) -> Table:
    """Mean power of each component over stretches of time, and the extremes of the IT power [W].

    A record whose steps are all wide enough to be seen is given step by step; any other in equal
    stretches, whose means keep the energy exactly.
    """
    ledger = result.outcome.ledger
    edges = ledger.breakpoints_s
    if np.diff(edges).min() * NUM_BINS < edges[-1] - edges[0]:
        edges = np.linspace(edges[0], edges[-1], NUM_BINS + 1)
    pue = result.value("energy_facility_j") / result.value("energy_it_j")
    means = {part: _mean(ledger, ledger.power_w(component=part), edges) for part in COMPONENTS}
    total = ledger.power_w()
    lowest, highest = _extremes(ledger.breakpoints_s, total, edges)
    mean_it = sum(means.values())
    return Table(
        {
            "begin_s": edges[:-1].tolist(),
            "end_s": edges[1:].tolist(),
            **{f"power_{part}_mean_w": mean.tolist() for part, mean in means.items()},
            "power_it_mean_w": np.asarray(mean_it).tolist(),
            "power_it_min_w": lowest.tolist(),
            "power_it_max_w": highest.tolist(),
            "power_facility_mean_w": (pue * np.asarray(mean_it)).tolist(),
        }
    )


def _mean(ledger: Ledger, power_w: FloatArray, edges: FloatArray) -> FloatArray:
    """Mean of a step function over each stretch: difference of its integral over the length."""
    steps = ledger.breakpoints_s
    integral = np.concatenate(([0.0], np.cumsum(power_w * np.diff(steps))))
    return np.asarray(np.diff(np.interp(edges, steps, integral)) / np.diff(edges))


def _extremes(steps: FloatArray, power_w: FloatArray, edges: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of a step function in each stretch."""
    first = np.clip(np.searchsorted(steps, edges[:-1], side="right") - 1, 0, len(power_w) - 1)
    last = np.clip(np.searchsorted(steps, edges[1:], side="left") - 1, first, len(power_w) - 1)
    lowest = [power_w[i : j + 1].min() for i, j in zip(first, last, strict=True)]
    highest = [power_w[i : j + 1].max() for i, j in zip(first, last, strict=True)]
    return np.array(lowest), np.array(highest)


def figure(result: Result) -> Figure:
    """Stacked mean power of the components, the range of the IT power, and the facility's power."""
    return draw(table(result), source="")


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says of two runs the one that is shown."""
    begin, end = numbers.numbers("begin_s"), numbers.numbers("end_s")
    facility = numbers.numbers("power_facility_mean_w")
    highest = numbers.numbers("power_it_max_w")
    time_scale, time_unit = style.axis_unit(float(end[-1]), style.DURATION)
    scale, unit = style.axis_unit(float(max(facility.max(), highest.max())), style.POWER)
    edges = np.append(begin, end[-1]) / time_scale
    drawing = style.new_figure(2.9)
    axes = drawing.subplots()
    base = np.zeros(len(begin))
    for part in COMPONENTS:
        top = base + numbers.numbers(f"power_{part}_mean_w") / scale
        axes.stairs(top, edges, baseline=base, fill=True, color=style.COMPONENT_COLOURS[part], label=part)
        base = top
    axes.stairs(
        facility / scale, edges, baseline=None, color=style.BLACK, linewidth=0.9, label="facility (with PUE)"
    )
    lowest = numbers.numbers("power_it_min_w")
    if bool((highest - lowest > 1e-6 * highest).any()):
        differs = highest - lowest > 1e-6 * highest
        axes.stairs(
            highest / scale,
            edges,
            baseline=None,
            color=style.WINE,
            linewidth=0.9,
            path_effects=style.cased(0.9),
            label="all IT, highest",
        )
        middle = ((edges[1:] + edges[:-1]) / 2)[differs]
        axes.plot(
            middle,
            lowest[differs] / scale,
            "o",
            color="white",
            markeredgecolor=style.BLACK,
            markeredgewidth=0.5,
            markersize=2.4,
            label="all IT, lowest",
        )
        source += (
            f"\nAreas: means over {length_words(np.append(begin, end[-1]))}, one component on another. Line and dots: "
            "highest and lowest power of all IT (accelerators, hosts and network together) within a stretch; dots "
            "where it dips, such as in a checkpoint."
        )
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, None)
    axes.margins(y=0.1)
    axes.set_xlabel(f"time since the start ({time_unit})")
    axes.set_ylabel(f"power ({unit})")
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    style.headline(drawing, f"Power over the run, by component{which}")
    style.footer(drawing, source)
    return drawing
