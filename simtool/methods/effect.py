"""What an efficiency method does to training, as a file. File kind ``simtool/effect/1``.

The engine writes such files from measurements; a press claim or a guess can be written by hand, and
says so in `evidence`. The simulator reads nothing else about a method.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simtool.config.fields import Strict

Evidence = Literal["measured", "published claim", "assumed"]
WorkFrac = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
CostFrac = Annotated[float, Field(ge=0.0, le=100.0, allow_inf_nan=False)]
Spread = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class EffectPhase(Strict):
    """Multipliers of work over one stretch of training, relative to training without the method."""

    progress: Annotated[tuple[WorkFrac, WorkFrac], Field(strict=False)] = (0.0, 1.0)
    """Begin and end as fractions of all steps."""
    forward_frac: WorkFrac = 1.0
    backward_input_frac: WorkFrac = 1.0
    """Also of recomputation, which only serves the backward pass."""
    backward_weight_frac: WorkFrac = 1.0
    optimizer_frac: CostFrac = 1.0
    score_frac: CostFrac = 0.0
    """Extra forward work that decides what to skip, in forward passes."""
    communication_frac: CostFrac = 1.0
    """Of the gradient exchange; activations still travel."""
    spread: Spread = 0.0
    """Standard error of the multipliers."""


class StepsFrac(Strict):
    """Number of steps relative to training without the method."""

    value: CostFrac = 1.0
    spread: Spread = 0.0


class EffectScope(Strict):
    """Where the effect was seen; elsewhere it is an extrapolation."""

    family: str = ""
    parameters: Annotated[tuple[float, float] | None, Field(strict=False)] = None
    device: str = ""
    tasks: Annotated[tuple[str, ...], Field(strict=False)] = ()


class Trend(Strict):
    """How the effect moves with size, where it was measured at several."""

    over: str
    slope: float
    covariance: Annotated[tuple[tuple[float, ...], ...], Field(strict=False)] = ()
    beyond_range: str = ""


class Effect(Strict):
    """The measured, claimed or assumed effect of one method."""

    schema_: str = Field(alias="schema")
    name: str
    title: str
    method: str
    """Name in the registry of methods."""
    evidence: Evidence
    source: str
    scope: EffectScope = EffectScope()
    phases: Annotated[tuple[EffectPhase, ...], Field(strict=False, min_length=1)]
    steps_frac: StepsFrac = StepsFrac()
    trend: Trend | None = None
    notes: str = ""

    @model_validator(mode="after")
    def _phases_cover_training(self) -> Effect:
        edges = [phase.progress for phase in self.phases]
        joined = all(before[1] == after[0] for before, after in pairwise(edges))
        rising = all(begin < end for begin, end in edges)
        if not (joined and rising and edges[0][0] == 0.0 and edges[-1][1] == 1.0):
            raise ValueError(
                f"found progress {edges}; the phases must cover 0 to 1 without gap or overlap; "
                "write e.g. [0, 0.3] and [0.3, 1]"
            )
        return self
