"""Runs beside each other: what each quantity is relative to the first run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.report import style, words
from simtool.report.table import Cell, Table, from_rows
from simtool.result.manifest import executed_flop
from simtool.result.result import Result
from simtool.result.summary import summarise

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = Mapping[str, Mapping[str, Any]]

COMPARED = (
    "duration_s",
    "accelerator_hours",
    "energy_accelerator_j",
    "energy_it_j",
    "energy_facility_j",
    "cost_total_usd",
    "carbon_total_kgco2e",
)
"""What costs something: less is better for each."""
LOG_RATIO = 5.0
"""Largest over smallest ratio from which on a logarithmic axis shows both."""
TIMES = 10.0
"""Ratio from which on a label gives a multiple instead of per cent."""
OPERATIONS = "operations_executed_flop"


def method_table(result: Result) -> Table:
    """The run without and with its method, headed by the operations that are executed."""
    if result.reference is None:
        raise ValueError("only a run with a method has a run without it to compare with")
    runs = [("without method", result.reference), ("with method", result)]
    of_runs = []
    for name, run in runs:
        operations = {OPERATIONS: {"value": executed_flop(run), "unit": "FLOP"}}
        of_runs.append((name, {**operations, **summarise(run)}))
    return table(of_runs, (OPERATIONS, *COMPARED))


def table(runs: Sequence[tuple[str, Summary]], names: Sequence[str] = COMPARED) -> Table:
    """Every quantity that all runs have: value, 10th and 90th percentile, ratio to the first run."""
    rows: list[dict[str, Cell]] = []
    for name in names:
        if not all(name in summary for _, summary in runs):
            continue
        first = runs[0][1][name]["value"]
        for run, summary in runs:
            entry = summary[name]
            rows.append(
                {
                    "quantity": name,
                    "unit": entry["unit"],
                    "run": run,
                    "value": entry["value"],
                    "p10": entry.get("p10"),
                    "p90": entry.get("p90"),
                    "ratio_to_first": entry["value"] / first if first else None,
                }
            )
    return from_rows(rows)


def figure(result: Result) -> Figure:
    """What survives of the method's fewer operations as time, energy, money and carbon."""
    return draw(method_table(result), source="")


def draw(numbers: Table, *, source: str, title: str = "") -> Figure:
    """The figure of a table made by `table` or `method_table`."""
    names = [str(name) for name in numbers.unique("quantity")]
    runs = [str(run) for run in numbers.unique("run")]
    drawing = style.new_figure(1.0 + (0.14 + 0.15 * len(runs[1:])) * max(len(names), 3))
    axes = drawing.subplots()
    others = runs[1:]
    height = 0.72 / max(len(others), 1)
    is_method = OPERATIONS in names
    _limits(axes, numbers)
    for index, run in enumerate(others):
        colour = style.WITH if len(others) == 1 else style.CYCLE[index % len(style.CYCLE)]
        offset = (index - (len(others) - 1) / 2) * height
        _bars(axes, numbers.where("run", run), names, offset, height, colour, run)
    axes.axvline(100, color=style.BLACK, linewidth=0.7)
    axes.set_yticks(range(len(names)), [_name(name, numbers, runs) for name in names])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)
    scale = ", logarithmic" if axes.get_xscale() == "log" else ""
    axes.set_xlabel(f"relative to {'the run ' if is_method else ''}{runs[0]} (%{scale})")
    style.rule(axes, "x")
    if is_method and len(names) > 1:
        axes.axhline(0.5, color=style.LIGHT_GREY, linewidth=0.5, linestyle=(0, (4, 3)))
    if len(others) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    whose = others[0] if len(others) == 1 else "Runs"
    style.headline(drawing, title or (_survival(numbers) if is_method else f"{whose} relative to {runs[0]}"))
    style.footer(drawing, source)
    return drawing


def _bars(
    axes: Axes, numbers: Table, names: Sequence[str], offset: float, height: float, colour: str, run: str
) -> None:
    ratios = 100 * numbers.numbers("ratio_to_first")
    values = numbers.numbers("value")
    below, above = (
        100 * numbers.numbers("ratio_to_first") * numbers.numbers(p) / values for p in ("p10", "p90")
    )
    rows = np.array([names.index(name) for name in numbers.texts("quantity")]) + offset
    begin = 100.0 if axes.get_xscale() == "log" else 0.0  # a logarithmic axis has no zero to begin at
    axes.barh(rows, ratios - begin, left=begin, height=0.9 * height, color=colour, alpha=0.85, label=run)
    spread = np.isfinite(below) & np.isfinite(above)
    axes.hlines(rows[spread], below[spread], above[spread], color=style.BLACK, linewidth=0.8)
    for row, ratio, low, high in zip(rows, ratios, below, above, strict=True):
        if not np.isfinite(ratio):
            continue
        inward = ratio < 100 and begin > 0
        edge = np.nanmin([ratio, low]) if inward else np.nanmax([ratio, high])
        axes.annotate(
            _change(ratio),
            (edge, row),
            xytext=(-3 if inward else 3, 0),
            textcoords="offset points",
            ha="right" if inward else "left",
            va="center",
            fontsize=6.8,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},  # the line at 100 does not cross it
        )


def _change(ratio_percent: float) -> str:
    """What is more or less than in the first run; as a multiple where per cent says little.

    >>> _change(103.0), _change(11280.0)
    ('+3.0 %', '113 times')
    """
    if ratio_percent >= 100 * TIMES:
        return f"{float(f'{ratio_percent / 100:.3g}'):,.0f} times"
    return f"{ratio_percent - 100:+.1f} %".replace("-", "\N{MINUS SIGN}")


def _limits(axes: Axes, numbers: Table) -> None:
    ratios = 100 * numbers.numbers("ratio_to_first")
    finite = ratios[np.isfinite(ratios)]
    low, high = float(finite.min(initial=100)), float(finite.max(initial=100))
    if low > 0 and high / low > LOG_RATIO:
        axes.set_xscale("log")
        axes.set_xlim(low / 2.2, high * (high / low) ** 0.2 * 1.5)
        style.log_ticks(axes.xaxis, style.plain_number)
        return
    axes.set_xlim(min(0.0, 1.1 * low), 1.12 * high)


def _name(name: str, numbers: Table, runs: Sequence[str]) -> str:
    if name == OPERATIONS:
        return "operations executed"
    of_first = numbers.where("quantity", name).where("run", runs[0])
    value = words.shown(float(of_first.numbers("value")[0]), of_first.texts("unit")[0], 3)
    return f"{words.label(name)} (from {value})"


def _survival(numbers: Table) -> str:
    with_method = numbers.where("run", "with method")
    ratios = dict(zip(with_method.texts("quantity"), with_method.numbers("ratio_to_first"), strict=True))
    saved = style.percent(1 - ratios[OPERATIONS])
    return f"What is left of the run with {saved} fewer operations"
