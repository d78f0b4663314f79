"""`masked-encoder`: hidden characters of a text, by an encoder that sees both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from simtool.engine.plan import IntArray
from simtool.engine.task import TASKS, Batch, Recipe, Task, TaskOptions
from simtool.engine.tasks.char_gpt import CharacterTask
from simtool.engine.tasks.common import TaskSettings
from simtool.rng import stream

RECIPE = Recipe(
    learning_rate=5e-3,
    batch_size=2,
    weight_decay=0.1,
    muon_learning_rate=0.02,
    muon_aux_learning_rate=8e-3,
)
HELD_OUT_MASK_FRAC = 0.15
"""Share of the held-out tokens that are hidden, always the same ones."""


class MaskedEncoder(CharacterTask):
    """Targets are the ids themselves; `Batch.mask` is 1 where the input was hidden."""

    name = "masked-encoder"
    family = "encoder"
    is_causal = False

    def read(self, settings: TaskSettings) -> None:
        """Share of the training tokens that are hidden."""
        self.mask_frac = settings.number("mask", 0.3, 0.01, 0.9)

    def load(self) -> tuple[IntArray, IntArray, IntArray]:
        """Ids of the three parts; the last id of the vocabulary hides a token."""
        parts = super().load()
        self.mask_id = self.vocab_size
        self.vocab_size += 1
        return parts

    def hide(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """Every token hidden with the same chance, drawn anew for every step."""
        return self._hidden(batch, self.mask_frac, generator)

    def hide_held_out(self, batch: Batch) -> Batch:
        """Always the same tokens hidden."""
        return self._hidden(batch, HELD_OUT_MASK_FRAC, stream(0, "data", "mask"))

    def _hidden(self, batch: Batch, frac: float, generator: np.random.Generator) -> Batch:
        is_hidden = torch.as_tensor(generator.random(tuple(batch.inputs.shape)) < frac)
        is_hidden[:, 0] |= ~is_hidden.any(dim=1)  # a row without a hidden token would teach nothing
        return replace(
            batch,
            inputs=batch.inputs.masked_fill(is_hidden, self.mask_id),
            targets=batch.inputs,
            mask=is_hidden.float(),
        )


@TASKS.register("masked-encoder")
def masked_encoder(options: TaskOptions) -> Task:
    """Hidden characters of a text (default: Python's standard library), by an encoder."""
    return MaskedEncoder(options, RECIPE)
