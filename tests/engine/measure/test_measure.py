"""From the command line to a trace, a summary and an effect file that the simulator takes."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from simtool import load_scenario, run
from simtool.engine.budget import Budget
from simtool.engine.effect import effect_document
from simtool.engine.experiment import by_method, folder_name, run_all
from simtool.engine.measure import SUMMARY, RunRequest, changed_recipe, read_summary, run_one
from simtool.engine.power.modelled import WATTS_PER_BUSY_THREAD
from simtool.engine.run_trace import read_run
from simtool.engine.task import Recipe, TaskOptions
from simtool.engine.wrap import Recording, run_command
from simtool.errors import InputError
from simtool.trace.reader import read_trace
from tests.house.tree import ROOT

TASK = "tabular-mlp"


def request(folder: Path, **changes: Any) -> RunRequest:
    base = RunRequest(
        task=TASK,
        method="none",
        budget=Budget.parse("1600 samples"),
        seed=0,
        folder=folder,
        options=TaskOptions(width=16, depth=1, max_samples=400),
        power="modelled",
    )
    return replace(base, **changes)


def simtool(*arguments: str, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    ran = subprocess.run(
        [sys.executable, "-c", "from simtool.cli.main import main; main()", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


def test_a_run_leaves_a_trace_that_agrees_with_its_summary(tmp_path: Path) -> None:
    summary = run_one(request(tmp_path))
    trace = read_trace(tmp_path / "trace")
    steps = trace.steps.to_pylist()
    assert not trace.is_cut
    assert trace.manifest.status == "finished"
    assert trace.manifest.power.kind == "modelled"
    assert len(steps) == summary.num_steps == sum(summary.steps_by_signature.values())
    assert sum(row["flop"] for row in steps) == pytest.approx(summary.flop)
    assert summary.flop == pytest.approx(
        sum(
            row["flop"] * count
            for row in trace.phases.to_pylist()
            for count in [summary.steps_by_signature.get(row["signature"], 0)]
        )
    )
    assert read_summary(tmp_path / SUMMARY) == summary
    assert summary.energy_kind == "modelled"
    assert summary.energy_j > 0.0
    assert trace.power["cpu-process"].num_rows > 0


def test_energy_is_that_of_ordinary_steps_and_not_of_the_instrument(tmp_path: Path) -> None:
    recorded = run_one(request(tmp_path / "recorded"))  # six of the hundred steps are counted or profiled
    bare = run_one(request(tmp_path / "bare", is_recorded=False))
    for summary in (recorded, bare):
        assert summary.energy_kind == "modelled"
        modelled_j = float(WATTS_PER_BUSY_THREAD) * summary.duration_s
        assert 0.8 * modelled_j < summary.energy_j < 2.0 * modelled_j


def test_progress_is_told_and_reaches_the_end(tmp_path: Path) -> None:
    told: list[float] = []
    run_one(request(tmp_path, is_recorded=False), told.append)
    assert told == sorted(told)
    assert told[-1] >= 1.0
    assert not (tmp_path / "trace").exists()


def test_a_diverged_run_is_kept_and_its_quality_is_unknown(tmp_path: Path) -> None:
    summary = run_one(request(tmp_path, recipe={"learning_rate": 1e30, "clip_norm": 0.0}))
    assert summary.status == "diverged"
    assert math.isnan(summary.quality)
    assert json.loads((tmp_path / SUMMARY).read_text("utf-8"))["quality"] is None
    kept = read_summary(tmp_path / SUMMARY)
    assert kept is not None
    assert math.isnan(kept.quality)
    assert read_trace(tmp_path / "trace").manifest.status == "diverged"


@pytest.mark.slow
def test_several_processes_give_what_one_gives_and_finished_runs_are_reused(tmp_path: Path) -> None:
    def requests(name: str) -> list[RunRequest]:
        return [request(tmp_path / name / str(seed), seed=seed, is_recorded=False) for seed in range(3)]

    one, two = run_all(requests("one")), run_all(requests("two"), num_workers=2)
    assert [summary.quality for summary in one] == [summary.quality for summary in two]
    assert len({summary.quality for summary in one}) > 1
    began_s = time.process_time()
    assert run_all(requests("one")) == one
    assert time.process_time() - began_s < 1.0
    (result,) = by_method(one)
    assert result.quality.num == 3
    assert result.quality.deviation > 0.0


def test_the_recipe_is_changed_by_name_only() -> None:
    recipe = Recipe(learning_rate=1e-3, batch_size=8)
    assert changed_recipe(recipe, {"batch_size": 4.0}).batch_size == 4
    for bad in ({"lr": 1.0}, {"learning_rate": -1.0}, {"batch_size": 2.5}, {"learning_rate": math.inf}):
        with pytest.raises(InputError):
            changed_recipe(recipe, bad)


def test_an_effect_of_nothing_is_neutral_and_half_the_data_is_half_the_steps(tmp_path: Path) -> None:
    for seed in (0, 1):
        run_one(request(tmp_path / f"none-{seed}", seed=seed))
    traces = [read_run(tmp_path / f"none-{seed}") for seed in (0, 1)]
    document = effect_document(traces, traces, name="x", family="mlp", title="x", notes="")
    (phase,) = document["phases"]
    assert phase["forward_frac"] == phase["backward_input_frac"] == phase["backward_weight_frac"] == 1.0
    assert phase["score_frac"] == 0.0
    assert document["steps_frac"]["value"] == 1.0
    other = [read_run(tmp_path / "none-0")]
    run_one(request(tmp_path / "short", budget=Budget.parse("800 samples")))
    with pytest.raises(InputError, match="same task and budget"):
        effect_document(other, [read_run(tmp_path / "short")], name="x", family="mlp", title="x", notes="")
    with pytest.raises(InputError, match="no finished trace"):
        effect_document([], traces, name="x", family="mlp", title="x", notes="")


@pytest.mark.slow
def test_the_command_measures_and_the_simulator_takes_the_effect(tmp_path: Path) -> None:
    shown = simtool(
        "measure", TASK, "--method", "none", "--method", "selective-backprop:keep=0.5", "--budget", "1600 samples",
        "--width", "16", "--depth", "1", "-o", "measured", "--power", "modelled", cwd=tmp_path,
    )  # fmt: skip
    assert "energy is modelled" in shown.stdout
    assert "energy saved" not in shown.stdout
    (effect,) = (tmp_path / "measured" / TASK).glob("*.yaml")
    document = yaml.safe_load(effect.read_text("utf-8"))
    assert document["evidence"] == "measured"
    assert document["method"] == "selective-backprop"
    assert document["phases"][0]["backward_weight_frac"] == pytest.approx(0.5, abs=0.02)
    assert document["phases"][0]["score_frac"] > 0.9
    plain, with_method = (
        run(load_scenario("quickstart", [f"method={method}", "seed=1"]))
        for method in ("none", f"{{profile: {effect}}}")
    )
    assert with_method.value("step_time_s") < plain.value("step_time_s")


@pytest.mark.slow
def test_ctrl_c_keeps_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    command = [
        sys.executable, "-c", "from simtool.cli.main import main; main()", "measure", TASK, "--budget",
        "4000 ksamples", "--width", "8", "--depth", "1", "-o", "measured", "--power", "none",
    ]  # fmt: skip
    child = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    folder = tmp_path / "measured" / TASK / "none" / "seed-0"
    deadline = time.monotonic() + 90.0
    while not (folder / "trace" / "steps.arrow").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    _, complaint = child.communicate(timeout=60)
    assert child.returncode == 130, complaint
    assert "Traceback" not in complaint
    assert (folder / "checkpoint.pt").exists()
    assert read_trace(folder / "trace").manifest.status == "interrupted"
    assert read_trace(folder / "trace").steps.num_rows > 0


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((), "nothing to measure"),
        (("nosuch",), "unknown task"),
        ((TASK, "--method", "nosuch"), "unknown method"),
        ((TASK, "--budget", "3 epochs"), "write e.g."),
        ((TASK, "--method", "growth"), "needs blocks"),
        ((TASK, "--data", "nowhere.csv"), "nowhere.csv"),
        ((TASK, "--device", "cuda:7"), "such devices"),
        ((TASK, "--set", "lr=3"), "unknown setting"),
        ((TASK, "--suite", "cpu"), "one of the two"),
        (("--", "/nonexistent/command"), "No such file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_clear_error(arguments: tuple[str, ...], word: str, tmp_path: Path) -> None:
    ran = simtool("measure", *arguments, cwd=tmp_path, code=2)
    assert word in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_command_is_measured_with_its_exit_code(tmp_path: Path) -> None:
    work = "sum(range(4 * 10**6)); raise SystemExit(3)"
    cost = run_command([sys.executable, "-c", work], tmp_path, power="modelled")
    assert cost.exit_code == 3
    assert 0.0 < cost.processor_s < cost.wall_s * 4
    assert cost.energy_kind == "modelled"
    assert cost.energy_j > 0.0
    events = read_trace(tmp_path / "trace").events.to_pylist()
    assert [row["kind"] for row in events] == ["start", "end"]


def test_a_loop_of_ones_own_is_recorded_by_phase(tmp_path: Path) -> None:
    model = nn.Linear(8, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    inputs = torch.randn(16, 8)
    with Recording(tmp_path, model, power="none") as record:
        for _ in range(12):
            with record.step(num_samples=16) as step:
                with record.phase("forward"):
                    loss = model(inputs).square().mean()
                with record.phase("backward"):
                    loss.backward()
                with record.phase("optimizer"):
                    optimizer.step()
                    optimizer.zero_grad()
                step.loss = loss.item()
    trace = read_trace(tmp_path / "trace")
    rows = {row["phase"]: row for row in trace.phases.to_pylist()}
    assert rows["forward"]["flop"] == 2 * 16 * 8 * 4
    assert trace.steps.num_rows == 12
    assert trace.manifest.status == "finished"
    losses = [row["loss"] for row in trace.steps.to_pylist()]
    assert losses[-1] < losses[0]


def test_folder_names_are_safe() -> None:
    assert folder_name("muon+growth:at=0.3") == "muon+growth_at=0.3"
    assert folder_name("../../my task.py") == "my_task"
    assert ROOT.is_dir()
