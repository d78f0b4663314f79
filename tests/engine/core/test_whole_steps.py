"""Nothing that a step does lies outside of its phases: neither operations nor time."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from simtool.engine.budget import Budget
from simtool.engine.count import Counts, OpCounter
from simtool.engine.method import Method, parse_methods
from simtool.engine.trainer import RunSettings, Trainer
from simtool.engine.work import Work
from tests.engine.test_method_contract import TEXTS, VARIANTS, fits, settings_for, small
from tests.engine.toy import ToyTask

torch.set_num_threads(1)

LOOSE_CALLS = 80
"""Calls of a step, out of a thousand and more, that may lie outside of what is booked: those that begin and end the
booking, the recorder's part, and what follows the last step of all."""


class InPhase(TorchDispatchMode):
    """Takes down every operation that reaches torch while no phase is open."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.work, self.num_seen, self.loose = work, 0, list[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.num_seen += 1
        if not self.work._inside:
            self.loose.append(str(func))
        return func(*args, **(kwargs or {}))


class Calls:
    """A clock that counts Python's calls, so that it tells the same on every machine."""

    kind = "calls"

    def __init__(self) -> None:
        self.num_calls = 0

    def read_s(self) -> float:
        return float(self.num_calls)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        self.num_calls += event in ("call", "c_call")

    def __enter__(self) -> None:
        sys.setprofile(self)

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)


def ready(text: str, name: str = "toy", num_steps: int = 6) -> Trainer:
    task = small(name)
    settings = settings_for(task, budget=Budget(8 * num_steps, "samples"))
    trainer = Trainer(task, parse_methods(text), settings)
    trainer.set_up()
    return trainer


@pytest.mark.parametrize("text", [*TEXTS, *VARIANTS])
@pytest.mark.parametrize("name", ["toy", "image-cnn", "masked-encoder"])
def test_every_operation_of_a_step_runs_in_a_phase(name: str, text: str) -> None:
    if not fits(text, small(name)):
        return
    trainer = ready(text, name)
    progress = trainer.progress()
    with InPhase(trainer.work) as seen:
        while progress.frac < 1.0:
            _, progress = trainer.advance(progress)
        for method in trainer.methods:
            method.finish(trainer.work)
    assert seen.num_seen > 100
    assert seen.loose == []


@pytest.mark.parametrize("text", TEXTS)
def test_the_phases_cover_the_whole_of_every_step(text: str) -> None:
    """By a clock of the test around whole turns of the loop, against what the engine booked of them."""
    trainer = ready(text, num_steps=40)
    work = trainer.work
    work._clock = clock = Calls()
    progress = trainer.progress()
    wholes, bookeds = [0], [0.0]
    while progress.frac < 1.0:
        begin, num_kinds = clock.num_calls, len(work.costs.by_signature)
        once_s = sum(work.costs.once_s.values())
        with clock:
            _, progress = trainer.advance(progress)
        if len(work.costs.by_signature) == num_kinds:  # else it was counted, which is no work of the run
            wholes.append(clock.num_calls - begin)
            bookeds.append(sum(work.last_step_s.values()) + sum(work.costs.once_s.values()) - once_s)
    assert len(wholes) > 20
    loose = (sum(wholes) - sum(bookeds)) / len(wholes)
    # What follows a counted step is booked with the next, so a little may be there that the clock did not see.
    assert abs(loose) <= LOOSE_CALLS < 0.1 * sum(wholes) / len(wholes)


def test_work_outside_of_phases_is_found() -> None:
    """The two tests above would see it: an operation in `plan`, and time in `observe`."""

    class Careless(Method):
        def plan(self, progress: Any, plan: Any) -> Any:
            torch.ones(2).add(1.0)
            return plan

    trainer = Trainer(ToyTask(), [Careless()], RunSettings(budget=Budget.parse("16 samples")))
    trainer.set_up()
    with InPhase(trainer.work) as seen:
        trainer.step(trainer.progress())
    assert any("add" in name for name in seen.loose)


def test_what_observe_takes_is_charged_to_the_next_step() -> None:
    class Slow(Method):
        def observe(self, work: Work, result: Any) -> None:
            for _ in range(500):
                len("")

    trainer = Trainer(ToyTask(), [Slow()], RunSettings(budget=Budget.parse("64 samples")))
    trainer.set_up()
    clock = Calls()
    trainer.work._clock = clock
    with clock:
        for _ in range(3):
            trainer.step(trainer.progress())
            last_s = dict(trainer.work.last_step_s)
    assert 500 < last_s["data"] < 1500


@pytest.mark.parametrize("text", ["none", "muon:gate=off", "muon:gate=off,every=2", "weight-averaging"])
def test_the_counted_step_holds_no_allocation_of_optimizer_state(text: str) -> None:
    """Each kind of step counted anew, late in the run, does exactly what its first step was booked as."""
    trainer = ready(text)
    for _ in range(2):
        trainer.step(trainer.progress())
    table = trainer.work.costs
    first = {name: entry.counts for name, entry in table.by_signature.items()}
    made = sum(count.size_bytes for key, count in table.once.ops.items() if "zeros" in key.name)
    parameters_bytes = sum(value.numel() * 4 for value in trainer.model.parameters())
    assert made >= parameters_bytes  # a moment at least, told as done once
    table.by_signature.clear()
    for _ in range(2):
        trainer.step(trainer.progress())
    again = {name: entry.counts for name, entry in table.by_signature.items()}
    assert again.keys() == first.keys()
    for name, counts in again.items():
        assert plain(counts) == plain(first[name])


def plain(counts: Counts) -> dict[Any, tuple[int, float, float]]:
    return {key: (count.calls, count.flop, count.size_bytes) for key, count in counts.ops.items()}


def test_counting_between_steps_is_exact_and_takes_no_time_of_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a clock that stands still but while the counter works, work between steps has no duration at all."""
    now = [0.0]
    monkeypatch.setattr(time, "process_time", lambda: now[0])
    book = OpCounter._book

    def slow(self: OpCounter, *args: Any) -> None:
        now[0] += 1.0
        book(self, *args)

    monkeypatch.setattr(OpCounter, "_book", slow)
    work = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("16 samples"))).work
    for _ in range(3):  # every time, not only the first: what is done may depend on the data
        with work.phase("prepare"):
            torch.ones(4, 8) @ torch.ones(8, 2)
    assert work.costs.once_flop["prepare"] == 3 * 2 * 4 * 8 * 2
    assert work.costs.once_s["prepare"] == 0.0
    assert work.counting_s == now[0] >= 9.0


def test_a_clock_that_steps_back_books_no_negative_time() -> None:
    class Back:
        kind = "device"

        def __init__(self) -> None:
            self.now = 1e6

        def read_s(self) -> float:
            self.now -= 0.25
            return self.now

    trainer = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("64 samples")))
    trainer.work._clock = Back()
    outcome = trainer.run()
    assert outcome.status == "finished"
    assert outcome.progress.duration_s == 0.0
    assert all(value >= 0.0 for value in outcome.costs.duration_by_phase_s().values())
