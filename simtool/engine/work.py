"""The only way to the model: phases that are timed and counted.

Whatever costs has to ask for a phase, and whoever asks is charged, so no overhead can be forgotten:
the phases of a run sum to a count of the whole run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch.optim import Optimizer

from simtool.engine.clock import Clock
from simtool.engine.costs import PHASES, CostTable
from simtool.engine.count import BACKWARD, OpCounter
from simtool.engine.model import BlockModel
from simtool.engine.task import Task
from simtool.rng import stream

RANGE = "simtool:"
"""How the name of a phase begins in a profile."""


class Work:
    """What a method may hold of a run: task, seed, optimizers, and the model inside a phase."""

    def __init__(
        self, *, task: Task | None, model: BlockModel, seed: int, device: torch.device, clock: Clock
    ) -> None:
        self.seed, self.device = seed, device
        self._task = task
        self.costs = CostTable()
        self.optimizers: list[Optimizer] = []
        self._model, self._clock = model, clock
        self._step_s: dict[str, float] | None = None
        self._counter: OpCounter | None = None
        self.last_step_s: dict[str, float] = {}
        """Duration of the last step, by phase; of a counted or profiled one it is no price."""
        self._inside = ""

    @property
    def task(self) -> Task:
        """What is trained.

        Raises:
            RuntimeError: in a loop of the user's own, which has none.
        """
        if self._task is None:
            raise RuntimeError("there is no task here")
        return self._task

    @property
    def clock_kind(self) -> str:
        """``process`` for processor seconds, ``device`` for synchronised wall time."""
        return self._clock.kind

    def generator(self, purpose: str, run: int = 0) -> np.random.Generator:
        """Randomness that depends on nothing but the seed, the purpose and `run` (an epoch, a step)."""
        return stream(self.seed, "engine", purpose, run)

    @contextmanager
    def phase(self, name: str, *, flop: float = 0.0) -> Iterator[BlockModel]:
        """Work charged under `name`; yields the model.

        Args:
            name: one of `costs.PHASES`, or ``"backward"``, which the counter splits in two.
            flop: work inside that torch does not see [FLOP].

        Raises:
            RuntimeError: inside another phase, or for a name that is no phase.
        """
        if name not in PHASES and name != BACKWARD:
            raise RuntimeError(f"no phase is called {name!r}; phases are {', '.join(PHASES)}")
        if self._inside:
            raise RuntimeError(
                f"phase {name!r} inside phase {self._inside!r}: end one before the next begins"
            )
        outside_step = self._step_s is None
        if name in {"prepare", "eval"} and not outside_step:
            raise RuntimeError(f"phase {name!r} inside a step: it belongs between steps")
        counter = OpCounter(self._model.parameters()) if outside_step and name != "eval" else None
        for active in (counter, self._counter):
            if active is not None:
                active.phase = name
        self._inside = name
        begin_s = self._clock.read_s()
        try:
            is_profiled = torch.autograd._profiler_enabled()
            with self._range(name) if is_profiled else nullcontext(), counter or nullcontext():
                yield self._model
        finally:
            elapsed_s = self._clock.read_s() - begin_s
            self._inside = ""
            if outside_step:
                self.costs.book_once(name, elapsed_s, counter.counts if counter else None, flop)
            elif self._step_s is not None:
                self._step_s[name] = self._step_s.get(name, 0.0) + elapsed_s
                self.costs.declare(name, flop)

    @contextmanager
    def step(self, signature: str) -> Iterator[None]:
        """One step: its phases are booked under its signature, and counted if it is the first of its kind."""
        entry = self.costs.entry(signature)
        is_new = entry.num_steps == 0
        is_timed = not torch.autograd._profiler_enabled()  # a profiler slows the step down
        self._step_s = {}
        self._counter = OpCounter(self._model.parameters()) if is_new else None
        try:
            with self._counter or nullcontext():
                yield
        finally:
            counts = self._counter.counts if self._counter else None
            duration_s, self._step_s, self._counter = self._step_s, None, None
        self.last_step_s = duration_s
        entry.book(duration_s, counts, is_timed=is_timed)

    @contextmanager
    def _range(self, phase: str) -> Iterator[None]:
        """Tells a profiler which phase this is; the range ends when the device is done."""
        with torch.profiler.record_function(f"{RANGE}{phase}"):
            yield
            self._clock.read_s()
