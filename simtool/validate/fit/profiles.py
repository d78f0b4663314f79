"""The fitted halves of software profiles: what a framework's file extends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from simtool.validate.case import Case
from simtool.validate.fit.constants import (
    CONSTANTS,
    FLASH,
    Constant,
    Label,
    accelerator,
    architecture,
    recipe,
    release,
    release_of_experts,
    software,
)
from simtool.validate.fit.solve import Fitted
from simtool.validate.fit.stored import Stored
from simtool.workload.precision import LOW_PRECISIONS

FOLDER = "fitted"
PLAIN = {
    "launch_floor_s": ("launch_floor", 1e3, " ms"),
    "launch_floor_tp_ratio": ("launch_floor_tp_ratio", 1.0, ""),
    "launch_floor_expert_ratio": ("launch_floor_expert_ratio", 1.0, ""),
    "step_constant_s": ("step_constant", 1e3, " ms"),
    "tp_exposed": ("tp_exposed", 1.0, ""),
    "dp_exposed": ("dp_exposed", 1.0, ""),
    "pp_exposed": ("pp_exposed", 1.0, ""),
    "cp_exposed": ("cp_exposed", 1.0, ""),
    "ep_exposed": ("ep_exposed", 1.0, ""),
    "ep_exposed_across": ("ep_exposed_across", 1.0, ""),
    "bubble": ("bubble", 1.0, ""),
    "straggler": ("straggler", 1.0, ""),
    "memory_ratio": ("memory_ratio", 1.0, ""),
    "grouped_ratio": ("grouped_ratio", 1.0, ""),
    "unfused_ratio": ("unfused_ratio", 1.0, ""),
}
"""Field of a software profile, factor and unit, by constant."""
KERNELS = {
    "megatron-bridge": "te",
    "megatron-core": "te",
    "jax-gpu": "te",
    "torchtitan": "sdpa",
    "torch-compiled": "sdpa",
    "hf-eager": "sdpa",
    "llm-foundry-fsdp": "fa2",
    "nanotron": "fa2",
    "flash-attention": "fa2",
    "deepspeed-zero": "fa2",
    "megatron-deepspeed": "fa2",
    "megatron-lm": "fa2",
    "maxtext-tpu": "splash",
}
"""The flash kernel that a framework runs where nobody says otherwise."""
Groups = dict[str, tuple[Sequence[str], float | None]]
"""Entries of a table in a profile: the groups whose departures each adds up, and what is expected of it."""
HEADER = """\
# What published steps tell of {name}: {rows} of {all} rows. Written by simtool.validate.fit: do not edit, fit again.
# A value is what all frameworks share and this one's own departure, drawn to the shared one where rows are few; spreads
# are standard errors of the fit, relative.
"""


@dataclass(frozen=True, slots=True)
class _Reader:
    fitted: Fitted

    def value(
        self, name: str, labels: Sequence[str], expected: float | None = None, only: Label | None = None
    ) -> tuple[float, float]:
        """A constant for a stack that belongs to the groups `labels`, and its relative spread.

        With `only`, departures of that level alone.
        """
        index = next(place for place, one in enumerate(CONSTANTS) if one.name == name)
        one = CONSTANTS[index]
        variances = np.diag(self.fitted.covariance)
        total, variance = one.start if expected is None else float(np.log(expected)), 0.0
        used = set()
        for unknown, value, own in zip(self.fitted.unknowns, self.fitted.values, variances, strict=True):
            if unknown.constant != index or (unknown.level >= 0 and unknown.group not in labels):
                continue
            if unknown.level < 0 or only in (None, one.levels[unknown.level].label):
                total, variance = total + float(value), variance + float(own)
                used.add(unknown.level)
        # a level without rows of this stack is not known better than its width
        for place, level in enumerate(one.levels):
            variance += 0.0 if place in used or only not in (None, level.label) else level.width**2
        found = float(one.natural(total))
        return found, _relative(one, found, float(np.sqrt(variance)))


def _relative(one: Constant, value: float, spread: float) -> float:
    return min(0.99, spread if one.link == "log" else spread * (1.0 - value))


def write_profiles(stored: Stored, cases: Sequence[Case], folder: Path) -> list[Path]:
    """Write the fitted half of every framework that has rows; the files written."""
    evidence = [case for case in cases if case.row["id"] in stored.rows]
    written = []
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    for name in sorted({software(case) for case in evidence}):
        own = [case for case in evidence if software(case) == name]
        path = folder / FOLDER / f"{name}.yaml"
        path.write_text(_text(name, own, evidence, stored), "utf-8")
        written.append(path)
    return written


@dataclass(frozen=True, slots=True)
class _Writer:
    """Lines of one file."""

    name: str
    source: str
    reader: _Reader
    lines: list[str] = field(default_factory=list)

    def line(self, key: str, found: tuple[float, float], unit: str = "", indent: str = "") -> None:
        """One number with its spread and where it comes from."""
        value, spread = found
        numbers = f"value: {value:.4g}{unit}, kind: calibrated"
        self.lines.append(f"{indent}{key}: {{{numbers}, source: {self.source}, spread: {spread:.2g}}}\n")

    def ratios(self, constant: str, groups: Groups, only: Label | None = None, key: str = "") -> None:
        """A table of one constant, or of one of its levels under a key of its own."""
        if groups:
            self.lines.append(f"{key or constant}:\n")
        for name, (labels, expected) in groups.items():
            self.line(name, self.reader.value(constant, labels, expected, only), indent="  ")


def _text(name: str, own: Sequence[Case], evidence: Sequence[Case], stored: Stored) -> str:
    reader = _Reader(stored.whole)
    source = f'"fit to {len(own)} published steps of {name}, {len(evidence) - len(own)} of others"'
    file = _Writer(name, source, reader, [HEADER.format(name=name, rows=len(own), all=len(evidence))])
    families = sorted({architecture(case) for case in evidence})
    file.lines.append(f"seen: [{', '.join(sorted({architecture(case) for case in own}))}]\n")
    file.lines.append(_accuracy(own, stored))
    for constant, (key, factor, unit) in PLAIN.items():
        value, spread = reader.value(constant, [name])
        file.line(key, (factor * value, spread), unit)
    parts = sorted({(accelerator(case), architecture(case)) for case in evidence})
    products: Groups = {part: ((part, family, f"{name} on {family}"), None) for part, family in parts}
    products |= {family: ((family, f"{name} on {family}"), None) for family in families}
    file.ratios("product_ratio", products | {"default": ((), None)})
    kernels = {family: f"{KERNELS[name]} on {family}" for family in families}
    flash: Groups = {family: ((kernel,), FLASH.get(kernel)) for family, kernel in kernels.items()}
    file.ratios("attention_ratio", flash | {"default": ((), None)})
    known = {unknown.group for unknown in reader.fitted.unknowns}
    formats: Groups = {}
    for low in LOW_PRECISIONS:
        formats[low] = ((low,), None)
        on = {family: f"{low} {name} on {family}" for family in families}
        formats |= {
            f'"{low} on {family}"': ((low, group), None) for family, group in on.items() if group in known
        }
    file.ratios("low_precision_ratio", formats)
    for level, key in ((release, "release_ratio"), (release_of_experts, "release_expert_ratio")):
        releases = sorted({level(case) for case in own} - {""})
        groups: Groups = {f'"{one.removeprefix(name + " ")}"': ((one,), None) for one in releases}
        file.ratios("release_ratio", groups, level, key)
    recipes = sorted({recipe(case) for case in own} - {""})
    file.ratios("recipe_ratio", {f'"{one.removeprefix(name + " ")}"': ((one,), None) for one in recipes})
    return "".join(file.lines)


def _accuracy(own: Sequence[Case], stored: Stored) -> str:
    """Errors of its rows, each predicted by a fit that did not see its family; families count once each."""
    errors = np.abs(np.log(stored.step_time_s(own)) - np.log([case.measured_s or np.nan for case in own]))
    families: dict[str, list[float]] = {}
    for case, error in zip(own, errors, strict=True):
        families.setdefault(case.row["family"], []).append(float(error))
    mean = [float(np.mean(values)) for values in families.values()]
    median, high = np.expm1(np.median(mean)), np.expm1(np.percentile(mean, 90))
    source = '"simtool validate: families that took no part in the fit"'
    return (
        "accuracy:\n"
        f"  num_rows: {len(own)}\n"
        f"  num_families: {len(families)}\n"
        f"  median_error: {{value: {median:.3f}, kind: calibrated, source: {source}}}\n"
        f"  p90_error: {{value: {high:.2f}, kind: calibrated, source: {source}}}\n"
    )
