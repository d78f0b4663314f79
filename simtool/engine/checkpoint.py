"""Checkpoints: whole or absent, refused if they belong to another run, exact to the bit.

Model, optimizers, order of the data, methods, budget and cost table are saved; randomness needs no
state, since every stream is named by seed, purpose and step.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from simtool.engine.costs import CostTable
from simtool.errors import InputError, OutputError, Problem

if TYPE_CHECKING:
    from simtool.engine.trainer import Trainer

NAME = "checkpoint.pt"
SCHEMA = "simtool/checkpoint/1"


class CheckpointStore:
    """One checkpoint in a folder, replaced every `interval_s` seconds on the wall.

    Raises:
        OutputError: if it cannot be written.
        InputError: if what is there is damaged or of another configuration.
    """

    def __init__(self, folder: Path, interval_s: float = 30.0) -> None:
        self.path, self.interval_s = folder / NAME, interval_s
        self._saved_s = time.monotonic()

    def save_if_due(self, trainer: Trainer) -> None:
        """Save if the interval has passed."""
        if time.monotonic() - self._saved_s >= self.interval_s:
            self.save(trainer)

    def save(self, trainer: Trainer) -> None:
        """Write beside, flush, then rename: a kill at any moment leaves the old one or the new one.

        The trace is flushed first: a run that goes on from here must find all steps before it there.
        """
        trainer.recorder.flush()
        state = {
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
            "energy_j": trainer.energy_j(),
            "energy_kind": trainer.energy_kind,
        }
        beside = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with beside.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except (OSError, RuntimeError) as error:
            beside.unlink(missing_ok=True)
            raise OutputError(str(self.path), f"the checkpoint could not be written: {error}") from error
        self._saved_s = time.monotonic()
        trainer.recorder.event("checkpoint", {"step": trainer.num_steps})

    def resume(self, trainer: Trainer) -> bool:
        """Continue from the checkpoint, if there is one; False otherwise."""
        if not self.path.exists():
            return False
        try:
            state = torch.load(self.path, map_location=trainer.device, weights_only=True)
            found = state["fingerprint"]
        except (
            Exception
        ) as error:  # a damaged file can raise anything from the depth of zip, pickle and torch
            raise self._damaged(error) from error
        if found != fingerprint(trainer):
            raise InputError(
                Problem(
                    str(self.path),
                    "checkpoint",
                    "belongs to a run of another task, method, budget, seed or setting",
                    "",
                    "name another folder with -o, or remove this checkpoint",
                )
            )
        self._restore(trainer, state)
        trainer.recorder.event("resume", {"step": trainer.num_steps})
        return True

    def _restore(self, trainer: Trainer, state: dict[str, Any]) -> None:
        try:
            for method, saved in zip(trainer.methods, state["methods"], strict=True):
                method.load_state_dict(saved)
            trainer.model.load_state_dict(state["model"])
            for optimizer, saved in zip(trainer.work.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
            trainer.order.load_state_dict(state["order"])
            trainer.work.costs = CostTable.from_state(state["costs"])
            trainer.num_steps, trainer.num_seen = state["num_steps"], state["num_seen"]
            trainer.num_evaluated, trainer.energy_before_j = state["num_evaluated"], state["energy_j"]
            trainer.energy_kind_before = state["energy_kind"]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            Problem(
                str(self.path),
                "checkpoint",
                f"cannot be read: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
                "",
                "remove it to begin anew",
            )
        )


def fingerprint(trainer: Trainer) -> str:
    """Digest of everything that decides how a run continues."""
    facts = trainer.settings.fingerprint(trainer.task, trainer.methods)
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
