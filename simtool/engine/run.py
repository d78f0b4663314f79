"""What a run is asked for, and what it comes to: plain values around the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simtool.engine.budget import Budget, Progress
from simtool.engine.costs import CostTable
from simtool.engine.method import Method
from simtool.engine.task import Recipe, Task

Status = Literal["finished", "diverged", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """Everything that is not task or method."""

    budget: Budget
    seed: int = 0
    recipe: Recipe | None = None
    """Instead of the task's own."""
    precision: str = "float32"
    compile: bool = False
    device: str = "cpu"
    num_evaluations: int = 4
    """Evaluations on the validation part, evenly over progress, the last one at the end."""
    floor: float = 0.01

    def fingerprint(self, task: Task, methods: Sequence[Method], several: str = "") -> dict[str, Any]:
        """What two runs must share so that one can continue the other.

        Args:
            task: what is trained.
            methods: with which methods.
            several: how the run is spread over processes; empty for one.
        """
        return {
            "task": task.describe(),
            "methods": [method.name for method in methods],
            "settings": [vars_of(method) for method in methods],
            "budget": str(self.budget),
            "seed": self.seed,
            "recipe": repr(self.recipe or task.recipe),
            "precision": self.precision,
            **({"processes": several} if several else {}),
            **({"compile": True} if self.compile else {}),
        }


def vars_of(method: Method) -> str:
    """The settings of a method as text, the same for equal settings."""
    return str(getattr(method, "settings", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What a run came to."""

    status: Status
    progress: Progress
    quality: Mapping[str, float]
    """Of the test part, after the last step; empty if the run diverged."""
    validation: Mapping[str, float]
    costs: CostTable
    energy_kind: str
    """``"measured"``, ``"modelled"`` or ``"none"``."""
    reason: str = ""
    steps: Mapping[str, int] = field(default_factory=dict)
    """Steps by signature."""
