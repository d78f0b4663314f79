"""Whether the price table of one run gives the time of another, and the saving of a method in time.

Run with ``python benchmarks/repricing.py [repeats] [task ...]``. For every task and method one run (seed 0) leaves
its table: seconds of a step by signature. The steps of a held-out run (seed 1), counted by signature and
priced with that table, are compared with two times of that run: what it booked in its phases, and the
processor time by a clock of its own around every whole turn of the loop. The ratio of a method to none is
priced from the tables of seed 0 and measured by that second clock on seed 1. All runs of a task advance in turn
by a few steps, so that load from neighbours falls on all alike. The first step of each signature counts operations
and is slow; it is taken at the mean of its signature, on all sides. What is done once, outside of steps, is in
by the table's own run on one side and by the clock on the other, without the time that counting took. Last stands
how much of the clocked time of the timed steps the phases of the same run cover.
"""

# ruff: noqa: INP001, T201 - a script that measures and prints

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from simtool.engine.budget import Budget
from simtool.engine.method import parse_methods
from simtool.engine.task import Task, TaskOptions, load_task
from simtool.engine.trainer import RunSettings, Trainer

NONE = "none"
CASES: dict[str, tuple[int, tuple[str, ...]]] = {
    "char-gpt": (96, ("counted-priors", "progressive-size", "progressive-size:what=window", "growth")),
    "image-cnn": (96, ("progressive-size", "selective-backprop")),
    "tabular-mlp": (
        480,
        ("layer-freezing:rule=scheduled", "batch-ramp", "infobatch", "random-subset", "weight-averaging"),
    ),
    "image-vit": (128, ("muon", "stochastic-depth", "token-dropping")),
    "series-gru": (80, ("progressive-size",)),
    "fine-tune-cnn": (256, ("tensor-selection",)),
}
"""Whole steps of a run, and methods, by task. InfoBatch prunes from the second pass over the data on: 480 steps of 16
samples are several passes over the table."""
SEEDS = (0, 1)
NUM_REPEATS = 5
BLOCK = 4
"""Steps of one run before the next run has its turn."""
WARM_UP_FRAC = 0.1
ALLOWED_ERROR = 0.05
"""Of the predicted time, as a share; of the ratio, as a difference."""


class Clocked:
    """A run, and what its steps took by a clock that the engine does not know."""

    def __init__(self, task: Task, method: str, seed: int, num_steps: float) -> None:
        budget = Budget(num_steps * task.recipe.batch_size, "samples")
        self.trainer = Trainer(
            task, parse_methods(method), RunSettings(budget=budget, seed=seed, num_evaluations=0)
        )
        counting_s, begin_s = self.trainer.work.counting_s, time.process_time()
        self.trainer.set_up()
        self._once_s = time.process_time() - begin_s - (self.trainer.work.counting_s - counting_s)
        self._progress = self.trainer.progress()
        self._steps_s: dict[str, list[float]] = {}
        self._counted_s: dict[str, float] = {}

    def advance(self, num_steps: int) -> bool:
        """Some steps; whether there are more to do."""
        for _ in range(num_steps):
            if self._progress.frac >= 1.0:
                return False
            self._advance()
        return True

    def _advance(self) -> None:
        work = self.trainer.work
        before = {name: entry.num_steps for name, entry in work.costs.by_signature.items()}
        once_s, counting_s, begin_s = self.once_s, work.counting_s, time.process_time()
        _, self._progress = self.trainer.advance(self._progress)
        duration_s = time.process_time() - begin_s - (work.counting_s - counting_s)
        once_s = self.once_s - once_s
        (signature,) = (
            name for name, entry in work.costs.by_signature.items() if entry.num_steps > before.get(name, 0)
        )
        self._once_s += once_s
        if signature in before:
            self._steps_s.setdefault(signature, []).append(duration_s - once_s)
        else:
            self._counted_s[signature] = duration_s - once_s

    @property
    def once_s(self) -> float:
        """What was booked outside of steps."""
        return sum(value for phase, value in self.trainer.work.costs.once_s.items() if phase != "eval")

    @property
    def num_steps(self) -> dict[str, int]:
        """Steps by signature."""
        return {name: entry.num_steps for name, entry in self.trainer.work.costs.by_signature.items()}

    def clocked_s(self) -> float:
        """Processor time of the run; a counted step at the mean of the others of its kind."""
        return self._once_s + sum(
            sum(self._steps_s.get(name, [])) + statistics.fmean(self._steps_s.get(name, [counted_s]))
            for name, counted_s in self._counted_s.items()
        )

    def covered_frac(self) -> float:
        """Phases over the clock, of the timed steps."""
        entries = self.trainer.work.costs.by_signature.values()
        return sum(entry.total_s for entry in entries) / sum(map(sum, self._steps_s.values()))

    def price_s(self, num_steps: dict[str, int]) -> float:
        """Time of these steps at the prices of this run, with what it did once."""
        return self.once_s + self.trainer.work.costs.price_s(num_steps)


