"""A few training steps of every task with every method that fits it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from simtool.engine.budget import Budget
from simtool.engine.method import METHODS, parse_methods
from simtool.engine.recorder import TraceRecorder
from simtool.engine.suites.bench import EAGER, Bench, row
from simtool.engine.suites.part import Row, Unmeasurable
from simtool.engine.suites.point import Point
from simtool.engine.task import TASKS, Task, TaskOptions, load_task
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.errors import InputError
from simtool.trace import Manifest, TraceWriter

NUM_STEPS = 16
NUM_SAMPLED = 2
"""Steps of each kind of plain training that the profiler watches; it slows a step down manyfold."""
NUM_SAMPLED_WIDE = 5
NUM_TIMED = 3
"""Steps that a run times at least, unless it takes far too long."""
MOST_S: Mapping[str, float] = {"gpu": 2.0, "cpu": 1.5}
"""After which a run is stopped, if it has timed some steps; after four times as long, even if it has not."""
PLAIN = "none"
WIDE = "-wide"
"""Ending of a task whose model is wide enough that products fill the device."""
WIDE_TASKS = ("char-gpt", "masked-encoder", "byte-gpt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    """How wide a wide model is."""

    width: int
    depth: int
    batch_size: int


WIDTHS: Mapping[str, Width] = {
    "gpu": Width(width=1024, depth=6, batch_size=64),
    "cpu": Width(width=256, depth=2, batch_size=8),
}
MAX_SAMPLES = 4096
"""Training samples that a task makes ready: steps take no more."""


class TrainingPart:
    """Steps through the trainer, recorded under ``<task>/<method>: <signature>``; plain ones operation by operation."""

    name: ClassVar[str] = "training"
    share: ClassVar[float] = 0.22

    def __init__(self, writer: TraceWriter, tasks: Sequence[str] = (), methods: Sequence[str] = ()) -> None:
        self._writer = writer
        self._tasks = tuple(tasks or sorted(TASKS))
        self._methods = tuple(methods or sorted(METHODS, key=lambda name: (name != "none", name)))
        self._loaded: dict[str, Task] = {}

    def points(self, bench: Bench) -> Sequence[Point]:
        """Plain training first, of wide models before all, since their products compare with those measured alone."""
        runs = [
            (f"{task}{WIDE}", PLAIN) for task in WIDE_TASKS if task in self._tasks and PLAIN in self._methods
        ]
        runs += [(task, method) for method in self._methods for task in self._tasks]
        dtype = _precision(bench)
        return [
            Point(part="training", op=f"{task}/{method}", dtype=dtype, mode=EAGER) for task, method in runs
        ]

    def measure(self, bench: Bench, point: Point) -> Row:
        """Time of a step, over all kinds of steps that came up.

        Raises:
            Unmeasurable: the method does not fit the task, the data is not there, or no step was timed.
        """
        task_name, _, method_name = point.op.partition("/")
        begin_s = time.monotonic()
        try:
            trainer = self._trainer(bench, task_name, method_name, point)
            trainer.set_up()
        except InputError as error:
            raise Unmeasurable("; ".join(problem.found for problem in error.problems)) from error
        begin_j, window_begin_s = bench.energy_j(), time.monotonic()
        while (progress := trainer.progress()).frac < 1.0:
            trainer.step(progress)
            if _is_enough(trainer, time.monotonic() - window_begin_s, MOST_S[bench.facts.kind]):
                break
        drawn = bench.drawn(begin_j, time.monotonic() - window_begin_s)
        _end(trainer)
        found = steps_of(trainer)
        if not found.durations_s:
            raise Unmeasurable("every step was of another kind, so none was timed")
        p10, median, p90 = np.percentile(found.durations_s, [10, 50, 90])
        return {
            **row(point, begin_s),
            "flop": found.flop,
            "size_bytes": found.size_bytes,
            "mode": EAGER,
            "num_calls": trainer.num_steps,
            "num_repeats": len(found.durations_s),
            "duration_median_s": float(median),
            "duration_p10_s": float(p10),
            "duration_p90_s": float(p90),
            **drawn,
        }

    def _trainer(self, bench: Bench, task_name: str, method_name: str, point: Point) -> Trainer:
        is_wide = task_name.endswith(WIDE)
        task = self._task(task_name, WIDTHS[bench.facts.kind] if is_wide else None)
        recipe = task.recipe
        if is_wide:
            recipe = replace(recipe, batch_size=WIDTHS[bench.facts.kind].batch_size)
        labelled = LabelledWriter(self._writer, point.op, with_ops=method_name == PLAIN)
        return Trainer(
            task,
            parse_methods(method_name),
            RunSettings(
                budget=Budget(float(NUM_STEPS * recipe.batch_size), "samples"),
                recipe=recipe,
                seed=bench.seed,
                precision=point.dtype,
                device=str(bench.device),
                num_evaluations=0,
            ),
            recorder=_recorder(labelled, bench, _num_sampled(method_name, is_wide=is_wide)),
        )

    def _task(self, name: str, wide: Width | None) -> Task:
        if name not in self._loaded:
            options = TaskOptions(max_samples=MAX_SAMPLES)
            if wide is not None:
                options = replace(options, width=wide.width, depth=wide.depth)
            self._loaded[name] = load_task(name.removesuffix(WIDE), options)
        return self._loaded[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What the steps of a run came to."""

    durations_s: list[float]
    """Of the timed ones."""
    flop: float
    """Of a step, the mean over all [FLOP]."""
    size_bytes: float


