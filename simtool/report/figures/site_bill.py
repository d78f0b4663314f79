"""The electricity bill by month and kind of line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.report import style
from simtool.report.table import Table, from_rows
from simtool.result.datacenter.result import DatacenterResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {"energy": style.BLUE, "demand": style.ORANGE, "fixed": style.LIGHT_GREY}
FEW = 4
"""Up to so many months lie one below another, each as wide as the page."""
WIDE = 10
"""From more months on, labels are upright."""


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


def draw(numbers: Table, *, source: str, which: str = "", clocks: str = "") -> Figure:
    """The figure of a table made by `table`.

    Args:
        numbers: the table.
        source: the line below the figure.
        which: says that it is of several sites.
        clocks: by which months begin.
    """
    total = numbers.numbers("total_usd")
    # One unit finer than an axis would have it: part months are small.
    scale, unit = style.axis_unit(float(np.abs(total).max()) / 1e3, style.MONEY)
    lies = len(total) <= FEW
    drawing = style.new_figure(1.15 + 0.3 * len(total) if lies else 2.7)
    axes = drawing.subplots()
    base, below = _bars(axes, numbers, scale, lies=lies)
    _amounts(axes, total / scale, base, lies=lies)
    low, high = float(below.min()), max(float(base.max()), 1e-12)
    room = 1.1 if lies else 1.26 if len(total) > WIDE else 1.12
    places = range(len(total))
    if lies:
        axes.set_xlim(1.1 * low, room * high)
        axes.set_ylim(len(total) - 0.5, -0.5)
        axes.set_yticks(places, numbers.texts("month"))
        axes.set_xlabel(unit)
    else:
        axes.set_ylim(1.1 * low, room * high)
        axes.set_xlim(-0.6, len(total) - 0.4)
        axes.set_xticks(places, numbers.texts("month"), rotation=90 if len(total) > WIDE else 0)
        axes.set_ylabel(unit)
    style.plain_ticks(axes.xaxis if lies else axes.yaxis)
    axes.tick_params(axis="y" if lies else "x", length=0)
    style.rule(axes, "x" if lies else "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=not lies)
    everything = float(total.sum())
    whole, whole_unit = style.axis_unit(everything / 1e3, style.MONEY)
    style.headline(drawing, f"Electricity bill{which}: {_written(everything / whole)} {whole_unit}")
    style.footer(drawing, f"Months{clocks}; part months as far as they are charged.\n{source}")
    return drawing


def _bars(axes: Axes, numbers: Table, scale: float, *, lies: bool) -> tuple[FloatArray, FloatArray]:
    """Draw the kinds of lines one on another; the upper and lower ends of all bars."""
    total = float(numbers.numbers("total_usd").sum())
    base, below = np.zeros(numbers.num_rows), np.zeros(numbers.num_rows)
    for kind, colour in KINDS.items():
        amounts = numbers.numbers(f"{kind}_usd") / scale
        if not amounts.any():
            continue
        foot = np.where(amounts >= 0.0, base, below)
        share = style.percent(float(amounts.sum() * scale / total)) if total else ""
        words = f"{kind}, {share}"
        if lies:
            axes.barh(range(len(amounts)), amounts, left=foot, height=0.66, color=colour, label=words)
        else:
            axes.bar(range(len(amounts)), amounts, bottom=foot, width=0.7, color=colour, label=words)
        base, below = base + np.maximum(amounts, 0.0), below + np.minimum(amounts, 0.0)
    return base, below


def _amounts(axes: Axes, amounts: FloatArray, ends: FloatArray, *, lies: bool) -> None:
    """What each month costs, at the end of its bar."""
    finest = float(np.abs(amounts).max())
    upright = not lies and len(amounts) > WIDE
    for place, (amount, end) in enumerate(zip(amounts.tolist(), ends.tolist(), strict=True)):
        axes.annotate(
            _written(amount, finest),
            (end, place) if lies else (place, end),
            xytext=(3, 0) if lies else (0, 2),
            textcoords="offset points",
            ha="left" if lies else "center",
            va="center" if lies else "bottom",
            rotation=90 if upright else 0,
            fontsize=6.8,
        )


def _written(amount: float, largest: float | None = None) -> str:
    """An amount with as many decimals as the largest beside it needs.

    >>> _written(73.3, 3412.0), _written(1.234, 45.6), _written(1106.2)
    ('73', '1.23', '1,106')
    """
    return f"{amount:,.0f}" if abs(amount if largest is None else largest) >= 100.0 else f"{amount:,.2f}"
