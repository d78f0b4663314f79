"""What the frozen front of a model makes of every training sample, kept in memory.

Augmented samples are kept in a fixed number of views; targets and mask come from the same view, so a
task that draws them anew for every batch stays consistent.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from simtool.engine.methods._precision import autocast
from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray, StepPlan
from simtool.engine.task import Batch
from simtool.engine.tasks.common import evaluating
from simtool.engine.work import Work

CHUNK = 256
"""Samples that go through the front at a time."""


class FrontCache:
    """Outputs of the front, one row for each view of each sample.

    Args:
        num_views: fixed augmentations of each sample.
    """

    def __init__(self, num_views: int) -> None:
        self.num_views = num_views
        self.frozen = 0
        """Blocks behind which the outputs were taken; 0 while the cache is empty."""
        self._front: Tensor | None = None
        self._targets: Tensor | None = None
        self._mask: Tensor | None = None

    def largest_bytes(self, work: Work, model: BlockModel, max_frozen: int) -> int:
        """Size of the cache behind the block, up to `max_frozen`, whose output is largest [byte]."""
        largest = 0
        with evaluating(model):
            inputs = self._view(work, np.zeros(1, dtype=np.int64), 0).inputs
            for frozen in range(1, max_frozen + 1):
                front = model.front(inputs, StepPlan(num_samples=1, frozen=frozen))
                largest = max(largest, front.numel() * front.element_size())
        return largest * work.task.num_samples * self.num_views

    def fill(self, work: Work, model: BlockModel, frozen: int, precision: str) -> None:
        """Take the outputs behind `frozen` blocks, from those behind fewer where there are any."""
        num_samples = work.task.num_samples
        held: dict[str, Tensor] = {}
        with evaluating(model), autocast(work.device, precision):
            for begin in range(0, num_samples * self.num_views, CHUNK):
                rows = np.arange(begin, min(begin + CHUNK, num_samples * self.num_views))
                if self._front is None:
                    batch = self._views(work, rows)
                    front = model.front(batch.inputs, StepPlan(num_samples=len(rows), frozen=frozen))
                    made = {"front": front, "targets": batch.targets}
                    if batch.mask is not None:
                        made["mask"] = batch.mask
                else:
                    hidden = self._front[rows[0] : rows[-1] + 1]
                    for index in range(self.frozen, frozen):
                        hidden = model.blocks[index](hidden)
                    made = {"front": hidden}
                for name, value in made.items():
                    if name not in held:
                        held[name] = value.new_empty((num_samples * self.num_views, *value.shape[1:]))
                    held[name][rows[0] : rows[-1] + 1] = value
        self._front = held["front"]
        self._targets = held.get("targets", self._targets)
        self._mask = held.get("mask", self._mask)
        self.frozen = frozen

    def batch(self, work: Work, batch: Batch, step: int) -> Batch:
        """The batch with the cached front of its samples, each in a view drawn for this step."""
        if self._front is None or self._targets is None:
            raise RuntimeError("the cache of the front is asked for before it was filled")
        views = work.generator("front view", step).integers(self.num_views, size=len(batch.indices))
        rows = torch.as_tensor(views * work.task.num_samples + batch.indices, device=self._front.device)
        return replace(
            batch,
            targets=self._targets[rows],
            mask=None if self._mask is None else self._mask[rows],
            extra={**batch.extra, "front": self._front[rows]},
        )

    def _views(self, work: Work, rows: IntArray) -> Batch:
        """The samples of some rows of the cache, which may lie in two views."""
        num_samples = work.task.num_samples
        parts = [
            self._view(work, rows[rows // num_samples == view] % num_samples, int(view))
            for view in np.unique(rows // num_samples)
        ]
        masks = [part.mask for part in parts if part.mask is not None]
        return Batch(
            inputs=torch.cat([part.inputs for part in parts]),
            targets=torch.cat([part.targets for part in parts]),
            indices=np.concatenate([part.indices for part in parts]),
            mask=torch.cat(masks) if masks else None,
        )

    def _view(self, work: Work, indices: IntArray, view: int) -> Batch:
        """Samples of one view; a stream of its own for each view and first sample."""
        generator = work.generator("front augmentation", view * work.task.num_samples + int(indices[0]))
        return work.task.batch(indices, None, generator).to(work.device)
