"""A framework's profile from profiled runs: the launch floor, and attention as it ran on this device.

The launch floor is host time of one layer, forward and backward. A trace tells the time of one launch where the
device waited for it (`profiled_launch`), and how many launches a layer takes: those of forward and backward over
the calls of attention, of which a layer has one. All other numbers stay as the framework's profile has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simtool.calibrate.efficiency_files import rounded
from simtool.calibrate.prior_fit import Estimate
from simtool.calibrate.profiled_calls import Call
from simtool.calibrate.profiled_curves import ClassFit
from simtool.calibrate.profiled_launch import LaunchFacts
from simtool.calibrate.profiled_runs import Run
from simtool.calibrate.trace_figures import quantity
from simtool.config.dump import Inline, dump_yaml
from simtool.profiles.schema import Software

PROFILER_SPREAD = 0.25
"""Judgement: a profiler lengthens every launch by what it writes down, so that a floor from a trace is high by a share
that the trace does not tell."""
LEAST_LAYERS = 2
"""Calls of attention in a step below which launches a layer are not told."""
NORMAL_P10_TO_P90 = 2.563
"""Standard deviations between the 10th and the 90th percentile of a normal distribution."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftwareFit:
    """What was found of a framework."""

    framework: str
    """Profile at which the fit began."""
    launch_floor: Estimate
    launches_per_layer: float
    """0 where it is not told."""
    reason: str
    """Why the launch floor stayed; empty where it was fitted."""
    text: str
    """Of the profile's file; empty where nothing was found."""


def fit_software(
    runs: Sequence[Run], calls: Sequence[Call], launch: LaunchFacts, attention: ClassFit, *, prior: Software, name: str,
    architecture: str, source: str,
) -> SoftwareFit:  # fmt: skip
    """What the runs tell of the framework that `prior` describes.

    Args:
        runs: with launches.
        calls: of all runs.
        launch: what launching costs.
        attention: fitted or not.
        prior: the framework's profile.
        name: of the new one.
        architecture: of the device.
        source: that fitted numbers name.
    """
    number = prior.launch_floor
    deviation = max(number.spread or 0.0, PROFILER_SPREAD)
    stayed = Estimate(
        value=float(number), spread=deviation, prior=float(number), prior_spread=deviation, is_fitted=False
    )
    per_layer, reason = _launches_per_layer(runs, calls)
    if not reason and launch.host_s is None:
        reason = "the device waited for too few launches"
    floor = stayed
    if not reason and launch.host_s is not None:
        low_s, middle_s, high_s = launch.host_s
        scatter = (
            math.log(high_s / low_s) / NORMAL_P10_TO_P90 / math.sqrt(max(1.0, launch.num_awaited / per_layer))
        )
        error = math.hypot(scatter, PROFILER_SPREAD)
        # both as logarithms, each with the weight of what it tells
        weight = 1.0 / error**2 + 1.0 / deviation**2
        log_floor = (
            math.log(middle_s * per_layer) / error**2 + math.log(float(number)) / deviation**2
        ) / weight
        floor = Estimate(
            value=math.exp(log_floor),
            spread=weight**-0.5,
            prior=float(number),
            prior_spread=deviation,
            is_fitted=True,
        )
    text = ""
    if floor.is_fitted or attention.is_taken:
        text = _text(prior, name, floor, attention, architecture, source)
    return SoftwareFit(
        framework=prior.name,
        launch_floor=floor,
        launches_per_layer=0.0 if reason else per_layer,
        reason=reason,
        text=text,
    )


def _launches_per_layer(runs: Sequence[Run], calls: Sequence[Call]) -> tuple[float, str]:
    """Launches of forward and backward for each call of attention, or why that is not known."""
    layers = sum(call.num_calls for call in calls if call.op_class == "attention" and not call.is_backward)
    num_steps = sum(len(run.steps) for run in runs)
    if layers < LEAST_LAYERS * max(1, num_steps):
        return 0.0, "no calls of attention tell how many layers there are"
    launches = {"forward": 0, "backward": 0}
    for run in runs:
        has_launch = ~np.isnan(run.kernels.numbers("launch_s"))
        for phase in launches:
            launches[phase] += int((has_launch & run.kernels.where("phase", phase)).sum())
    if not launches["backward"]:
        return 0.0, "no backward pass is in the traces"
    return (launches["forward"] + launches["backward"]) / layers, ""


def _text(
    prior: Software, name: str, floor: Estimate, attention: ClassFit, architecture: str, source: str
) -> str:  # fmt: skip
    profile: dict[str, Any] = {
        "schema": "simtool/software/1",
        "extends": f"{prior.name}.yaml",
        "name": name,
        "title": f"{prior.title}, calibrated from traces",
        "seen": [architecture],
        "accuracy": None,
        "notes": "launch floor and attention_ratio by traces; published runs were not compared with these numbers",
    }
    if floor.is_fitted:
        told = f"launches of a layer where the device waited for the host, {source}, and the prior of {prior.name}"
        profile["launch_floor"] = quantity(1e3 * floor.value, "ms", "calibrated", told, floor.spread)
    if attention.is_taken:
        told = f"attention of this framework is what the device's curve was fitted to, {source}"
        ratio = Inline(value=1.0, kind="calibrated", source=told, spread=rounded(0.05, 2))
        profile["attention_ratio"] = {architecture: ratio}
    title = f"# {profile['title']}.\n# Written by simtool calibrate: do not edit, calibrate again.\n"
    return f"{title}{dump_yaml(profile)}"
