"""What a run refuses: sizes that do not fit the data, budgets that cannot end, tasks that break their promises."""

from __future__ import annotations

import math
from collections.abc import Mapping

from simtool.engine.budget import Budget, Progress
from simtool.engine.model import BlockModel
from simtool.engine.task import Recipe, Task
from simtool.errors import InputError, Problem


def check_sizes(task: Task, recipe: Recipe, budget: Budget, world: int, *, has_meter: bool = True) -> None:
    """Refuse data, batch and budget that do not fit each other.

    Raises:
        InputError: with every problem.
    """
    problems = []
    if budget.unit == "joules" and not has_meter:
        problems.append(_no_energy("there is no power meter"))
    if recipe.batch_size < 1:
        problems.append(
            Problem("--set batch_size", task.name, f"found {recipe.batch_size}", f"1 to {task.num_samples}")
        )
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


def known_energy(energy_j: float) -> float:
    """An energy that a budget counts.

    Raises:
        InputError: if it is not known any more: the run would never end.
    """
    if not math.isfinite(energy_j):
        raise InputError(_no_energy("the power meter does not know the energy any more"))
    return energy_j


def _no_energy(found: str) -> Problem:
    return Problem(
        "--budget",
        "joules",
        found,
        "",
        "give the budget in seconds, FLOP or samples, or take --power modelled",
    )


def check_model(model: object, task: Task) -> None:
    """Refuse a model that is not made of a stem, blocks and a head.

    Raises:
        InputError: naming the task.
    """
    if not isinstance(model, BlockModel):
        raise InputError(
            Problem("task", f"{task.name}.build", f"returned a {type(model).__name__}", "a BlockModel", _MEND)
        )


def checked_quality(found: object, task: Task) -> dict[str, float]:
    """What an evaluation returned, as plain numbers.

    Raises:
        InputError: if it is no mapping of names to numbers, or lacks the metric of the task.
    """
    problem = "" if isinstance(found, Mapping) else f"returned a {type(found).__name__}"
    quality: dict[str, float] = {}
    for name, value in found.items() if isinstance(found, Mapping) else ():
        try:
            quality[str(name)] = float(value)
        except (TypeError, ValueError):
            problem = f"returned {type(value).__name__} as {name}"
    if not problem and task.metric not in quality:
        problem = f"returned {', '.join(quality) or 'nothing'}"
    if problem:
        allowed = f"numbers by name, {task.metric} among them"
        raise InputError(Problem("task", f"{task.name}.evaluate", problem, allowed, _MEND))
    return quality


_MEND = "mend the task"


def refuse_budget(budget: Budget, progress: Progress) -> None:
    """Say that a step used up more than twice the budget.

    Raises:
        InputError: always.
    """
    raise InputError(
        Problem(
            "--budget",
            budget.unit,
            f"{budget.amount:g} is less than half of one step, which used "
            f"{progress.frac * budget.amount / progress.step:.4g}",
            "",
            "raise the budget to at least a few hundred steps",
        )
    )
