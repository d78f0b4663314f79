"""Sections of a profile's file from the fits of profiled runs: what was fitted, and beside it what stayed.

A number that stayed is written as the profile states it from which the fit began: value, kind, source. Where others of
its class were fitted, its spread is the one with which the fit let it move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simtool.calibrate.efficiency_files import rounded, sourced_number
from simtool.calibrate.prior_fit import PriorFit
from simtool.calibrate.profiled_curves import ClassFit
from simtool.calibrate.profiled_links import LinkFit
from simtool.calibrate.profiled_power import PowerFit
from simtool.calibrate.trace_figures import SENSOR_SPREAD, quantity
from simtool.config.dump import Inline, dump_yaml
from simtool.units import parse

if TYPE_CHECKING:
    from simtool.config.marks import Keys

WORDS = {"gemm": "matrix products", "attention": "attention", "memory": "memory-bound operations"}
OF_THE_PRIOR = ("correction",)
"""What a profile says of its own coefficients alone, by the table that they were fitted to."""
RESIDUAL_KEYS = ("residual_p50", "residual_p90", "residual_all_p50", "residual_all_p90", "num_measured")
IN_PLACE_SPREAD = 0.05
"""Of the ratio of products in training to those that were fitted, where these ran in training steps themselves."""
LONGEST_LINE = 150
"""Characters of a number with its source up to which it stands on one line."""
FORWARD_SPREAD = 0.1
"""The same where they ran in forward passes alone, which load a board less."""


def efficiency_section(
    classes: Mapping[str, ClassFit],
    data: Mapping[str, Any],
    source: str,
    comments: dict[Keys, str],
    *,
    trained: bool,
) -> dict[str, Any]:
    """Section ``efficiency``.

    Args:
        classes: fits of gemm, attention and memory.
        data: section ``efficiency`` of the profile at which the fits began.
        source: that every fitted number names.
        comments: takes what stands behind the residuals.
        trained: whether backward passes are in the traces.
    """
    section: dict[str, Any] = {}
    for name in ("gemm", "attention", "memory"):
        section[name] = _curve(classes[name], data[name], source)
        if classes[name].is_taken:
            by = "shapes" if classes[name].held_out_by == "shapes" else "steps of the one shape"
            comments["efficiency", name, "residual_p50"] = f"held-out {by} that take the time of their class"
            if name != "memory":
                comments["efficiency", name, "residual_all_p50"] = f"held-out {by} of every size"
    section |= {name: value for name, value in data.items() if name not in section}
    if classes["gemm"].is_taken:
        section |= dict.fromkeys(("grouped_gemm", "convolution"), "transferred")
        where = "training steps" if trained else "forward passes"
        section["training_ratio"] = sourced_number(
            "training_ratio", 1.0, "calibrated", f"the products that were fitted ran in {where}, {source}",
            IN_PLACE_SPREAD if trained else FORWARD_SPREAD,
        )  # fmt: skip
    return section


def _curve(found: ClassFit, data: Mapping[str, Any], source: str) -> dict[str, Any]:
    curve = dict(data)
    if not found.is_taken or found.fit is None:
        return curve
    for key in (*RESIDUAL_KEYS, *OF_THE_PRIOR):
        curve.pop(key, None)
    text = f"{WORDS[found.op_class]}, {source}"
    for name, one in found.fit.estimates.items():
        if one.is_fitted:
            curve[name] = sourced_number(name, one.value, "calibrated", text, one.spread)
        else:  # the fit took it to be this uncertain: another library may run here than the prior was measured with
            spread = rounded(max(one.prior_spread, data[name].get("spread") or 0.0), 2)
            curve[name] = {**data[name], "spread": spread}
    main, every = (found.fit.residuals(found.fit.held_out_s, all_sizes=one) for one in (False, True))
    told = (main.p50, main.p90, every.p50, every.p90)
    curve["basis"] = "measured"
    curve |= {key: rounded(value, 2) for key, value in zip(RESIDUAL_KEYS, told, strict=False)}
    if found.op_class == "memory":
        curve = {key: value for key, value in curve.items() if "_all_" not in key}
    return {**curve, "num_measured": len(found.fit.table)}


def power_section(
    found: PowerFit, cap: PriorFit | None, data: Mapping[str, Any], source: str, notes: list[str]
) -> dict[str, Any]:
    """Section ``power``: measured powers as shares of the limit; all else as the profile has it."""
    section = dict(data)
    limit_w = parse(section["limit"]["value"], "W") if "limit" in section else 0.0
    if found.limits_w and found.limits_w[-1] > limit_w:
        limit_w = found.limits_w[-1]
        section["limit"] = quantity(
            limit_w, "W", "measured", f"enforced by the driver, {source}", SENSOR_SPREAD
        )
    if found.fit is not None and found.fit.is_taken:
        by_phase = dict(section.get("by_phase", {}))
        idle_w = parse(section["idle"]["value"], "W") if "idle" in section else 0.0
        for phase, one in found.fit.estimates.items():
            if not one.is_fitted:
                continue
            share, spread = one.value / limit_w, max(one.spread, SENSOR_SPREAD)
            if one.value < idle_w:
                notes.append(
                    f"{phase} drew {one.value:.0f} W, less than {idle_w:g} W, at which the profile idles"
                )
                share = (
                    1.001 * idle_w / limit_w
                )  # nothing draws less than idling; a share rounded down is refused
            by_phase[phase] = sourced_number(
                phase, share, "measured", f"power logs beside the ops, {source}", spread
            )
        section["by_phase"] = by_phase
    if cap is not None and cap.is_taken:
        text = f"power against the clock while computing, {source}"
        answer = dict(section.get("cap", {}))
        for name, one in cap.estimates.items():
            if one.is_fitted:
                number = sourced_number(name, one.value, "calibrated", text, one.spread)
                (section if name == "cap_exponent" else answer)[name] = number
        if answer:
            section["cap"] = answer
    return section


def network_file(found: LinkFit, name: str, title: str, source: str) -> str:
    """The network's file: start-up and efficiency as fitted, the rest as the network has it that it extends."""
    if found.fit is None:
        raise ValueError("no collective was fitted")
    held = found.fit.residuals(found.fit.held_out_s)
    profile: dict[str, Any] = {
        "schema": "simtool/network/1",
        "extends": f"{found.network}.yaml",
        "name": name,
        "title": title,
        "basis": "measured",
        "notes": f"held-out residuals of {len(found.fit.table)} collectives: {held.p50:.0%} median, {held.p90:.0%} p90",
    }
    for key, one in found.fit.estimates.items():
        if one.is_fitted:
            # written in microseconds, as every latency is
            kind = "latency" if key == "collective_latency" else key
            profile[key] = sourced_number(kind, one.value, "calibrated", f"collectives, {source}", one.spread)
    return f"# {title}.\n# Written by simtool calibrate: do not edit, calibrate again.\n{dump_yaml(profile)}"


def on_one_line(data: Any) -> Any:
    """Plain data of a profile with every short number on one line, as people write it."""
    if isinstance(data, Mapping):
        if "value" in data and sum(len(str(value)) for value in data.values()) < LONGEST_LINE:
            return Inline(data)
        kept = {key: on_one_line(value) for key, value in data.items()}
        return Inline(kept) if isinstance(data, Inline) else kept
    return data
