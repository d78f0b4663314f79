"""How the bill grows while a run goes on, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simtool.account.money import described
from simtool.account.site import site_signals
from simtool.report import style, words
from simtool.report.table import Table
from simtool.result.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
NUM_POINTS = 240
MAX_LINES = 6
"""Lines of the bill that a figure can tell apart; the smaller ones are added up."""


def table(result: Result) -> Table:
    """Cumulative amount of every line of the bill over time [USD].

    What is paid for accelerator time grows with accelerator-hours, what is paid for energy with the
    facility's energy at its price; both as in the bill, to which the last row sums.
    """
    ledger = result.outcome.ledger
    steps = ledger.breakpoints_s
    times = np.linspace(float(steps[0]), float(steps[-1]), NUM_POINTS + 1)
    price = site_signals(result.scenario.site, float(steps[-1]), result.loaded.path.parent).price
    bought = ledger.power_w() * np.asarray(price.integral(steps[:-1], steps[1:]))
    energy = _share(steps, bought, times)
    elapsed = (times - times[0]) / (times[-1] - times[0])
    lines = {
        f"{line.name.replace(' ', '_')}_usd": line.amount_usd
        * (energy if line.driver == "energy" else elapsed)
        for line in result.costs
    }
    columns = {"time_s": times, **lines, "total_usd": np.sum(list(lines.values()), axis=0)}
    return Table({name: column.tolist() for name, column in columns.items()})


def _share(steps: FloatArray, amounts: FloatArray, times: FloatArray) -> FloatArray:
    """Share of the sum of `amounts`, one for each interval of `steps`, that has passed at `times`."""
    passed = np.concatenate(([0.0], np.cumsum(amounts)))
    if passed[-1] == 0:
        return np.asarray((times - times[0]) / (times[-1] - times[0]))
    return np.asarray(np.interp(times, steps, passed) / passed[-1])


def figure(result: Result) -> Figure:
    """Stacked lines of the bill over the run; the bill of the run without its method beside it."""
    return draw(
        table(result),
        money=described(result.scenario.economics.money),
        without=without_method_usd(result),
        source="",
    )


def without_method_usd(result: Result) -> float | None:
    """The bill of the same run without its method; None if it has none."""
    return None if result.reference is None else result.reference.value("cost_total_usd")


def draw(numbers: Table, *, money: str, source: str, without: float | None = None, which: str = "") -> Figure:
    """The figure of a table made by `table`.

    Args:
        numbers: the table.
        money: which money the amounts are in, e.g. ``nominal USD of 2025``.
        source: for the footer.
        without: bill of the run without its method [USD].
        which: of two runs the one that is shown, for the title.
    """
    names = [name for name in numbers.columns if name not in ("time_s", "total_usd")]
    names.sort(key=lambda name: -float(numbers.numbers(name)[-1]))
    total = numbers.numbers("total_usd")
    times = numbers.numbers("time_s")
    time_scale, time_unit = style.axis_unit(float(times[-1]), style.DURATION)
    scale, unit = style.axis_unit(max(float(np.abs(total).max()), without or 0.0), style.MONEY)
    kept = names if len(names) <= MAX_LINES else names[: MAX_LINES - 1]
    parts = {words.label(f"cost_{name}").removeprefix("cost "): numbers.numbers(name) for name in kept}
    if len(kept) < len(names):
        parts["other"] = np.sum([numbers.numbers(name) for name in names if name not in kept], axis=0)
    drawing = style.new_figure(2.9)
    axes = drawing.subplots()
    base = np.zeros(len(times))
    for (name, amounts), colour in zip(parts.items(), style.CYCLE, strict=False):
        share = f"{name}, {style.percent(amounts[-1] / total[-1])}" if total[-1] else name
        axes.fill_between(
            times / time_scale, base / scale, (base + amounts) / scale, color=colour, linewidth=0, label=share
        )
        base = base + amounts
    axes.plot(times / time_scale, total / scale, color=style.BLACK, linewidth=0.9)
    axes.annotate(
        f"{total[-1] / scale:,.4g}",
        (times[-1] / time_scale, total[-1] / scale),
        xytext=(-3, 3),
        textcoords="offset points",
        ha="right",
        fontweight="bold",
    )
    if without is not None:
        axes.axhline(without / scale, color=style.GREY, linewidth=0.8, linestyle=(0, (4, 2)))
        axes.annotate(
            f"without the method: {without / scale:,.4g}",
            (0, without / scale),
            xytext=(3, 3),
            textcoords="offset points",
            color=style.GREY,
        )
    axes.set_xlim(0, times[-1] / time_scale)
    axes.set_ylim(
        min(0.0, float(total.min()) / scale), 1.12 * max(float(total.max()), without or 0.0) / scale
    )
    axes.set_xlabel(f"time since the start ({time_unit})")
    axes.set_ylabel(f"cost so far ({unit}, {money.replace(' USD of', '')})")
    style.rule(axes, "y")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), reverse=True)
    style.headline(drawing, f"Cost over the run{which}")
    style.footer(drawing, source)
    return drawing
