"""`simtool project`: what a trace takes elsewhere, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import simtool as package
from tests.cli.conftest import Called
from tests.trace.kineto_files import ADD, GEMM, H100, Recorder, two_steps, write
from tests.trace.power_files import BEGAN, put, rocm_csv

Simtool = Callable[..., Called]


def refused(called: Called, *said: str) -> None:
    assert called.code == 2, called.out + called.err
    assert called.out == ""
    assert "Traceback" not in called.err
    for words in said:
        assert words in called.err


def test_time_energy_and_classes_are_told(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json.gz", two_steps())
    called = simtool("project", "trace.json.gz", "--to", "mi300x")
    assert called.code == 0, called.err
    for said in (
        "h100-sxm to mi300x: 6 device ops", "device time", "100 us", "energy, accelerator", "communication", "gemm",
        "elementwise", "p10 to p90", "direct", "note: energy: accelerator alone while it works, at 750 W",
        "note: collectives scale with the networks",
    ):  # fmt: skip
        assert said in called.out
    assert max(map(len, called.out.splitlines())) <= 80


def test_json_holds_sums_intervals_and_classes(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps())
    told = json.loads(simtool("project", "trace.json", "--to", "mi300x", "--json").out)
    assert told["source"], told["target"] == ("h100-sxm", "mi300x")
    assert told["measured_device_time_s"] == pytest.approx(1e-4)
    assert told["num_steps"] == 2
    assert told["energy_scope"] == "accelerator"
    classes = told["by_class"]
    assert set(classes) == {"gemm", "elementwise", "communication"}
    for one in (told, *classes.values()):
        low, high = one["device_time_interval_s"]
        assert 0 < low < one["device_time_s"] < high
        low, high = one["energy_interval_j"]
        assert 0 < low < one["energy_j"] < high
    for name in ("device_time_s", "energy_j"):
        assert sum(one[name] for one in classes.values()) == pytest.approx(told[name])


def test_a_trace_folder_and_python_say_the_same(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps())
    assert simtool("import", "trace.json", "-o", "imported").code == 0
    by_file, by_folder = (
        json.loads(simtool("project", name, "--to", "a100-sxm-80", "--json").out)
        for name in ("trace.json", "imported")
    )
    assert by_file == by_folder
    assert package.project("trace.json", "a100-sxm-80").as_json() == by_file


def test_metered_energy_stands_beside(simtool: Simtool, tmp_path: Path) -> None:
    recorder = Recorder()
    for number in range(4):
        recorder.step(number, 3e6 * number, 3e6)
        recorder.product(3e6 * number, duration_us=2.5e6)
    write(tmp_path / "trace.json", recorder.document(baseTimeNanoseconds=int(BEGAN * 1e9)))
    seconds = [0.05 * number for number in range(-20, 300)]
    put(tmp_path / "power.csv", rocm_csv(seconds, [300.0] * len(seconds)))
    assert simtool("import", "trace.json", "power.csv", "-o", "metered").code == 0
    told = json.loads(simtool("project", "metered", "--to", "mi300x", "--json").out)
    assert told["measured_energy_j"] == pytest.approx(300.0 * 12.0, rel=0.01)


def test_recorded_steps_are_projected_too(simtool: Simtool) -> None:
    from simtool.profiles.find import shipped_folder

    folder = str(shipped_folder("hardware_profiles") / "traces" / "cpu-example")
    refused(simtool("project", folder, "--to", "l4"), "device: found 'Intel Xeon", "--from")
    called = simtool("project", folder, "--from", "cpu-measured-ice-lake", "--to", "l4", "--json")
    told = json.loads(called.out)
    assert told["device_time_s"] < told["measured_device_time_s"] / 5
    assert {"gemm", "attention", "convolution", "optimizer", "normalisation"} <= set(told["by_class"])


def test_a_trace_without_shapes_is_labelled(simtool: Simtool, tmp_path: Path) -> None:
    recorder = Recorder()
    for number in range(4):
        recorder.kernel(GEMM, 10.0 * number, 100.0 * number, 50.0)
        recorder.kernel(ADD, 10.0 * number, 100.0 * number + 50, 40.0)
    write(tmp_path / "trace.json", recorder.document())
    told = json.loads(simtool("project", "trace.json", "--to", "mi300x", "--json").out)
    assert told["basis_frac"] == {"direct": 0, "transferred": 0, "analytic": 1}
    assert any("no shapes were recorded" in note for note in told["notes"])


def test_an_unknown_target_names_near_ones(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps())
    refused(
        simtool("project", "trace.json", "--to", "mi30x"), "--to: unknown accelerator 'mi30x'", "'mi300x'"
    )
    refused(
        simtool("project", "trace.json", "--to", "l4", "--from", "h10"), "--from: unknown accelerator 'h10'"
    )


@pytest.mark.parametrize(
    ("properties", "said"),
    [([], "device: the trace names none"), ([{**H100, "name": "Voodoo 2"}], "device: found 'Voodoo 2'")],
)
def test_an_unknown_device_is_refused_until_it_is_named(
    simtool: Simtool, tmp_path: Path, properties: list[Any], said: str
) -> None:
    write(tmp_path / "trace.json", two_steps(deviceProperties=properties))
    refused(simtool("project", "trace.json", "--to", "mi300x"), said, "--from")
    assert simtool("project", "trace.json", "--to", "mi300x", "--from", "h100-sxm").code == 0


def test_without_kernels_there_is_nothing_to_project(simtool: Simtool, tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.host("aten::mm", 0, 4)
    write(tmp_path / "trace.json", recorder.document())
    refused(simtool("project", "trace.json", "--to", "mi300x"), "no kernel of a device")
    put(tmp_path / "power.csv", rocm_csv([0.0, 1.0, 2.0], [300.0] * 3))
    refused(simtool("project", "power.csv", "--to", "mi300x"), "holds no kernel of a device")
    assert simtool("import", "power.csv", "-o", "metered").code == 0
    refused(simtool("project", "metered", "--to", "mi300x"), "holds no device work")


def test_missing_and_damaged_files_are_refused(simtool: Simtool, tmp_path: Path) -> None:
    refused(simtool("project", "nowhere.json", "--to", "mi300x"), "nowhere.json: does not exist")
    (tmp_path / "empty").mkdir()
    refused(simtool("project", "empty", "--to", "mi300x"), "empty")
    whole = write(tmp_path / "trace.json.gz", two_steps()).read_bytes()
    (tmp_path / "cut.json.gz").write_bytes(whole[: len(whole) // 2])
    refused(simtool("project", "cut.json.gz", "--to", "mi300x"), "cut.json.gz")


def two_ranks() -> list[dict[str, Any]]:
    events = []
    for rank in (0, 1):
        recorder = Recorder(process=100 + rank, device=rank, first=1000 * rank)
        recorder.product(0.0, duration_us=10.0 * (1 + rank))
        events += recorder.events
    return events


def test_of_several_ranks_one_is_chosen(simtool: Simtool, tmp_path: Path) -> None:
    document = {"deviceProperties": [H100, {**H100, "id": 1}], "traceEvents": two_ranks()}
    write(tmp_path / "trace.json", document)
    refused(simtool("project", "trace.json", "--to", "mi300x"), "rank: holds 2 ranks", "ranks 0, 1", "--rank")
    told = json.loads(simtool("project", "trace.json", "--to", "mi300x", "--rank", "1", "--json").out)
    assert told["measured_device_time_s"] == pytest.approx(2e-5)
    refused(simtool("project", "trace.json", "--to", "mi300x", "--rank", "7"), "rank 7")
    assert simtool("import", "trace.json", "-o", "imported").code == 0
    refused(simtool("project", "imported", "--to", "mi300x"), "holds 2 ranks")
    refused(simtool("project", "imported", "--to", "mi300x", "--rank", "7"), "none of them 7")


def test_of_several_kinds_of_device_one_is_chosen(simtool: Simtool, tmp_path: Path) -> None:
    other = {"id": 1, "name": "NVIDIA A100-SXM4-80GB", "totalGlobalMem": 85e9, "numSms": 108}
    write(tmp_path / "trace.json", {"deviceProperties": [H100, other], "traceEvents": two_ranks()})
    refused(simtool("project", "trace.json", "--to", "mi300x"), "several kinds of device")
    told = json.loads(simtool("project", "trace.json", "--to", "mi300x", "--rank", "1", "--json").out)
    assert told["source"] == "a100-sxm-80"


def test_a_target_without_a_rate_for_the_format_is_refused(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps())
    refused(
        simtool("project", "trace.json", "--to", "v100-sxm2-32"),
        "states no rate for bf16",
        "it has fp16, fp32",
    )


@pytest.mark.parametrize("watts", ["0", "-5", "1e9", "nan"])
def test_a_power_limit_that_is_none_is_refused(simtool: Simtool, tmp_path: Path, watts: str) -> None:
    write(tmp_path / "trace.json", two_steps())
    refused(
        simtool("project", "trace.json", "--to", "mi300x", "--power-limit", watts), "--power-limit: found"
    )
