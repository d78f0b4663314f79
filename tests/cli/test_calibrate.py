"""`simtool calibrate`: figures on stdout, files where they were asked for, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Called

Simtool = Callable[..., Called]


def test_without_a_place_for_files_only_the_figures_are_told(simtool: Simtool, tmp_path: Path) -> None:
    called = simtool("calibrate", "example")
    assert called.code == 0, called.err
    for word in (
        "peak fp32",
        "bandwidth",
        "gemm, training size",
        "attention, all sizes",
        "constant p90",
        "Xeon",
    ):
        assert word in called.out
    assert max(map(len, called.out.splitlines())) <= 80
    assert list(tmp_path.iterdir()) == []


def test_the_profile_that_is_written_can_be_used(simtool: Simtool, tmp_path: Path) -> None:
    called = simtool("calibrate", "example", "-o", "mine/my-cpu.yaml")
    assert called.code == 0, called.err
    assert sorted(path.name for path in (tmp_path / "mine").rglob("*.yaml")) == ["my-cpu.yaml", "my-cpu.yaml"]
    assert "mine/my-cpu.yaml" in called.out
    assert simtool("check", "mine/my-cpu.yaml").code == 0
    shown = simtool("list", "hardware", "--profiles", "mine")
    assert "my-cpu" in shown.out


def test_json_tells_every_coefficient(simtool: Simtool) -> None:
    told = json.loads(simtool("calibrate", "example", "--json", "--name", "my-cpu").out)
    assert told["name"] == "my-cpu"
    assert set(told["curves"]) == {"gemm", "attention", "memory"}
    for curve in told["curves"].values():
        assert set(curve["coefficients"]) == set(curve["spreads"])
        assert 0.0 < curve["held_out_training"]["p50"] <= curve["held_out_training"]["p90"]
    assert told["power"]["idle_w"] is None
    assert told["files"] == []


def test_what_is_there_stays_unless_forced(simtool: Simtool, tmp_path: Path) -> None:
    (tmp_path / "my-cpu.yaml").write_text("mine", "utf-8")
    called = simtool("calibrate", "example", "-o", "my-cpu.yaml")
    assert called.code == 2
    assert "--force" in called.err
    assert not (tmp_path / "efficiency").exists()
    assert simtool("calibrate", "example", "-o", "my-cpu.yaml", "--force").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "found no folder 'nowhere'"),
        (["."], "has no manifest.yaml"),
        (["example", "-o", "profile.json"], "a name ending in .yaml"),
        (["example", "-o", "My GPU.yaml"], "lower-case"),
        (["example", "-o", "a.yaml", "--name", "b"], "found 'b' for a.yaml"),
        (["example", "--like", "h100"], "unknown accelerator 'h100'"),
        (["example", "--like", "gaudi3"], "not the kind of device"),
    ],
    ids=str,
)
def test_refusals(simtool: Simtool, words: list[str], said: str) -> None:
    called = simtool("calibrate", *words)
    assert called.code == 2
    assert said in called.err
    assert "Traceback" not in called.err
