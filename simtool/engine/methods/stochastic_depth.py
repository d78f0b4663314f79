"""Leaves out some middle blocks of each step, other ones every time.

Skips forward, backward and update of the blocks that are left out, for the whole batch: dropping a block
for single samples would save nothing. The first and the last block always run. Published as a quarter
less training time; under equal budgets with a decayed learning rate the gain vanishes, and the
sample-wise form costs time instead. It pays, if at all, in deep networks and long training, where it
also regularises. Here it is a reference.

The blocks that may be dropped are shuffled once into groups of equal size; a step leaves out one group,
drawn at random. So every step drops the same number of blocks, every block equally often, and the kinds
of step are few. A dropped block passes its input on, and nothing is rescaled, neither in training nor in
evaluation, which runs all blocks; instead, the last part of training runs them all too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from simtool.engine.border import Border
from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.engine.work import Work
from simtool.errors import InputError, Problem

MAX_GROUPS = 8
"""Kinds of step that dropping may add."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StochasticDepthSettings:
    """What may be set."""

    drop: float
    """Share of the blocks between first and last that a step leaves out, at least one."""
    until: float
    """Progress from which all blocks run."""


class StochasticDepth(Method):
    """Drops a random group of middle blocks in each step."""

    name = "stochastic-depth"
    writes = frozenset({"active"})
    needs = frozenset({"blocks"})

    def __init__(self, settings: StochasticDepthSettings) -> None:
        self.settings = settings
        self._kinds: list[tuple[int, ...]] = []
        self._num_blocks = 0
        self._active: tuple[int, ...] | None = None
        self._border = Border("depth")

    def setup(self, work: Work) -> None:
        """Form the groups."""
        with work.phase("prepare") as model:
            num_blocks = len(model.blocks)
        if num_blocks < 3:
            raise InputError(
                Problem(
                    "--method",
                    self.name,
                    f"the model of {work.task.name} has {num_blocks} blocks",
                    "at least 3: the first and the last always run",
                    "raise the depth of the model or leave the method out",
                )
            )
        self._num_blocks = num_blocks
        shuffled = [
            1 + int(place) for place in work.generator("stochastic-depth").permutation(num_blocks - 2)
        ]
        self._kinds = [
            tuple(block for block in range(num_blocks) if block not in group)
            for group in groups(shuffled, self.settings.drop)
        ]

    def boundary(self, work: Work, progress: Progress) -> None:
        """Draw the blocks of the next step."""
        self._active = None
        is_dropping = progress.frac < self.settings.until
        num_running = len(self._kinds[0]) if is_dropping else self._num_blocks
        self._border.see(work, num_running, num_blocks=num_running)
        if is_dropping:
            drawn = work.generator("stochastic-depth step", progress.step).integers(len(self._kinds))
            self._active = self._kinds[int(drawn)]

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """The plan with the blocks that run."""
        return plan if self._active is None else plan.changed(active=self._active)

    def state_dict(self) -> dict[str, Any]:
        """What was told."""
        return {"told": self._border.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._border.value = state["told"]


def groups(blocks: list[int], drop: float) -> list[frozenset[int]]:
    """Groups of blocks to leave out, of equal size, in which every block stands equally often.

    Neighbours in a ring, begun at equal distances; the size is the one nearest to the wish that
    leaves no more than `MAX_GROUPS`.

    >>> [sorted(group) for group in groups([3, 1, 2, 4], 0.5)]
    [[1, 3], [2, 4]]
    """
    count = len(blocks)
    wished = min(count, max(1, round(drop * count)))
    sizes = [size for size in range(1, count + 1) if count // math.gcd(count, size) <= MAX_GROUPS]
    size = min(sizes, key=lambda candidate: (abs(candidate - wished), candidate))
    apart = math.gcd(count, size)
    return [
        frozenset(blocks[(begin + place) % count] for place in range(size))
        for begin in range(0, count, apart)
    ]


@METHODS.register("stochastic-depth")
def stochastic_depth(settings: dict[str, str]) -> Method:
    """Leave out some middle blocks of each step."""
    read = Settings("stochastic-depth", settings)
    made = StochasticDepth(
        StochasticDepthSettings(
            drop=read.number("drop", 0.25, 0.01, 1.0), until=read.number("until", 0.8, 0.0, 1.0)
        )
    )
    read.done()
    return made
