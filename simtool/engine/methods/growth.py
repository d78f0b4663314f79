"""Half of the blocks first; the others join as copies, with the state of the optimizer.

Skips forward and backward passes of the absent blocks until they join.

What is known: copying blocks 0..k-1 to k..n-1 reached the loss of a full 7 B model with about a
third less operations (Du et al., "Stacking Your Transformers", arXiv 2405.15319); against a baseline
whose learning rate is fully decayed the gain of stacking alone vanishes (Kaddour et al., "No Train
No Gain", arXiv 2307.06440). In small decoders it costs a little alone and saves about a tenth on top
of counted priors and short sequences; a small ViT gained a little with outputs at zero; CNNs lose.
When it pays: together with methods that learn early what needs no depth, from half of the blocks
(never from one), before a third of the budget.

Until they join, absent blocks are made to pass their input on unchanged, by setting the outputs of
their residual branches to zero: evaluating the whole model then evaluates the model that is trained.

Settings: `at` (progress at which the rest joins, 0.3; 0 starts with all), `from` (blocks at the
start, 0 is half of them, rounded up), `how` (``stack`` copies with optimizer state, ``zero`` lets them
join as the identity that they are).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method
from simtool.engine.methods_support.surgery import copy_block, silence
from simtool.engine.model import BlockModel
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.engine.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class GrowthSettings:
    """What the command line may set."""

    at: float = 0.3
    """Progress at which the absent blocks join; 0 starts with all."""
    num_first: int = 0
    """Blocks at the start; 0 is half of them, rounded up."""
    how: str = "stack"


class Growth(Method):
    """Only the first blocks run until the others join."""

    name = "growth"
    writes = frozenset({"active"})
    wants_whole_weights = True
    needs = frozenset({"blocks"})

    def __init__(self, settings: GrowthSettings) -> None:
        self.settings = settings
        self.is_grown = settings.at == 0.0
        self._first: tuple[int, ...] = ()

    def setup(self, work: Work) -> None:
        """Make the absent blocks pass their input on unchanged."""
        if self.is_grown:
            return
        with work.phase("prepare") as model:
            num_blocks = len(model.blocks)
            num_first = self.settings.num_first or (num_blocks + 1) // 2
            if num_first >= num_blocks:
                self.is_grown = True
                return
            _check_alike(model)
            self._first = tuple(range(num_first))
            model.eval()
            with torch.no_grad():
                batch = work.task.batch(np.arange(1), None, work.generator("growth-probe")).to(work.device)
                hidden = model.stem(batch.inputs)
                drawn = work.generator("growth-hidden").normal(size=tuple(hidden.shape))
                probe = torch.as_tensor(drawn, dtype=hidden.dtype, device=hidden.device)
                for block in list(model.blocks)[num_first:]:
                    silence(block, probe, self.name)

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """The first blocks alone, until the others have joined."""
        return plan if self.is_grown else plan.changed(active=self._first)

    def boundary(self, work: Work, progress: Progress) -> None:
        """Let the absent blocks join."""
        if self.is_grown or progress.frac < self.settings.at:
            return
        with work.phase("prepare") as model:
            if self.settings.how == "stack":
                for index in range(len(self._first), len(model.blocks)):
                    source = model.blocks[index % len(self._first)]
                    copy_block(source, model.blocks[index], work.optimizers)
            num_blocks = len(model.blocks)
        self.is_grown = True
        work.event("grow", {"from": len(self._first), "to": num_blocks, "how": self.settings.how})

    def state_dict(self) -> dict[str, Any]:
        """Whether the blocks have joined."""
        return {"is_grown": self.is_grown}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.is_grown = bool(state["is_grown"])


def _check_alike(model: BlockModel) -> None:
    shapes = {tuple(tuple(parameter.shape) for parameter in block.parameters()) for block in model.blocks}
    if len(shapes) > 1:
        raise InputError(
            Problem(
                "--method", "growth", "the blocks differ in shape", "equal blocks", "leave the method out"
            )
        )


@METHODS.register("growth")
def growth(settings: dict[str, str]) -> Method:
    """The first half of the blocks, then all: stacked copies with optimizer state."""
    read = Settings("growth", settings)
    found = GrowthSettings(
        at=read.number("at", 0.3, 0.0, 0.9),
        num_first=read.count("from", 0, 0, 1000),
        how=read.word("how", "stack", ("stack", "zero")),
    )
    read.done()
    return Growth(found)
