"""Short runs on a small decoder, and what two of them have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from simtool.engine.budget import Budget, Progress
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.method import parse_methods
from simtool.engine.plan import StepPlan
from simtool.engine.task import Task, TaskOptions, load_task
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.engine.watch import Nobody

torch.set_num_threads(1)

NUM_SAMPLES = 48


@cache
def decoder(name: str = "char-gpt", depth: int = 4, width: int = 16) -> Task:
    """A decoder of a few thousand weights."""
    options = TaskOptions(
        width=width, depth=depth, max_samples=4000, settings={"context": "16", "megabytes": "0.1"}
    )
    return load_task(name, options)


class Diary(Nobody):
    """Keeps the rows of the steps, and may interrupt."""

    def __init__(self, stop_after: int = 0) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.stop_after = stop_after

    def step(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == self.stop_after:
            raise KeyboardInterrupt


def trainer_for(
    text: str, task: Task | None = None, *, recorder: Diary | None = None, **changes: Any
) -> Trainer:
    """A trainer that is ready to run."""
    task = task or decoder()
    settings = {"budget": Budget(NUM_SAMPLES, "samples"), "num_evaluations": 0, **changes}
    return Trainer(task, parse_methods(text), RunSettings(**settings), recorder=recorder)


def run(
    text: str, task: Task | None = None, folder: Path | None = None, **changes: Any
) -> tuple[Trainer, RunOutcome]:
    """A finished run."""
    trainer = trainer_for(text, task, **changes)
    return trainer, trainer.run(CheckpointStore(folder) if folder else None)


def held(trainer: Trainer) -> list[torch.Tensor]:
    """All weights, and all that the optimizers remember."""
    remembered = [
        value
        for optimizer in trainer.work.optimizers
        for state in optimizer.state_dict()["state"].values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    ]
    return [*trainer.model.state_dict().values(), *remembered]


def are_same(one: Trainer, other: Trainer) -> bool:
    """Whether two runs ended at the same weights and moments, bit by bit."""
    left, right = held(one), held(other)
    return len(left) == len(right) and all(torch.equal(a, b) for a, b in zip(left, right, strict=True))


def moments(optimizers: list[Optimizer], parameter: torch.Tensor) -> dict[str, Any]:
    """What the optimizers remember of a parameter."""
    found: dict[str, Any] = {}
    for optimizer in optimizers:
        for key, state in optimizer.state.items():
            if key.data_ptr() == parameter.data_ptr():
                found |= state
    return found


def whole_step() -> StepPlan:
    """A plan that leaves nothing out."""
    return StepPlan(num_samples=2)


def at(frac: float, step: int = 0) -> Progress:
    """Some progress."""
    return Progress(frac=frac, step=step)
