"""The double's library, built once, and loaded by nvidia-ml-py for one test at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path

import pynvml
import pytest

from tests.engine.power.bench import Bench, build


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled double."""
    return build(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def bench(library: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Bench]]:
    """Makes a bench; afterwards the double answers that no driver is loaded, and the real one can be loaded."""
    monkeypatch.setattr(pynvml, "CDLL", lambda _name: ctypes.CDLL(str(library)))
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    yield lambda control: Bench(library, control)
    ctypes.CDLL(str(library)).double_control(b"!")
