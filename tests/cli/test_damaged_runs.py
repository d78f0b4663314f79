"""A run folder that somebody has damaged: told, never believed, computed again where that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.result.manifest import FILES
from simtool.result.saved import is_whole
from tests.cli.conftest import Called

Call = Callable[..., Called]
READERS = (
    ("explain", "cost.total", "RUN"),
    ("plot", "RUN", "--only", "step-timeline"),
    ("compare", "RUN", "quickstart"),
    ("run", "RUN"),
    ("run", "RUN", "--dry-run"),
)


@pytest.fixture
def run_folder(simtool: Call, tmp_path: Path) -> Path:
    assert simtool("run", "quickstart", "-q").code == 0
    (folder,) = (tmp_path / "out" / "quickstart").iterdir()
    return folder


@pytest.mark.parametrize("content", [b"{}", b'{"schema": "simtool/run/1"', bytes(range(256)), None])
@pytest.mark.parametrize("name", ["manifest.json", "summary.json"])
@pytest.mark.parametrize("command", READERS, ids=" ".join)
def test_readers_refuse_it_with_one_message(
    command: tuple[str, ...], name: str, content: bytes | None, simtool: Call, run_folder: Path
) -> None:
    (run_folder / name).unlink()
    if content is not None:
        (run_folder / name).write_bytes(content)
    called = simtool(*(word.replace("RUN", str(run_folder)) for word in command))
    assert called.code == 2
    assert called.out == ""
    assert called.err.count("\n") == 1
    assert name in called.err
    assert "run the scenario again" in called.err


@pytest.mark.parametrize("name", FILES)
def test_the_same_question_again_mends_it(name: str, simtool: Call, run_folder: Path) -> None:
    whole = (run_folder / "costs.csv").read_bytes()
    (run_folder / name).write_text("{}", "utf-8")
    called = simtool("run", "quickstart")
    assert called.code == 0
    assert "is damaged" in called.err
    assert "(written)" in called.out
    assert is_whole(run_folder)
    assert (run_folder / "costs.csv").read_bytes() == whole
    assert "answered before" in simtool("run", "quickstart").out


def test_figures_do_not_stand_in_the_way_of_force(simtool: Call, run_folder: Path) -> None:
    assert simtool("plot", str(run_folder), "--only", "step-timeline").code == 0
    assert simtool("run", "quickstart", "--force").code == 0
    assert {path.name for path in run_folder.iterdir()} == set(FILES)


def test_files_of_others_are_named_before_anything_is_computed(
    simtool: Call, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run_folder / "thesis.tex").write_text("years of work", "utf-8")
    monkeypatch.setattr("simtool.result.run.run", lambda *_, **__: pytest.fail("computed"))
    called = simtool("run", "quickstart", "--force")
    assert called.code == 2
    assert "thesis.tex; move them away" in called.err
    assert (run_folder / "thesis.tex").read_text("utf-8") == "years of work"
