"""Sections of a profile's file from what a trace told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from simtool.calibrate.efficiency_files import (
    ANALYTIC_ATTENTION,
    ANALYTIC_BACKWARD,
    ANALYTIC_BACKWARD_SOURCE,
    ANALYTIC_SOURCE,
    ANALYTIC_SPREAD,
    ANALYTIC_SPREADS,
    BOARD_SPREAD,
    rounded,
    sourced_number,
)
from simtool.calibrate.fit import Fit
from simtool.calibrate.trace_fits import WORDS, Findings, PowerFigures
from simtool.calibrate.trace_tables import Middle
from simtool.config.dump import Inline
from simtool.provenance import Kind
from simtool.units import parse

if TYPE_CHECKING:
    from simtool.config.marks import Keys

ASSUMED_TRAINING_RATIO = 1.1
ASSUMED_TRAINING_SOURCE = "too few products of training steps were timed: between A100 and H100"
SENSOR_SPREAD = 0.05
"""A card's own power sensor is off by about this much (Yang, Adamek, Armour, SC24)."""


def quantity(value: float, unit: str, kind: Kind, source: str, spread: float) -> Inline:
    """A number with its unit, as a profile's file has it."""
    return Inline(value=f"{rounded(value, 4):g} {unit}", kind=kind, source=source, spread=rounded(spread, 2))


def efficiency_section(found: Findings, source: str, comments: dict[Keys, str]) -> dict[str, Any]:
    """The curves.

    Args:
        found: what was fitted.
        source: that every fitted number names.
        comments: takes what stands behind the residuals.
    """
    gemm = _curve("gemm", found.gemm, source)
    gemm["weight_gradient_ratio"] = _ratio(
        "weight_gradient_ratio", found.weight_gradient, f"products of layout NT over TN, {source}"
    )
    backward = _ratio(
        "backward_ratio", found.attention_backward, f"attention, backward over forward, {source}"
    )
    if found.attention is None:
        attention: dict[str, Any] = {
            key: sourced_number(
                key, x, "assumed", ANALYTIC_SOURCE, ANALYTIC_SPREADS.get(key, ANALYTIC_SPREAD)
            )
            for key, x in ANALYTIC_ATTENTION.items()
        }
        attention |= {"backward_ratio": backward, "basis": "analytic"}
    else:
        attention = _curve("attention", found.attention, source)
        attention |= {"backward_ratio": backward, "basis": "measured", **_residuals(found.attention)}
    residuals = _residuals(found.memory)
    memory = _curve("memory", found.memory, source)
    memory |= {"basis": "measured", **{key: residuals[key] for key in residuals if "_all_" not in key}}
    sections = {
        "gemm": gemm | {"basis": "measured", **_residuals(found.gemm)},
        "attention": attention,
        "memory": memory,
    }
    for name, section in sections.items():
        if "residual_p50" in section:
            words = "held-out sizes beyond the cache" if name == "memory" else found.size.words
            comments["efficiency", name, "residual_p50"] = words
        if "residual_all_p50" in section:
            comments["efficiency", name, "residual_all_p50"] = "held-out shapes of every size"
    return {**sections, "training_ratio": _training_ratio(found.training, source)}


def _curve(what: str, fit: Fit, source: str) -> dict[str, Any]:
    text = f"{WORDS[what]}, {source}"
    return {
        key: sourced_number(key, x, "calibrated", text, fit.spreads[key]) for key, x in fit.values.items()
    }


def _ratio(key: str, told: Middle | None, source: str) -> Inline:
    if told is None:
        return sourced_number(key, ANALYTIC_BACKWARD[key], "assumed", ANALYTIC_BACKWARD_SOURCE, 0.15)
    return sourced_number(
        key, told.value, "calibrated", f"{source}, median of {told.num} shapes", told.spread
    )


def _training_ratio(told: Middle | None, source: str) -> Inline:
    key = "training_ratio"
    if told is None:
        return sourced_number(key, ASSUMED_TRAINING_RATIO, "assumed", ASSUMED_TRAINING_SOURCE, 0.2)
    text = f"products within training steps over the same alone, median of {told.num} tasks, {source}"
    return sourced_number(key, told.value, "calibrated", text, told.spread)


def _residuals(fit: Fit) -> dict[str, Any]:
    return {
        "residual_p50": rounded(fit.training.p50, 2),
        "residual_p90": rounded(fit.training.p90, 2),
        "residual_all_p50": rounded(fit.everywhere.p50, 2),
        "residual_all_p90": rounded(fit.everywhere.p90, 2),
        "num_measured": fit.num_measured,
    }


def power_section(
    told: PowerFigures, alike: Mapping[str, Any], family: Mapping[str, Any], source: str
) -> dict[str, Any]:
    """Measured power, and what the profile that this one is like says where nothing was measured.

    Args:
        told: by the trace.
        alike: section ``power`` of the other profile, or nothing.
        family: section ``power`` of the family, which holds where this one says nothing.
        source: that every measured number names.
    """
    section = {
        key: alike[key] for key in ("idle", "limit", "by_phase", "cap_exponent", "cap") if key in alike
    }
    if told.idle_w is not None:
        section["idle"] = quantity(
            told.idle_w, "W", "measured", f"no context on the device, {source}", SENSOR_SPREAD
        )
    if told.limit_w is not None:
        section["limit"] = quantity(
            told.limit_w, "W", "measured", f"enforced by the driver, {source}", BOARD_SPREAD
        )
    if "limit" not in section:
        return section
    limit_w = parse(section["limit"]["value"], "W")
    by_phase = dict(section.get("by_phase", {}))
    for phase, powers_w in (("compute", told.compute_w), ("memory", told.memory_w)):
        if powers_w:
            shares = np.array(powers_w) / limit_w
            spread = max(SENSOR_SPREAD, float(np.std(shares) / np.mean(shares)))
            text = f"for seconds on end, {source}"
            by_phase[phase] = sourced_number(phase, float(np.mean(shares)), "measured", text, spread)
    idle_w = parse(section["idle"]["value"], "W") if "idle" in section else 0.0
    stated = {**family.get("by_phase", {}), **by_phase}
    for phase, number in stated.items():
        if parse(number["value"], "") < idle_w / limit_w:
            # nothing draws less than idling; a share rounded down would be refused
            share = 1.001 * idle_w / limit_w
            by_phase[phase] = sourced_number(phase, share, "assumed", "not below the idle power", 0.2)
    if by_phase:
        section["by_phase"] = by_phase
    return section
