"""Two processes train one model: same decisions, same result as one process with the whole batch."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.measure import SUMMARY, read_summary
from simtool.engine.processes import checked_wrapping, num_processes, together
from simtool.engine.run_trace import read_run
from simtool.engine.trainer import RunSettings, Trainer
from simtool.errors import InputError
from tests.engine.core import ranks_of_one_run
from tests.engine.toy import ToyTask
from tests.house.tree import ROOT

WRAPPINGS = ("ddp", "fsdp")


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    return subprocess.run(
        [*launcher, "--nproc-per-node=2", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=300,
    )


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ranks_of_one_run.alone(tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module", params=WRAPPINGS)
def ranks(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp(request.param)
    ran = torchrun("-m", "tests.engine.core.ranks_of_one_run", request.param, str(folder))
    assert ran.returncode == 0, ran.stderr[-3000:]
    return [
        {**json.loads((folder / f"{rank}.json").read_text("utf-8")), "wrapping": request.param}
        for rank in range(2)
    ]


@pytest.mark.slow
def test_two_processes_are_one_with_the_whole_batch(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    first, second, whole = ranks[0]["halves"], ranks[1]["halves"], alone["halves"]
    assert first["steps"] == second["steps"] == whole["steps"]
    assert first["seen"] == second["seen"]
    assert [indices for indices, _ in first["seen"]] == [indices for indices, _ in whole["seen"]]
    assert [losses for _, losses in first["seen"]] == pytest.approx(
        [losses for _, losses in whole["seen"]], abs=2e-3
    )
    assert first["total"] == second["total"]
    assert first["total"] == pytest.approx(whole["total"], abs=1e-3)


@pytest.mark.slow
def test_every_method_gives_what_one_process_gives_or_is_refused(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    assert ranks[0]["methods"] == ranks[1]["methods"]
    num_compared = 0
    for name, found in ranks[0]["methods"].items():
        whole = alone["methods"][name]
        if isinstance(found, str):
            refused_alone = isinstance(whole, str)
            assert refused_alone or (ranks[0]["wrapping"] == "fsdp" and "write --parallel ddp" in found), name
            continue
        assert found["steps"] == whole["steps"], name
        assert found["total"] == pytest.approx(whole["total"], abs=2e-3), name
        # Shapes alone tell the halves of a backward pass apart where weights are spread; their sum is exact.
        for phases in (("forward",), ("backward_input", "backward_weight")):
            assert sum(found["flop"][phase] for phase in phases) == sum(
                whole["flop"][phase] for phase in phases
            ), name
        num_compared += 1
    assert num_compared >= 10


@pytest.mark.slow
def test_operations_of_all_processes_use_up_one_budget(
    ranks: list[dict[str, Any]], alone: dict[str, Any]
) -> None:
    assert ranks[0]["by operations"] == ranks[1]["by operations"] == alone["by operations"] > 2


@pytest.mark.slow
def test_a_run_of_two_processes_goes_on_to_the_bit(ranks: list[dict[str, Any]]) -> None:
    assert [rank["resumed"] for rank in ranks] == [True, True]


@pytest.mark.slow
def test_the_command_line_under_torchrun_writes_once(tmp_path: Path) -> None:
    words = "tabular-mlp --method none --method batch-ramp --budget 20MFLOP --power modelled --parallel fsdp"
    ran = torchrun("-m", "tests.engine.core.command", "measure", *words.split(), "-o", str(tmp_path / "out"))
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "2 processes" in ran.stdout
    assert ran.stdout.count("effect file") == 1
    folder = tmp_path / "out" / "tabular-mlp" / "none" / "seed-0"
    summary = read_summary(folder / SUMMARY)
    assert summary is not None
    assert (summary.num_processes, summary.energy_kind, summary.status) == (2, "modelled", "finished")
    trace = read_run(folder)
    assert trace.manifest.num_processes == 2
    assert trace.steps.num_rows == summary.num_steps
    assert not (folder / "trace-2").exists()


def test_a_checkpoint_of_another_number_of_processes_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "checkpoint-0-of-2-step-40.pt"
    other.write_bytes(b"of two")
    trainer = Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("80 samples")))
    with pytest.raises(InputError, match="of another number of processes"):
        trainer.run(CheckpointStore(tmp_path))
    assert other.read_bytes() == b"of two"


def test_a_batch_that_ranks_cannot_share_is_refused() -> None:
    class Three:
        rank, world, local_rank, wrapping = 0, 3, 0, "ddp"

    with pytest.raises(Exception, match="not divisible by 3"):
        Trainer(ToyTask(), [], RunSettings(budget=Budget.parse("80 samples")), parallel=Three())  # type: ignore[arg-type]
    assert torch.get_num_threads() >= 1


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert num_processes() == 1
    with together("ddp", "cpu") as (parallel, device):
        assert (parallel.world, parallel.rank, device) == (1, 0, "cpu")
    with pytest.raises(InputError, match="found 'zero'; ddp or fsdp"):
        checked_wrapping("zero")


def test_every_process_takes_a_device_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for device in ("cuda", "cuda:0"):
        with (
            pytest.raises(InputError, match="process 1 of this machine; torch sees 1"),
            together("ddp", device),
        ):
            pass


@pytest.mark.slow
def test_ctrl_c_stops_all_processes_after_the_same_step_and_the_command_goes_on(tmp_path: Path) -> None:
    launcher = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone"]
    words = ["tabular-mlp", "--width", "16", "--budget", "8s", "--power", "modelled", "-o"]
    command = [
        *launcher,
        "--nproc-per-node=2",
        "-m",
        "tests.engine.core.command",
        "measure",
        *words,
        str(tmp_path),
    ]
    given: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, "PYTHONPATH": str(ROOT)}, "text": True}
    silent = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    running = subprocess.Popen(command, start_new_session=True, **given, **silent)
    folder = tmp_path / "tabular-mlp" / "none" / "seed-0"
    deadline_s = time.monotonic() + 120.0
    while not list(folder.glob("trace/steps*")) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    time.sleep(1.5)  # both ranks train; one that has not begun yet has nothing to save
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: launcher and both ranks
    told, _ = running.communicate(timeout=120)
    steps = [re.findall(r"\d+", path.stem)[-1] for path in folder.glob("checkpoint-*-of-2-step-*.pt")]
    assert len(steps) == 2, told
    assert steps[0] == steps[1]
    ran = subprocess.run(command, capture_output=True, timeout=300, stdin=subprocess.DEVNULL, **given)
    assert ran.returncode == 0, ran.stderr[-3000:]
    trace = read_run(folder)
    assert [row["step"] for row in trace.events.to_pylist() if row["kind"] == "resume"] == [int(steps[0])]
    assert trace.steps["step"].to_pylist() == list(range(1, trace.steps.num_rows + 1))
