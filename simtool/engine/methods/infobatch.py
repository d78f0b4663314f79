"""Leaves out a random part of the samples that are already learned well, and weighs the rest of them up.

Skips whole samples: loading, forward and backward. Of the samples whose last known loss lies below the
mean, each is dropped from an epoch with probability `drop`; those that stay count 1 / (1 - drop), so the
gradients of an epoch sum to what the whole data would give in expectation. The last part of training
sees every sample with weight 1. Published as about 40 % less on images; in prototypes it lies on the
frontier of simply training fewer, fully decayed steps (compute-equivalent gain 0.96), below it when
added to better methods, and it does nothing in less than two epochs. It belongs here as an honest
reference; where it pays, training is long and the task nearly saturated.

Losses are those of the training steps (stale by up to an epoch, free), in double precision by 64-bit
sample number; every epoch draws from its own stream of the run's seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method, StepResult
from simtool.engine.plan import FloatArray, IntArray
from simtool.engine.settings import Settings
from simtool.engine.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class InfoBatchSettings:
    """What may be set."""

    drop: float
    """Probability with which a sample below the mean loss is left out of an epoch."""
    until: float
    """Progress from which every epoch is whole."""


class InfoBatch(Method):
    """Prunes epochs by stale losses, without bias."""

    name = "infobatch"
    writes = frozenset({"order"})
    needs = frozenset({"samples"})
    watches_samples = True

    def __init__(self, settings: InfoBatchSettings) -> None:
        self.settings = settings
        self._losses: FloatArray = np.empty(0)
        self._progress = Progress(frac=0.0)

    def setup(self, work: Work) -> None:
        """No loss is known yet."""
        self._losses = np.full(work.task.num_samples, np.nan)

    def boundary(self, work: Work, progress: Progress) -> None:
        """Know how far the run is when an epoch begins."""
        self._progress = progress

    def order(self, work: Work, epoch: int, indices: IntArray) -> tuple[IntArray, FloatArray | None]:
        """A pruned epoch and its weights, or a whole one at the beginning and the end."""
        kept, weights = prune(
            self._losses[indices], self.settings.drop, work.generator("infobatch", epoch).random(len(indices))
        )
        num_kept = int(kept.sum())
        if not self._ends_in_time(num_kept):
            work.event("epoch", {"epoch": epoch, "num_samples": len(indices)})
            return indices, None
        work.event("epoch", {"epoch": epoch, "num_samples": num_kept, "left_out": len(indices) - num_kept})
        return indices[kept], weights[kept]

    def _ends_in_time(self, num_samples: int) -> bool:
        """Whether an epoch of so many samples ends before `until`, at the pace of the run so far."""
        held = self._progress
        if not held.num_samples:
            return False
        return held.frac * (1.0 + num_samples / held.num_samples) <= self.settings.until

    def observe(self, work: Work, result: StepResult) -> None:
        """Remember the mean loss over the rows of every sample in the batch."""
        samples, place = np.unique(result.row_indices, return_inverse=True)
        total = np.bincount(place, weights=result.row_losses, minlength=len(samples))
        self._losses[samples] = total / np.bincount(place, minlength=len(samples))

    def state_dict(self) -> dict[str, Any]:
        """The losses."""
        return {"losses": torch.as_tensor(self._losses.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the losses back."""
        self._losses = state["losses"].cpu().numpy().copy()


def prune(losses: FloatArray, drop: float, chance: FloatArray) -> tuple[np.ndarray[Any, Any], FloatArray]:
    """Which samples of an epoch stay, and their weights.

    Args:
        losses: last known loss of each sample; NaN where none is known: such a sample stays.
        drop: probability of leaving out a sample below the mean.
        chance: a uniform number in [0, 1) for each sample.

    Returns:
        a mask, and weights of the same shape; each sample's weight times its probability to stay is 1.

    >>> kept, weights = prune(np.array([0.1, 0.1, 4.0]), 0.5, np.array([0.2, 0.7, 0.0]))
    >>> kept.tolist(), weights.tolist()
    ([False, True, True], [2.0, 2.0, 1.0])
    """
    known = np.isfinite(losses)
    mean = float(losses[known].mean()) if bool(known.any()) else -np.inf
    easy = known & (np.where(known, losses, np.inf) < mean)
    return ~easy | (chance >= drop), np.where(easy, 1.0 / (1.0 - drop), 1.0)


@METHODS.register("infobatch")
def infobatch(settings: dict[str, str]) -> Method:
    """Leave out part of the well-learned samples, weigh the others up."""
    read = Settings("infobatch", settings)
    made = InfoBatch(
        InfoBatchSettings(
            drop=read.number("drop", 0.5, 0.0, 0.95), until=read.number("until", 0.875, 0.0, 1.0)
        )
    )
    read.done()
    return made
