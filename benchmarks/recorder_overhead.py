"""What the recorder adds to a step that it does not profile: medians over interleaved pairs of steps.

Run with ``python benchmarks/recorder_overhead.py [pairs]``. Two runs of one task, with the same seed, advance
in turn by a few steps, one with a recorder and one without; which goes first alternates. Time is processor
time, which neighbours on a shared machine do not enter. What the writing thread does twice a second is
measured by itself and divided by the steps of that time: it would fall on either run of a pair.
"""

# ruff: noqa: INP001, T201 - a script that measures and prints

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from simtool.engine.budget import Budget
from simtool.engine.method import Method
from simtool.engine.recorder import TraceRecorder
from simtool.engine.task import TaskOptions, load_task
from simtool.engine.trainer import RunSettings, Trainer
from simtool.trace import Manifest, TraceWriter
from simtool.trace.writer import FLUSH_INTERVAL_S

TASKS = {"tabular-mlp": TaskOptions(), "char-gpt": TaskOptions()}
NUM_PAIRS = 300
STEPS = 2
"""Steps of one run of a pair."""
FLUSHED_EVERY = 25
"""Pairs between two writes: about as many rows as half a second of short steps has."""
MICROSECONDS = 1e6


class Running:
    """A run that advances by some steps at a time."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        trainer.set_up()
        self._progress = trainer.progress()

    def block_s(self, num_steps: int) -> float:
        """Processor time of some steps."""
        begin_s = time.process_time()
        for _ in range(num_steps):
            _, self._progress = self._trainer.advance(self._progress)
        return time.process_time() - begin_s


def measure(name: str, options: TaskOptions, num_pairs: int, folder: Path) -> str:
    """One row of the table."""
    settings = RunSettings(budget=Budget.parse("1e9 samples"), num_evaluations=0)
    writer = TraceWriter(folder, Manifest(task=name), flush_interval_s=1e6)
    recorder = TraceRecorder(writer, num_samples=0, sample_every=0)
    bare = Running(Trainer(load_task(name, options), [Method()], settings))
    recorded = Running(Trainer(load_task(name, options), [Method()], settings, recorder=recorder))
    for run in (bare, recorded):
        run.block_s(5)
    added, plain, writes = [], [], []
    writer.flush()
    for pair in range(num_pairs):
        order = (bare, recorded) if pair % 2 else (recorded, bare)
        times = {run is recorded: run.block_s(STEPS) / STEPS for run in order}
        added.append(times[True] - times[False])
        plain.append(times[False])
        if pair % FLUSHED_EVERY == FLUSHED_EVERY - 1:
            begin_s = time.process_time()
            writer.flush()
            writes.append(time.process_time() - begin_s)
    writer.abandon()
    step_s = statistics.median(plain)
    write_s = statistics.median(writes) * step_s / FLUSH_INTERVAL_S
    low, middle, high = statistics.quantiles(added, n=4)
    times_us = [MICROSECONDS * seconds for seconds in (middle, low, high, write_s)]
    return (
        f"{name:<12} {step_s * 1e3:9.2f} {times_us[0]:9.1f} {times_us[1]:9.1f} {times_us[2]:9.1f} "
        f"{times_us[3]:9.1f} {(middle + write_s) / step_s:9.2%}"
    )


def alone_s(folder: Path, num_rows: int = 4000) -> float:
    """Processor time of the recorder's part in a step, without the step."""
    recorder = TraceRecorder(
        TraceWriter(folder, Manifest(), flush_interval_s=1e6), num_samples=0, sample_every=0
    )
    numbers = ("progress_frac", "learning_rate", "loss", "duration_s", "data_s", "forward_s", "backward_s")
    row = {"signature": "n16", "step": 1, "num_samples": 16, **dict.fromkeys(numbers, 0.5)}
    row |= {"optimizer_s": 0.5, "flop": 1e9, "energy_j": 0.0}
    begin_s = time.process_time()
    for step in range(num_rows):
        with recorder.sampling(step, "n16"):
            pass
        recorder.step(row)
    duration_s = time.process_time() - begin_s
    recorder.writer.abandon()
    return duration_s / num_rows


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    num_pairs = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_PAIRS
    with tempfile.TemporaryDirectory() as folder:
        print(f"row by itself: {MICROSECONDS * alone_s(Path(folder) / 'trace'):.1f} us")
    print(f"{num_pairs} pairs of {STEPS} steps; processor time; difference of a pair: median and quartiles")
    print("task          step, ms  row, us     lower     upper write, us     share")
    for name, options in TASKS.items():
        with tempfile.TemporaryDirectory() as folder:
            print(measure(name, options, num_pairs, Path(folder) / "trace"), flush=True)


if __name__ == "__main__":
    main()
