"""Which samples come next: one seeded permutation an epoch, which methods may thin out and weigh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simtool.engine.method import Method
from simtool.engine.plan import FloatArray, IntArray
from simtool.engine.work import Work


class Order:
    """Hands out samples; every epoch has a permutation of its own, whatever was drawn before."""

    def __init__(self, work: Work, methods: Sequence[Method]) -> None:
        self._work, self._methods = work, methods
        self.epoch = -1
        self._indices: IntArray = np.empty(0, dtype=np.int64)
        self._weights: FloatArray | None = None
        self._position = 0

    def next(self, num_samples: int) -> tuple[IntArray, FloatArray | None]:
        """The next samples, over the end of an epoch if need be, and their weights (None: all 1)."""
        indices, weights = [], []
        missing = num_samples
        while missing:
            if self._position == len(self._indices):
                self._begin_epoch()
            part = slice(self._position, self._position + missing)
            taken = self._indices[part]
            indices.append(taken)
            weights.append(np.ones(len(taken)) if self._weights is None else self._weights[part])
            self._position += len(taken)
            missing -= len(taken)
        joined = np.concatenate(weights)
        return np.concatenate(indices), None if bool(np.all(joined == 1.0)) else joined

    def _begin_epoch(self) -> None:
        self.epoch += 1
        self._position, self._weights = 0, None
        self._indices = self._work.generator("order", self.epoch).permutation(self._work.task.num_samples)
        for method in self._methods:
            self._indices, weights = method.order(self._work, self.epoch, self._indices)
            if weights is not None:
                self._weights = weights
        if len(self._indices) == 0:
            raise RuntimeError("a method left no sample of the epoch")

    def state_dict(self) -> dict[str, Any]:
        """Epoch, position and what is left of the epoch."""
        return {
            "epoch": self.epoch,
            "position": self._position,
            "indices": self._indices.tolist(),
            "weights": None if self._weights is None else self._weights.tolist(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where `state_dict` stood."""
        self.epoch, self._position = state["epoch"], state["position"]
        self._indices = np.asarray(state["indices"], dtype=np.int64)
        self._weights = None if state["weights"] is None else np.asarray(state["weights"], dtype=np.float64)
