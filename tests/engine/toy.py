"""The smallest task that has everything a method may ask for: tokens, blocks, sizes, samples."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray
from simtool.engine.task import Batch, Part, Recipe, Task

WIDTH, LENGTH, VOCABULARY, SAMPLES = 16, 8, 12, 96


class Block(nn.Module):
    """A residual block whose tokens do not see each other, so that any subset of them is a valid input."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, hidden: Tensor, positions: Tensor | None = None) -> Tensor:
        return hidden + self.down(functional.gelu(self.up(hidden)))


class Stem(nn.Module):
    """Token embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.embedding(inputs)


class Head(nn.Module):
    """Norm and output layer."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.linear(self.norm(hidden))


class ToyTask(Task):
    """Learn to repeat the token before the last: solvable by the blocks alone."""

    name = "toy"
    family = "decoder"
    metric = "loss"
    offers = frozenset({"blocks", "tokens", "sizes", "counts", "fixed-inputs", "samples", "pretrained"})
    sizes = (LENGTH // 4, LENGTH // 2, LENGTH)
    num_samples = SAMPLES
    vocab_size = VOCABULARY
    context = LENGTH
    is_causal = True

    def __init__(self, *, num_blocks: int = 4, batch_size: int = 8, is_broken: str = "") -> None:
        self.recipe = Recipe(learning_rate=1e-2, batch_size=batch_size, muon_learning_rate=0.02)
        self.num_blocks, self.is_broken = num_blocks, is_broken
        generator = np.random.default_rng(7)
        self.tokens = generator.integers(0, VOCABULARY, size=SAMPLES * LENGTH + 1)
        self.tokens[1::2] = (self.tokens[:-1:2] * 5 + 1) % VOCABULARY
        self._held = torch.from_numpy(generator.integers(0, VOCABULARY, size=(32, LENGTH)))

    def build(self, seed: int) -> BlockModel:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return BlockModel(Stem(), [Block() for _ in range(self.num_blocks)], Head(), has_tokens=True)

    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        length = LENGTH if size is None else size
        pieces = LENGTH // length
        starts = (indices[:, None] * LENGTH + np.arange(pieces)[None, :] * length).reshape(-1)
        window = torch.from_numpy(self.tokens[starts[:, None] + np.arange(length + 1)[None, :]])
        return Batch(
            window[:, :-1].contiguous(),
            window[:, 1:].contiguous(),
            np.repeat(indices, pieces),
            extra={"position": torch.from_numpy(starts)},
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        losses = functional.cross_entropy(outputs.transpose(1, 2), batch.targets, reduction="none")
        if self.is_broken == "reduced":
            return losses.mean()
        return losses * float("nan") if self.is_broken == "nan" else losses

    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        outputs = model(self._held)
        targets = (self._held * 5 + 1) % VOCABULARY
        return {"loss": float(functional.cross_entropy(outputs.transpose(1, 2), targets))}
