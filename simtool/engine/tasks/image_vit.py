"""`image-vit`: classes of images, by a transformer over patches."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from simtool.engine.data.images import Images, load_images
from simtool.engine.model import BlockModel
from simtool.engine.task import TASKS, Recipe, Task, TaskOptions
from simtool.engine.tasks.common import WHERE, TaskSettings, depth_of, max_samples_of, seeded, width_of
from simtool.engine.tasks.transformer import Block, initialise
from simtool.engine.tasks.vision import AUGMENTATIONS, ImageTask
from simtool.errors import InputError, Problem

RECIPE = Recipe(
    learning_rate=3e-3,
    batch_size=16,
    weight_decay=0.05,
    warmup_frac=0.1,
    muon_learning_rate=0.03,
    muon_aux_learning_rate=5e-3,
    muon_momentum=0.9,
)
MAX_TRAIN = 20_000
NUM_HEADS = 4
MIN_GRID = 3
"""Below 3 x 3 patches a transformer has nothing to relate."""


class PatchStem(nn.Module):
    """Patches to vectors, with a learnt vector for every place; smaller grids interpolate the places."""

    def __init__(self, num_channels: int, width: int, patch: int, grid: int) -> None:
        super().__init__()
        self.patch = nn.Conv2d(num_channels, width, patch, stride=patch)
        self.places = nn.Parameter(torch.zeros(1, width, grid, grid))

    def forward(self, inputs: Tensor) -> Tensor:  # (rows, channels, side, side) -> (rows, patches, width)
        """The vector of every patch, row by row."""
        patches, places = self.patch(inputs), self.places
        if patches.shape[-1] != places.shape[-1]:
            places = functional.interpolate(
                places, size=patches.shape[-2:], mode="bilinear", align_corners=False
            )
        return (patches + places).flatten(2).transpose(1, 2)


class MeanHead(nn.Module):
    """Mean over all patches, then scores of the classes."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.linear = nn.Linear(width, num_classes)

    def forward(self, hidden: Tensor) -> Tensor:  # (rows, patches, width) -> (rows, classes)
        """Logits."""
        return self.linear(self.norm(hidden).mean(dim=1))


class ImageVit(ImageTask):
    """Sixteen patches by default: the number of patches, not their size, decides the cost."""

    name = "image-vit"
    family = "vit"

    def __init__(self, options: TaskOptions, recipe: Recipe = RECIPE, images: Images | None = None) -> None:
        settings = TaskSettings(self.name, options)
        images = images or load_images(options.data, max_samples_of(options, MAX_TRAIN))
        kind = settings.word(
            "augment", "mirror" if images.pixels.shape[1] == 3 else "shift", tuple(AUGMENTATIONS)
        )
        side = settings.count("side", images.side, 4, images.side)
        self.patch = settings.count("patch", max(1, side // 4), 1, side)
        self.deviation = settings.number("init_std", 0.15, 1e-4, 2.0)
        settings.done()
        if side % self.patch or side // self.patch < 2:
            raise InputError(
                Problem(
                    WHERE,
                    "patch",
                    f"found {self.patch} for images of side {side}",
                    f"a divisor of {side} below it",
                )
            )
        super().__init__(images, AUGMENTATIONS[kind], side)
        self.options, self.recipe = options, recipe
        self.grid = side // self.patch
        self.sizes = tuple(
            self.patch * grid
            for grid in range(1, self.grid + 1)
            if grid == self.grid or grid in self._smaller_grids()
        )
        self.width, self.depth = width_of(options, 32, NUM_HEADS), depth_of(options, 4)
        self.offers = frozenset({"blocks", "tokens", "sizes", "samples"}) | (
            {"fixed-inputs"} if self.augmentation.is_none else set()
        )

    def _smaller_grids(self) -> set[int]:
        return {grid for grid in (self.grid // 2, 3 * self.grid // 4) if grid >= MIN_GRID}

    def build(self, seed: int) -> BlockModel:
        """A fresh transformer."""
        with seeded(seed):
            stem = PatchStem(self.images.pixels.shape[1], self.width, self.patch, self.grid)
            blocks = [Block(self.width, NUM_HEADS, is_causal=False) for _ in range(self.depth)]
            model = BlockModel(stem, list(blocks), MeanHead(self.width, self.num_classes), has_tokens=True)
            initialise(model, self.deviation)
        return model

    def num_tokens(self, size: int | None) -> int:
        """Patches of an image of this side."""
        return ((self.sizes[-1] if size is None else size) // self.patch) ** 2

    def right_sized(self) -> Task | None:
        """Half the width."""
        half = self.width // 2 // NUM_HEADS * NUM_HEADS
        return type(self)(replace(self.options, width=half), self.recipe, self.images) if half else None

    def describe(self) -> dict[str, Any]:
        """With the shape of the net."""
        return super().describe() | {
            "width": self.width,
            "depth": self.depth,
            "patch": self.patch,
            "init_std": self.deviation,
        }


@TASKS.register("image-vit")
def image_vit(options: TaskOptions) -> Task:
    """Classes of images (default: scikit-learn's digits, shifted), by a transformer over patches."""
    return ImageVit(options)
