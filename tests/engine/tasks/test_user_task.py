"""A task of the user's: one Python file, named on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from simtool.engine.budget import Budget
from simtool.engine.task import TaskOptions, load_task
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError

GOOD = '''
import torch
from torch import nn
from simtool.engine.model import BlockModel
from simtool.engine.task import Batch, Recipe, Task


class Halves(Task):
    """Which half of a vector is larger."""

    name, family, metric, higher_is_better = "halves", "mlp", "accuracy", True
    recipe = Recipe(learning_rate=1e-2, batch_size=16)
    num_samples = 200

    def __init__(self, options):
        drawn = torch.randn(300, 8, generator=torch.Generator().manual_seed(0))
        self.x, self.y = drawn, (drawn[:, :4].sum(1) > drawn[:, 4:].sum(1)).long()

    def build(self, seed):
        torch.manual_seed(seed)
        return BlockModel(nn.Linear(8, 16), [nn.GELU()], nn.Linear(16, 2))

    def batch(self, indices, size, generator):
        rows = torch.as_tensor(indices)
        return Batch(self.x[rows], self.y[rows], indices)

    def loss(self, outputs, batch):
        return nn.functional.cross_entropy(outputs, batch.targets, reduction="none")

    def evaluate(self, model, part):
        rows = slice(200, 250) if part == "validation" else slice(250, 300)
        outputs = model(self.x[rows])
        return {
            "accuracy": float((outputs.argmax(1) == self.y[rows]).float().mean()),
            "loss": float(nn.functional.cross_entropy(outputs, self.y[rows])),
        }
'''


def write(folder: Path, content: str) -> str:
    path = folder / "my_task.py"
    path.write_text(content)
    return str(path)


def test_a_good_one_trains(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD), TaskOptions())
    outcome = Trainer(task, [], RunSettings(budget=Budget(3200.0, "samples"), num_evaluations=0)).run()
    assert outcome.status == "finished"
    assert outcome.quality["accuracy"] > 0.85


def test_a_reduced_loss_is_told(tmp_path: Path) -> None:
    task = load_task(write(tmp_path, GOOD.replace(', reduction="none"', "")), TaskOptions())
    with pytest.raises(InputError, match=r"halves\.loss: returned shape \(\) for 16 rows"):
        Trainer(task, [], RunSettings(budget=Budget(320.0, "samples"))).run()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("raise ValueError('no good')", "raised ValueError: no good"),
        ("def broken(:", "raised SyntaxError"),
        ("import no_such_module", "raised ModuleNotFoundError"),
        ("x = 1", "found 0 subclasses of Task"),
        (GOOD + GOOD.replace("class Halves", "class Thirds"), "found 2 subclasses of Task"),
        (
            GOOD.replace("drawn = torch", "drawn = 1 / 0 or torch"),
            r"Halves\(options\) raised ZeroDivisionError",
        ),
        (GOOD.replace("def loss(", "def other("), "abstract"),
    ],
)
def test_a_bad_one_is_told(tmp_path: Path, content: str, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        load_task(write(tmp_path, content), TaskOptions())
    assert "my_task.py" in str(caught.value)


def test_a_missing_one_and_a_misspelt_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_task(str(tmp_path / "none.py"), TaskOptions())
    with pytest.raises(InputError, match="did you mean 'char-gpt'"):
        load_task("chargpt", TaskOptions())
