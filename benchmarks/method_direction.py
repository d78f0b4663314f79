"""Which methods beat the decayed baseline at equal operations, on three tasks with five seeds.

Run with ``python benchmarks/method_direction.py [--quick] [--reference DIR] [--task NAME]``. Every row trains the
same task within the same operations, all that the method adds included; rows at half the budget show how much of
the operations could be left out. The baseline is the task's own AdamW recipe with the learning rate decayed
to 0 inside the budget. The right-sized baseline is a smaller model (half the side or half the width) with
no method: a gain that it has too is advice about the model. All methods run with the settings that they ship with,
unless the row says otherwise. Quality is of the test part, on which nothing was chosen. Seeds are paired: a seed
gives both runs the same start and the same order of data.
"""

# ruff: noqa: INP001, T201 - a script that measures and prints

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from simtool.engine.budget import Budget
from simtool.engine.experiment import folder_name, run_all
from simtool.engine.measure import RunRequest, RunSummary
from simtool.engine.method import parse_methods
from simtool.engine.methods.muon import Muon
from simtool.engine.task import TaskOptions, load_task
from simtool.engine.trainer import RunSettings, Trainer

NUM_SEEDS = 5
NUM_ERRORS = 2.0
"""A difference of fewer standard errors is no difference."""
QUICK_PART = 8
"""What `--quick` divides the budgets by."""
GIGA = 1e9
NONE = "none"
REFERENCES = ("infobatch", "selective-backprop", "layer-freezing")
PRIORS = "counted-priors+progressive-size"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    method: str
    budget_frac: float = 1.0
    is_right_sized: bool = False

    @property
    def label(self) -> str:
        """As it is printed."""
        name = "right-sized baseline" if self.is_right_sized else self.method.replace(NONE, "baseline")
        return name if self.budget_frac == 1.0 else f"{name}, {self.budget_frac:g} budget"


@dataclass(frozen=True, slots=True)
class Case:
    """One task with its budget and rows; the first row is the baseline."""

    task: str
    options: TaskOptions
    budget_flop: float
    rows: tuple[Row, ...]
    data: str


def rows(*methods: str, halved: str) -> tuple[Row, ...]:
    """The baseline whole, halved and right-sized, the methods, one of them at half the budget, the references."""
    return (
        Row(NONE),
        Row(NONE, budget_frac=0.5),
        Row(NONE, is_right_sized=True),
        *map(Row, methods),
        Row(halved, budget_frac=0.5),
        *map(Row, REFERENCES),
    )


def cases(reference: Path | None) -> tuple[Case, ...]:
    """The three tasks; with a folder of reference data, the network gets larger digits."""
    images = TaskOptions()
    if reference is not None:
        images = TaskOptions(data=reference / "data" / "datasets" / "mnist", max_samples=2500)
    return (
        Case(
            "char-gpt",
            TaskOptions(),
            70.0 * GIGA,
            rows("muon", PRIORS, f"{PRIORS}+muon", f"{PRIORS}+muon+growth", halved=f"{PRIORS}+muon"),
            "Python's standard library",
        ),
        Case(
            "image-cnn",
            images,
            (12.0 if reference is None else 30.0) * GIGA,
            rows("muon", "progressive-size", "muon+progressive-size", halved="muon+progressive-size"),
            "digits of 8 x 8" if reference is None else "2,500 digits of MNIST, 28 x 28, turned and noisy",
        ),
        Case(
            "image-vit",
            TaskOptions(),
            15.0 * GIGA,
            rows("muon", "growth", "muon+growth", "muon+growth:how=zero", halved="muon"),
            "digits of 8 x 8, shifted",
        ),
    )


def options_of(case: Case, row: Row) -> TaskOptions:
    """The options of the case; of its right-sized variant where the row asks for it."""
    if not row.is_right_sized:
        return case.options
    smaller = load_task(case.task, case.options).right_sized()
    options = getattr(smaller, "options", None)
    if not isinstance(options, TaskOptions):
        raise TypeError(f"task {case.task} has no right-sized variant")
    return options


def requests(case: Case, num_seeds: int, part: float, folder: Path) -> list[RunRequest]:
    """All runs of a case, seed by seed, so that load from neighbours falls on all rows alike."""
    options = {row: options_of(case, row) for row in case.rows}
    return [
        RunRequest(
            task=case.task,
            method=row.method,
            budget=Budget(case.budget_flop * row.budget_frac / part, "flop"),
            seed=seed,
            folder=folder / folder_name(f"{case.task}-{row.label}-{seed}"),
            options=options[row],
            power="none",
            num_evaluations=0,
            is_recorded=False,
        )
        for seed in range(num_seeds)
        for row in case.rows
    ]


