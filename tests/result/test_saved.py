"""What is read back from a run folder is what was written there, or it is refused; nothing of others is deleted."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from simtool.errors import InputError, OutputError
from simtool.result import folder as folders
from simtool.result.folder import write_run_folder
from simtool.result.manifest import FILES
from simtool.result.result import Result
from simtool.result.saved import check, foreign_files, is_run_folder, is_whole, read_summary
from tests.report import made

MANGLED = {
    "empty": lambda data: data[:0],
    "braces": lambda _: b"{}",
    "cut": lambda data: data[: len(data) // 2],
    "one byte": lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
    "binary": lambda _: bytes(range(256)),
    "longer": lambda data: data + b"x",
}


@pytest.fixture(scope="module")
def result() -> Result:
    return made.with_method()


@pytest.fixture
def path(result: Result, tmp_path: Path) -> Path:
    return write(result, tmp_path)


def write(result: Result, out: Path, **options: Any) -> Path:
    return write_run_folder(result, out, command="simtool run quickstart", **options)


@pytest.mark.parametrize("how", MANGLED)
@pytest.mark.parametrize("name", FILES)
def test_any_change_to_any_file_is_told(path: Path, name: str, how: str) -> None:
    assert is_whole(path)
    (path / name).write_bytes(MANGLED[how]((path / name).read_bytes()))
    assert is_run_folder(path)
    assert not is_whole(path)
    with pytest.raises(InputError, match=name):
        read_summary(path)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_or_no_file_is_told(path: Path, name: str) -> None:
    (path / name).unlink()
    with pytest.raises(InputError, match=name):
        check(path)
    os.mkfifo(path / name)
    with pytest.raises(InputError, match="is not a file"):
        check(path)


def test_every_key_of_the_manifest_counts(path: Path) -> None:
    text = (path / "manifest.json").read_text("utf-8")
    for key in json.loads(text):
        changed = json.loads(text)
        del changed[key]
        (path / "manifest.json").write_text(json.dumps(changed), "utf-8")
        with pytest.raises(InputError, match=r"manifest\.json: "):
            check(path)


def test_the_manifest_of_another_version_is_named(path: Path) -> None:
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    (path / "manifest.json").write_text(json.dumps(manifest | {"schema": "simtool/run/2"}), "utf-8")
    with pytest.raises(InputError, match="found schema 'simtool/run/2'; allowed: simtool/run/1"):
        check(path)


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_folder_is_written_anew_and_said_so(
    result: Result, path: Path, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (path / name).write_text("{}", "utf-8")
    assert write(result, tmp_path) == path
    assert is_whole(path)
    assert "is damaged" in caplog.text
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", "figures/mine.png", "ledger/part.parquet", ".hidden"])
def test_what_simtool_did_not_write_is_never_deleted(
    result: Result, path: Path, tmp_path: Path, name: str, force: bool
) -> None:
    (path / "summary.json").write_text("{}", "utf-8")
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("years of work", "utf-8")
    before = sorted(path.rglob("*"))
    with pytest.raises(OutputError, match=rf"did not write.*{name.partition('/')[0]}.*move them away"):
        write(result, tmp_path, force=force, figures=["step-timeline"])
    assert (path / name).read_text("utf-8") == "years of work"
    assert sorted(path.rglob("*")) == before
    assert list(path.parent.iterdir()) == [path]


def test_a_foreign_file_that_comes_late_is_kept(
    result: Result, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = folders.write_timeline

    def meanwhile(*arguments: Any) -> None:
        original(*arguments)
        (path / "late.txt").write_text("kept", "utf-8")

    monkeypatch.setattr(folders, "write_timeline", meanwhile)
    with pytest.raises(OutputError, match=r"late\.txt"):
        write(result, tmp_path, force=True)
    assert (path / "late.txt").exists()
    assert is_whole(path)


def test_the_figures_that_simtool_drew_do_not_stand_in_the_way(
    result: Result, path: Path, tmp_path: Path
) -> None:
    (path / "figures").mkdir()
    for name in ("step-timeline.svg", "step-timeline.csv", ".step-timeline.png.partial"):
        (path / "figures" / name).write_text("drawn", "utf-8")
    assert foreign_files(path, ["step-timeline"]) == []
    write(result, tmp_path, force=True, figures=["step-timeline"])
    assert {file.name for file in path.iterdir()} == set(FILES)
    assert list(path.parent.iterdir()) == [path]


def test_a_link_in_the_place_of_a_run_folder_is_left_alone(
    result: Result, path: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    with pytest.raises(OutputError, match="a file or link stands"):
        write(result, tmp_path, force=True)
    assert is_whole(elsewhere)
