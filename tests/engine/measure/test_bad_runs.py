"""Runs that cannot go on: one clear error or a labelled result, and what was done before is kept."""

from __future__ import annotations

import math
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import NAME
from simtool.engine.experiment import run_all
from simtool.engine.measure import SUMMARY, run_one
from simtool.engine.method import Method
from simtool.engine.run_trace import read_run
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError, OutputError
from simtool.trace.reader import read_trace
from tests.engine.measure.test_run_trace import METHOD, NUM_STEPS, interrupted_after, request
from tests.engine.toy import ToyTask

TASK = """
import numpy as np
import torch
from torch import nn
from simtool.engine.model import BlockModel
from simtool.engine.task import Batch, Recipe, Task


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear({inner}, 8)

    def forward(self, hidden):
        return self.inner(hidden)


class Mine(Task):
    name, metric = "mine", "accuracy"
    recipe = Recipe(learning_rate=4e-3, batch_size=8)
    num_samples = 64

    def __init__(self, options):
        self.inputs = torch.arange(64.0 * 8).reshape(64, 8) / 512

    def build(self, seed):
        {build}
        return BlockModel(nn.Linear(8, 8), [Block()], nn.Linear(8, 2))

    def batch(self, indices, size, generator):
        {batch}
        chosen = torch.as_tensor(indices)
        return Batch(self.inputs[chosen], chosen % 2, indices)

    def loss(self, outputs, batch):
        {loss}
        return nn.functional.cross_entropy(outputs, batch.targets, reduction="none")

    def evaluate(self, model, part):
        {evaluate}
        return {{"accuracy": torch.tensor(0.5), "loss": 1}}
"""


def task_file(folder: Path, **changes: str) -> str:
    parts = dict.fromkeys(("build", "batch", "loss", "evaluate"), "pass") | {"inner": "8"} | changes
    path = folder / "mine.py"
    path.write_text(TASK.format(**parts), "utf-8")
    return str(path)


def run_file(folder: Path, **changes: str) -> Any:
    asked = request(folder / "out", task=task_file(folder, **changes), method="none")
    return run_one(replace(asked, budget=Budget.parse("160 samples")))


def test_numbers_of_torch_are_taken_as_numbers(tmp_path: Path) -> None:
    assert run_file(tmp_path).quality == 0.5


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"build": "1 / 0"}, r"mine\.py:\d+: build: raised ZeroDivisionError: division by zero"),
        ({"build": "return nn.Linear(8, 2)"}, r"mine\.build: returned a Linear; a BlockModel"),
        ({"batch": "raise KeyError('x')"}, r"mine\.py:\d+: batch: raised KeyError: 'x'"),
        ({"batch": "return 3"}, r"mine\.batch: returned a int; a Batch"),
        ({"loss": "raise OSError"}, r"mine\.py:\d+: loss: raised OSError"),
        ({"loss": "return 3.0"}, r"mine\.loss: returned float"),
        ({"loss": "return outputs.detach().sum(1)"}, r"returned a tensor without a gradient.*no detach"),
        ({"loss": "return outputs.mean()"}, r"reduction='none'"),
        ({"loss": "return outputs[:-1].sum(1)"}, r"shape \(7,\) for 8 rows"),
        (
            {"evaluate": "raise ValueError('nothing held out')"},
            r"evaluate: raised ValueError: nothing held out",
        ),
        ({"evaluate": "return None"}, r"mine\.evaluate: returned a NoneType"),
        ({"evaluate": "return {'score': 1.0}"}, r"returned score; numbers by name, accuracy among them"),
        ({"evaluate": "return {'accuracy': 'good'}"}, r"returned str as accuracy"),
        ({"inner": "9"}, r"mine\.py:\d+: forward: raised RuntimeError: mat1 and mat2"),
    ],
    ids=lambda value: "".join(value.values()) if isinstance(value, dict) else "",
)
def test_a_task_file_that_fails_is_told_with_its_line(
    changes: dict[str, str], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=said):
        run_file(tmp_path, **changes)


