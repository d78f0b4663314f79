"""What `simtool calibrate` prints: of a suite of measurements, and of anybody's traces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simtool.cli import console
from simtool.units import display

if TYPE_CHECKING:
    from simtool.calibrate.fit import Residuals
    from simtool.calibrate.prior_fit import Estimate
    from simtool.calibrate.profiled_calibration import ProfiledCalibration

WATTS = frozenset({"compute", "memory", "communication", "waiting"})
"""Coefficients of power [W]."""


def profiled_figures(found: ProfiledCalibration) -> dict[str, Any]:
    """A calibration from traces as plain data."""
    return {
        "name": found.name,
        "source": found.source,
        "hardware": found.origin.hardware.name,
        "prior": found.origin.curves_of,
        "device": found.runs[0].device_name,
        "runs": [run.where for run in found.runs],
        "time_s": {
            name: {"total_s": one.total_s, "known_s": one.known_s} for name, one in found.covered.items()
        },
        "fits": {name: _fit_figures(found, name) for name in found.fits},
        "launch": {
            "num_launches": found.launch.num_launches,
            "num_awaited": found.launch.num_awaited,
            "host_s": None if found.launch.host_s is None else list(found.launch.host_s),
            "delay_s": found.launch.delay_s,
            "idle_frac": found.launch.idle_frac,
        },
        "software": None
        if found.software is None
        else {
            "framework": found.software.framework,
            "launch_floor_s": _estimate(found.software.launch_floor),
            "launches_per_layer": found.software.launches_per_layer,
            "reason": found.software.reason,
        },
        "notes": list(found.notes),
    }


def _fit_figures(found: ProfiledCalibration, name: str) -> dict[str, Any]:
    fit, reason = found.fits[name]
    if fit is None:
        return {"is_taken": False, "reason": reason, "coefficients": {}}
    by = found.classes[name].held_out_by if name in found.classes else "shapes"
    return {
        "is_taken": fit.is_taken,
        "reason": fit.why_kept,
        "held_out_by": {"power": "stretches of time", "cap": "clocks"}.get(name, by),
        "num_measured": len(fit.table),
        "num_groups": fit.table.num_groups,
        "formats": list(found.classes[name].rates) if name in found.classes else [],
        "coefficients": {key: _estimate(one) for key, one in fit.estimates.items()},
        "held_out": pair(fit.residuals(fit.held_out_s)),
        "held_out_all": pair(fit.residuals(fit.held_out_s, all_sizes=True)),
        "prior": pair(fit.residuals(fit.prior_s)),
        "constant": pair(fit.residuals(fit.constant_s)),
    }


def _estimate(one: Estimate) -> dict[str, Any]:
    return {
        "value": one.value, "spread": one.spread, "prior": one.prior, "prior_spread": one.prior_spread,
        "is_fitted": one.is_fitted,
    }  # fmt: skip


def pair(residuals: Residuals) -> dict[str, float]:
    """Median and 90th percentile by name."""
    return {"p50": residuals.p50, "p90": residuals.p90}


def show_profiled(found: ProfiledCalibration, skipped: Mapping[str, str]) -> None:
    """Print a calibration from traces: what was fitted, how well, what stayed, and what else the traces say."""
    console.say(f"{found.name}: {found.source}")
    console.say(f"fits began at {found.origin.curves_of}")
    console.line("")
    _fitted(found)
    _errors(found)
    _stayed(found)
    _launches(found)
    for note in found.notes:
        console.say(f"note: {note}")
    for name, why in skipped.items():
        console.tell(f"{name} was not drawn: {why}")


def _fitted(found: ProfiledCalibration) -> None:
    table = console.table(["fitted", "value", "spread", "prior"], right=["value", "spread", "prior"])
    for name, (fit, _) in found.fits.items():
        if fit is not None and fit.is_taken:
            for key, one in fit.estimates.items():
                if one.is_fitted:
                    told = (_value(name, key, one.value), f"{one.spread:.0%}", _value(name, key, one.prior))
                    table.add_row(f"{name}: {key}", *told)
    software = found.software
    if software is not None and software.launch_floor.is_fitted:
        floor = software.launch_floor
        told = (display(floor.value, "s", 3), f"{floor.spread:.0%}", display(floor.prior, "s", 3))
        table.add_row("software: launch_floor", *told)
    console.show(table)


def _value(fit: str, key: str, value: float) -> str:
    if "latency" in key:
        return display(value, "s", 3)
    return f"{value:.0f} W" if fit == "power" and key in WATTS else f"{value:.3g}"


def _errors(found: ProfiledCalibration) -> None:
    headings = ["error, held out", "number", "of time", "p50", "p90", "prior p50", "constant p50"]
    table = console.table(headings, right=headings[1:])
    for name, (fit, _) in found.fits.items():
        if fit is not None:
            own, prior, constant = (
                fit.residuals(one) for one in (fit.held_out_s, fit.prior_s, fit.constant_s)
            )
            cells = [f"{share:.1%}" for share in (own.p50, own.p90, prior.p50, constant.p50)]
            known = f"{found.covered[name].known_frac:.0%}" if name in found.covered else ""
            table.add_row(name, str(int(fit.table.is_training.sum())), known, *cells)
    if table.row_count:
        console.show(table)


def _stayed(found: ProfiledCalibration) -> None:
    table = console.table(["stayed at its prior", "because"], fold=["stayed at its prior", "because"])
    for name, (fit, reason) in found.fits.items():
        if fit is None:
            table.add_row(name, reason)
        elif not fit.is_taken:
            table.add_row(name, fit.why_kept)
        elif stayed := [key for key, one in fit.estimates.items() if not one.is_fitted]:
            table.add_row(f"{name}: {', '.join(stayed)}", "the traces tell less of it than the prior")
    if found.software is not None and found.software.reason:
        table.add_row("software: launch_floor", found.software.reason)
    console.show(table)


def _launches(found: ProfiledCalibration) -> None:
    launch = found.launch
    if launch.host_s is None:
        return
    low, middle, high = (display(seconds, "s", 3) for seconds in launch.host_s)
    console.say(
        f"launches: the host takes {middle} for one ({low} to {high}), where the device waited for it: "
        f"{launch.num_awaited:,} of {launch.num_launches:,}; the device was idle {launch.idle_frac:.0%} of the steps"
    )
