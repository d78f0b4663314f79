"""Borders that methods cross stand in the trace: once each, also where a run was interrupted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.method import parse_methods
from simtool.engine.trainer import RunSettings, Trainer
from simtool.engine.watch import Nobody
from simtool.engine.work import Work
from tests.engine.toy import LENGTH, ToyTask

torch.set_num_threads(1)

SETTINGS = RunSettings(budget=Budget.parse("400 samples"), num_evaluations=0)
OWN = {"start", "end", "checkpoint", "resume", "interrupted"}
EXPECTED: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "progressive-size:until=0.6": [
        ("size", {"step": 0, "size": LENGTH // 4}),
        ("size", {"step": 15, "size": LENGTH // 2}),
        ("size", {"step": 30, "size": LENGTH}),
    ],
    "batch-ramp:from=0.5,until=0.5,steps=2": [
        ("batch", {"step": 0, "num_samples": 4}),
        ("batch", {"step": 50, "num_samples": 8}),
    ],
    "growth:at=0.5": [("grow", {"step": 25, "from": 2, "to": 4, "how": "stack"})],
    "layer-freezing:rule=scheduled,start=0.5,max=0.5,cache=on": [
        ("freeze", {"step": 25, "num_blocks": 2, "rule": "scheduled"}),
        ("cache", {"step": 25, "num_blocks": 2, "is_again": False}),
    ],
    "token-dropping:until=0.5": [
        ("tokens", {"step": 0, "keep_frac": 0.5}),
        ("tokens", {"step": 25, "keep_frac": 1.0}),
    ],
    "stochastic-depth:drop=0.5,until=0.5": [
        ("depth", {"step": 0, "num_blocks": 3}),
        ("depth", {"step": 25, "num_blocks": 4}),
    ],
    "selective-backprop:start=0.5": [
        ("rows", {"step": 0, "keep_frac": 1.0}),
        ("rows", {"step": 25, "keep_frac": 0.5}),
    ],
    "weight-averaging:start=0.5,every=5": [
        ("average", {"step": 25, "kind": "tail", "every": 5}),
        ("averaged", {"step": 50, "num_states": 6}),
    ],
}


class Diary(Nobody):
    """Keeps events, and may interrupt."""

    def __init__(self, stop_after: int = 0) -> None:
        self.stop_after = stop_after
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        if kind not in OWN:
            self.events.append((kind, dict(detail)))

    def step(self, row: Mapping[str, Any]) -> None:
        if row["step"] == self.stop_after:
            raise KeyboardInterrupt


def events(text: str) -> list[tuple[str, dict[str, Any]]]:
    diary = Diary()
    Trainer(ToyTask(), parse_methods(text), SETTINGS, recorder=diary).run()
    return diary.events


@pytest.mark.parametrize("text", list(EXPECTED))
def test_every_border_is_told_where_it_is_crossed(text: str) -> None:
    assert events(text) == EXPECTED[text]


def test_the_gate_tells_its_decision_before_the_first_step() -> None:
    (told,) = events("muon:gate=off,iterations=2,every=2")
    kind, detail = told
    assert kind == "gate"
    assert (detail["step"], detail["is_open"], detail["every"]) == (0, True, 2)
    assert detail["overhead_frac"] > 0.0


def test_choices_and_pruned_epochs_are_told() -> None:
    chosen = events("tensor-selection:times=2,probe=1")
    assert [kind for kind, _ in chosen] == ["select", "select"]
    assert all(detail["num_tensors"] == len(detail["tensors"]) for _, detail in chosen)
    epochs = [detail for kind, detail in events("infobatch:until=1") if kind == "epoch"]
    assert [detail["epoch"] for detail in epochs] == list(range(len(epochs)))
    assert len(epochs) > 4
    assert any(detail.get("left_out", 0) > 0 for detail in epochs)


@pytest.mark.parametrize("text", list(EXPECTED))
def test_an_interruption_repeats_no_event(text: str, tmp_path: Path) -> None:
    parts = []
    for stop_after in (20, 40, 0):
        diary = Diary(stop_after)
        Trainer(ToyTask(), parse_methods(text), SETTINGS, recorder=diary).run(CheckpointStore(tmp_path))
        parts += [(kind, detail) for kind, detail in diary.events if not detail.get("is_again")]
    assert parts == EXPECTED[text]


def test_without_a_listener_nothing_is_told() -> None:
    trainer = Trainer(ToyTask(), [], SETTINGS)
    alone = Work(task=None, model=trainer.model, seed=0, device=trainer.device, clock=trainer.work._clock)
    alone.event("freeze", {"num_blocks": 1})
