"""A random subset of the data, fixed for the whole run; a reference for methods that choose.

Skips no part of a step: as many steps as the budget allows, on fewer different samples. A method that
chooses samples by loss has to beat this one, and where it pays the data are redundant for the budget:
a finding about the data, not about a method.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.engine.method import METHODS, Method
from simtool.engine.plan import FloatArray, IntArray
from simtool.engine.settings import Settings
from simtool.engine.task import Task
from simtool.engine.work import Work
from simtool.errors import InputError, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSubsetSettings:
    """What may be set."""

    keep: float
    """Share of the training samples that are used."""


class RandomSubset(Method):
    """Uses one random part of the training samples in every epoch, in the epoch's order."""

    name = "random-subset"
    writes = frozenset({"order"})

    def __init__(self, settings: RandomSubsetSettings) -> None:
        self.settings = settings

    def check(self, task: Task) -> None:
        """Refuse a subset that does not fill one batch."""
        kept = round(self.settings.keep * task.num_samples)
        if kept < min(task.recipe.batch_size, task.num_samples):
            raise InputError(
                Problem(
                    "--method",
                    "random-subset:keep",
                    f"leaves {kept} of {task.num_samples} samples",
                    f"at least one batch of {task.recipe.batch_size}",
                    "raise keep or name more data",
                )
            )

    def order(self, work: Work, epoch: int, indices: IntArray) -> tuple[IntArray, FloatArray | None]:
        """The samples of the subset, in the order of the epoch."""
        num_samples = work.task.num_samples
        chosen = np.zeros(num_samples, dtype=bool)
        drawn = work.generator("random-subset").permutation(num_samples)
        chosen[drawn[: round(self.settings.keep * num_samples)]] = True
        return indices[chosen[indices]], None


@METHODS.register("random-subset")
def random_subset(settings: dict[str, str]) -> Method:
    """A random subset of the data, fixed for the run; a reference."""
    read = Settings("random-subset", settings)
    made = RandomSubset(RandomSubsetSettings(keep=read.number("keep", 0.5, 0.001, 1.0)))
    read.done()
    return made
