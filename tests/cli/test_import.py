"""`simtool import`: what was found on stdout, a trace folder where it was asked for, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from simtool.trace import read_trace
from tests.cli.conftest import Called
from tests.trace.kineto_files import two_steps, write
from tests.trace.power_files import BEGAN, nvidia_smi, put, rocm_csv

Simtool = Callable[..., Called]


def test_what_was_found_is_told_and_nothing_is_written(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json.gz", two_steps())
    called = simtool("import", "trace.json.gz")
    assert called.code == 0, called.err
    for said in (
        "NVIDIA H100 80GB HBM3: 1 rank, 6 device ops, 1 file",
        "2, median 100 us",
        "40.0%, 60.0%",
        "20.0%, of which exposed 10.0%",
        "of the peak of h100-sxm",
        "none was read",
        "communication",
        "ncclDevKernel_AllReduce_Sum_bf16_RI...",
    ):
        assert said in called.out
    assert max(map(len, called.out.splitlines())) <= 80
    assert [path.name for path in tmp_path.iterdir()] == ["trace.json.gz"]


def test_the_folder_can_be_read(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps())
    called = simtool("import", "trace.json", "-o", "out/trace")
    assert called.code == 0, called.err
    assert called.out.splitlines()[-1] == "out/trace"
    assert read_trace(tmp_path / "out" / "trace").device_ops.num_rows == 6
    again = simtool("import", "trace.json", "-o", "out/trace")
    assert again.code == 2
    assert "--force" in again.err
    assert simtool("import", "trace.json", "-o", "out/trace", "--force").code == 0


def test_json_tells_every_figure(simtool: Simtool, tmp_path: Path) -> None:
    write(tmp_path / "trace.json", two_steps(baseTimeNanoseconds=int(BEGAN * 1e9)))
    seconds = [0.00001 * number for number in range(-5, 200)]
    put(tmp_path / "power.csv", rocm_csv(seconds, [300.0] * len(seconds)))
    told = json.loads(simtool("import", "trace.json", "power.csv", "--json").out)
    assert told["device"] == "NVIDIA H100 80GB HBM3"
    assert told["num_steps"] == 2
    assert told["busy_frac"] == pytest.approx(0.4)
    assert told["exposed_communication_frac"] == pytest.approx(0.1)
    assert told["flop_per_step"] == 2.0 * 128 * 64 * 32
    assert told["achieved"]["profile"] == "h100-sxm"
    assert 0 < told["achieved"]["of_step_frac"] < told["achieved"]["of_products_frac"] < 1
    assert {one["op_class"] for one in told["by_class"]} == {"gemm", "memory", "communication"}
    assert sum(one["share_frac"] for one in told["by_class"]) == pytest.approx(1.0)
    assert told["power"][0]["mean_w"] == pytest.approx(300.0)
    assert told["folder"] is None


def test_power_alone(simtool: Simtool, tmp_path: Path) -> None:
    put(tmp_path / "power.csv", nvidia_smi(list(range(20)), [250.0] * 20))
    called = simtool("import", "power.csv")
    assert called.code == 0, called.err
    assert "250 W" in called.out
    assert "4,750 J" in called.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.json"], "nowhere.json: does not exist"),
        (["trace.json", "--format", "kinto"], "did you mean 'kineto'"),
        (["trace.json", "--rank", "4"], "no file holds rank 4"),
        (["trace.json", "--power-unit", "hp"], "W, mW, kW, uW"),
        (["trace.json", "--period", "-1"], "--period"),
        (["power.csv", "--rank", "0"], "no file holds device work"),
        (["milliwatts.csv"], "--power-unit mW"),
        (["other.txt"], "is of no format that is known"),
        (["trace.json", "-o", "trace.json"], "is no folder"),
        (["trace.json", "old.csv"], "has no time in common with the ops"),
    ],
    ids=str,
)
def test_refusals(simtool: Simtool, tmp_path: Path, words: list[str], said: str) -> None:
    write(tmp_path / "trace.json", two_steps(baseTimeNanoseconds=int((BEGAN + 1e6) * 1e9)))
    put(tmp_path / "power.csv", nvidia_smi(list(range(20)), [250.0] * 20))
    put(tmp_path / "old.csv", rocm_csv(list(range(20)), [250.0] * 20))
    put(tmp_path / "milliwatts.csv", nvidia_smi(list(range(20)), [250_000.0] * 20))
    put(tmp_path / "other.txt", "what is this\n")
    called = simtool("import", *words)
    assert called.code == 2
    assert said in called.err
    assert "Traceback" not in called.err
    assert called.out == ""
