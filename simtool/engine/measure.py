"""One measured run: a task, its methods, a recorder and a meter, into a trace folder and a summary."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.costs import CHARGED
from simtool.engine.facts import clock_facts, device_facts, free_folder, software_facts
from simtool.engine.method import parse_methods
from simtool.engine.parallel import Alone, Parallel
from simtool.engine.power.meter import EnergyReport, NoMeter, PowerMeter
from simtool.engine.power.open import open_meter
from simtool.engine.power_marks import power_by_phase
from simtool.engine.power_stream import PowerStream, power_begun, power_entry
from simtool.engine.recorder.recorder import TraceRecorder
from simtool.engine.task import Recipe, TaskOptions, load_task
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.engine.user_task import blaming
from simtool.engine.watch import Nobody, Recorder, combined_kind
from simtool.errors import InputError, OutputError, Problem
from simtool.trace.manifest import Data, Manifest
from simtool.trace.writer import TraceWriter

SUMMARY = "summary.json"
HOST_SCOPES = frozenset({"cpu-package", "cpu-package-dram", "platform"})
"""What is one for all processes of a machine."""
Report = Callable[[float], None]
"""Told the used share of the budget now and then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One run, as plain values that another process can take."""

    task: str
    method: str
    budget: Budget
    seed: int
    folder: Path
    options: TaskOptions = field(default_factory=TaskOptions)
    recipe: Mapping[str, float] = field(default_factory=dict)
    """Fields of the task's recipe to change, by name."""
    device: str = "cpu"
    precision: str = "float32"
    compile: bool = False
    power: str = "auto"
    num_threads: int = 1
    num_evaluations: int = 4
    checkpoint_s: float = 30.0
    is_recorded: bool = True
    """Whether a trace is written; else only the summary."""
    num_processes: int = 1
    wrapping: str = ""
    """How several processes share the run: ``ddp`` or ``fsdp``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What a run came to, as plain numbers."""

    task: str
    family: str
    method: str
    seed: int
    status: str
    reason: str
    metric: str
    higher_is_better: bool
    quality: float
    """Of the test part by `metric`; NaN if the run did not finish."""
    num_parameters: int
    num_steps: int
    num_samples: int
    flop_by_phase: Mapping[str, float]
    duration_by_phase_s: Mapping[str, float]
    clock: str
    """``process`` or ``device``."""
    energy_j: float
    energy_kind: str
    """``measured``, ``modelled`` or ``none``."""
    energy_source: str
    steps_by_signature: Mapping[str, int]
    step_s_by_signature: Mapping[str, float]
    """Mean seconds of a step by signature, all phases."""
    folder: str
    asked: str
    """Digest of the request: a folder that holds another one is not taken for it."""
    power_by_phase_w: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Mean power of each phase and its standard error, where it was measured."""
    num_processes: int = 1
    """Operations and energy are the sum over them; time is that of the first."""

    @property
    def flop(self) -> float:
        """Operations charged to training [FLOP]."""
        return sum(self.flop_by_phase.get(phase, 0.0) for phase in CHARGED)

    @property
    def duration_s(self) -> float:
        """Time charged to training [s]."""
        return sum(value for phase, value in self.duration_by_phase_s.items() if phase != "eval")


def run_one(
    request: RunRequest, report: Report | None = None, parallel: Parallel | None = None
) -> RunSummary:
    """Train, record, and leave `SUMMARY` beside the trace.

    A run that was interrupted goes on from its checkpoint; a finished one is not touched. Of several
    processes the first one writes, and all give the same summary.

    Raises:
        InputError: if task, method or settings do not fit.
        OutputError: if the folder cannot be written, or holds another trace.
    """
    with blaming(request.task):
        return _run_one(request, report, parallel or Alone())


def _run_one(request: RunRequest, report: Report | None, parallel: Parallel) -> RunSummary:
    torch.set_num_threads(request.num_threads)
    task = load_task(request.task, request.options)
    methods = parse_methods(request.method)
    settings = RunSettings(
        budget=request.budget,
        seed=request.seed,
        recipe=changed_recipe(task.recipe, request.recipe),
        precision=request.precision,
        compile=request.compile,
        device=request.device,
        num_evaluations=request.num_evaluations,
    )
    meter = _meter(request, parallel)
    trainer = Trainer(
        task, methods, settings, meter=None if meter.kind == "none" else meter, parallel=parallel
    )
    checkpoints = CheckpointStore(request.folder, request.checkpoint_s)
    with ExitStack() as stack:
        stack.enter_context(meter)
        if not request.is_recorded or parallel.rank > 0:
            trainer.recorder = Reporting(Nobody(), report)
            outcome = trainer.run(checkpoints)
            energy = meter.stop()
        else:
            folder = free_folder(request.folder)
            writer = stack.enter_context(TraceWriter(folder, _manifest(request, trainer, meter)))
            recorder = TraceRecorder(
                writer, tokens_per_sample=getattr(task, "context", None), device=trainer.device
            )
            power = PowerStream(writer, meter)
            trainer.recorder = Reporting(recorder, report, power)
            outcome = trainer.run(checkpoints)
            energy = meter.stop()
            power.write()
            recorder.close(outcome, power=power_entry(energy))
    summary = _summary(request, trainer, outcome, energy)
    if parallel.rank == 0:
        write_json(request.folder / SUMMARY, asdict(summary))
    return summary


def _meter(request: RunRequest, parallel: Parallel) -> PowerMeter:
    """The meter of this process; what one sees that belongs to the whole machine is counted once."""
    meter = open_meter(request.power, request.device, seed=request.seed)
    if parallel.local_rank > 0 and meter.scope in HOST_SCOPES:
        return NoMeter(["the first process of this machine counts it"])
    return meter


def changed_recipe(recipe: Recipe, changes: Mapping[str, float]) -> Recipe:
    """The recipe with some fields changed.

    Raises:
        InputError: for a name that the recipe does not have, or a value outside its range.
    """
    values = asdict(recipe)
    problems = []
    for name, value in changes.items():
        if name not in values or name == "betas":
            known = ", ".join(sorted(set(values) - {"betas"}))
            problems.append(Problem("--set", name, "unknown setting of the recipe", f"known: {known}"))
        elif not (math.isfinite(value) and value >= 0.0) or (name == "batch_size" and value != int(value)):
            problems.append(Problem("--set", name, f"found {value:g}", "a finite number from 0"))
        else:
            values[name] = int(value) if name == "batch_size" else value
    if problems:
        raise InputError(problems)
    return Recipe(**values)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Whole or absent; what is not known (NaN) becomes null.

    Raises:
        OutputError: if it cannot be written.
    """
    known = {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in content.items()
    }
    beside = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(known, indent=1, allow_nan=False) + "\n", "utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error