@dataclass(frozen=True, slots=True)
class Pair:
    """One repeat of one method, and of none beside it."""

    num_signatures: int
    predicted_s: float
    booked_s: float
    clocked_s: float
    covered_frac: float
    predicted_frac: float
    measured_frac: float


def run_together(runs: list[Clocked]) -> None:
    """All runs to their end, in turn; who begins a round changes."""
    is_going = True
    while is_going:
        is_going = sum(run.advance(BLOCK) for run in runs) > 0
        runs = [*runs[1:], runs[0]]


def repeats(
    task: Task, methods: tuple[str, ...], num_steps: int, num_repeats: int
) -> Iterator[dict[str, Pair]]:
    """Pairs by method, repeat by repeat, after a warm-up that is thrown away."""
    run_together([Clocked(task, method, 0, num_steps * WARM_UP_FRAC) for method in methods])
    for _ in range(num_repeats):
        runs = {
            (method, seed): Clocked(task, method, seed, num_steps) for method in methods for seed in SEEDS
        }
        run_together(list(runs.values()))
        predicted_s, booked_s, clocked_s = {}, {}, {}
        for method in methods:
            table, held_out = runs[method, 0], runs[method, 1]
            predicted_s[method] = table.price_s(held_out.num_steps)
            booked_s[method] = held_out.trainer.work.costs.duration_s()
            clocked_s[method] = held_out.clocked_s()
        yield {
            method: Pair(
                num_signatures=len(runs[method, 1].num_steps),
                predicted_s=predicted_s[method],
                booked_s=booked_s[method],
                clocked_s=clocked_s[method],
                covered_frac=runs[method, 1].covered_frac(),
                predicted_frac=predicted_s[method] / predicted_s[NONE],
                measured_frac=clocked_s[method] / clocked_s[NONE],
            )
            for method in methods
        }


def row(task: str, method: str, pairs: list[Pair]) -> tuple[str, tuple[bool, ...]]:
    """One line, and which of its three comparisons are within what is allowed; medians over the repeats."""
    middle = {
        name: statistics.median(getattr(pair, name) for pair in pairs) for name in Pair.__dataclass_fields__
    }
    booked = statistics.median(pair.predicted_s / pair.booked_s - 1.0 for pair in pairs)
    clocked = statistics.median(pair.predicted_s / pair.clocked_s - 1.0 for pair in pairs)
    difference = statistics.median(pair.predicted_frac - pair.measured_frac for pair in pairs)
    ratios = f"{middle['predicted_frac']:7.3f} {middle['measured_frac']:8.3f} {difference:+7.3f}"
    text = (
        f"{task:<13} {method:<29} {middle['num_signatures']:5.0f} {middle['predicted_s']:9.3f} "
        f"{middle['booked_s']:8.3f} {booked:+7.1%} {middle['clocked_s']:9.3f} {clocked:+7.1%} "
        f"{middle['covered_frac']:8.1%} "
        f"{'' if method == NONE else ratios}"
    )
    return text.rstrip(), tuple(abs(value) <= ALLOWED_ERROR for value in (booked, clocked, difference))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    num_repeats = int(sys.argv[1]) if len(sys.argv) > 1 else NUM_REPEATS
    print(f"medians of {num_repeats} repeats; processor time; allowed: 5 % of time, 0.05 of the ratio")
    print(
        f"{'task':<13} {'method':<29} kinds predicted   booked   error   clocked   error  covered   "
        "ratio measured    diff"
    )
    verdicts = []
    for name in sys.argv[2:] or CASES:
        num_steps, chosen = CASES[name]
        methods = (NONE, *chosen)
        found = list(repeats(load_task(name, TaskOptions()), methods, num_steps, num_repeats))
        for method in methods:
            text, verdict = row(name, method, [pairs[method] for pairs in found])
            verdicts.append((method, verdict))
            print(text, flush=True)
    for place, what in enumerate(("booked time within 5 %", "clocked time within 5 %", "ratio within 0.05")):
        asked = [verdict[place] for method, verdict in verdicts if method != NONE or place < 2]
        print(f"{what}: {sum(asked)} of {len(asked)} rows")


if __name__ == "__main__":
    main()
