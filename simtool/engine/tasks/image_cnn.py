"""`image-cnn`: classes of images, by a residual network."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simtool.engine.data.images import Images, load_images
from simtool.engine.model import BlockModel
from simtool.engine.task import TASKS, Recipe, Task, TaskOptions
from simtool.engine.tasks.common import TaskSettings, depth_of, max_samples_of, seeded, width_of
from simtool.engine.tasks.residual_cnn import residual_cnn
from simtool.engine.tasks.vision import AUGMENTATIONS, ImageTask

RECIPE = Recipe(
    learning_rate=1.6e-2,
    batch_size=16,
    weight_decay=0.02,
    warmup_frac=0.1,
    muon_learning_rate=0.2,
    muon_aux_learning_rate=2e-2,
    muon_momentum=0.9,
)
MAX_TRAIN = 20_000
MIN_HALVED_SIDE = 16
"""Images smaller than this lose what tells them apart when their side is halved."""


class ImageCnn(ImageTask):
    """Digits of scikit-learn by default, at their own 8 x 8 pixels: enlarged, they would hold nothing new."""

    name = "image-cnn"
    family = "convnet"

    def __init__(self, options: TaskOptions, recipe: Recipe = RECIPE, images: Images | None = None) -> None:
        settings = TaskSettings(self.name, options)
        images = images or load_images(options.data, max_samples_of(options, MAX_TRAIN))
        has_colour = images.pixels.shape[1] == 3
        kind = settings.word("augment", "mirror" if has_colour else "hard", tuple(AUGMENTATIONS))
        side = settings.count("side", images.side, 4, images.side)
        settings.done()
        super().__init__(images, AUGMENTATIONS[kind], side)
        self.options, self.recipe = options, recipe
        self.width, self.depth = (
            width_of(options, 16 if images.side < MIN_HALVED_SIDE else 8),
            depth_of(options, 1),
        )
        self.offers = frozenset({"sizes", "samples"}) | (
            {"fixed-inputs"} if self.augmentation.is_none else set()
        )

    def build(self, seed: int) -> BlockModel:
        """A fresh residual network."""
        with seeded(seed):
            return residual_cnn(self.images.pixels.shape[1], self.num_classes, self.width, self.depth)

    def right_sized(self) -> Task | None:
        """Half the input side where the images allow it, else half the width."""
        if self.side >= MIN_HALVED_SIDE:
            settings = self.options.settings | {"side": str(self.side // 2)}
            options = replace(self.options, settings=settings, width=self.width)
        else:
            options = replace(self.options, width=max(1, self.width // 2))
        return type(self)(options, self.recipe, self.images)

    def describe(self) -> dict[str, Any]:
        """With the shape of the net."""
        return super().describe() | {"width": self.width, "depth": self.depth}


@TASKS.register("image-cnn")
def image_cnn(options: TaskOptions) -> Task:
    """Classes of images (default: scikit-learn's digits, turned and noisy), by a residual network."""
    return ImageCnn(options)
