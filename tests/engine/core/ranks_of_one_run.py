"""What every process does that torchrun starts in test_parallel: runs of several kinds, told as JSON.

Arguments: ddp or fsdp, and the folder for what is told and saved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch

from simtool.engine.budget import Budget, Progress
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.method import Method, parse_methods
from simtool.engine.parallel import Alone, Parallel
from simtool.engine.plan import StepPlan
from simtool.engine.processes import checked_wrapping, together
from simtool.engine.task import Task
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError
from tests.engine.test_method_contract import Interrupting, settings_for, small
from tests.engine.toy import ToyTask

METHODS = (
    "none",
    "infobatch:until=1",
    "layer-freezing:rule=converged,start=0.1,window=0.1,threshold=1",
    "progressive-size",
    "token-dropping",
    "stochastic-depth",
    "batch-ramp",
    "growth",
    "muon:gate=off",
)
CASES = (
    *(("toy", text) for text in METHODS),
    *(
        (name, text)
        for name in ("image-vit", "masked-encoder")
        for text in ("none", "infobatch:until=1", "growth")
    ),
)
"""No task among them has statistics of a batch; two draw for every row."""


class Halves(Method):
    """Fewer blocks at first, then a frozen front; remembers what every step told."""

    name = "halves"
    writes = frozenset({"active", "frozen"})
    watches_samples = True

    def __init__(self) -> None:
        self.seen: list[list[Any]] = []

    def plan(self, progress: Progress, plan: StepPlan) -> StepPlan:
        return plan.changed(active=(0, 1)) if progress.frac < 0.4 else plan.changed(frozen=1)

    def observe(self, work: Any, result: Any) -> None:
        self.seen.append([sorted(result.row_indices.tolist()), round(float(result.row_losses.sum()), 4)])


def totals(trainer: Trainer) -> dict[str, float]:
    whole = {
        name: value.full_tensor() if hasattr(value, "full_tensor") else value
        for name, value in trainer.model.state_dict().items()
    }
    return {name: value.double().sum().item() for name, value in whole.items()}


def halves(parallel: Parallel) -> dict[str, Any]:
    method = Halves()
    settings = RunSettings(budget=Budget.parse("200 samples"), num_evaluations=1)
    trainer = Trainer(ToyTask(), [method], settings, parallel=parallel)
    outcome = trainer.run()
    return {"steps": dict(outcome.steps), "total": totals(trainer), "seen": method.seen}


def one(task: Task, text: str, parallel: Parallel) -> Any:
    try:
        trainer = Trainer(task, parse_methods(text), settings_for(task), parallel=parallel)
    except InputError as error:
        return str(error)
    outcome = trainer.run()
    flop = {phase: parallel.total(flop) for phase, flop in outcome.costs.flop_by_phase().items()}
    return {"steps": dict(outcome.steps), "total": totals(trainer), "flop": flop}


def by_operations(parallel: Parallel) -> int:
    """Steps until a budget of operations is used up, whoever does them."""
    task = small("toy")
    return (
        Trainer(task, [], settings_for(task, budget=Budget.parse("9 MFLOP")), parallel=parallel)
        .run()
        .progress.step
    )


def resumed(parallel: Parallel, folder: Path) -> bool:
    """Whether a run that stopped and went on is the same run, to the bit."""
    task = small("toy")
    whole = Trainer(task, [Method()], settings_for(task), parallel=parallel)
    whole.run()
    store = CheckpointStore(folder / "resumed", interval_s=1e9)
    recorder = Interrupting()
    stopped = Trainer(task, [Method()], settings_for(task), recorder=recorder, parallel=parallel).run(store)
    again = Trainer(task, [Method()], settings_for(task), parallel=parallel)
    status = again.run(store).status
    files = sorted(path.name for path in store.path.parent.glob("*"))
    assert len(files) == parallel.world, files
    return (stopped.status, status) == ("interrupted", "finished") and totals(whole) == totals(again)


def told(parallel: Parallel, folder: Path) -> dict[str, Any]:
    return {
        "halves": halves(parallel),
        "methods": {f"{name} {text}": one(small(name), text, parallel) for name, text in CASES},
        "by operations": by_operations(parallel),
        "resumed": resumed(parallel, folder),
    }


def main() -> None:
    torch.set_num_threads(1)
    folder = Path(sys.argv[2])
    with together(checked_wrapping(sys.argv[1]), "cpu") as (parallel, _):
        found = told(parallel, folder)
        (folder / f"{parallel.rank}.json").write_text(json.dumps(found), "utf-8")


def alone(folder: Path) -> dict[str, Any]:
    """The same in one process."""
    found: dict[str, Any] = json.loads(json.dumps(told(Alone(), folder)))
    return found


if __name__ == "__main__":
    main()
