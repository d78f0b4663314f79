"""Only some tokens of every sample pass through the middle blocks.

Skips forward and backward passes of the left-out tokens in all blocks but the first and the last;
the kept ones are drawn anew in every step, keep their places, and return among the others before
the last block.

What is known: half of the tokens in the middle of deep language models saved 26 % of the time at
equal quality (Yao et al., "Random-LTD", arXiv 2211.11586, no independent check known); in decoders of
four blocks it saved a fifth of the operations at no gain per operation, and a ViT of 16 tokens lost.
When it pays: many blocks and long samples, so that the middle is most of the work.

Settings: `keep` (share of the tokens in the middle, 0.5; 1 keeps all), `until` (progress from which
all are kept, 0.7; 0 keeps all). Written behind `progressive-size` it keeps a share of the smaller size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simtool.engine.border import Border
from simtool.engine.budget import Progress
from simtool.engine.method import METHODS, Method
from simtool.engine.plan import StepPlan
from simtool.engine.settings import Settings
from simtool.engine.task import Batch, Task
from simtool.errors import InputError, Problem

if TYPE_CHECKING:
    from simtool.engine.work import Work

MIN_BLOCKS = 3
"""A first one, a last one, and one between that may leave tokens out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenDroppingSettings:
    """What the command line may set."""

    keep: float = 0.5
    """Share of the tokens that pass through the middle blocks."""
    until: float = 0.7
    """Progress from which all tokens pass."""


class TokenDropping(Method):
    """Random tokens are left out of the middle blocks."""

    name = "token-dropping"
    writes = frozenset({"tokens_kept"})
    needs = frozenset({"tokens"})

    def __init__(self, settings: TokenDroppingSettings) -> None:
        self.settings = settings
        self._task: Task | None = None
        self._border = Border("tokens")
        self._is_neutral = settings.keep == 1.0 or settings.until == 0.0

    def check(self, task: Task) -> None:
        """The task must know how many tokens a sample has."""
        if not task.sizes and type(task).num_tokens is Task.num_tokens:
            raise InputError(
                Problem(
                    "task",
                    task.name,
                    "offers tokens, but neither sizes nor num_tokens",
                    "",
                    "add one of them",
                )
            )

    def setup(self, work: Work) -> None:
        """The model must have a middle."""
        if self._is_neutral:
            return
        self._task = work.task
        with work.phase("prepare") as model:
            num_blocks = len(model.blocks)
        if num_blocks < MIN_BLOCKS:
            raise InputError(
                Problem(
                    "--method",
                    self.name,
                    f"a model of {num_blocks} blocks has no middle",
                    f"{MIN_BLOCKS} blocks or more",
                    "raise the depth, or leave the method out",
                )
            )

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """How many tokens pass, where blocks between the first and the last run."""
        has_middle = plan.active is None or len([at for at in plan.active if at >= plan.frozen]) >= MIN_BLOCKS
        if self._task is None or progress.frac >= self.settings.until or not has_middle:
            return plan
        return plan.changed(tokens_kept=max(1, round(self.settings.keep * self._task.num_tokens(plan.size))))

    def boundary(self, work: Work, progress: Progress) -> None:
        """Tell where dropping begins and ends."""
        if not self._is_neutral:
            keep_frac = self.settings.keep if progress.frac < self.settings.until else 1.0
            self._border.see(work, keep_frac, keep_frac=keep_frac)

    def state_dict(self) -> dict[str, Any]:
        """What was told."""
        return {"told": self._border.value}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from it."""
        self._border.value = state["told"]

    def batch(self, work: Work, plan: StepPlan, batch: Batch) -> Batch:
        """The batch as it is; refuses a size that was set after the number of tokens."""
        if plan.tokens_kept is not None and plan.tokens_kept >= work.task.num_tokens(plan.size):
            raise InputError(
                Problem(
                    "--method",
                    self.name,
                    f"keeps {plan.tokens_kept} of {work.task.num_tokens(plan.size)} tokens, so it drops none",
                    "",
                    "write it behind the method that sets the size, or lower `keep`",
                )
            )
        return batch


@METHODS.register("token-dropping")
def token_dropping(settings: dict[str, str]) -> Method:
    """Random tokens are left out of the middle blocks."""
    read = Settings("token-dropping", settings)
    found = TokenDroppingSettings(
        keep=read.number("keep", 0.5, 0.01, 1.0),
        until=read.number("until", 0.7, 0.0, 1.0),
    )
    read.done()
    return TokenDropping(found)