def gate_of(case: Case) -> str:
    """What the gate of muon says of this task."""
    (method,) = parse_methods("muon")
    trainer = Trainer(load_task(case.task, case.options), [method], RunSettings(budget=Budget(1e12, "flop")))
    trainer.set_up()
    if not isinstance(method, Muon) or method.gate is None:
        raise TypeError("the method called muon has no gate")
    gate = method.gate
    if not gate.is_open:
        return f"muon fell back to AdamW: it would add {gate.overhead_frac:.0%} to a step"
    return f"muon: {gate.num_iterations} iterations, every {gate.every}, adds {gate.overhead_frac:.0%}"


def table(case: Case, runs: Sequence[RunSummary], num_seeds: int, part: float) -> list[str]:
    """The lines of one task."""
    by_row = {row: list(runs[index :: len(case.rows)]) for index, row in enumerate(case.rows)}
    base = by_row[case.rows[0]]
    sign = 1.0 if base[0].higher_is_better else -1.0
    gate = gate_of(case)
    num_steps = statistics.fmean(run.num_steps for run in base)
    flop = case.budget_flop / part / GIGA
    order = "higher" if sign > 0.0 else "lower"
    title = (
        f"{case.task} ({case.data}): {flop:g} GFLOP, {base[0].num_parameters} parameters, "
        f"baseline {num_steps:.0f} steps; quality is {base[0].metric}, {order} is better"
    )
    header = f"{'row':<46} n  quality             gain    s.e.    operations  time   verdict"
    lines = [title, header]
    for row, found in by_row.items():
        pairs = [
            (run, other)
            for run, other in zip(found, base, strict=True)
            if math.isfinite(run.quality) and math.isfinite(other.quality)
        ]
        lines.append(f"{row.label:<46} {line(pairs, sign, row, gate)}")
        if len(pairs) < num_seeds:
            lines.append(f"    {num_seeds - len(pairs)} of {num_seeds} did not finish")
    return lines


def line(pairs: Sequence[tuple[RunSummary, RunSummary]], sign: float, row: Row, gate: str) -> str:
    """Numbers of one row: gain is the paired difference to the baseline, positive where the row is better."""
    if len(pairs) < 2:
        return f"{len(pairs)}  too few runs"
    values = [run.quality for run, _ in pairs]
    gains = [sign * (run.quality - other.quality) for run, other in pairs]
    gain, error = statistics.fmean(gains), statistics.stdev(gains) / math.sqrt(len(gains))
    flop = statistics.fmean(run.flop / other.flop for run, other in pairs)
    time_frac = statistics.median(run.duration_s / other.duration_s for run, other in pairs)
    verdict = ["worse", "no difference", "better"][
        1 + (gain > NUM_ERRORS * error) - (gain < -NUM_ERRORS * error)
    ]
    if all(run is other for run, other in pairs):
        verdict = ""
    elif "muon" in row.method:
        verdict = f"{verdict} ({gate})"
    return (
        f"{len(pairs)}  {statistics.fmean(values):.4f} ± {statistics.stdev(values):.4f}  {gain:+.4f}  {error:.4f}  "
        f"{flop:8.2f}  {time_frac:6.2f}   {verdict}"
    )


def main() -> None:
    """Train everything, and print one table a task as soon as it is known."""
    torch.set_num_threads(1)
    asked = argparse.ArgumentParser(description="Methods against the decayed baseline at equal operations.")
    asked.add_argument("--quick", action="store_true", help="two seeds and an eighth of the budgets")
    asked.add_argument("--reference", type=Path, help="folder that holds data/datasets/mnist")
    asked.add_argument("--task", help="only this one")
    asked.add_argument("--workers", type=int, default=2)
    found = asked.parse_args()
    num_seeds, part = (2, QUICK_PART) if found.quick else (NUM_SEEDS, 1)
    print(f"seeds 0 to {num_seeds - 1}; budgets divided by {part}; verdict at {NUM_ERRORS:g} standard errors")
    for case in cases(found.reference):
        if found.task in (None, case.task):
            with tempfile.TemporaryDirectory() as folder:
                wanted = requests(case, num_seeds, part, Path(folder))
                runs = run_all(wanted, num_workers=found.workers)
            print("", *table(case, runs, num_seeds, part), sep="\n", flush=True)


if __name__ == "__main__":
    main()
