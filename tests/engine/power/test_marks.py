"""Power by phase: the trainer's borders reach the meter, and each phase gets the power that was drawn in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from simtool.engine.budget import Budget
from simtool.engine.power_marks import MARK_EVERY_S, PhaseMarks, power_by_phase
from simtool.engine.power_stream import power_entry
from simtool.engine.trainer import RunSettings, Trainer
from simtool.engine.work import Work
from tests.engine.power.bench import GPUS, START_S, Bench, Wave
from tests.engine.toy import ToyTask

MakeBench = Callable[[str], Bench]
NUM_STEPS = 12


class HandClock:
    """The clock of the bench, as the clock of a device that notes when it was waited for."""

    kind = "device"

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def read_s(self) -> float:
        return self._bench.now_s


@pytest.mark.parametrize("generation", ["ga100", "hopper", "ampere-535", "volta"])
def test_each_phase_has_the_power_that_was_drawn_in_it(bench: MakeBench, generation: str) -> None:
    wave = Wave(period_s=1.1, high_w=300.0, low_w=60.0, duty_frac=0.6 / 1.1)
    made = bench(f"{GPUS[generation].control()} {wave.control()}")
    work: Any = Work(
        task=None,
        model=nn.Linear(2, 2),
        seed=0,
        device=torch.device("cpu"),
        clock=HandClock(made),  # type: ignore[arg-type]
    )
    meter = made.meter()
    marks = PhaseMarks(meter, clock=lambda: made.now_s)
    with meter:
        made.wait(START_S - made.now_s)
        for _ in range(NUM_STEPS):
            with work.step("n1", mark=marks.for_step()):
                with work.phase("forward"):
                    made.wait(0.6)
                with work.phase("optimizer"):
                    made.wait(0.5)
    report = meter.stop()
    labels = [one.label for one in report.intervals if one.duration_s > 0.01 and one.label]
    assert labels == ["forward", "optimizer"] * (NUM_STEPS - 1)  # the first step is counted: it takes longer
    found = power_by_phase(report)
    assert found["forward"][0] == pytest.approx(300.0, rel=0.05)
    assert found["optimizer"][0] == pytest.approx(60.0, rel=0.15)
    for phase, true_w in (("forward", 300.0), ("optimizer", 60.0)):
        assert abs(found[phase][0] - true_w) < 5.0 * found[phase][1] + 1.0
    assert power_entry(report).by_phase_w == found


class Marking:
    """A meter that remembers its marks."""

    def __init__(self, kind: str) -> None:
        self.kind, self.marks = kind, []

    def energy_j(self) -> float:
        return 1.0

    def mark(self, label: str) -> float:
        self.marks.append(label)
        return 0.0


def trained(meter: Any, monkeypatch: pytest.MonkeyPatch, every_s: float) -> Trainer:
    monkeypatch.setattr("simtool.engine.power_marks.MARK_EVERY_S", every_s)
    settings = RunSettings(budget=Budget.parse("80 samples"), num_evaluations=0)
    trainer = Trainer(ToyTask(), [], settings, meter=meter)
    trainer.run()
    return trainer


def test_every_border_of_a_usual_step_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Marking("measured")
    trainer = trained(meter, monkeypatch, 0.0)
    one = ["data", "", "optimizer", "", "forward", "", "backward", "", "optimizer", ""]
    assert trainer.num_steps == 10
    assert meter.marks == one * 9  # the first one was counted


def test_short_steps_are_marked_now_and_then_and_modelled_ones_never(monkeypatch: pytest.MonkeyPatch) -> None:
    meter = Marking("measured")
    trained(meter, monkeypatch, 1e6)
    assert meter.marks == []  # the only step that was due was the counted one
    model = Marking("modelled")
    trained(model, monkeypatch, 0.0)
    assert model.marks == []


def test_a_quarter_of_a_second_lies_between_two_marked_steps() -> None:
    moments = iter((0.0, 0.1, 0.2, MARK_EVERY_S, 0.3))
    marks = PhaseMarks(Marking("measured"), clock=lambda: next(moments))
    assert [marks.for_step() is not None for _ in range(5)] == [True, False, False, True, False]


def test_reading_the_meter_is_in_no_price() -> None:
    class Clock:
        kind, now_s = "process", 0.0

        def read_s(self) -> float:
            return self.now_s

    clock = Clock()

    def slow(_: str) -> None:
        clock.now_s += 10.0

    work: Any = Work(task=None, model=nn.Linear(2, 2), seed=0, device=torch.device("cpu"), clock=clock)  # type: ignore[arg-type]
    for _ in range(3):
        with work.step("n1", mark=slow), work.phase("forward"):
            clock.now_s += 1.0
    assert work.costs.by_signature["n1"].step_s() == {"forward": 1.0, "data": 0.0}
    assert clock.now_s == 3.0 + 2 * 2 * 10.0
