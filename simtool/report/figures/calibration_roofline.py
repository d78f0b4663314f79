"""The roofline of a device with the shapes that were measured below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from simtool.report import style
from simtool.report.figures.calibration_fits import CLASS_COLOURS, CLASS_NAMES
from simtool.report.table import Table
from simtool.units import GIGA, TERA

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMALLEST_BYTES = 4096.0
"""Below, a call shows its launch alone."""
SMALLEST, LARGEST = 6.0, 130.0
"""Area of points, by their share of the time [pt^2]."""


def draw(numbers: Table, *, bandwidth_bytes_per_s: float, hardware: str, source: str) -> Figure:
    """Rates over intensity below the roof, and bandwidths of memory-bound work over its bytes."""
    counted = [name for name in ("gemm", "attention") if numbers.where("op_class", name).num_rows]
    has_memory = numbers.where("op_class", "memory").num_rows > 0
    drawing = style.new_figure(3.3)
    panels = drawing.subplots(1, int(bool(counted)) + int(has_memory), squeeze=False)[0]
    if counted:
        _roof(panels[0], numbers, counted, bandwidth_bytes_per_s)
        style.panel(panels[0], "a", "products and attention")
    if has_memory:
        _bandwidths(panels[-1], numbers.where("op_class", "memory"), bandwidth_bytes_per_s)
        style.panel(panels[-1], "b" if counted else "a", "memory-bound work")
    style.headline(drawing, f"What was reached of the peaks of {hardware}")
    style.footer(
        drawing,
        "Areas of points: share of the time of their class. Crosses: the fitted curve, from the other shapes. "
        f"Operations and bytes by the shapes. {source}",
    )
    return drawing


def _area(own: Table) -> NDArray[np.float64]:
    share: NDArray[np.float64] = own.numbers("total_s") / own.numbers("total_s").sum()
    return SMALLEST + (LARGEST - SMALLEST) * share


def _roof(axes: Axes, numbers: Table, counted: list[str], bandwidth_bytes_per_s: float) -> None:
    owns = {name: numbers.where("op_class", name) for name in counted}
    intensity = np.concatenate([own.numbers("intensity_flop_per_byte") for own in owns.values()])
    rates = np.concatenate([own.numbers("rate_flop_per_s") for own in owns.values()])
    peaks = sorted(
        {
            (str(word), float(peak or 0.0))
            for own in owns.values()
            for word, peak in zip(own.columns["format"], own.columns["peak_flop_per_s"], strict=True)
        }
    )
    ends = (float(np.nanmin(intensity)) / 2.0, float(np.nanmax(intensity)) * 2.5)
    span = np.geomspace(ends[0], ends[1], 200)
    by_peak: dict[float, list[str]] = {}
    for word, peak in peaks:
        by_peak.setdefault(peak, []).append(word)
    for peak, words in by_peak.items():
        axes.plot(
            span, np.minimum(peak, span * bandwidth_bytes_per_s) / TERA, color=style.BLACK, linewidth=1.0
        )
        axes.annotate(
            f"{' and '.join(words)} peak {peak / TERA:,.0f} TFLOP/s", (ends[1], peak / TERA), xytext=(-2, 3),
            textcoords="offset points", ha="right", fontsize=6.5,
        )  # fmt: skip
    for name, own in owns.items():
        at = own.numbers("intensity_flop_per_byte")
        axes.scatter(
            at, own.numbers("rate_flop_per_s") / TERA, s=_area(own), color=CLASS_COLOURS[name], alpha=0.6,
            linewidths=0, label=CLASS_NAMES[name],
        )  # fmt: skip
        predicted = own.numbers("rate_flop_per_s") * own.numbers("measured_s") / own.numbers("held_out_s")
        axes.scatter(at, predicted / TERA, s=12, marker="x", color=CLASS_COLOURS[name], linewidths=0.7)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*ends)
    top = max(peak for _, peak in peaks) * 2.2
    axes.set_ylim(float(np.nanmin(rates)) / 2.0 / TERA, top / TERA)
    for axis in (axes.xaxis, axes.yaxis):
        style.log_ticks(axis, style.plain_number)
    axes.set_xlabel("operations per byte of operands and results (FLOP/byte)")
    axes.set_ylabel("rate (TFLOP/s)")
    legend = axes.legend(loc="lower right")
    for handle in legend.legend_handles:
        handle.set_sizes([18.0])  # type: ignore[union-attr]


def _bandwidths(axes: Axes, every: Table, bandwidth_bytes_per_s: float) -> None:
    shown = every.numbers("size_bytes") >= SMALLEST_BYTES
    own = Table(
        {
            name: [cell for cell, one in zip(column, shown, strict=True) if one]
            for name, column in every.columns.items()
        }
    )
    moved = own.numbers("size_bytes")
    axes.axhline(bandwidth_bytes_per_s / GIGA, color=style.BLACK, linewidth=1.0)
    axes.annotate(
        f"memory {bandwidth_bytes_per_s / GIGA:,.0f} GB/s", (0.02, bandwidth_bytes_per_s / GIGA),
        xycoords=("axes fraction", "data"), xytext=(0, 3), textcoords="offset points", fontsize=6.5,
    )  # fmt: skip
    axes.scatter(
        moved, own.numbers("bandwidth_bytes_per_s") / GIGA, s=_area(own), color=CLASS_COLOURS["memory"], alpha=0.6,
        linewidths=0,
    )  # fmt: skip
    order = np.argsort(moved)
    axes.scatter(
        moved[order], (moved / own.numbers("held_out_s"))[order] / GIGA, s=12, marker="x", linewidths=0.7,
        color=CLASS_COLOURS["memory"],
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    style.log_ticks(axes.xaxis, _bytes, few=1.5)
    style.log_ticks(axes.yaxis, style.plain_number)
    axes.set_xlabel("bytes of operands and results of one call")
    axes.set_ylabel("bandwidth (GB/s)")


def _bytes(value: float, _position: float | None = None) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"
