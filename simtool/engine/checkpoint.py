"""Checkpoints: whole or absent, refused if they belong to another run, exact to the bit.

Model, optimizers, order of the data, methods, budget and cost table are saved; randomness needs no
state, since every stream is named by seed, purpose and step.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from simtool.engine.costs import CostTable
from simtool.engine.shards import load_model, load_optimizer, local
from simtool.errors import InputError, OutputError, Problem

if TYPE_CHECKING:
    from simtool.engine.parallel import Parallel
    from simtool.engine.trainer import Trainer

NAME = "checkpoint.pt"
SCHEMA = "simtool/checkpoint/1"


class CheckpointStore:
    """One checkpoint in a folder, replaced every `interval_s` seconds on the wall.

    Of several processes each has a file of its own with the number of the step in its name. All have written
    before any removes the file before, so a kill at any moment leaves one step that every rank holds.

    Raises:
        OutputError: if it cannot be written.
        InputError: if what is there is damaged or of another configuration.
    """

    def __init__(self, folder: Path, interval_s: float = 30.0) -> None:
        self.path, self.interval_s = folder / NAME, interval_s
        self._saved_s = time.monotonic()

    def save_if_due(self, trainer: Trainer) -> None:
        """Save if the interval has passed; of several processes all save at the same step."""
        if trainer.parallel.total(float(time.monotonic() - self._saved_s >= self.interval_s)):
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write beside, flush, then rename: a kill at any moment leaves the old one or the new one.

        The trace is flushed first: a run that goes on from here must find all steps before it there.
        """
        trainer.recorder.flush()
        state = local(
            {
                "schema": SCHEMA,
                "fingerprint": fingerprint(trainer),
                "model": trainer.model.state_dict(),
                "optimizers": [optimizer.state_dict() for optimizer in trainer.work.optimizers],
                "methods": [method.state_dict() for method in trainer.methods],
                "order": trainer.order.state_dict(),
                "costs": trainer.work.costs.state_dict(),
                "num_steps": trainer.num_steps,
                "num_seen": trainer.num_seen,
                "num_evaluated": trainer.num_evaluated,
                "energy_j": trainer.drawn_j(),
                "energy_told_j": trainer.energy_told_j,
                "energy_kind": trainer.energy_kind,
            }
        )
        path = self._path(trainer.parallel, trainer.num_steps)
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(str(path), f"the checkpoint could not be written: {error}") from error
        trainer.parallel.everyone(None)
        for old in self._held(trainer.parallel).values():
            if old != path:
                old.unlink(missing_ok=True)
        self._saved_s = time.monotonic()
        trainer.recorder.event("checkpoint", {"step": trainer.num_steps})

    def resume(self, trainer: Trainer) -> bool:
        """Continue from the checkpoint, if there is one; False otherwise."""
        self._refuse_other_world(trainer.parallel)
        held = self._held(trainer.parallel)
        shared = set.intersection(*map(set, trainer.parallel.everyone(list(held))))
        if not shared:
            return False
        path = held[max(shared)]
        try:
            state = torch.load(path, map_location=trainer.device, weights_only=True)
            found = state["fingerprint"]
        except (
            Exception
        ) as error:  # a damaged file can raise anything from the depth of zip, pickle and torch
            raise self._damaged(path, error) from error
        if found != fingerprint(trainer):
            raise self._foreign(path, "belongs to a run of another task, method, budget, seed or setting")
        self._restore(trainer, state, path)
        trainer.recorder.event("resume", {"step": trainer.num_steps})
        return True

    def _restore(self, trainer: Trainer, state: dict[str, Any], path: Path) -> None:
        try:
            for method, saved in zip(trainer.methods, state["methods"], strict=True):
                method.load_state_dict(saved)
            load_model(trainer.model, state["model"])
            for optimizer, saved in zip(trainer.work.optimizers, state["optimizers"], strict=True):
                load_optimizer(optimizer, saved)
            trainer.order.load_state_dict(state["order"])
            trainer.work.costs = CostTable.from_state(state["costs"])
            trainer.num_steps, trainer.num_seen = state["num_steps"], state["num_seen"]
            trainer.num_evaluated, trainer.energy_before_j = state["num_evaluated"], state["energy_j"]
            trainer.energy_told_j, trainer.energy_kind_before = state["energy_told_j"], state["energy_kind"]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self._damaged(path, error) from error

    def _path(self, parallel: Parallel, num_steps: int) -> Path:
        if parallel.world == 1:
            return self.path
        name = f"{self.path.stem}-{parallel.rank}-of-{parallel.world}-step-{num_steps}{self.path.suffix}"
        return self.path.with_name(name)

    def _held(self, parallel: Parallel) -> dict[int, Path]:
        """Checkpoints of this rank by step; one process has one, whatever its step."""
        if parallel.world == 1:
            return {0: self.path} if self.path.exists() else {}
        pattern = f"{self.path.stem}-{parallel.rank}-of-{parallel.world}-step-*{self.path.suffix}"
        return {int(path.stem.rpartition("-")[2]): path for path in self.path.parent.glob(pattern)}

    def _refuse_other_world(self, parallel: Parallel) -> None:
        others = [self.path, *self.path.parent.glob(f"{self.path.stem}-*-of-*-step-*{self.path.suffix}")]
        mine = "" if parallel.world == 1 else f"-of-{parallel.world}-"
        for path in others:
            number = re.search(r"-of-\d+-", path.name)
            if path.exists() and mine != (number[0] if number else ""):
                raise self._foreign(path, "belongs to a run of another number of processes")

    def _foreign(self, path: Path, found: str) -> InputError:
        mend = "name another folder with -o, or remove this checkpoint"
        return InputError(Problem(str(path), "checkpoint", found, "", mend))

    def _damaged(self, path: Path, error: Exception) -> InputError:
        return InputError(
            Problem(
                str(path),
                "checkpoint",
                f"cannot be read: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                "",
                "remove it to begin anew",
            )
        )


def fingerprint(trainer: Trainer) -> str:
    """Digest of everything that decides how a run continues."""
    parallel = trainer.parallel
    several = f"{parallel.world} {parallel.wrapping}" if parallel.world > 1 else ""
    facts = trainer.settings.fingerprint(trainer.task, trainer.methods, several)
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
