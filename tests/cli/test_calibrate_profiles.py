"""`simtool calibrate` of anybody's traces: profile, figures, and a scenario that runs with it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calibrate.made_profile import Maker, Truth, host_bound, loads, run
from tests.cli.conftest import Called

Simtool = Callable[..., Called]
FIGURES = {"predicted-against-measured", "residuals", "coefficients", "roofline"}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return run(Truth(), steps=1).write(tmp_path / "trace.json")


def test_profile_figures_and_scenario(simtool: Simtool, trace: Path, tmp_path: Path) -> None:
    called = simtool("calibrate", str(trace), "-o", "mine/my-h100.yaml")
    assert called.code == 0, called.err
    assert max(map(len, called.out.splitlines())) <= 80
    for words in ("fits began at h100-sxm", "gemm: peak_frac", "stayed at its prior", "constant p50"):
        assert words in called.out
    folder = tmp_path / "mine"
    figures = {path.name for path in (folder / "my-h100-figures").iterdir()}
    assert figures == {f"{name}.{suffix}" for name in FIGURES for suffix in ("svg", "png", "csv")}
    assert "power was not drawn: no power was logged beside the ops" in called.err
    assert simtool("check", "mine/my-h100.yaml").code == 0
    plain = _step_time_s(simtool)
    mine = _step_time_s(simtool, "--set", "cluster.accelerator=my-h100", "--profiles", "mine")
    # products reach 0.70 of the peak, where the shipped curve reaches 0.861 and is 1.19 times slower in training
    assert plain < mine < 1.4 * plain


def _step_time_s(simtool: Simtool, *words: str) -> float:
    called = simtool("run", "quickstart", "--json", *words)
    assert called.code == 0, called.err
    return float(json.loads(called.out)["quantities"]["step_time_s"]["value"])


def test_the_csv_behind_a_figure_holds_every_shape(simtool: Simtool, trace: Path, tmp_path: Path) -> None:
    assert simtool("calibrate", str(trace), "-o", "my-h100.yaml").code == 0
    told = json.loads(simtool("calibrate", str(trace), "--json", "--name", "my-h100").out)
    with (tmp_path / "my-h100-figures" / "predicted-against-measured.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("gemm", "attention", "memory"):
        assert len([row for row in rows if row["op_class"] == name]) == told["fits"][name]["num_measured"]
    assert told["files"] == []


def test_power_and_links_have_their_files(simtool: Simtool, tmp_path: Path) -> None:
    make = loads(Truth(), rounds=2)
    make.write(tmp_path / "trace.json")
    (tmp_path / "power.csv").write_text(make.power_log(), "utf-8")
    called = simtool("calibrate", "trace.json", "power.csv", "-o", "mine/my-h100.yaml", "--json")
    assert called.code == 0, called.err
    told = json.loads(called.out)
    assert told["fits"]["power"]["coefficients"]["compute"]["value"] == pytest.approx(620, rel=0.05)
    assert told["not_drawn"] == {}
    assert "mine/networks/my-h100.yaml" in told["files"]
    assert {"mine/my-h100-figures/power.svg", "mine/my-h100-figures/power.csv"} <= set(told["files"])
    run_ = simtool("run", "quickstart", "--set", "cluster.accelerator=my-h100", "--profiles", "mine")
    assert run_.code == 0, run_.err


def test_a_framework_is_calibrated_beside_its_device(simtool: Simtool, tmp_path: Path) -> None:
    host_bound(Truth()).write(tmp_path / "trace.json")
    called = simtool("calibrate", "trace.json", "-o", "mine/my-h100.yaml", "--software", "torchtitan")
    assert called.code == 0, called.err
    assert "software: launch_floor" in called.out
    assert "mine/software/my-h100.yaml" in called.out
    words = (
        "--set",
        "software.framework=my-h100",
        "--set",
        "cluster.accelerator=my-h100",
        "--profiles",
        "mine",
    )
    assert simtool("run", "quickstart", *words).code == 0
    for wrong in (("example", "--software", "torchtitan"), ("trace.json", "--software", "torchtian")):
        assert simtool("calibrate", *wrong).code == 2


def test_what_is_there_stays_unless_forced(simtool: Simtool, trace: Path, tmp_path: Path) -> None:
    (tmp_path / "my-h100.yaml").write_text("mine", "utf-8")
    called = simtool("calibrate", str(trace), "-o", "my-h100.yaml")
    assert called.code == 2
    assert "--force" in called.err
    assert not (tmp_path / "my-h100-figures").exists()
    assert simtool("calibrate", str(trace), "-o", "my-h100.yaml", "--force").code == 0


def test_the_same_traces_make_the_same_bytes(simtool: Simtool, trace: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert simtool("calibrate", str(trace), "-o", f"{folder}/my-h100.yaml").code == 0
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_an_earlier_calibration_is_a_prior(simtool: Simtool, trace: Path) -> None:
    assert simtool("calibrate", str(trace), "-o", "mine/first.yaml").code == 0
    words = ("-o", "mine/second.yaml", "--hardware", "first", "--profiles", "mine")
    called = simtool("calibrate", str(trace), *words)
    assert called.code == 0, called.err
    assert "fits began at first" in called.out


def test_a_suite_is_calibrated_from_alone(simtool: Simtool, trace: Path) -> None:
    called = simtool("calibrate", "example", str(trace))
    assert called.code == 2
    assert "is a suite of measurements, named beside other traces; calibrate from it alone" in called.err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"traceEvents":[{"ph":"X"', "is cut in event 1"),
        ('{"traceEvents":[]}', "has no kernel of a device"),
        ("", "is empty"),
    ],
    ids=["cut", "without events", "empty"],
)
def test_files_that_are_no_trace(simtool: Simtool, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "trace.json").write_text(content, "utf-8")
    called = simtool("calibrate", "trace.json")
    assert called.code == 2
    assert said in called.err
    assert "Traceback" not in called.err


def test_too_little_is_refused_with_every_reason(simtool: Simtool, tmp_path: Path) -> None:
    make = Maker(Truth())
    make.product(4096, 4096, 4096)
    make.write(tmp_path / "trace.json")
    called = simtool("calibrate", "trace.json")
    assert called.code == 2
    for words in (
        "gemm: one shape in 1 step",
        "attention: no call of a known size",
        "power: no power was logged",
    ):
        assert words in called.err
