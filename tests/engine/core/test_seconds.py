"""A budget of seconds charges what ordinary steps take, not the slow first one; and Ctrl-C waits for a step's end."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.costs import CostTable
from simtool.engine.count import Counts, OpKey
from simtool.engine.method import Method
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError
from tests.engine.toy import LENGTH, ToyTask

torch.set_num_threads(1)

SLOW_S, STEP_S = 100.0, 1.0


class Clock:
    """Stands still but for what the task says a step takes."""

    kind = "process"

    def __init__(self) -> None:
        self.now_s = 0.0

    def read_s(self) -> float:
        return self.now_s


class Timed(ToyTask):
    """Its first batch of each size takes long, the others a second."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.seen = clock, set[int | None]()

    def batch(self, indices: Any, size: int | None, generator: Any) -> Any:
        self.clock.now_s += STEP_S if size in self.seen else SLOW_S
        self.seen.add(size)
        return super().batch(indices, size, generator)


class Halves(Method):
    """Half the length in the first half."""

    def plan(self, progress: Any, plan: Any) -> Any:
        return plan.changed(size=LENGTH // 2) if progress.frac < 0.5 else plan


def run(budget: str, *methods: Method) -> Any:
    clock = Clock()
    settings = RunSettings(budget=Budget.parse(budget), num_evaluations=0)
    trainer = Trainer(Timed(clock), methods, settings)
    trainer.work._clock = clock
    return trainer.run()


def test_a_slow_first_step_does_not_eat_the_budget() -> None:
    outcome = run("20 s")
    assert outcome.steps == {"n8": 20}
    assert outcome.progress.duration_s == pytest.approx(20 * STEP_S)
    assert outcome.progress.frac == pytest.approx(1.0)


def test_a_slow_first_step_of_a_later_kind_is_priced_by_the_kinds_that_are_known() -> None:
    outcome = run("20 s", Halves())
    assert sum(outcome.steps.values()) == 20
    assert outcome.progress.duration_s == pytest.approx(20 * STEP_S)


def test_a_budget_of_seconds_below_a_step_is_refused() -> None:
    with pytest.raises(InputError, match=r"0\.1 is less than half of one step, which used 1"):
        run("0.1 s")


def test_progress_never_falls() -> None:
    clock = Clock()
    trainer = Trainer(Timed(clock), [Halves()], RunSettings(budget=Budget.parse("30 s"), num_evaluations=0))
    trainer.work._clock = clock
    progress, seen = trainer.progress(), []
    while progress.frac < 1.0:
        _, progress = trainer.advance(progress)
        seen.append(progress.frac)
    assert seen == sorted(seen)
    assert seen[0] == 0.0  # the first step is charged when the second has told what it takes
    assert seen[1] == pytest.approx(2 * STEP_S / 30)


def counts(flop: float, calls: int) -> Counts:
    made = Counts()
    for _ in range(calls):
        made.add(OpKey("forward", "mm", (), ""), flop / calls, 0.0)
    return made


def test_a_kind_that_ran_once_is_estimated_and_never_above_what_it_took() -> None:
    table = CostTable()
    table.book("a", {"forward": 50.0}, counts(1000.0, 10))
    assert table.is_unpriced
    assert table.duration_s() == 50.0  # all that is known is an upper bound
    table.book("a", {"forward": 4.0}, None)
    assert not table.is_unpriced
    table.book("b", {"forward": 30.0}, counts(500.0, 10))  # half the operations in as many calls
    assert table.by_signature["b"].mean_s() == pytest.approx(4.0 * (0.5 + 1.0) / 2)
    assert table.duration_s() == pytest.approx(8.0 + 3.0)
    table.book("c", {"forward": 0.1}, counts(5000.0, 50))
    assert table.by_signature["c"].mean_s() == 0.1
    assert CostTable.from_state(table.state_dict()).duration_s() == table.duration_s()


class PressedInTheMiddle(ToyTask):
    """Somebody presses Ctrl-C while a loss is computed."""

    def __init__(self, at: int, times: int = 1) -> None:
        super().__init__()
        self.at, self.times, self.num_losses = at, times, 0

    def loss(self, outputs: Any, batch: Any) -> Any:
        self.num_losses += 1
        if self.num_losses == self.at:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)
        return super().loss(outputs, batch)


SETTINGS = RunSettings(budget=Budget.parse("160 samples"))


def test_ctrl_c_within_a_step_waits_for_its_end_and_the_run_goes_on_exactly(tmp_path: Path) -> None:
    whole = Trainer(ToyTask(), [], SETTINGS)
    expected = whole.run()
    stopped = Trainer(PressedInTheMiddle(at=7), [], SETTINGS).run(CheckpointStore(tmp_path))
    assert (stopped.status, stopped.progress.step) == ("interrupted", 7)
    resumed = Trainer(ToyTask(), [], SETTINGS)
    outcome = resumed.run(CheckpointStore(tmp_path))
    assert outcome.progress.step == expected.progress.step
    assert outcome.costs.flop_by_phase() == expected.costs.flop_by_phase()
    for name, value in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], value)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_at_once_and_saves_no_half_step(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    stopped = Trainer(PressedInTheMiddle(at=7, times=2), [], SETTINGS).run(store)
    assert (stopped.status, stopped.progress.step) == ("interrupted", 6)
    assert not store.path.exists()
