"""What is refused before or right after the first step: sizes that do not fit the data, budgets below a step."""

from __future__ import annotations

from simtool.engine.budget import Budget, Progress
from simtool.engine.task import Recipe, Task
from simtool.errors import InputError, Problem


def check_sizes(task: Task, recipe: Recipe, budget: Budget, world: int) -> None:
    """Refuse data, batch and budget that do not fit each other.

    Raises:
        InputError: with every problem.
    """
    problems = []
    if task.num_samples < 1:
        problems.append(Problem("task", task.name, "has no training sample", "", "name other data"))
    elif recipe.batch_size > task.num_samples:
        problems.append(
            Problem(
                "--set batch_size",
                task.name,
                f"batch of {recipe.batch_size} exceeds the {task.num_samples} training samples",
                f"1 to {task.num_samples}",
                "lower the batch size or name more data",
            )
        )
    if recipe.batch_size % world:
        problems.append(
            Problem(
                "--set batch_size", task.name, f"{recipe.batch_size} is not divisible by {world} processes"
            )
        )
    if budget.unit == "samples" and budget.amount < recipe.batch_size:
        problems.append(
            Problem(
                "--budget",
                "samples",
                f"{budget.amount:g} is less than one step of {recipe.batch_size} samples",
                "",
                "raise the budget or lower the batch size",
            )
        )
    if problems:
        raise InputError(problems)


def refuse_budget(budget: Budget, progress: Progress) -> None:
    """Say that one step used up more than twice the budget.

    Raises:
        InputError: always.
    """
    raise InputError(
        Problem(
            "--budget",
            budget.unit,
            f"{budget.amount:g} is less than half of one step, which used {progress.frac * budget.amount:.4g}",
            "",
            "raise the budget to at least a few hundred steps",
        )
    )
