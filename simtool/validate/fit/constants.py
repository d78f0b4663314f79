"""The constants that are fitted: what each scales, where it is expected to lie, and how stacks may differ.

A constant is the sum of a value for all and of departures by level (accelerator, framework, both), each
drawn to nothing by its own width: partial pooling. So a stack with few rows stays near the others, and one that
was never seen takes what all share. Widths are judgement, stated here; nothing is set row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from simtool.stepgraph import Number
from simtool.validate.case import Case
from simtool.validate.stacks import attention_class_of, release_of, scaling_of

Link = Literal["log", "logit"]
Label = Callable[[Case], str]


@dataclass(frozen=True, slots=True)
class Level:
    """One kind of departure: which group a row belongs to (none if empty), and how wide groups scatter."""

    label: Label
    width: float
    """Standard deviation of the departures on the scale of the link."""
    expected: Mapping[str, float] = field(default_factory=dict)
    """By group, the constant's value where something beside these rows tells it."""


@dataclass(frozen=True, slots=True)
class Constant:
    """One fitted quantity."""

    name: str
    prior: float
    width: float
    """Of the shared value, on the scale of the link; 0 holds it at its prior."""
    link: Link = "log"
    levels: tuple[Level, ...] = ()

    def natural(self, value: Number) -> Number:
        """From the scale of the link to the quantity."""
        return np.exp(value) if self.link == "log" else 1.0 / (1.0 + np.exp(-value))

    @property
    def start(self) -> float:
        """The prior on the scale of the link."""
        return self._linked(self.prior)

    def _linked(self, value: float) -> float:
        return float(np.log(value) if self.link == "log" else np.log(value / (1.0 - value)))

    def expected(self, case: Case) -> float:
        """What is expected for a case before the fit, on the scale of the link."""
        known = (level.expected.get(level.label(case)) for level in self.levels)
        return next((self._linked(value) for value in known if value is not None), self.start)


def software(case: Case) -> str:
    """The framework's profile."""
    return case.machine.software.name


def architecture(case: Case) -> str:
    """Of the accelerator."""
    return case.machine.accelerator.architecture


def accelerator(case: Case) -> str:
    """Its profile."""
    return case.machine.accelerator.name


def stack(case: Case) -> str:
    """Framework on architecture."""
    return f"{software(case)} on {architecture(case)}"


def attention_kernel(case: Case) -> str:
    """Family of flash kernels on an architecture; by framework where the source names none."""
    if case.job.attention != "flash":
        return ""
    return f"{attention_class_of(case.row) or software(case)} on {architecture(case)}"


def low_format(case: Case) -> str:
    """Low-precision format, with its scaling where that costs time."""
    if case.job.precision not in ("fp8", "mxfp8", "nvfp4"):
        return ""
    return f"{case.job.precision} {scaling_of(case.row)}".strip()


def low_format_on(case: Case) -> str:
    """The same on an architecture under a framework."""
    return f"{low_format(case)} {stack(case)}" if low_format(case) else ""


def unfused_on(case: Case) -> str:
    """Unfused attention on an architecture."""
    return "" if case.job.attention == "flash" else architecture(case)


def routed(case: Case) -> bool:
    """Whether the model has experts."""
    return case.model.expert_layer_frac > 0.0


def experts_of(case: Case) -> str:
    """Framework of a model with experts."""
    return software(case) if routed(case) else ""


def release(case: Case) -> str:
    """Release of a framework."""
    named = release_of(case.row)
    return f"{software(case)} {named}" if named else ""


def release_of_experts(case: Case) -> str:
    """The same for models with experts, which move most between releases."""
    return release(case) if routed(case) else ""


def recipe(case: Case) -> str:
    """A framework's recipe for a model with experts: what it fuses, captures in graphs and overlaps is its own."""
    return f"{software(case)} {case.row['model'].lower()}" if routed(case) else ""


def tuning(case: Case) -> str:
    """Fine-tuning under a framework: packed sequences, adapters."""
    return f"{software(case)} tuning" if "sft" in case.row["task"] or "R-lora" in case.rules else ""


FLASH = {
    "fa2 on hopper": 1.9,
    "sdpa on hopper": 1.9,
    "fa2 on ampere": 1.1,
    "sdpa on ampere": 1.1,
    "fa3 on hopper": 1.1,
    "te on hopper": 1.2,
    "te on blackwell": 0.9,
    "fa4 on blackwell": 0.9,
}
"""The H100's curve was fitted to FlashAttention-3, whose authors measured FlashAttention-2 at half its rate (Shah et
al. 2024, arXiv 2407.08608, figure 5); PyTorch's own flash kernels are FlashAttention-2."""

CONSTANTS = (
    Constant("launch_floor_s", 1.5e-3, 0.4, levels=(Level(software, 0.4),)),
    Constant("launch_floor_tp_ratio", 0.3, 0.4),
    Constant("launch_floor_expert_ratio", 2.5, 0.4, levels=(Level(experts_of, 0.3),)),
    Constant("step_constant_s", 20e-3, 0.4, levels=(Level(software, 0.3),)),
    Constant("tp_exposed", 0.6, 0.6, "logit", (Level(software, 0.7),)),
    Constant("dp_exposed", 0.5, 0.6, "logit", (Level(software, 0.7),)),
    Constant("pp_exposed", 0.5, 0.6, "logit"),
    Constant("cp_exposed", 0.5, 0.6, "logit"),
    Constant("ep_exposed", 0.65, 0.6, "logit", (Level(experts_of, 0.6),)),
    Constant("ep_exposed_across", 0.3, 0.8, "logit", (Level(experts_of, 0.6),)),
    Constant("bubble", 0.85, 0.5, "logit"),
    Constant("straggler", 0.008, 0.5),
    Constant("memory_ratio", 1.0, 0.15, levels=(Level(software, 0.2),)),
    Constant(
        "product_ratio",
        1.0,
        0.05,
        levels=(Level(architecture, 0.15), Level(accelerator, 0.08), Level(stack, 0.06)),
    ),
    Constant("attention_ratio", 1.2, 0.1, levels=(Level(attention_kernel, 0.3, FLASH),)),
    Constant("unfused_ratio", 1.0, 0.15, levels=(Level(unfused_on, 0.15),)),
    Constant("grouped_ratio", 1.2, 0.2, levels=(Level(experts_of, 0.2),)),
    Constant("low_precision_ratio", 1.1, 0.15, levels=(Level(low_format, 0.2), Level(low_format_on, 0.1))),
    Constant("repeated_frac", 0.5, 0.6, "logit", (Level(software, 0.6),)),
    Constant("host_optimizer_ratio", 2.0, 0.5),
    Constant("recipe_ratio", 1.0, 0.0, levels=(Level(recipe, 0.2), Level(tuning, 0.1))),
    Constant("release_ratio", 1.0, 0.0, levels=(Level(release, 0.06), Level(release_of_experts, 0.12))),
)
"""Everything that is fitted to published steps. Shared priors come from before the fit: see `docs/explanation`."""
