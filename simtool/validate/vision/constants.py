"""What is fitted to the rows: each constant with its prior, and how far groups of rows may depart from it.

A constant of a row is its prior times (or, for shares, on the scale of their odds plus) one departure for each
level it has: of what is trained, of the stack, of the architecture, of the stack on it. Departures are drawn to
nothing by their widths: partial pooling. So a stack with few rows stays near the others, and one without rows takes
what all share. Priors come from counting or from the language models' profiles, widths are judgement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from simtool.validate.vision.cases import VisionCase

Link = Literal["log", "logit"]

EAGER_FLOOR_S = 1.2e-3
"""Host time of a decoder layer's forward and backward: the prior of the language models' profiles."""
CAPTURED_FLOOR_S = 5e-5
"""The same of a step that is replayed as one graph, as MLPerf's entries are: the device's own start-up of kernels."""
STEP_CONSTANT_S = 3e-3
PER_TENSOR_CONSTANT_S = 12e-3
"""An optimizer that updates tensor by tensor: 160 tensors, 9 kernels each, 8 us a kernel."""
CAPTURED_CONSTANT_S = 5e-4
CAPTURED = ("mlperf-closed",)
PER_TENSOR = ("zeus-pytorch", "optimum-habana")
CORE_BYTES_PER_S = 3e7
"""A core decodes, crops and resizes about 200 images of 224 x 224 pixels a second."""
SMALL_IMAGES_BYTES_PER_S = 1.5e8
"""Nothing to decode: images that are small arrays are enlarged and normalised in a millisecond each."""
SMALL_IMAGES = ("optimum-habana",)


@dataclass(frozen=True, slots=True)
class Level:
    """One kind of departure: the group that a row belongs to, and how wide groups scatter."""

    label: Callable[[VisionCase], str]
    width: float


@dataclass(frozen=True, slots=True)
class Constant:
    """One fitted quantity."""

    name: str
    prior: Callable[[VisionCase], float]
    levels: tuple[Level, ...]
    link: Link = "log"


def everywhere(case: VisionCase) -> str:  # noqa: ARG001 - a label like the others
    """One group for all rows."""
    return "all"


def kind(case: VisionCase) -> str:
    """What is trained."""
    return case.config.model.kind


def stack(case: VisionCase) -> str:
    """Software profile."""
    return case.config.stack


def kind_on(case: VisionCase) -> str:
    """What is trained, on an architecture."""
    return f"{kind(case)} on {case.architecture}"


def stack_on(case: VisionCase) -> str:
    """The stack on an architecture."""
    return f"{stack(case)} on {case.architecture}"


def _by_suite(value: float, *others: tuple[tuple[str, ...], float]) -> Callable[[VisionCase], float]:
    def prior(case: VisionCase) -> float:
        return next((other for suites, other in others if case.config.suite in suites), value)

    return prior


SHARED = Level(everywhere, 0.2)
CONSTANTS = (
    Constant(
        "device_ratio", _by_suite(1.0), (Level(stack, 0.35), Level(kind_on, 0.15), Level(stack_on, 0.10))
    ),
    # Norms and activations in one pass, as MLPerf's entries and nobody else's: two thirds of the count.
    Constant("memory_ratio", _by_suite(1.0, (CAPTURED, 0.7)), (Level(stack, 0.35),)),
    Constant("fp32", _by_suite(1.0), (SHARED,)),
    Constant("tf32", _by_suite(1.0), (SHARED,)),
    Constant("fp8", _by_suite(1.0), (SHARED,)),
    Constant("unfused_ratio", _by_suite(1.2), (Level(everywhere, 0.3),)),
    Constant("attention_ratio", _by_suite(1.19), (Level(everywhere, 0.3),)),
    Constant("depthwise", _by_suite(1.65), (Level(everywhere, 0.5),)),
    Constant("lookup", _by_suite(1.0), (Level(everywhere, 0.4),)),
    Constant("launch_floor_s", _by_suite(EAGER_FLOOR_S, (CAPTURED, CAPTURED_FLOOR_S)), (Level(stack, 0.5),)),
    Constant(
        "step_constant_s",
        _by_suite(STEP_CONSTANT_S, (CAPTURED, CAPTURED_CONSTANT_S), (PER_TENSOR, PER_TENSOR_CONSTANT_S)),
        (Level(stack, 0.8),),
    ),
    Constant("dp_exposed", _by_suite(0.5), (Level(kind, 0.8),), "logit"),
    Constant("ep_exposed", _by_suite(0.5), (Level(everywhere, 0.8),), "logit"),
    Constant("straggler", _by_suite(0.008), (Level(everywhere, 0.4),)),
    Constant(
        "input_rate",
        _by_suite(CORE_BYTES_PER_S, (SMALL_IMAGES, SMALL_IMAGES_BYTES_PER_S)),
        (Level(stack, 0.5),),
    ),
)
