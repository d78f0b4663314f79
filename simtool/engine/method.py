"""What an efficiency method may do. Everything has a neutral default; a method overrides what it needs.

Methods are folded over the plan from left to right. Two that write the same field are refused
unless the later one declares that it shares the field. No method sees the model outside a phase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor, nn
from torch.optim import Optimizer

from simtool.engine.budget import Progress
from simtool.engine.plan import FloatArray, IntArray, StepPlan
from simtool.engine.task import Batch, Recipe, Task
from simtool.errors import InputError, Problem
from simtool.registry import Registry

if TYPE_CHECKING:
    from simtool.engine.work import Work


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a finished step reveals for free."""

    plan: StepPlan
    progress: Progress
    """After the step."""
    learning_rate: float
    loss: float
    row_losses: FloatArray
    """Mean loss of each row, shape (rows,); empty unless a method watches samples."""
    row_indices: IntArray
    """Sample that each row belongs to, shape (rows,)."""


class Method:
    """One way to spend less on training; this base changes nothing."""

    name: ClassVar[str] = "none"
    writes: ClassVar[frozenset[str]] = frozenset()
    """Fields of the plan (and ``"optimizer"``, ``"loss"``, ``"order"``, ``"initialisation"``) that it sets."""
    shares: ClassVar[frozenset[str]] = frozenset()
    """Those of `writes` that it sets as a change of what stands there, so that others may set them first."""
    needs: ClassVar[frozenset[str]] = frozenset()
    """What a task must offer."""
    watches_samples: ClassVar[bool] = False
    """Whether `observe` needs the loss of each row."""
    wants_whole_weights: bool = False
    """Whether it reads or replaces whole weights, which no process has where FSDP spreads them."""

    def check(self, task: Task) -> None:
        """Raise InputError if the method cannot run on this task with these settings."""

    def setup(self, work: Work) -> None:
        """Once, before the first step; what costs runs inside ``work.phase("prepare")``."""

    def order(self, work: Work, epoch: int, indices: IntArray) -> tuple[IntArray, FloatArray | None]:
        """The samples of an epoch in order, and their weights in the loss (None: all 1)."""
        return indices, None

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        """The plan of the next step, from what the methods before left of it."""
        return plan

    def boundary(self, work: Work, progress: Progress) -> None:
        """Before every step: rare surgery on model or optimizer, inside ``work.phase("prepare")``."""

    def batch(self, work: Work, plan: StepPlan, batch: Batch) -> Batch:
        """The rows that are trained on; scoring runs inside ``work.phase("score")``."""
        return batch

    def losses(self, outputs: Tensor, batch: Batch, losses: Tensor, progress: Progress) -> Tensor:
        """The losses that are minimised, of the shape of `losses`; runs in the forward phase."""
        return losses

    def optimizers(
        self, named: Sequence[tuple[str, nn.Parameter]], model: nn.Module, recipe: Recipe
    ) -> list[Optimizer] | None:
        """Optimizers for these parameters, or None for the default. Each group carries ``peak_lr``."""
        return None

    def observe(self, work: Work, result: StepResult) -> None:
        """After a step, from free signals only; what costs runs inside a phase."""

    def finish(self, work: Work) -> None:
        """After the last step, before the final evaluation."""

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to continue bit by bit: tensors, numbers, strings, lists and dicts of them."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""


MethodMaker = Callable[[dict[str, str]], Method]
"""Makes a method from settings as written, ``{"keep": "0.5"}``."""

METHODS: Registry[MethodMaker] = Registry("method", package="simtool.engine.methods", group="simtool.engine")
"""Makers of methods, by the name that the effect file and `simtool.methods` use too."""


def parse_methods(text: str, where: str = "--method") -> list[Method]:
    """Methods as written: ``none``, ``muon``, ``muon+progressive-size:until=0.6,from=0.25``.

    Raises:
        InputError: for an unknown method or setting.
    """
    methods = []
    for part in text.split("+"):
        name, _, tail = part.strip().partition(":")
        settings = {}
        for item in filter(None, tail.split(",")):
            key, equals, value = item.partition("=")
            if not equals or not key.strip():
                raise InputError(
                    Problem(where, name, f"found {item!r}", "key=value", f"write e.g. {name}:key=value")
                )
            settings[key.strip()] = value.strip()
        methods.append(METHODS[name](settings))
    return methods


def check_methods(
    methods: Sequence[Method], task: Task, where: str = "--method", *, is_sharded: bool = False
) -> None:
    """Refuse methods that do not fit the task, each other, or weights that are spread over processes.

    Raises:
        InputError: with every conflict.
    """
    problems = []
    written: dict[str, str] = {}
    for method in methods:
        if missing := sorted(method.needs - task.offers):
            problems.append(
                Problem(
                    where,
                    method.name,
                    f"needs {', '.join(missing)}, which task {task.name} does not offer",
                    f"{task.name} offers {', '.join(sorted(task.offers)) or 'nothing special'}",
                    "leave the method out, or choose another task",
                )
            )
        if is_sharded and method.wants_whole_weights:
            problems.append(
                Problem(
                    where,
                    method.name,
                    "works on whole weights, and FSDP spreads them over processes",
                    "",
                    "write --parallel ddp, or leave the method out",
                )
            )
        for field in sorted(method.writes):
            if field in written and field not in method.shares:
                problems.append(
                    Problem(
                        where,
                        method.name,
                        f"sets {field}, as {written[field]} does",
                        "",
                        "leave one of the two out",
                    )
                )
            written[field] = method.name
        if not missing:
            try:
                method.check(task)
            except InputError as error:
                problems.extend(error.problems)
    if problems:
        raise InputError(problems)
