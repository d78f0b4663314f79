"""Tasks that several tests share: built once, small, and never changed by a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from simtool.engine.task import TASKS, Task, TaskOptions

TEXT = TaskOptions(width=32, depth=2, settings={"megabytes": "0.1", "context": "32"})
SMALL = {
    "byte-gpt": TEXT,
    "char-gpt": TEXT,
    "masked-encoder": TEXT,
    "fine-tune-cnn": TaskOptions(width=8),
    "image-cnn": TaskOptions(width=8),
    "image-vit": TaskOptions(depth=2),
    "series-gru": TaskOptions(settings={"window": "12"}),
    "tabular-mlp": TaskOptions(width=64),
}
"""Shapes that make a task quick without making it another task."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small() -> dict[str, TaskOptions]:
    """Options of every task that make it quick."""
    return SMALL


@pytest.fixture(scope="session", params=sorted(SMALL))
def task(request: pytest.FixtureRequest) -> Task:
    """Every registered task, one after the other."""
    return TASKS[request.param](SMALL[request.param])
