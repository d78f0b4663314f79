"""Where the energy of a run went: by ledger state and component."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger import COMPONENTS, LEDGER_STATES
from simtool.report import style
from simtool.report.table import Cell, Table, from_rows
from simtool.result.result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BUILDING = "building"
"""Cooling and power losses: facility energy less IT energy."""


def table(result: Result) -> Table:
    """Energy by run, state and component [J]; the building's share follows the IT energy."""
    runs = [("with method", result), ("without method", result.reference)]
    rows: list[dict[str, Cell]] = []
    for name, run in runs if result.reference is not None else [("run", result)]:
        if run is None:
            continue
        overhead = run.value("energy_facility_j") / run.value("energy_it_j") - 1.0
        for state in LEDGER_STATES:
            joules = [run.outcome.ledger.energy_j(state=state, component=part) for part in COMPONENTS]
            if sum(joules) == 0:
                continue
            parts = [*zip(COMPONENTS, joules, strict=True), (BUILDING, overhead * sum(joules))]
            rows += [
                {"run": name, "state": state, "component": part, "energy_j": each} for part, each in parts
            ]
    return from_rows(rows)


def figure(result: Result) -> Figure:
    """Stacked bars: one per state, its components beside each other; without and with the method."""
    return draw(table(result), source="")


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    runs = [str(run) for run in reversed(numbers.unique("run"))]
    states = sorted((str(state) for state in numbers.unique("state")), key=LEDGER_STATES.index)
    drawing = style.new_figure(1.15 + 0.27 * len(states))
    axes = drawing.subplots(1, len(runs), sharex=True, sharey=True, squeeze=False)[0]
    totals = {run: float(numbers.where("run", run).numbers("energy_j").sum()) for run in runs}
    scale, unit = style.axis_unit(max(totals.values()), style.ENERGY)
    for place, run, letter in zip(axes, runs, "ab", strict=False):
        of_run = numbers.where("run", run)
        name = f"{run}, {totals[run] / scale:,.4g} {unit}" if len(runs) > 1 else ""
        _bars(place, of_run, states, scale, totals[run], widest=1.16 * _widest(numbers) / scale)
        if name:
            style.panel(place, letter, name)
        place.set_xlabel(f"energy ({unit})")
    axes[-1].legend(
        loc="center left", bbox_to_anchor=(1.0, 0.5), title="drawn by", title_fontsize=7.0, alignment="left"
    )
    total = f", {totals[runs[0]] / scale:,.4g} {unit} in all" if len(runs) == 1 else ""
    style.headline(drawing, f"Energy of the facility by state of the accelerators{total}")
    style.footer(drawing, source)
    return drawing


def _widest(numbers: Table) -> float:
    """Energy of the state that took most, of all runs [J]."""
    sums: dict[tuple[str, str], float] = {}
    for run, state, joules in zip(
        numbers.texts("run"), numbers.texts("state"), numbers.numbers("energy_j"), strict=True
    ):
        sums[run, state] = sums.get((run, state), 0.0) + float(joules)
    return max(sums.values())


def _bars(
    axes: Axes, numbers: Table, states: list[str], scale: float, total: float, *, widest: float
) -> None:
    left = np.zeros(len(states))
    for component in (*COMPONENTS, BUILDING):
        rows = numbers.where("component", component)
        of_state = dict(zip(rows.texts("state"), rows.numbers("energy_j") / scale, strict=True))
        widths = np.array([of_state.get(state, 0.0) for state in states])
        axes.barh(
            states, widths, left=left, height=0.68, color=style.COMPONENT_COLOURS[component], label=component
        )
        left += widths
    for row, width in enumerate(left):
        axes.annotate(
            style.percent(width * scale / total) if width else "0",
            (width, row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.8,
        )
    axes.set_yticks(range(len(states)), [style.label(state) for state in states])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(states) - 0.4, -0.6)
    axes.set_xlim(0, widest)
    style.rule(axes, "x")
