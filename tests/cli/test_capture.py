"""`simtool capture`: a model's file in, a workload file and its figures out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.workload.captured import read_workload
from tests.cli.conftest import Called

pytest.importorskip("torch")

MODEL = """
import torch

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = torch.nn.Linear(16, 64), torch.nn.Linear(64, 16)

    def forward(self, x):
        return x + self.down(torch.relu(self.up(x)))

def build_model(batch=2, seq_len=16):
    return torch.nn.Sequential(*(Block() for _ in range(4))), torch.zeros(batch, seq_len, 16)

def bad(batch=2):
    return torch.nn.Linear(2, 2)
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(MODEL)
    return file


def test_a_model_becomes_a_file(model: Path, simtool: Callable[..., Called]) -> None:
    out = model.with_suffix(".workload.yaml")
    called = simtool("capture", str(model), "-o", str(out), "--seq", "32", "--json")
    assert called.code == 0, called.err
    figures = json.loads(called.out)
    workload = read_workload(out)
    assert figures["parameters"] == workload.parameters == 4 * (16 * 64 + 64 + 64 * 16 + 16)
    assert figures["num_layers"] == 4
    assert figures["forward_flop"] == 4 * 2 * 2 * 32 * 2 * 16 * 64
    assert figures["memory_bytes"] < figures["memory_eager_bytes"]
    assert simtool("capture", str(model), "-o", str(out)).code == 2
    again = simtool("capture", str(model), "-o", str(out), "--force", "--name", "other")
    assert again.code == 0
    assert "other: 8,512 weights, 4 blocks of 2 kinds" in " ".join(again.out.split())
    assert read_workload(out).captured.seq_len == 16


def test_a_mistake_is_one_line(model: Path, simtool: Callable[..., Called]) -> None:
    called = simtool("capture", f"{model}:bad")
    assert called.code == 2
    assert called.err.startswith(f"{model}:15: found 1 values")
    assert len(called.err.splitlines()) == 1
