"""The electricity bill by month and kind of line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.report import style
from simtool.report.table import Table, from_rows
from simtool.result.datacenter.result import DatacenterResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = {"energy": style.BLUE, "demand": style.ORANGE, "fixed": style.LIGHT_GREY}
WIDE = 14
"""From so many months on, labels are upright."""


def lacks(result: DatacenterResult) -> str:
    """Why there is no bill to draw; empty if there is."""
    return "" if any(one.bill.lines for one in result.sites) else "there is no bill"


def table(result: DatacenterResult) -> Table:
    """Sum of the lines of every month and kind, of all sites [USD]; highest billed demand [kW]."""
    lines = [line for one in result.sites for line in one.bill.lines]
    rows = []
    for month in sorted({line.month for line in lines}):
        mine = [line for line in lines if line.month == month]
        demand = [line.quantity for line in mine if line.kind == "demand"]
        rows.append(
            {
                "month": month,
                **{
                    f"{kind}_usd": sum(line.amount_usd for line in mine if line.kind == kind)
                    for kind in KINDS
                },
                "total_usd": sum(line.amount_usd for line in mine),
                "demand_highest_kw": max(demand, default=None),
            }
        )
    return from_rows(rows)


def draw(numbers: Table, *, source: str) -> Figure:
    """The figure of a table made by `table`."""
    months = numbers.texts("month")
    total = numbers.numbers("total_usd")
    highest = max(float(total.max()), 0.0)
    scale, unit = style.axis_unit(highest, style.MONEY)
    drawing = style.new_figure(2.7)
    axes = drawing.subplots()
    base, below = np.zeros(len(months)), np.zeros(len(months))
    for kind, colour in KINDS.items():
        amounts = numbers.numbers(f"{kind}_usd") / scale
        if not amounts.any():
            continue
        foot = np.where(amounts >= 0.0, base, below)
        share = style.percent(float(amounts.sum() * scale / total.sum())) if total.sum() else ""
        axes.bar(months, amounts, bottom=foot, width=0.7, color=colour, label=f"{kind}, {share}")
        base, below = base + np.maximum(amounts, 0.0), below + np.minimum(amounts, 0.0)
    for place, amount in enumerate(total):
        axes.annotate(
            f"{amount / scale:,.3g}",
            (place, base[place]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            fontsize=6.8,
        )
    axes.set_ylim(min(0.0, float(below.min()) * 1.1), 1.12 * max(float(base.max()), 1e-12))
    axes.set_xlim(-0.7, max(len(months) - 0.3, 2.3))
    axes.set_ylabel(unit)
    axes.tick_params(axis="x", length=0, labelrotation=90 if len(months) > WIDE else 0)
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    style.headline(drawing, f"Electricity bill, {float(total.sum()) / scale:,.4g} {unit} in all")
    style.footer(drawing, f"Part months as far as they are charged.\n{source}")
    return drawing
