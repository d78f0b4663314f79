"""Measure what is not ours: a command as a whole, or the steps of a training loop of one's own."""

from __future__ import annotations

import resource
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn

from simtool.engine.clock import clock_for
from simtool.engine.costs import CostTable
from simtool.engine.facts import clock_facts, device_facts, free_folder, software_facts
from simtool.engine.measure import SUMMARY, write_json
from simtool.engine.plan import StepPlan
from simtool.engine.power.modelled import WATTS_PER_BUSY_THREAD
from simtool.engine.power.open import open_meter
from simtool.engine.power_stream import PowerStream, power_begun, power_entry
from simtool.engine.recorder.recorder import TraceRecorder
from simtool.engine.work import Work
from simtool.errors import InputError, Problem
from simtool.trace.manifest import Manifest
from simtool.trace.writer import TraceWriter

POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandCost:
    """What a command used."""

    command: str
    exit_code: int
    wall_s: float
    processor_s: float
    """Of the command and everything it started and waited for."""
    energy_j: float
    energy_kind: str
    """``measured``, ``modelled`` or ``none``."""
    energy_source: str
    folder: str


def run_command(command: Sequence[str], folder: Path, *, power: str = "auto", seed: int = 0) -> CommandCost:
    """Run a command, pass on its input and output, and record its time and the power drawn meanwhile.

    Without a meter of hardware, energy is processor seconds times the watts of a busy thread, labelled
    as modelled.

    Raises:
        InputError: if the command cannot be started.
    """
    meter = open_meter(power, seed=seed)
    text = " ".join(command)
    manifest = Manifest(
        task=text,
        method="command",
        device=device_facts(torch.device("cpu"), meter),
        clock=clock_facts("wall"),
        power=power_begun(meter),
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with ExitStack() as stack:
        stack.enter_context(meter)
        begin_s = time.monotonic()
        try:
            child = subprocess.Popen(list(command))
        except OSError as error:
            raise InputError(
                Problem("--", command[0], error.strerror or str(error), "", "name a command that can be run")
            ) from error
        writer = stack.enter_context(TraceWriter(free_folder(folder), manifest))
        stream = PowerStream(writer, meter)
        writer.event({"time_s": begin_s, "step": None, "kind": "start", "detail": {"command": text}})
        try:
            while (code := _waited(child)) is None:
                stream.write_if_due()
        except KeyboardInterrupt:
            child.terminate()
            child.wait()
            raise
        end_s = time.monotonic()
        energy = meter.stop()
        stream.write()
        writer.event({"time_s": end_s, "step": None, "kind": "end", "detail": {"exit_code": code}})
        writer.close(power=power_entry(energy))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    is_model = energy.source == "cpu-seconds"  # whose counter includes this process
    cost = CommandCost(
        command=text,
        exit_code=code,
        wall_s=end_s - begin_s,
        processor_s=used_s,
        energy_j=used_s * float(WATTS_PER_BUSY_THREAD) if is_model else energy.energy_j,
        energy_kind=energy.kind,
        energy_source=energy.source,
        folder=str(folder),
    )
    write_json(folder / SUMMARY, asdict(cost))
    return cost


def _waited(child: subprocess.Popen[bytes]) -> int | None:
    """The exit code as soon as there is one; None if the child still runs after a moment."""
    try:
        return child.wait(POLL_S)
    except subprocess.TimeoutExpired:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a loop of one's own ended, as a recorder wants to know it."""

    costs: CostTable
    status: str
    reason: str


class Recording:
    """Records the steps of a training loop of one's own, with sampled operations and power.

    ::

        with Recording("out/mine", model) as record:
            for inputs, targets in loader:
                with record.step(num_samples=len(inputs)) as step:
                    with record.phase("forward"):
                        loss = criterion(model(inputs), targets)
                    with record.phase("backward"):
                        loss.backward()
                    with record.phase("optimizer"):
                        optimizer.step()
                        optimizer.zero_grad()
                    step.loss = loss.item()

    Args:
        folder: where ``trace`` goes.
        model: whose parameters tell the two halves of a backward pass apart.
        name: of what is trained, for the manifest.
        power: preference of `open_meter`.
    """

    def __init__(
        self, folder: Path | str, model: nn.Module, *, name: str = "own loop", power: str = "auto"
    ) -> None:
        device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
        clock = clock_for(device)
        self._meter = open_meter(power, device)
        self._work = Work(task=None, model=model, seed=0, device=device, clock=clock)
        self._manifest = Manifest(
            task=name,
            method="none",
            device=device_facts(device, self._meter),
            software=software_facts("", is_compiled=False),
            clock=clock_facts(clock.kind),
            power=power_begun(self._meter),
        )
        self._folder, self._device = Path(folder), device
        self._num_steps = self._num_samples = 0
        self._seen: set[str] = set()

    def __enter__(self) -> Self:
        self._meter.start()
        writer = TraceWriter(free_folder(self._folder), self._manifest)
        self._recorder = TraceRecorder(writer, device=self._device)
        self._stream = PowerStream(writer, self._meter)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        energy = self._meter.stop()
        self._stream.write()
        status = "finished" if error is None else "interrupted"
        ending = Ending(costs=self._work.costs, status=status, reason="" if error is None else repr(error))
        self._recorder.close(ending, power=power_entry(energy))

    @contextmanager
    def step(self, *, num_samples: int, signature: str = "step") -> Iterator[Step]:
        """One training step; steps of one signature must do the same work."""
        step = Step()
        begin_flop = self._work.costs.flop()
        with self._recorder.sampling(self._num_steps, signature), self._work.step(signature):
            yield step
        if signature not in self._seen:
            self._seen.add(signature)
            cost = self._work.costs.by_signature[signature]
            self._recorder.signature(StepPlan(num_samples=num_samples), cost)
        self._num_steps += 1
        self._num_samples += num_samples
        used_s = self._work.last_step_s
        self._recorder.step(
            {
                "step": self._num_steps,
                "signature": signature,
                "num_samples": self._num_samples,
                "progress_frac": 0.0,
                "learning_rate": step.learning_rate,
                "loss": step.loss,
                "duration_s": sum(used_s.values()),
                **{f"{phase}_s": value for phase, value in used_s.items()},
                "flop": self._work.costs.flop() - begin_flop,
                "energy_j": self._meter.energy_j(),
            }
        )
        self._stream.write_if_due()

    @contextmanager
    def phase(self, name: str) -> Iterator[Any]:
        """A part of the step: data, score, forward, backward, optimizer or communication."""
        with self._work.phase(name) as model:
            yield model


@dataclass(slots=True)
class Step:
    """What the loop says of a step before it ends."""

    loss: float = float("nan")
    learning_rate: float = float("nan")
