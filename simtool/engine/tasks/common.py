"""What all tasks share: seeded building, fixed evaluation, ranges of the common options."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from simtool.engine.settings import Settings
from simtool.engine.task import TaskOptions
from simtool.errors import InputError, Problem

WHERE = "task option"
"""Where the options of a task are written, for messages."""
MAX_WIDTH, MAX_DEPTH, MAX_SAMPLES = 8192, 256, 10_000_000_000


class TaskSettings(Settings):
    """Settings of a task, which may also name columns of the user's data."""

    def __init__(self, task: str, options: TaskOptions) -> None:
        super().__init__(task, options.settings, WHERE)

    def text(self, name: str) -> str | None:
        """Free text, or None where it is not set."""
        self._known.add(name)
        return self._written.get(name) or None

    def names(self, name: str) -> tuple[str, ...]:
        """Names joined by ``+``."""
        return tuple(filter(None, (self.text(name) or "").split("+")))


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fresh modules inside depend on `seed` alone, and leave torch's own randomness as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[torch.device]:
    """Evaluation mode without gradients; afterwards every module is in the mode it was in.

    Yields:
        The device of the parameters.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield next(model.parameters()).device
    finally:
        for module, mode in modes:
            module.training = mode


def width_of(options: TaskOptions, default: int, multiple: int = 1) -> int:
    """The chosen width, a multiple of what the net needs.

    Raises:
        InputError: not positive, absurdly large, or no multiple.
    """
    return _checked("width", options.width, default, MAX_WIDTH, multiple)


def depth_of(options: TaskOptions, default: int) -> int:
    """The chosen depth.

    Raises:
        InputError: not positive or absurdly large.
    """
    return _checked("depth", options.depth, default, MAX_DEPTH)


def max_samples_of(options: TaskOptions, default: int) -> int:
    """Training samples at most.

    Raises:
        InputError: not positive.
    """
    return _checked("max_samples", options.max_samples, default, MAX_SAMPLES)


def _checked(name: str, written: int | None, default: int, high: int, multiple: int = 1) -> int:
    value = default if written is None else written
    if not multiple <= value <= high or value % multiple:
        allowed = f"{multiple} to {high}" + (f", a multiple of {multiple}" if multiple > 1 else "")
        raise InputError(Problem(WHERE, name, f"found {value}", allowed, f"e.g. {default}"))
    return value


def check_size(task: str, size: int | None, full: int, *, divides: bool = False) -> int:
    """The size of the inputs of a step; None is the full size.

    Raises:
        InputError: larger than the full size, or where it has to divide it, it does not.
    """
    if size is None:
        return full
    if not 1 <= size <= full or (divides and full % size):
        allowed = f"a divisor of {full}" if divides else f"1 to {full}"
        raise InputError(
            Problem("size", task, f"found a size of {size}", allowed, "choose one of the task's sizes")
        )
    return size
