"""`fine-tune-cnn`: a network that the engine trained on clean images, tuned to a shifted domain.

Half of what is common in practice is tuning, not training from nothing; what pays there differs.
The pre-training is this engine's own run of `image-cnn`. Its cost is told, never charged: in
practice the model is there already.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simtool.engine.budget import Budget
from simtool.engine.data.files import data_error, digest
from simtool.engine.data.images import Images, load_images
from simtool.engine.data.split import Split
from simtool.engine.model import BlockModel
from simtool.engine.task import TASKS, Recipe, Task, TaskOptions
from simtool.engine.tasks.common import TaskSettings, depth_of, max_samples_of, seeded, width_of
from simtool.engine.tasks.image_cnn import MIN_HALVED_SIDE, ImageCnn
from simtool.engine.tasks.residual_cnn import residual_cnn
from simtool.engine.tasks.vision import NOISE_SIDE, Augmentation, ImageTask, sizes_of
from simtool.engine.trainer import RunSettings, Trainer
from simtool.rng import stream

RECIPE = Recipe(
    learning_rate=1.6e-2,
    batch_size=16,
    weight_decay=0.02,
    warmup_frac=0.1,
    muon_learning_rate=0.1,
    muon_aux_learning_rate=1e-2,
    muon_momentum=0.9,
)
SOURCE_RECIPE = replace(RECIPE, batch_size=32)
SOURCE_SEED = 0
MAX_SOURCE, MAX_TARGET = 20_000, 3_000
"""Images that the network is pre-trained on, and that it is tuned on, at most."""
TARGET_FRAC = 0.4
"""Share of the training images that tuning gets where there are few."""
SOURCE_PASSES, MAX_SOURCE_SAMPLES = 5, 24_000
NOISE = 0.2
"""Standard deviation of the fixed noise of the shifted domain at `NOISE_SIDE`, as a share of the grey range."""


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Parameters and statistics of the pre-trained net, and what it took to get them."""

    state: dict[str, Tensor]
    num_samples: int
    flop: float
    accuracy: float
    """On clean validation images."""


_KNOWN: dict[str, Pretrained] = {}
"""By content, for as long as the process lives."""


class FineTuneCnn(ImageTask):
    """The domain is shifted once and for all: grey values inverted, noise added; no augmentation."""

    name = "fine-tune-cnn"
    family = "convnet"
    offers = frozenset({"sizes", "samples", "fixed-inputs", "pretrained"})

    def __init__(self, options: TaskOptions, recipe: Recipe = RECIPE) -> None:
        settings = TaskSettings(self.name, options)
        self.domain = settings.word("domain", "both", ("both", "inverted", "noisy"))
        folder = settings.text("cache")
        settings.done()
        self.options, self.recipe = options, recipe
        self._folder = None if folder is None else Path(folder)
        num_target = max_samples_of(options, MAX_TARGET)
        whole = load_images(options.data, MAX_SOURCE + num_target)
        train = whole.split.train
        num_target = min(num_target, int(TARGET_FRAC * len(train)))
        if num_target < 1:
            raise data_error(
                whole.source, f"found {len(train)} training images", "at least 3", "name more data"
            )
        self._source = _part(whole, train[num_target:])
        super().__init__(_shifted(_part(whole, train[:num_target]), self.domain), Augmentation(), whole.side)
        self.sizes = sizes_of(whole.side)
        self.width = width_of(options, 16 if whole.side < MIN_HALVED_SIDE else 8)
        self.depth = depth_of(options, 1)

    def build(self, seed: int) -> BlockModel:
        """The pre-trained network with a fresh head."""
        with seeded(seed):
            model = residual_cnn(self.images.pixels.shape[1], self.num_classes, self.width, self.depth)
        body = {
            name: value for name, value in self.pretrained().state.items() if not name.startswith("head.")
        }
        model.load_state_dict(body, strict=False)
        return model

    def pretrained(self) -> Pretrained:
        """The pre-trained network, from memory, from the cache folder, or trained now."""
        source = ImageCnn(
            TaskOptions(width=self.width, depth=self.depth, settings={"augment": "shift"}),
            SOURCE_RECIPE,
            self._source,
        )
        num_samples = min(SOURCE_PASSES * source.num_samples, MAX_SOURCE_SAMPLES)
        key = hashlib.sha256(f"{source.describe()} {SOURCE_RECIPE} {num_samples}".encode()).hexdigest()[:24]
        if key not in _KNOWN:
            path = None if self._folder is None else self._folder / f"pretrained-{key}.pt"
            if path is not None and path.is_file():
                _KNOWN[key] = _read(path)
            else:
                _KNOWN[key] = _pretrain(source, num_samples)
                if path is not None:
                    _write(path, _KNOWN[key])
        return _KNOWN[key]

    def right_sized(self) -> Task | None:
        """Half the width, pre-trained as well."""
        half = self.width // 2
        return type(self)(replace(self.options, width=half), self.recipe) if half else None

    def describe(self) -> dict[str, Any]:
        """With the cost of the pre-training, which is never charged to the tuning."""
        known = self.pretrained()
        return super().describe() | {
            "domain": self.domain,
            "width": self.width,
            "depth": self.depth,
            "pretraining_images": len(self._source.split.train),
            "pretraining_data_digest": digest(self._source.pixels),
            "pretraining_samples": known.num_samples,
            "pretraining_flop": known.flop,
            "pretraining_accuracy": known.accuracy,
        }


