"""What is trained on what: the only code that knows a data set, a model and its loss.

A task of one's own is a Python file with one subclass of `Task`, named on the command line.
"""

from __future__ import annotations

import importlib.util
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from simtool.engine.model import BlockModel
from simtool.engine.plan import IntArray
from simtool.errors import InputError, Problem
from simtool.registry import Registry

Part = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Tuned settings of the baseline; both arms of every comparison start from them."""

    learning_rate: float
    batch_size: int
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    warmup_frac: float = 0.05
    clip_norm: float = 1.0
    """Largest norm of the whole gradient; 0 leaves it alone."""
    muon_learning_rate: float = 0.02
    muon_aux_learning_rate: float = 8e-3
    muon_momentum: float = 0.95


@dataclass(frozen=True, slots=True)
class Batch:
    """Samples of one step on the device. A row is what the model sees: a sample, or a piece of one."""

    inputs: Tensor
    targets: Tensor
    indices: IntArray
    """Sample that each row belongs to, shape (rows,)."""
    mask: Tensor | None = None
    """1 where a loss counts, of the shape of the losses; None counts all."""
    extra: dict[str, Tensor] = field(default_factory=dict)
    """Anything else that belongs to a row; first dimension: rows."""

    def rows(self, keep: Tensor) -> Batch:
        """Only some rows."""
        return replace(
            self,
            inputs=self.inputs[keep],
            targets=self.targets[keep],
            indices=self.indices[keep.cpu().numpy()],
            mask=None if self.mask is None else self.mask[keep],
            extra={name: value[keep] for name, value in self.extra.items()},
        )

    def to(self, device: torch.device) -> Batch:
        """The batch on another device."""
        if self.inputs.device == device:
            return self
        move = lambda value: value.to(device, non_blocking=True)  # noqa: E731
        return replace(
            self,
            inputs=move(self.inputs),
            targets=move(self.targets),
            mask=None if self.mask is None else move(self.mask),
            extra={name: move(value) for name, value in self.extra.items()},
        )


class Task(ABC):
    """One thing to learn, with train, validation and test parts that share no sample."""

    name: ClassVar[str] = ""
    family: ClassVar[str] = ""
    """Architecture family, as effect files name it: decoder, encoder, convnet, vit, mlp, recurrent."""
    metric: ClassVar[str] = "loss"
    higher_is_better: ClassVar[bool] = False
    recipe: Recipe
    offers: frozenset[str] = frozenset()
    """What methods may ask for: ``blocks`` (interchangeable, so that depth can grow), ``tokens``
    (blocks take any subset), ``sizes`` (smaller inputs), ``window`` (blocks take the number of
    tokens that attention sees), ``counts`` (token ids over a small vocabulary),
    ``fixed-inputs`` (no augmentation, so that activations can be cached), ``samples`` (sample identity
    over epochs), ``pretrained`` (fine-tuning)."""
    sizes: tuple[int, ...] = ()
    """Input sizes that make sense, rising; the last is the full size."""
    num_samples: int
    """Training samples."""

    @abstractmethod
    def build(self, seed: int) -> BlockModel:
        """A fresh model; the same seed gives the same parameters."""

    @abstractmethod
    def batch(self, indices: IntArray, size: int | None, generator: np.random.Generator) -> Batch:
        """Training samples by index, at a size from `sizes` (None: full), augmented by `generator`."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Loss of every row, or of every token of every row: shape (rows,) or (rows, tokens), never reduced."""

    @abstractmethod
    def evaluate(self, model: BlockModel, part: Part) -> dict[str, float]:
        """Quality on a held-out part: `metric` and ``loss`` at least. Never charged to training."""

    def num_tokens(self, size: int | None) -> int:
        """Tokens of a sample at a size; a task whose sizes are no numbers of tokens says so itself."""
        return self.sizes[-1] if size is None else size

    def right_sized(self) -> Task | None:
        """The same task with half the input side or half the width, as its own baseline, if that makes sense."""
        return None

    def describe(self) -> dict[str, Any]:
        """What the trace says of the task."""
        return {"name": self.name, "family": self.family, "metric": self.metric, "samples": self.num_samples}


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOptions:
    """What the command line may change of a task."""

    data: Path | None = None
    """A file or folder of the user's; None takes the embedded data."""
    width: int | None = None
    depth: int | None = None
    max_samples: int | None = None
    settings: dict[str, str] = field(default_factory=dict)
    """Further ``key=value`` settings of one task."""


TASKS: Registry[Callable[[TaskOptions], Task]] = Registry("task", package="simtool.engine.tasks")
"""Makers of tasks, by the name on the command line."""


def load_task(name: str, options: TaskOptions) -> Task:
    """A task by registry name, or from a Python file of the user's.

    Raises:
        InputError: if the name is unknown, or the file cannot be used as a task.
    """
    if not name.endswith(".py"):
        return TASKS[name](options)
    path = Path(name)
    if not path.is_file():
        raise InputError(Problem(name, "task", "no such file", "", "name a registered task or a Python file"))
    spec = importlib.util.spec_from_file_location(f"simtool_user_task_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise InputError(Problem(name, "task", "cannot be read as Python"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(
            Problem(name, "task", f"raised {type(error).__name__}: {error}", "", "mend the task file")
        ) from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Task) and value.__module__ == spec.name
    ]
    if len(found) != 1:
        raise InputError(
            Problem(
                name, "task", f"found {len(found)} subclasses of Task", "exactly one", "leave one in the file"
            )
        )
    try:
        return found[0](options)  # type: ignore[call-arg]
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            Problem(name, "task", f"{found[0].__name__}(options) raised {type(error).__name__}: {error}")
        ) from error
