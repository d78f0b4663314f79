"""`tabular-mlp`: classes of the rows of a table, by a plain network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from simtool.engine.data.files import digest
from simtool.engine.data.split import split
from simtool.engine.data.tables import Table, load_table
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
    learning_rate=4e-3,
    batch_size=16,
    weight_decay=0.05,
    warmup_frac=0.1,
    muon_learning_rate=0.02,
    muon_aux_learning_rate=4e-3,
)
MAX_TRAIN = 1_000_000
MAX_HELD_OUT = 5000


class TabularMlp(Task):
    """Standardised columns; `depth` hidden layers of `width`, the first of them as the stem."""

    name = "tabular-mlp"
    family = "mlp"
    metric = "accuracy"
    higher_is_better = True
    offers = frozenset({"samples", "fixed-inputs"})

    def __init__(self, options: TaskOptions, recipe: Recipe = RECIPE, table: Table | None = None) -> None:
        settings = TaskSettings(self.name, options)
        label, drop = settings.text("label"), settings.names("drop")
        settings.done()
        self.options, self.recipe = options, recipe
        self.table = table or load_table(options.data, label, drop)
        self.width, self.depth = width_of(options, 256), depth_of(options, 3)
        parts = split(
            len(self.table.labels),
            self.table.source,
            max_train=max_samples_of(options, MAX_TRAIN),
            max_held_out=MAX_HELD_OUT,
        )
        self.num_samples = len(parts.train)
        seen = self.table.features[parts.train]
        deviation = seen.std(axis=0)
        features = (self.table.features - seen.mean(axis=0)) / np.where(deviation > 0.0, deviation, 1.0)
        self._parts: dict[str, tuple[Tensor, Tensor]] = {
            part: (
                torch.as_tensor(features[places], dtype=torch.float32),
                torch.as_tensor(self.table.labels[places]),
            )
            for part, places in (
                ("train", parts.train),
                ("validation", parts.validation),
                ("test", parts.test),
            )
        }

    def build(self, seed: int) -> BlockModel:
        """A fresh network."""
        num_features = self.table.features.shape[1]
        with seeded(seed):
            stem = _layer(num_features, self.width)
            blocks: list[nn.Module] = [_layer(self.width, self.width) for _ in range(self.depth - 1)]
            return BlockModel(stem, blocks, nn.Linear(self.width, self.table.num_classes))

    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        """Rows of the table; they have no size."""
        check_size(self.name, size, 1)
        features, labels = self._parts["train"]
        rows = torch.as_tensor(indices)
        return Batch(features[rows], labels[rows], np.asarray(indices, dtype=np.int64))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of every row, shape (rows,) [nat]."""
        return functional.cross_entropy(outputs, batch.targets, reduction="none")

    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        """Share of rows guessed right, and the mean loss [nat]."""
        features, labels = self._parts[part]
        with evaluating(model) as device:
            outputs = model(features.to(device)).float()
            targets = labels.to(device)
            return {
                "accuracy": float((outputs.argmax(1) == targets).float().mean()),
                "loss": float(functional.cross_entropy(outputs, targets)),
            }

    def right_sized(self) -> Task | None:
        """Half the width."""
        half = self.width // 2
        return type(self)(replace(self.options, width=half), self.recipe, self.table) if half else None

    def describe(self) -> dict[str, Any]:
        """With the table and the shape of the net."""
        return super().describe() | {
            "data": self.table.source,
            "data_digest": digest(self.table.features, self.table.labels),
            "features": self.table.features.shape[1],
            "classes": self.table.num_classes,
            "left_out": "+".join(self.table.left_out),
            "width": self.width,
            "depth": self.depth,
        }


def _layer(num_inputs: int, num_outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(num_inputs, num_outputs), nn.GELU())


@TASKS.register("tabular-mlp")
def tabular_mlp(options: TaskOptions) -> Task:
    """Classes of the rows of a table (default: scikit-learn's digits as columns), by a plain network."""
    return TabularMlp(options)
