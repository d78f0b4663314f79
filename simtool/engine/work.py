"""The only way to the model: phases that are timed and counted.

Whatever costs has to ask for a phase, and whoever asks is charged, so no overhead can be forgotten:
the phases of a run sum to a count of the whole run. Time cannot be forgotten either: what a step
spends between its phases, and the loop between steps, is booked as ``data`` of the step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from simtool.engine.clock import Clock
from simtool.engine.costs import PHASES, CostTable
from simtool.engine.count import BACKWARD, OpCounter
from simtool.engine.model import BlockModel
from simtool.engine.power_marks import BETWEEN
from simtool.engine.task import Task
from simtool.rng import stream

RANGE = "simtool:"
"""How the name of a phase begins in a profile."""
GLUE = "data"
"""Phase of what stands in no other: planning, the order of the data, comparing with the budget."""
Teller = Callable[[str, Mapping[str, Any]], None]


class Work:
    """What a method may hold of a run: task, seed, optimizers, and the model inside a phase."""

    def __init__(
        self,
        *,
        task: Task | None,
        model: BlockModel,
        seed: int,
        device: torch.device,
        clock: Clock,
        tell: Teller | None = None,
    ) -> None:
        self.seed, self.device = seed, device
        self._task = task
        self.costs = CostTable()
        self.optimizers: list[Optimizer] = []
        self._model, self._clock, self._tell = model, clock, tell
        self._step_s: dict[str, float] | None = None
        self._counter: OpCounter | None = None
        self._mark: Callable[[str], Any] | None = None
        self._marking_s = 0.0
        self.last_step_s: dict[str, float] = {}
        """Duration of the last step, by phase; of a counted or profiled one it is no price."""
        self._inside = ""
        self._between_s = self._once_s = 0.0
        self.counting_s = 0.0
        """What counting operations took so far; it is in no price [s]."""

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

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Tell the trace of a border that was crossed: ``freeze``, ``grow``, ``size``, ``gate``.

        Args:
            kind: one word.
            detail: plain facts; the trainer adds the number of steps done before, as ``step``.
        """
        if self._tell is not None:
            self._tell(kind, detail)

    @contextmanager
    def phase(self, name: str, *, flop: float = 0.0) -> Iterator[BlockModel]:
        """Work charged under `name`; yields the model.

        Between steps all of it is counted, operation by operation; in a step, if the step is.

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
        if self._step_s is None:
            yield from self._once(name, flop)
            return
        if name in {"prepare", "eval"}:
            raise RuntimeError(f"phase {name!r} inside a step: it belongs between steps")
        if self._counter is not None:
            self._counter.phase = name
        self._inside = name
        self._set_mark(name)
        begin_s = self._read_s(self._counter)
        try:
            if torch.autograd._profiler_enabled():
                with self._range(name):
                    yield self._model
            else:
                yield self._model
        finally:
            elapsed_s = max(0.0, self._read_s(self._counter) - begin_s)
            self._set_mark(BETWEEN)
            self._inside = ""
            self._step_s[name] = self._step_s.get(name, 0.0) + elapsed_s
            self.costs.declare(name, flop)

    def _set_mark(self, label: str) -> None:
        """Tell the meter, after the device is done; the time that reading it takes is no price."""
        if self._mark is not None:
            begin_s = self._clock.read_s()
            self._mark(label)
            self._marking_s += self._clock.read_s() - begin_s

    def _once(self, name: str, flop: float) -> Iterator[BlockModel]:
        """Work between steps; the time that counting itself takes is no price and left out."""
        begin_s = self._clock.read_s()
        counter = OpCounter(self._model.parameters()) if name != "eval" else None
        if counter is not None:
            counter.phase = name
        self._inside = name
        try:
            is_profiled = torch.autograd._profiler_enabled()
            with self._range(name) if is_profiled else nullcontext(), counter or nullcontext():
                yield self._model
        finally:
            elapsed_s = max(0.0, self._clock.read_s() - begin_s)
            spent_s = min(elapsed_s, self._spent_s(counter))
            self._inside = ""
            self._once_s += elapsed_s
            self.counting_s += spent_s
            self.costs.book_once(name, elapsed_s - spent_s, counter.counts if counter else None, flop)

    def _read_s(self, counter: OpCounter | None) -> float:
        """The clock without what a counter took."""
        return self._clock.read_s() - self._spent_s(counter)

    def _spent_s(self, counter: OpCounter | None) -> float:
        """What a counter took of the clock's time: processor time adds up, time on a device does not."""
        return counter.spent_s if counter is not None and self._clock.kind == "process" else 0.0

    @contextmanager
    def between(self) -> Iterator[None]:
        """What the loop does between two steps, charged to the next one; phases inside are charged by themselves."""
        once_s, begin_s = self._once_s, self._clock.read_s()
        try:
            yield
        finally:
            elapsed_s = self._clock.read_s() - begin_s
            self._between_s += max(0.0, elapsed_s - (self._once_s - once_s))

    @contextmanager
    def step(
        self, signature: str, *, is_usual: bool = True, mark: Callable[[str], Any] | None = None
    ) -> Iterator[None]:
        """One step: its phases are booked under its signature, and counted if it is the first of its kind.

        Args:
            signature: what it does.
            is_usual: if not, something is set up in it (compiled) that later steps have; its time is no price,
                and what it takes beyond an ordinary step is booked under ``prepare``.
            mark: tells a power meter at every border which phase begins; not in a step that is counted, profiled
                or unusual, whose phases are longer than others.
        """
        begin_s = self._clock.read_s()
        is_new = self.costs.entry(signature).num_steps == 0
        is_timed = is_usual and not torch.autograd._profiler_enabled()  # a profiler slows the step down
        self._mark, self._marking_s = (mark if is_timed and not is_new else None), 0.0
        held = self._optimizer_state() if is_new else frozenset()
        self._step_s = {}
        self._counter = counter = OpCounter(self._model.parameters()) if is_new else None
        try:
            if counter is None:
                yield
            else:
                with counter:
                    yield
        finally:
            end_s = self._clock.read_s()
            duration_s, self._step_s, self._counter, self._mark = self._step_s, None, None, None
        outside_s = self._spent_s(counter) + self._marking_s
        glue_s = max(0.0, end_s - begin_s - outside_s - sum(duration_s.values()))
        duration_s[GLUE] = duration_s.get(GLUE, 0.0) + self._between_s + glue_s
        self.last_step_s = duration_s
        if counter is not None:
            self.counting_s += self._spent_s(counter)
            self.costs.once.merge(counter.taken_out(self._optimizer_state() - held, "prepare"))
        if not is_usual:
            usual_s = self.costs.entry(signature).mean_s()
            self.costs.book_once("prepare", max(0.0, sum(duration_s.values()) - usual_s), None, 0.0)
        self.costs.book(signature, duration_s, None if counter is None else counter.counts, is_timed=is_timed)
        self._between_s = max(
            0.0, self._clock.read_s() - end_s
        )  # booking, too, is paid for: by the next step

    def _optimizer_state(self) -> frozenset[int]:
        """Memory of everything that optimizers keep from step to step."""
        return frozenset(
            value.untyped_storage().data_ptr()
            for optimizer in self.optimizers
            for state in optimizer.state.values()
            for value in state.values()
            if isinstance(value, torch.Tensor) and not hasattr(value, "to_local")
        )

    @contextmanager
    def _range(self, phase: str) -> Iterator[None]:
        """Tells a profiler which phase this is; the range ends when the device is done."""
        with torch.profiler.record_function(f"{RANGE}{phase}"):
            yield
            self._clock.read_s()