def digest(request: RunRequest) -> str:
    """Short text that two requests share if they ask for the same training."""
    asked = asdict(request)
    for name in ("folder", "power", "num_threads", "num_evaluations", "checkpoint_s", "is_recorded"):
        del asked[name]
    if request.num_processes == 1:
        del asked["num_processes"], asked["wrapping"]
    else:
        asked["device"] = torch.device(request.device).type  # every process has its own
    return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_summary(path: Path) -> RunSummary | None:
    """A summary that a run left; None if there is none, or it is of another shape."""
    try:
        found = json.loads(path.read_text("utf-8"))
        known: dict[str, Any] = {name: math.nan if value is None else value for name, value in found.items()}
        return RunSummary(**known)
    except (OSError, ValueError, TypeError, AttributeError):
        return None


class Reporting:
    """A recorder that passes everything on, and says how far the run is."""

    def __init__(self, inner: Recorder, report: Report | None, power: PowerStream | None = None) -> None:
        self._inner, self._report, self._power = inner, report, power
        self.sampling, self.evaluation = inner.sampling, inner.evaluation
        self.event, self.signature, self.flush = inner.event, inner.signature, inner.flush

    def step(self, row: Mapping[str, Any]) -> None:
        """One finished step."""
        self._inner.step(row)
        if self._power is not None:
            self._power.write_if_due()
        if self._report is not None:
            self._report(float(row["progress_frac"]))


def _manifest(request: RunRequest, trainer: Trainer, meter: PowerMeter) -> Manifest:
    task, recipe = trainer.task, trainer.recipe
    return Manifest(
        task=task.name,
        method=request.method,
        seed=request.seed,
        num_processes=trainer.parallel.world,
        budget=str(request.budget),
        num_parameters=num_parameters(trainer),
        recipe={key: value for key, value in asdict(recipe).items() if not isinstance(value, tuple)},
        settings={method.name: str(getattr(method, "settings", "")) for method in trainer.methods},
        device=device_facts(trainer.device, meter),
        software=software_facts(request.precision, is_compiled=request.compile),
        clock=clock_facts(trainer.work.clock_kind),
        power=power_begun(meter),
        data=Data(name=task.name, fingerprint=str(task.describe().get("fingerprint", ""))),
    )


def num_parameters(trainer: Trainer) -> int:
    """Parameters of the model."""
    return sum(parameter.numel() for parameter in trainer.model.parameters())


def _summary(request: RunRequest, trainer: Trainer, outcome: RunOutcome, energy: EnergyReport) -> RunSummary:
    task = trainer.task
    parallel = trainer.parallel
    used = parallel.total(outcome.progress.energy_j)
    mine = (outcome.energy_kind, energy.kind) if trainer.meter or parallel.local_rank == 0 else ()
    kind = combined_kind(*(one for kinds in parallel.everyone(mine) for one in kinds))
    return RunSummary(
        task=task.name,
        family=task.family,
        method=request.method,
        seed=request.seed,
        status=outcome.status,
        reason=outcome.reason,
        metric=task.metric,
        higher_is_better=task.higher_is_better,
        quality=outcome.quality.get(task.metric, math.nan),
        num_parameters=num_parameters(trainer),
        num_steps=outcome.progress.step,
        num_samples=outcome.progress.num_samples,
        flop_by_phase={phase: parallel.total(flop) for phase, flop in outcome.costs.flop_by_phase().items()},
        duration_by_phase_s=outcome.costs.duration_by_phase_s(),
        clock=trainer.work.clock_kind,
        energy_j=used if kind != "none" else math.nan,
        energy_kind=kind,
        energy_source=energy.source,
        steps_by_signature=dict(outcome.steps),
        step_s_by_signature={
            name: sum(entry.step_s().values()) for name, entry in outcome.costs.by_signature.items()
        },
        folder=str(request.folder),
        asked=digest(request),
        power_by_phase_w=power_by_phase(energy),
        num_processes=parallel.world,
    )
