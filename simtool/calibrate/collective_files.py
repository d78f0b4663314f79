"""Readable curve files of networks from fitted links."""

from __future__ import annotations

from typing import Any

import numpy as np

from simtool.calibrate.collective_corrections import section
from simtool.calibrate.collective_fit import (
    LinkFit,
)
from simtool.calibrate.collective_links import (
    MEASURED,
    SCALE_OUT_STARTUP_S,
    SCALE_OUT_STEP_S,
    SIMAI_SOURCE,
    TRANSFER_SPREAD,
    TUNER_SOURCE,
)
from simtool.config.dump import Inline, dump_yaml


def curve_files(fits: dict[str, LinkFit], across: LinkFit) -> dict[str, str]:
    """Text of every curve file, by its name."""
    files = {}
    for name, measured in MEASURED.items():
        values, spreads = fits[name].values, fits[name].spreads
        source = f"{measured.source}: {', '.join(measured.tables).replace('_sxm', '').upper()}"
        curve: dict[str, Any] = {
            "latency": _time(values["latency_s"], source, spreads["latency_s"]),
            "efficiency": _number(_rounded(values["efficiency_frac"]), source, spreads["efficiency_frac"]),
            "collective_latency": _time(values["startup_s"], source, spreads["startup_s"]),
            "ramp_time": _time(values["ramp_time_s"], source, spreads["ramp_time_s"]),
        }
        if measured.in_switch_from is not None:
            own = measured.in_switch_from == name
            what = source if own else f"taken over from {measured.in_switch_from}"
            widest = 0.0 if own else TRANSFER_SPREAD
            adding = fits[measured.in_switch_from]
            gain, start = adding.values["in_switch_gain"], adding.values["in_switch_startup_s"]
            gain_spread = max(widest, adding.spreads["in_switch_gain"])
            start_spread = max(widest, adding.spreads["in_switch_startup_s"])
            curve["in_switch_reduction"] = _number(_rounded(gain), what, gain_spread)
            curve["in_switch_latency"] = _time(start, what, start_spread)
        if fits[name].anchors:
            curve["correction"] = section(fits[name].anchors, source)
        curve["basis"] = "measured"
        curve["notes"] = _notes(fits[name])
        files[f"{name}.yaml"] = _text(f"Collectives over {name}, fitted to NCCL's", curve)
    files["scale-up.yaml"] = _scale_up(list(fits.values()))
    files["scale-out.yaml"] = _scale_out(across)
    return files


def _scale_up(fits: list[LinkFit]) -> str:
    """For links without a table: the geometric means of those that have one and a switch."""
    curve: dict[str, Any] = {}
    seen = [fit.values for fit in fits if MEASURED[fit.name].topology == "switch"]
    for key, name in (("collective_latency", "startup_s"), ("ramp_time", "ramp_time_s")):
        logs = np.log([values[name] for values in seen])
        spread = max(TRANSFER_SPREAD, float(np.std(logs)))
        curve[key] = _time(
            float(np.exp(np.mean(logs))), "taken over from NVLink 3 to 5, geometric mean", spread
        )
    return _text(
        "Collectives over links without a table: the mean of NVLink 3 to 5", curve | {"basis": "transferred"}
    )


def _scale_out(fit: LinkFit) -> str:
    relay, ramp = fit.values["relay_latency_s"], fit.values["ramp_time_s"]
    notes = (
        f"{_notes(fit)} The table does not name its cluster; it is read as eight cards of 200 Gb/s a node. With "
        f"faster cards, the {SCALE_OUT_STEP_S * 1e6:g} us of a step and seven relays would be shorter in proportion."
    )
    curve = {
        "collective_latency": Inline(
            value=_micro(SCALE_OUT_STARTUP_S), kind="published", source=TUNER_SOURCE, spread=0.3
        ),
        "relay_latency": _time(relay, SIMAI_SOURCE, max(TRANSFER_SPREAD, fit.spreads["relay_latency_s"])),
        "ramp_time": _time(ramp, SIMAI_SOURCE, max(TRANSFER_SPREAD, fit.spreads["ramp_time_s"])),
        "basis": "transferred",
        "notes": notes,
    }
    return _text("Collectives across nodes: one curve for all cluster networks", curve)


def _text(title: str, curve: dict[str, Any]) -> str:
    return f"# {title}. Written by simtool.calibrate.collectives.\n" + dump_yaml(curve)


def _notes(fit: LinkFit) -> str:
    parts = [
        f"by {one.stratum} {one.large.p50:.0%} median and {one.large.p90:.0%} p90 "
        f"(one start-up and one efficiency {one.plain_large.p50:.0%} and {one.plain_large.p90:.0%})"
        for one in fit.held_out
    ]
    return f"Held-out residuals of {fit.num_measured} collectives, messages from 1 MiB: {'; '.join(parts)}."


def _number(value: str | float, source: str, spread: float) -> Inline:
    written = round(min(max(spread, 0.01), 2.0), 2)
    return Inline(value=value, kind="calibrated", source=source, spread=written)


def _time(value_s: float, source: str, spread: float) -> Inline:
    return _number(_micro(value_s), source, spread)


def _micro(value_s: float) -> str:
    return f"{_rounded(value_s * 1e6):g} us"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")