def test_what_a_task_file_did_before_it_failed_is_kept(tmp_path: Path) -> None:
    changes = {"loss": "self.num = getattr(self, 'num', 0) + 1; 1 / (self.num - 9)"}
    with pytest.raises(InputError, match="division by zero"):
        run_file(tmp_path, **changes)
    trace = read_trace(tmp_path / "out" / "trace")
    assert trace.manifest.status == "interrupted"
    assert "ZeroDivisionError" in trace.manifest.reason or "InputError" in trace.manifest.reason
    assert trace.steps.num_rows == 8


def test_a_mistake_of_ours_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Method, "boundary", wrong)
    with pytest.raises(ZeroDivisionError):
        run_file(tmp_path)


@contextmanager
def files_up_to(size_bytes: int) -> Iterator[None]:
    """A disk that is full: no file may be longer."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


def test_a_full_disk_ends_the_run_and_it_goes_on_when_there_is_space(tmp_path: Path) -> None:
    interrupted_after(40, request(tmp_path))
    before = (tmp_path / NAME).read_bytes()
    with files_up_to(8_000), pytest.raises(OutputError, match="File too large"):
        run_one(request(tmp_path, checkpoint_s=0.0))
    assert (tmp_path / NAME).read_bytes() == before
    assert not list(tmp_path.glob("*.tmp"))
    summary = run_one(request(tmp_path))
    whole = run_one(request(tmp_path / "whole"))
    assert summary.flop_by_phase == whole.flop_by_phase
    assert summary.quality == whole.quality
    assert read_run(tmp_path).steps["step"].to_pylist() == list(range(1, NUM_STEPS + 1))


def test_a_finished_run_of_another_request_is_not_taken_for_this_one(tmp_path: Path) -> None:
    asked = request(tmp_path, is_recorded=False)
    (held,) = run_all([asked])
    assert run_all([replace(asked, power="none", is_recorded=True)]) == [held]  # the training is the same
    for changes in (
        {"budget": Budget.parse("800 samples")},
        {"recipe": {"learning_rate": 1e-4}},
        {"options": replace(asked.options, width=8)},
        {"precision": "bfloat16"},
    ):
        with pytest.raises(InputError, match="another budget, data, width"):
            run_all([replace(asked, **changes)])
    assert held.method == METHOD
    assert (tmp_path / SUMMARY).exists()


class Meter:
    """A source of power that goes away: from then on energy is modelled, or not known at all."""

    def __init__(self, after: str) -> None:
        self.after, self.num_readings = after, 0

    @property
    def kind(self) -> str:
        return "measured" if self.num_readings < 20 else self.after

    def energy_j(self) -> float:
        self.num_readings += 1
        return math.nan if self.kind == "none" else 0.1 * self.num_readings


@pytest.mark.parametrize("after", ["modelled", "none"])
def test_a_power_source_that_goes_away_is_labelled(after: str) -> None:
    settings = RunSettings(budget=Budget.parse("400 samples"))
    outcome = Trainer(ToyTask(), [], settings, meter=Meter(after)).run()
    assert outcome.status == "finished"
    assert outcome.energy_kind == after


def test_a_budget_of_joules_needs_to_know_them() -> None:
    settings = RunSettings(budget=Budget.parse("50 J"))
    with pytest.raises(InputError, match="no power meter"):
        Trainer(ToyTask(), [], settings)
    with pytest.raises(InputError, match="does not know the energy any more"):
        Trainer(ToyTask(), [], settings, meter=Meter("none")).run()
    outcome = Trainer(ToyTask(), [], settings, meter=Meter("modelled")).run()
    assert outcome.progress.energy_j >= 50.0


def test_no_samples_and_no_batch_are_refused() -> None:
    with pytest.raises(InputError, match="found 0; 1 to 96"):
        Trainer(ToyTask(batch_size=0), [], RunSettings(budget=Budget.parse("50 samples")))