def steps_of(trainer: Trainer) -> Steps:
    """Durations and work of the steps that a trainer has done."""
    entries = list(trainer.work.costs.by_signature.values())
    num_steps = max(1, sum(entry.num_steps for entry in entries))
    counted = [(entry.num_steps, count) for entry in entries for count in entry.counts.ops.values()]
    return Steps(
        durations_s=[sum(sample.values()) for entry in entries for sample in entry.samples_s],
        flop=sum(number * count.flop for number, count in counted) / num_steps,
        size_bytes=sum(number * count.size_bytes for number, count in counted) / num_steps,
    )


class LabelledWriter:
    """A trace for many runs: what a recorder writes of one of them carries its name.

    Args:
        writer: the trace.
        label: of the run.
        with_ops: whether operations are kept; without them the phases still tell work and time.
    """

    def __init__(self, writer: TraceWriter, label: str, *, with_ops: bool = True) -> None:
        self._writer, self._label, self._with_ops = writer, label, with_ops

    @property
    def manifest(self) -> Manifest:
        """Of the whole trace."""
        return self._writer.manifest

    def close(self, **facts: Any) -> None:
        """Forgotten: the trace goes on with the next run."""

    def step(self, row: Mapping[str, Any]) -> None:
        """One step, under the run's name."""
        self._writer.step(self._named(row))

    def event(self, row: Mapping[str, Any]) -> None:
        """One event, with the run's name."""
        self._writer.event({**row, "detail": {**dict(row["detail"]), "run": self._label}})

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Forgotten: a few steps have no quality."""

    def signatures(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Kinds of steps, under the run's name."""
        self._writer.signatures([self._named(one) for one in rows])

    def phases(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Times of phases, under the run's name."""
        self._writer.phases([self._named(one) for one in rows])

    def ops(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Operations, under the run's name."""
        if self._with_ops:
            self._writer.ops([self._named(one) for one in rows])

    def _named(self, row: Mapping[str, Any]) -> dict[str, Any]:
        return {**row, "signature": f"{self._label}: {row['signature']}"}


def _num_sampled(method: str, *, is_wide: bool) -> int:
    if method != PLAIN:
        return 0
    return NUM_SAMPLED_WIDE if is_wide else NUM_SAMPLED


def _is_enough(trainer: Trainer, elapsed_s: float, most_s: float) -> bool:
    num_timed = sum(entry.num_timed for entry in trainer.work.costs.by_signature.values())
    return elapsed_s > (most_s if num_timed >= NUM_TIMED else 4.0 * most_s)


def _recorder(writer: LabelledWriter, bench: Bench, num_samples: int) -> TraceRecorder:
    stand_in: Any = writer
    return TraceRecorder(stand_in, sample_every=0, num_samples=num_samples, device=bench.device)


def _end(trainer: Trainer) -> None:
    """Have the recorder write what it knows: prices of all kinds of steps, and of the work between them."""
    outcome = RunOutcome(
        status="finished",
        progress=trainer.progress(),
        quality={},
        validation={},
        costs=trainer.work.costs,
        energy_kind="none",
        reason="a few steps of a suite",
    )
    recorder: Any = trainer.recorder
    recorder.close(outcome)


def _precision(bench: Bench) -> str:
    return "bfloat16" if bench.facts.kind == "gpu" and bench.facts.has_bfloat16 else "float32"