def _part(whole: Images, train: np.ndarray[Any, np.dtype[np.int64]]) -> Images:
    """The images with only some of the training images, and all that are held out."""
    held_out = np.concatenate([whole.split.validation, whole.split.test])
    places = np.concatenate([train, held_out])
    num_train, num_validation = len(train), len(whole.split.validation)
    return replace(
        whole,
        pixels=whole.pixels[places],
        labels=whole.labels[places],
        split=Split(
            train=np.arange(num_train),
            validation=np.arange(num_train, num_train + num_validation),
            test=np.arange(num_train + num_validation, len(places)),
        ),
    )


def _shifted(images: Images, domain: str) -> Images:
    pixels = images.pixels if domain == "noisy" else 1.0 - images.pixels
    if domain != "inverted":
        noise = stream(0, "data", "domain").standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels + np.float32(NOISE * images.side / NOISE_SIDE) * noise
    return replace(images, pixels=pixels)


def _pretrain(source: ImageCnn, num_samples: int) -> Pretrained:
    settings = RunSettings(budget=Budget(float(num_samples), "samples"), seed=SOURCE_SEED, num_evaluations=0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        trainer = Trainer(source, [], settings)
        outcome = trainer.run()
    return Pretrained(
        state={name: value.detach().clone() for name, value in trainer.model.state_dict().items()},
        num_samples=outcome.progress.num_samples,
        flop=outcome.costs.flop(),
        accuracy=outcome.validation["accuracy"],
    )


def _write(path: Path, known: Pretrained) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    content = {"num_samples": known.num_samples, "flop": known.flop, "accuracy": known.accuracy}
    torch.save({"state": known.state, **content}, partial)
    partial.replace(path)


def _read(path: Path) -> Pretrained:
    try:
        content = torch.load(path, weights_only=True)
        return Pretrained(content["state"], content["num_samples"], content["flop"], content["accuracy"])
    except Exception as error:  # a damaged archive raises anything
        raise data_error(
            path, f"cannot be read: {error}", "a cached pre-trained net", "remove the file"
        ) from error


@TASKS.register("fine-tune-cnn")
def fine_tune_cnn(options: TaskOptions) -> Task:
    """A residual network, pre-trained by the engine on clean images, tuned to inverted and noisy ones."""
    return FineTuneCnn(options)
