"""`series-gru`: a value some steps ahead from a window of a series, by a recurrent network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from simtool.engine.data.files import digest
from simtool.engine.data.series import load_series, windows
from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray
from simtool.engine.task import TASKS, Batch, Part, Recipe, Task, TaskOptions
from simtool.engine.tasks.common import (
    TaskSettings,
    check_size,
    depth_of,
    evaluating,
    max_samples_of,
    seeded,
    width_of,
)

RECIPE = Recipe(
    learning_rate=1e-2,
    batch_size=8,
    weight_decay=0.01,
    warmup_frac=0.1,
    muon_learning_rate=0.05,
    muon_aux_learning_rate=1e-2,
)
MAX_TRAIN = 1_000_000
MAX_HELD_OUT = 1000
"""Windows of the validation part, and of the test part, evenly spread over it."""


class Recurrent(nn.Module):
    """One layer of gated recurrent units over the steps of a window."""

    def __init__(self, num_inputs: int, width: int) -> None:
        super().__init__()
        self.recurrence = nn.GRU(num_inputs, width, batch_first=True)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, steps, inputs) -> (rows, steps, width)
        """The state at every step."""
        states: Tensor = self.recurrence(hidden)[0]
        return states


class LastStepHead(nn.Module):
    """One value from the state at the last step."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 1)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, steps, width) -> (rows,)
        """The predicted value, standardised."""
        return self.linear(hidden[:, -1]).squeeze(-1)


class SeriesGru(Task):
    """At a smaller size the model sees only the last steps of a window; the target stays the same."""

    name = "series-gru"
    family = "recurrent"
    metric = "mse"
    offers = frozenset({"sizes", "samples", "fixed-inputs"})

    def __init__(self, options: TaskOptions, recipe: Recipe = RECIPE) -> None:
        settings = TaskSettings(self.name, options)
        target, drop = settings.text("target"), settings.names("drop")
        log = settings.word("log", "auto", ("auto", "yes", "no"))
        self.window = settings.count("window", 48, 3, 4096)
        self.horizon = settings.count("horizon", 3, 1, 4096)
        settings.done()
        self.options, self.recipe = options, recipe
        self.width, self.depth = width_of(options, 48), depth_of(options, 2)
        self.series = load_series(options.data, target=target, drop=drop, log=log)
        begins = windows(len(self.series.target), self.window, self.horizon, self.series.source)
        self._begins = {
            "train": begins["train"][: max_samples_of(options, MAX_TRAIN)],
            "validation": _spread(begins["validation"]),
            "test": _spread(begins["test"]),
        }
        self.num_samples = len(self._begins["train"])
        self.sizes = tuple(sorted({max(1, self.window // 3), max(1, 2 * self.window // 3), self.window}))
        self._inputs = torch.as_tensor(self.series.inputs, dtype=torch.float32)
        self._target = torch.as_tensor(self.series.target, dtype=torch.float32)

    def build(self, seed: int) -> BlockModel:
        """A fresh network."""
        with seeded(seed):
            blocks: list[nn.Module] = [Recurrent(self.width, self.width) for _ in range(self.depth - 1)]
            return BlockModel(Recurrent(self._inputs.shape[1], self.width), blocks, LastStepHead(self.width))

    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        """The last `size` steps of windows."""
        return self._windows(
            "train", np.asarray(indices, dtype=np.int64), check_size(self.name, size, self.window)
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Squared error of every window, shape (rows,), in units of the variance of the training part."""
        return (outputs - batch.targets) ** 2

    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        """Mean squared error, in units of the variance of the training part."""
        total = 0.0
        places = np.arange(len(self._begins[part]), dtype=np.int64)
        with evaluating(model) as device:
            for begin in range(0, len(places), 250):
                batch = self._windows(part, places[begin : begin + 250], self.window).to(device)
                total += float(self.loss(model(batch.inputs).float(), batch).sum())
        return {"mse": total / len(places), "loss": total / len(places)}

    def _windows(self, part: str, places: IntArray, size: int) -> Batch:
        begins = self._begins[part][places]
        steps = begins[:, None] + np.arange(self.window - size, self.window)
        inputs = self._inputs[torch.as_tensor(steps)]
        targets = self._target[torch.as_tensor(begins + self.window - 1 + self.horizon)]
        return Batch(inputs, targets, places)

    def right_sized(self) -> Task | None:
        """The same windows with half the width."""
        half = self.width // 2
        return type(self)(replace(self.options, width=half), self.recipe) if half else None

    def describe(self) -> dict[str, Any]:
        """With the series and the shape of the net."""
        return super().describe() | {
            "data": self.series.source,
            "data_digest": digest(self.series.inputs, self.series.target),
            "target": self.series.target_name,
            "logarithm": self.series.is_logarithm,
            "left_out": "+".join(self.series.left_out),
            "window": self.window,
            "horizon": self.horizon,
            "width": self.width,
            "depth": self.depth,
        }


def _spread(begins: IntArray) -> IntArray:
    """At most `MAX_HELD_OUT` windows, evenly over the part."""
    chosen = np.unique(np.linspace(0, len(begins) - 1, min(len(begins), MAX_HELD_OUT)).astype(np.int64))
    return begins[chosen]


@TASKS.register("series-gru")
def series_gru(options: TaskOptions) -> Task:
    """A value three steps ahead (default: carbon intensity of California's grid), by a recurrent network."""
    return SeriesGru(options)
