"""Small batches early, the recipe's batch later.

Skips no work per sample: it moves samples from early steps, where a small batch has gradient enough,
to later ones, so a run of equal samples takes more and smaller steps early. Known from prototypes on
language models: no better than a small batch throughout (compute-equivalent gain 0.81 to 0.87), and
small steps cost more time than their operations say. It pays where the recipe's batch is large because
the hardware wants it, and early steps can be short. The learning rate stays that of the schedule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simtool.engine.border import Border
from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.engine.task import Batch
from simtool.engine.work import Work

ROUND_TO = 8
"""Batches are multiples of this where they are large enough: it suits matrix units, and processes
that share a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRampSettings:
    """What may be set."""

    start: float
    """Share of the recipe's batch at the beginning."""
    until: float
    """Progress from which the batch is whole."""
    steps: int
    """Different batches, the whole one included."""


class BatchRamp(Method):
    """Raises the number of samples of a step over progress, by equal ratios."""

    name = "batch-ramp"
    writes = frozenset({"num_samples"})

    def __init__(self, settings: BatchRampSettings) -> None:
        self.settings = settings
        self._border = Border("batch")
        self._num_samples = 0

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """The plan with the batch of this progress."""
        self._num_samples = self.num_samples(progress.frac, plan.num_samples)
        return plan.changed(num_samples=self._num_samples)

    def batch(self, work: Work, plan: StepPlan, batch: Batch) -> Batch:
        """The batch as it is; tells where its size changes."""
        self._border.see(work, self._num_samples, num_samples=self._num_samples)
        return batch

    def num_samples(self, frac: float, whole: int) -> int:
        """Samples of a step at this progress.

        >>> ramp = BatchRamp(BatchRampSettings(start=0.25, until=0.6, steps=3))
        >>> [ramp.num_samples(frac, 64) for frac in (0.0, 0.29, 0.31, 0.6, 1.0)]
        [16, 16, 32, 64, 64]
        """
        held = self.settings
        if frac >= held.until:
            return whole
        rise = int(frac / held.until * (held.steps - 1))
        wanted = whole * held.start ** (1.0 - rise / (held.steps - 1))
        if wanted >= ROUND_TO:
            wanted = ROUND_TO * round(wanted / ROUND_TO)
        return min(whole, max(1, round(wanted)))

    def state_dict(self) -> dict[str, Any]:
        """The batch that was told."""
        return {"told": self._border.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._border.value = state["told"]


@METHODS.register("batch-ramp")
def batch_ramp(settings: dict[str, str]) -> Method:
    """Small batches early, the recipe's batch later."""
    read = Settings("batch-ramp", settings)
    made = BatchRamp(
        BatchRampSettings(
            start=read.number("from", 0.25, 0.01, 1.0),
            until=read.number("until", 0.6, 0.01, 1.0),
            steps=read.count("steps", 3, 2, 8),
        )
    )
    read.done()
    return made
