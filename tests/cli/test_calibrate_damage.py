"""`simtool calibrate` on traces that were damaged, cut off or made up."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.calibrate.damaged_trace import EXAMPLE, as_streams, changed
from tests.cli.conftest import Called

Simtool = Callable[..., Called]


def test_the_command_says_where_and_gives_exit_code_2(simtool: Simtool, tmp_path: Path) -> None:
    changed(tmp_path / "trace", shape="m=a n=b k=c")
    called = simtool("calibrate", "trace")
    assert called.code == 2
    assert "kernels.parquet: row " in called.err
    assert "shape: found 'm=a n=b k=c'" in called.err


def test_a_trace_whose_writer_was_killed_is_fitted_with_a_note(simtool: Simtool, tmp_path: Path) -> None:
    as_streams(tmp_path / "trace", 0.95)
    called = simtool("calibrate", "trace", "--json", "-o", "mine.yaml")
    assert called.code == 0, called.err
    assert any("cut off" in note and "bytes" in note for note in json.loads(called.out)["notes"])
    assert "cut off" in (tmp_path / "mine.yaml").read_text("utf-8")


def test_a_trace_without_operations_is_refused(simtool: Simtool, tmp_path: Path) -> None:
    (shutil.copytree(EXAMPLE, tmp_path / "trace") / "ops.parquet").unlink()
    called = simtool("calibrate", "trace")
    assert called.code == 2
    assert "trace: ops: holds no ops" in called.err
    assert "the same command goes on" in called.err


def test_a_name_with_a_line_break_does_not_break_the_profile(simtool: Simtool, tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLE, tmp_path / "trace")
    text = (folder / "manifest.yaml").read_text("utf-8")
    text = re.sub(r"(?m)^  name: .*", r'  name: "My\\nboard: x\\u202e"', text, count=1)
    (folder / "manifest.yaml").write_text(text, "utf-8")
    called = simtool("calibrate", "trace", "-o", "mine.yaml")
    assert called.code == 0, called.err
    assert simtool("check", "mine.yaml").code == 0
