"""How tests of the command line call it: in this process, with a terminal of no particular kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from simtool.cli import main


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


@pytest.fixture
def simtool(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Called]]:
    """Calls a command in an empty folder and gives back exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIMTOOL_PROFILES", "COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> Called:
        monkeypatch.setattr("sys.argv", ["simtool", *arguments])
        capsys.readouterr()
        code = main.call(list(arguments))
        captured = capsys.readouterr()
        return Called(code, captured.out, captured.err)

    yield call
    logger = logging.getLogger("simtool")
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
