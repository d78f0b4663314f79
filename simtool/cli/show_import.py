"""What was found in imported traces and logs, as tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simtool.cli import console
from simtool.units import display

if TYPE_CHECKING:
    from simtool.trace.summary import Summary

NAME_WIDTH = 38
WRAPPERS = frozenset({"Kernel", "Kernel2", "device_kernel", "kentry"})
"""Names that say nothing: what runs stands in their first argument."""
GENERIC = (
    "vectorized_elementwise",
    "elementwise_kernel",
    "unrolled_elementwise",
    "reduce_kernel",
    "multi_tensor",
)
"""Kernels that many operators share."""


def show(summary: Summary) -> None:
    """Device, steps, classes, kernels, peak, communication, power, and what is doubtful."""
    num = len(summary.sources)
    device = summary.device or "unknown device"
    ranks = f"{summary.num_ranks} rank{'s' * (summary.num_ranks != 1)}, " if summary.num_ranks else ""
    console.say(
        f"{device}: {ranks}{summary.num_ops:,} device ops, {num} file{'s' * (num != 1)}", style="bold"
    )
    console.line("")
    _figures(summary)
    if summary.by_class:
        headings = ["op class", "time a step", "share", "ops", "operations"]
        table = console.table(headings, right=headings[1:])
        for one in summary.by_class:
            flop = "-" if one.flop is None else display(one.flop, "FLOP", 3)
            table.add_row(
                one.op_class,
                display(one.duration_s, "s", 3),
                f"{one.share_frac:.1%}",
                f"{one.num_ops:,.0f}",
                flop,
            )
        console.show(table)
    if summary.top:
        headings = ["kernel", "class", "launches", "time", "share"]
        table = console.table(headings, right=headings[2:])
        for kernel in summary.top:
            table.add_row(
                short(kernel.name, kernel.operator),
                kernel.op_class,
                f"{kernel.num_launches:,}",
                display(kernel.duration_s, "s", 3),
                f"{kernel.share_frac:.1%}",
            )
        console.show(table)
    _power(summary)
    for note in summary.notes:
        console.say(f"note: {note}")


def short(name: str, operator: str = "") -> str:
    """A kernel's name without types and arguments, cut to the width of the column.

    >>> short("void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor<int> >(int)", "aten::zero_")
    'vectorized_elementwise_kernel: zero_'
    """
    plain = re.sub(r"\(anonymous namespace\)::", "", name).removeprefix("void ")
    base = re.sub(r"<.*|\((?!.*->).*", "", plain).rpartition("::")[2].strip() or name.strip()
    if base in WRAPPERS and "<" in plain:
        base = re.split(r"[<>,(]", plain)[1].rpartition("::")[2]
    if base.startswith(GENERIC) and operator:
        base = f"{base}: {operator.rpartition('::')[2]}"
    return base if len(base) <= NAME_WIDTH else base[: NAME_WIDTH - 3] + "..."


def _figures(summary: Summary) -> None:
    table = console.table(["figure", "value"], fold=["value"])
    if summary.step_s is not None:
        low, middle, high = (display(seconds, "s", 4) for seconds in summary.step_s)
        spread = f" ({low} to {high})" if summary.num_steps > 1 else ""
        table.add_row("steps", f"{summary.num_steps}, median {middle}{spread}")
    if summary.busy_frac is not None and summary.idle_frac is not None:
        table.add_row("busy, idle", f"{summary.busy_frac:.1%}, {summary.idle_frac:.1%}")
    if summary.communication_frac:
        exposed = summary.exposed_communication_frac or 0.0
        table.add_row("communication", f"{summary.communication_frac:.1%}, of which exposed {exposed:.1%}")
    elif summary.num_steps:
        table.add_row("communication", "none")
    if summary.flop_per_step is not None:
        table.add_row("operations a step", display(summary.flop_per_step, "FLOP", 4))
    if summary.achieved is not None:
        one = summary.achieved
        table.add_row(
            f"of the peak of {one.profile}",
            f"{one.of_step_frac:.1%} of the step, {one.of_products_frac:.1%} while in products "
            f"({one.counted_frac:.0%} of them counted)",
        )
    elif summary.num_steps:
        table.add_row("share of peak", f"not known: {summary.peak_note}")
    if summary.energy_per_step_j is not None:
        table.add_row("energy a step", display(summary.energy_per_step_j, "J", 4))
    if summary.power and summary.num_steps:
        covered = summary.power_coverage_frac
        table.add_row("power coverage", "not known" if covered is None else f"{covered:.1%} of the steps")
        if summary.power_offset_s is not None:
            error = summary.power_offset_error_s
            known = "as given" if error is None else f"+- {error:.3g} s"
            offset = f"{summary.power_offset_s:.6g} s {known}, by {summary.power_alignment}"
            table.add_row("clock of power", offset)
    elif summary.num_steps:
        table.add_row("power", "none was read")
    if table.row_count:
        console.show(table)


def _power(summary: Summary) -> None:
    if not summary.power:
        return
    headings = ["meter", "scope", "kind", "readings", "mean power", "energy"]
    table = console.table(headings, right=headings[3:])
    for one in summary.power[:16]:
        table.add_row(
            one.meter, one.scope, one.kind, f"{one.num_readings:,}",
            "n/a" if one.mean_w is None else display(one.mean_w, "W", 4),
            "n/a" if one.energy_j is None else display(one.energy_j, "J", 4),
        )  # fmt: skip
    console.show(table)
    if len(summary.power) > 16:
        console.say(f"and {len(summary.power) - 16} meters more")
