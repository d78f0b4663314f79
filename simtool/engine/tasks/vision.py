"""Images at several sizes, augmented, with held-out images that never change.

The data set is scaled down once per size. Noise is drawn at the size of the step, with a deviation in
proportion to it: the mean over k x k pixels of independent noise has 1/k of its deviation, so small
inputs look as if the noisy image had been scaled down, and all sides are equally hard to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from simtool.engine.data.files import digest
from simtool.engine.data.images import Images
from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray
from simtool.engine.task import Batch, Part, Task
from simtool.engine.tasks.common import check_size, evaluating
from simtool.rng import stream

NOISE_SIDE = 8
"""Side for which the deviation of noise is told; at 28 pixels it is 3.5 times as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """What happens to an image before the model sees it; the neutral default does nothing."""

    turn_rad: float = 0.0
    """Largest angle either way."""
    scale_frac: float = 0.0
    shear_frac: float = 0.0
    shift_frac: float = 0.0
    """Largest shift, as a share of the side."""
    noise: float = 0.0
    """Standard deviation at `NOISE_SIDE` pixels a side, in standard deviations of the grey values."""
    mirrors: bool = False

    @property
    def is_none(self) -> bool:
        """Whether images stay as they are."""
        return self == Augmentation()


HARD = Augmentation(turn_rad=0.45, scale_frac=0.2, shear_frac=0.2, shift_frac=0.1, noise=0.55)
"""Any of these alone is easy; together they keep handwritten digits from being learnt at once."""
AUGMENTATIONS = {
    "hard": HARD,
    "noise": Augmentation(noise=0.55),
    "shift": Augmentation(shift_frac=0.07),
    "mirror": Augmentation(shift_frac=0.07, mirrors=True),
    "none": Augmentation(),
}


def scaled(pixels: Tensor, size: int) -> Tensor:  # (rows, channels, side, side)
    """Means over areas."""
    return (
        pixels if pixels.shape[-1] == size else functional.interpolate(pixels, size=(size, size), mode="area")
    )


def augmented(pixels: Tensor, how: Augmentation, generator: np.random.Generator) -> Tensor:
    """Every image changed by itself; the same generator gives the same changes."""
    if how.is_none:
        return pixels
    rows, size = len(pixels), pixels.shape[-1]
    draws = generator.uniform(-1.0, 1.0, (rows, 6))
    angle, scale = how.turn_rad * draws[:, 0], 1.0 + how.scale_frac * draws[:, 1]
    shear = how.shear_frac * draws[:, 2]
    mirror = np.where(how.mirrors & (draws[:, 5] < 0.0), -1.0, 1.0)
    cosine, sine = np.cos(angle) * scale, np.sin(angle) * scale
    matrix = np.empty((rows, 2, 3), dtype=np.float32)
    matrix[:, 0, 0], matrix[:, 0, 1] = cosine * mirror, shear * cosine - sine
    matrix[:, 1, 0], matrix[:, 1, 1] = sine * mirror, shear * sine + cosine
    matrix[:, :, 2] = 2.0 * how.shift_frac * draws[:, 3:5]  # the grid runs from -1 to 1
    grid = functional.affine_grid(torch.from_numpy(matrix), list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    if how.noise:
        noise = generator.standard_normal(tuple(moved.shape), dtype=np.float32)
        moved = moved + (how.noise * size / NOISE_SIDE) * torch.from_numpy(noise)
    return moved


def sizes_of(side: int) -> tuple[int, ...]:
    """Half, three quarters and the full side, and a quarter of a large one; even numbers.

    >>> sizes_of(8), sizes_of(28), sizes_of(32)
    ((4, 6, 8), (14, 20, 28), (8, 16, 24, 32))
    """
    parts = (0.25, 0.5, 0.75) if side >= 32 else (0.5, 0.75)
    smaller = {2 * int(side * part / 2) for part in parts}
    return (*sorted(size for size in smaller if 4 <= size < side), side)


class ImageTask(Task):
    """Classes of images; a subclass builds the net."""

    metric = "accuracy"
    higher_is_better = True

    def __init__(self, images: Images, augmentation: Augmentation, side: int) -> None:
        self.images, self.augmentation, self.side = images, augmentation, side
        self.native, self.num_classes = images.side, images.num_classes
        self.num_samples = len(images.split.train)
        self.sizes = sizes_of(side)
        pixels, labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)
        train = pixels[: self.num_samples]
        pixels = (pixels - train.mean()) / train.std()
        self._at = {side: scaled(pixels[: self.num_samples], side)}
        self._labels = labels[: self.num_samples]
        self._held_out = {
            "validation": self._fixed(pixels, labels, images.split.validation, "validation"),
            "test": self._fixed(pixels, labels, images.split.test, "test"),
        }

    def _fixed(self, pixels: Tensor, labels: Tensor, places: IntArray, part: str) -> tuple[Tensor, Tensor]:
        """Held-out images, changed once as the training images are and only then scaled down."""
        chosen = torch.as_tensor(places)
        moved = augmented(pixels[chosen], self.augmentation, stream(0, "data", f"augment-{part}"))
        return scaled(moved, self.side), labels[chosen]

    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        """Images of one side length."""
        length = check_size(self.name, size, self.side)
        if length not in self._at:
            self._at[length] = scaled(self._at[self.side], length)
        rows = torch.as_tensor(indices)
        pixels = augmented(self._at[length][rows], self.augmentation, generator)
        return Batch(pixels, self._labels[rows], np.asarray(indices, dtype=np.int64))

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy of every image, shape (rows,) [nat]."""
        return functional.cross_entropy(outputs, batch.targets, reduction="none")

    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        """Share of images guessed right, and the mean loss [nat], at the full size."""
        pixels, labels = self._held_out[part]
        correct = total = 0.0
        with evaluating(model) as device:
            for begin in range(0, len(labels), 250):
                inputs, targets = (
                    pixels[begin : begin + 250].to(device),
                    labels[begin : begin + 250].to(device),
                )
                outputs = model(inputs).float()
                correct += float((outputs.argmax(1) == targets).sum())
                total += float(functional.cross_entropy(outputs, targets, reduction="sum"))
        return {"accuracy": correct / len(labels), "loss": total / len(labels)}

    def describe(self) -> dict[str, Any]:
        """With the images."""
        return super().describe() | {
            "data": self.images.source,
            "data_digest": digest(self.images.pixels, self.images.labels),
            "classes": self.num_classes,
            "side": self.side,
            "native_side": self.native,
            "augmentation": str(self.augmentation),
        }
