"""Language modelling: windows of one long text, held out by whole documents.

Training sample i is the window ``tokens[i*context : (i+1)*context + 1]``. At a smaller size every
window is cut into pieces, so that the tokens of a step stay the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from simtool.engine.data.files import data_error, digest
from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray
from simtool.engine.task import Batch, Part, Recipe, Task, TaskOptions
from simtool.engine.tasks.common import (
    TaskSettings,
    check_size,
    depth_of,
    evaluating,
    max_samples_of,
    seeded,
    width_of,
)
from simtool.engine.tasks.transformer import Block, TokenHead, TokenStem, initialise

NUM_HEADS = 4
NUM_HELD_OUT = 192
"""Windows of the validation part, and of the test part."""
MAX_TOKENS = 64_000_000


class LanguageTask(Task):
    """A transformer over ids; a subclass says where the ids come from."""

    metric = "loss"
    offers = frozenset({"blocks", "tokens", "sizes", "window", "counts", "samples"})
    is_causal: ClassVar[bool] = True
    default_context: ClassVar[int] = 128
    mask_id: int | None = None
    """Id that hides a token, where the task hides some."""

    tokens: IntArray
    vocab_size: int

    def __init__(self, options: TaskOptions, recipe: Recipe) -> None:
        settings = TaskSettings(self.name, options)
        self.options, self.recipe = options, recipe
        self.context = settings.count("context", self.default_context, 8, 4096)
        self.num_bytes = int(settings.number("megabytes", 2.0, 0.01, 64.0) * 10**6)
        self.deviation = settings.number("init_std", 0.15, 1e-4, 2.0)
        self.read(settings)
        settings.done()
        self.width, self.depth = width_of(options, 64, 2 * NUM_HEADS), depth_of(options, 4)
        train, validation, test = self.load()
        self.num_samples = min((len(train) - 1) // self.context, max_samples_of(options, MAX_TOKENS))
        if self.num_samples < 1 or min(len(validation), len(test)) <= self.context:
            shortest = min(len(train), len(validation), len(test))
            raise data_error(
                options.data or self.name,
                f"the shortest part of the text has {shortest} tokens",
                f"more than one context of {self.context}",
                "name a longer text or a shorter context",
            )
        self.tokens = train[: self.num_samples * self.context + 1]
        self.sizes = tuple(
            self.context // part
            for part in (8, 4, 2, 1)
            if self.context % part == 0 and self.context // part >= 8
        )
        self._tokens = torch.as_tensor(self.tokens)
        self._held_out = {"validation": self._windows(validation), "test": self._windows(test)}

    def read(self, settings: TaskSettings) -> None:
        """Take further settings."""

    def load(self) -> tuple[IntArray, IntArray, IntArray]:
        """Ids of the training, validation and test text; sets `vocab_size` and `source`."""
        raise NotImplementedError

    source: str = ""

    def build(self, seed: int) -> BlockModel:
        """A fresh transformer."""
        with seeded(seed):
            blocks = [
                Block(self.width, NUM_HEADS, is_causal=self.is_causal, rotary_length=self.context)
                for _ in range(self.depth)
            ]
            stem, head = TokenStem(self.vocab_size, self.width), TokenHead(self.width, self.vocab_size)
            model = BlockModel(stem, list(blocks), head, has_tokens=True)
            initialise(model, self.deviation)
        return model

    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        """Windows, cut into pieces of `size`; ``extra["position"]`` is where a row begins in `tokens`."""
        length = check_size(self.name, size, self.context, divides=True)
        pieces = np.arange(0, self.context, length)
        begins = (np.asarray(indices, dtype=np.int64)[:, None] * self.context + pieces).reshape(-1)
        windows = self._tokens[torch.as_tensor(begins[:, None] + np.arange(length + 1))]
        rows = np.repeat(np.asarray(indices, dtype=np.int64), len(pieces))
        batch = Batch(windows[:, :-1], windows[:, 1:], rows, extra={"position": torch.as_tensor(begins)})
        return self.hide(batch, generator)

    def hide(self, batch: Batch, generator: np.random.Generator) -> Batch:
        """The batch as the model gets it; here as it is."""
        return batch

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of every token, shape (rows, tokens) [nat]."""
        return functional.cross_entropy(outputs.transpose(1, 2), batch.targets, reduction="none")

    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        """Mean loss [nat a token] and share of tokens guessed right, on fixed windows of the full context."""
        whole = self._held_out[part]
        total = correct = counted = 0.0
        with evaluating(model) as device:
            for begin in range(0, len(whole.indices), 32):
                rows = torch.arange(begin, min(begin + 32, len(whole.indices)))
                batch = whole.rows(rows).to(device)
                outputs = model(batch.inputs).float()
                mask = torch.ones_like(batch.targets) if batch.mask is None else batch.mask
                total += float((self.loss(outputs, batch) * mask).sum())
                correct += float(((outputs.argmax(-1) == batch.targets) * mask).sum())
                counted += float(mask.sum())
        return {"loss": total / counted, "accuracy": correct / counted}

    def right_sized(self) -> Task | None:
        """The same text with half the width."""
        half = self.width // 2 // (2 * NUM_HEADS) * (2 * NUM_HEADS)
        return type(self)(replace(self.options, width=half), self.recipe) if half else None

    def describe(self) -> dict[str, Any]:
        """With the text and the shape of the model."""
        return Task.describe(self) | {
            "data": self.source,
            "data_digest": digest(self.tokens),
            "tokens": len(self.tokens),
            "vocabulary": self.vocab_size,
            "context": self.context,
            "width": self.width,
            "depth": self.depth,
            "init_std": self.deviation,
        }

    def _windows(self, ids: IntArray) -> Batch:
        num_fitting = (len(ids) - 1) // self.context
        begins = np.linspace(0, len(ids) - 1 - self.context, min(num_fitting, NUM_HELD_OUT)).astype(np.int64)
        windows = torch.as_tensor(ids[begins[:, None] + np.arange(self.context + 1)])
        batch = Batch(windows[:, :-1], windows[:, 1:], np.arange(len(begins), dtype=np.int64))
        return self.hide_held_out(batch)

    def hide_held_out(self, batch: Batch) -> Batch:
        """The held-out windows as the model gets them; here as they are."""
        return batch
