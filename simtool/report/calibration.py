"""Figures of a calibration: what was measured beside what the profile says, each with the table behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simtool import __version__
from simtool.calibrate.prior_fit import PriorFit
from simtool.calibrate.profiled_calibration import ProfiledCalibration
from simtool.calibrate.profiled_power import DOING
from simtool.report import writer
from simtool.report.figures import calibration_fits, calibration_power, calibration_roofline
from simtool.report.table import Cell, Table, from_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationPlate:
    """One figure of a calibration."""

    name: str
    """Name of its files."""
    shows: str
    tabulate: Callable[[ProfiledCalibration], Table]
    draw: Callable[[ProfiledCalibration, Table], Figure]
    missing: Callable[[ProfiledCalibration], str]
    """Why it cannot be drawn of this calibration; empty if it can."""


def source_of(found: ProfiledCalibration) -> str:
    """The line below every figure."""
    return f"Source: simtool {__version__}, {found.name}: {found.source}"


def kernel_table(found: ProfiledCalibration) -> Table:
    """Every shape that was fitted: measured, and predicted from the other shapes, by the prior and by one constant."""
    rows: list[dict[str, Cell]] = []
    for name, one in found.classes.items():
        if one.fit is None:
            continue
        for place, call in enumerate(one.calls):
            rows.append(
                {
                    "op_class": name, "operator": call.operator, "format": call.rate, "phase": call.phase,
                    "sizes": " ".join(f"{key}={value:g}" for key, value in call.sizes.items()),
                    "flop": call.flop, "size_bytes": call.size_bytes, "num_calls": call.num_calls,
                    "takes_time": int(one.fit.table.is_training[place]), **_predictions(one.fit, place),
                }
            )  # fmt: skip
    links = found.links
    if links.fit is not None:
        for place, coll in enumerate(links.collectives):
            rows.append(
                {
                    "op_class": "links", "operator": coll.kind, "format": "", "phase": "communication",
                    "sizes": f"ranks={coll.group_size}", "flop": 0.0, "size_bytes": coll.size_bytes,
                    "num_calls": coll.num_calls, "takes_time": 1, **_predictions(links.fit, place),
                }
            )  # fmt: skip
    return from_rows(rows)


def _predictions(fit: PriorFit, place: int) -> dict[str, Cell]:
    return {
        "measured_s": float(fit.table.time_s[place]),
        "held_out_s": float(fit.held_out_s[place]),
        "prior_s": float(fit.prior_s[place]),
        "constant_s": float(fit.constant_s[place]),
    }


def roofline_table(found: ProfiledCalibration) -> Table:
    """Rate, intensity and bandwidth of every shape, beside what the curve and the prior say of it."""
    rows: list[dict[str, Cell]] = []
    for name, one in found.classes.items():
        if one.fit is None:
            continue
        for place, call in enumerate(one.calls):
            time_s = float(one.fit.table.time_s[place])
            peak = found.origin.hardware.rate(call.rate)
            rows.append(
                {
                    "op_class": name, "format": call.rate, "operator": call.operator,
                    "total_s": call.total_s, "size_bytes": call.size_bytes,
                    "intensity_flop_per_byte": call.flop / call.size_bytes if call.size_bytes > 0 else None,
                    "rate_flop_per_s": call.flop / time_s if call.flop else None,
                    "peak_flop_per_s": peak or None,
                    "bandwidth_bytes_per_s": call.size_bytes / time_s if call.size_bytes > 0 else None,
                    "held_out_s": float(one.fit.held_out_s[place]), "measured_s": time_s,
                }
            )  # fmt: skip
    return from_rows(rows)


def coefficient_table(found: ProfiledCalibration) -> Table:
    """Every coefficient that the traces could have told: prior, value, and how far either may be off."""
    rows: list[dict[str, Cell]] = []
    for name, (fit, _) in found.fits.items():
        if fit is not None:
            taken = fit.is_taken
            rows += [
                {
                    "fit": name, "coefficient": key, "prior": one.prior, "prior_spread": one.prior_spread,
                    "value": one.value if taken else one.prior, "spread": one.spread if taken else one.prior_spread,
                    "is_fitted": int(taken and one.is_fitted),
                }
                for key, one in fit.estimates.items()
            ]  # fmt: skip
    return from_rows(rows)


def power_table(found: ProfiledCalibration) -> Table:
    """Every stretch of metered time: shares by what the device did, power measured and predicted."""
    stretches, fit = found.power.stretches, found.power.fit
    used = np.flatnonzero(found.power.used > 0)
    held = {int(place): number for number, place in enumerate(used)} if fit is not None else {}
    rows: list[dict[str, Cell]] = []
    for place in range(len(stretches)):
        row: dict[str, Cell] = {f"{doing}_frac": float(stretches.shares[doing][place]) for doing in DOING}
        clock, limit = float(stretches.clock_hz[place]), float(stretches.limit_w[place])
        number = held.get(place)
        rows.append(
            {
                **row, "power_w": float(stretches.power_w[place]),
                "limit_w": None if np.isnan(limit) else limit, "clock_hz": None if np.isnan(clock) else clock,
                "held_out_w": float(fit.held_out_s[number]) if fit is not None and number is not None else None,
                "prior_w": float(fit.prior_s[number]) if fit is not None and number is not None else None,
            }
        )  # fmt: skip
    return from_rows(rows)


def _no_kernels(found: ProfiledCalibration) -> str:
    fitted = [one.fit for one in found.classes.values()] + [found.links.fit]
    return "" if any(fit is not None for fit in fitted) else "no shape was fitted"


def _no_classes(found: ProfiledCalibration) -> str:
    return "" if any(one.fit is not None for one in found.classes.values()) else "no shape was fitted"


def _kept(found: ProfiledCalibration) -> frozenset[str]:
    """Fits that did not take the place of their prior."""
    return frozenset(name for name, (fit, _) in found.fits.items() if fit is not None and not fit.is_taken)


PLATES: tuple[CalibrationPlate, ...] = (
    CalibrationPlate(
        name="predicted-against-measured",
        shows="time of every shape, predicted from the others, against what was measured",
        tabulate=kernel_table,
        draw=lambda found, numbers: calibration_fits.draw_predicted(
            numbers, kept=_kept(found), source=source_of(found)
        ),
        missing=_no_kernels,
    ),
    CalibrationPlate(
        name="residuals",
        shows="errors by class of work, beside those of the prior and of one constant efficiency",
        tabulate=kernel_table,
        draw=lambda found, numbers: calibration_fits.draw_residuals(
            numbers, kept=_kept(found), source=source_of(found)
        ),
        missing=_no_kernels,
    ),
    CalibrationPlate(
        name="coefficients",
        shows="every coefficient beside its prior",
        tabulate=coefficient_table,
        draw=lambda found, numbers: calibration_fits.draw_coefficients(
            numbers, begun_at=found.origin.curves_of, source=source_of(found)
        ),
        missing=lambda found: "" if coefficient_table(found).num_rows else "nothing was fitted",
    ),
    CalibrationPlate(
        name="roofline",
        shows="rates and bandwidths that were reached, below the peaks of the device",
        tabulate=roofline_table,
        draw=lambda found, numbers: calibration_roofline.draw(
            numbers,
            bandwidth_bytes_per_s=found.origin.hardware.bandwidth_bytes_per_s,
            hardware=found.origin.hardware.name,
            source=source_of(found),
        ),
        missing=_no_classes,
    ),
    CalibrationPlate(
        name="power",
        shows="power by what the device does, fitted to metered stretches of time",
        tabulate=power_table,
        draw=lambda found, numbers: calibration_power.draw(
            numbers,
            coefficients=coefficient_table(found),
            source=source_of(found),
        ),
        missing=lambda found: found.power.reason if found.power.fit is None else "",
    ),
)


def write_figures(found: ProfiledCalibration, folder: Path) -> tuple[list[Path], dict[str, str]]:
    """Draw all figures into a folder; the paths written, and why others were not drawn.

    Raises:
        OSError: the folder cannot be written to.
    """
    written: list[Path] = []
    skipped: dict[str, str] = {}
    for plate in PLATES:
        if reason := plate.missing(found):
            skipped[plate.name] = reason
            continue
        numbers = plate.tabulate(found)
        written += writer.write(
            folder,
            plate.name,
            numbers,
            lambda plate=plate, numbers=numbers: plate.draw(found, numbers),  # type: ignore[misc]
        )
    return written, skipped
