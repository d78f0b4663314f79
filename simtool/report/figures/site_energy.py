"""Where a site's energy and money went: by state and component, by outcome and user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger import COMPONENTS
from simtool.report import style
from simtool.report.figures.site_power import PARTS
from simtool.report.table import Cell, Table, from_rows
from simtool.result.datacenter.per_job import PerJob
from simtool.result.datacenter.result import DatacenterResult
from simtool.sim.fleet.outcome import STATUSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_USERS = 7
NOBODY, OTHERS = "no job", "others"
COLOURS = {**style.COMPONENT_COLOURS, **dict(PARTS.values())}
OUTCOMES = {
    "completed": style.GREEN,
    "failed": style.VERMILION,
    "unfinished": style.SKY,
    NOBODY: style.LIGHT_GREY,
}


def table(result: DatacenterResult, shares: PerJob) -> Table:
    """Energy of the site by state and by component [J], cost by outcome and by user [USD]."""
    series = result.series
    rows: list[dict[str, Cell]] = []

    def add(panel: str, name: str, value: float, unit: str) -> None:
        rows.append({"panel": panel, "name": name, "value": value, "unit": unit})

    building = (("loss", "chain_loss_w"), ("cooling", "cooling_w"), ("other", "other_w"))
    for group, joules in shares.energy_j.items():
        add("state", PARTS[group][0], float(joules.sum()), "J")
    for component in COMPONENTS:
        amount = sum(ledger.energy_j(component=component) for ledger in result.outcome.ledgers.values())
        add("component", component, amount, "J")
    for part, column in building:
        for panel in ("state", "component"):
            add(panel, PARTS[part][0], series.integral(column), "J")
    for code, status in enumerate(STATUSES):
        mine = result.outcome.status == code
        add("outcome", status, float(shares.cost_usd[1:][mine].sum()), "USD")
    add("outcome", NOBODY, float(shares.cost_usd[0]), "USD")
    jobs = result.jobs.table
    by_user = np.bincount(jobs.user, shares.cost_usd[1:], len(jobs.users))
    order = np.argsort(-by_user, kind="stable")
    for index in order[:MAX_USERS].tolist():
        add("user", jobs.users[index] or "(unnamed)", float(by_user[index]), "USD")
    if len(order) > MAX_USERS:
        count = len(order) - MAX_USERS
        add("user", f"{OTHERS} ({count:,})", float(by_user[order[MAX_USERS:]].sum()), "USD")
    add("user", NOBODY, float(shares.cost_usd[0]), "USD")
    return from_rows([row for row in rows if row["value"]])


def draw(numbers: Table, *, source: str, which: str = "") -> Figure:
    """The figure of a table made by `table`; `which` says that it is of several sites."""
    panels = {
        "state": "energy of the site, by state of its accelerators",
        "component": "the same energy, by what drew it",
        "outcome": "costs, by how the job ended",
        "user": "the same costs, by user",
    }
    shown = [panel for panel in panels if panel in numbers.unique("panel")]
    most = [
        max(numbers.where("panel", panel).num_rows for panel in shown[i : i + 2])
        for i in range(0, len(shown), 2)
    ]
    drawing = style.new_figure(0.9 + 0.22 * sum(most) + 0.45 * len(most))
    places = drawing.subplots(len(most), 2, squeeze=False, height_ratios=most)
    for place, panel, letter in zip(places.flat, shown, "abcd", strict=False):
        _bars(place, numbers.where("panel", panel), most[shown.index(panel) // 2])
        style.panel(place, letter, panels[panel])
    style.headline(drawing, f"Where energy and money went{which}")
    style.footer(drawing, f"Costs by accelerator time, of electricity as it was drawn.\n{source}")
    return drawing


def _bars(axes: Axes, rows: Table, most: int) -> None:
    values, names = rows.numbers("value"), rows.texts("name")
    total = float(values.sum())
    scales = style.ENERGY if rows.texts("unit")[0] == "J" else style.MONEY
    scale, unit = style.axis_unit(float(np.abs(values).max()), scales)
    colours = [COLOURS.get(name, OUTCOMES.get(name, style.ORANGE)) for name in names]
    axes.barh(range(len(names)), values / scale, height=0.7, color=colours)
    for row, value in enumerate(values):
        axes.annotate(
            style.percent(value / total) if total else "",
            (value / scale, row),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.8,
        )
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(most - 0.4, -0.6)
    axes.set_xlim(min(0.0, float(values.min()) / scale), 1.18 * float(values.max()) / scale)
    axes.set_xlabel(unit)
    style.rule(axes, "x")
