"""A run in parts: every step, evaluation and event counts once, and totals are those of a run never stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simtool.engine.budget import Budget
from simtool.engine.effect import effect_document
from simtool.engine.measure import SUMMARY, RunRequest, RunSummary, read_summary, run_one
from simtool.engine.run_trace import joined, read_run
from simtool.engine.task import TaskOptions
from simtool.errors import InputError
from simtool.trace.reader import Trace, read_trace
from simtool.trace.schema import OUTSIDE
from tests.house.tree import ROOT

METHOD = "layer-freezing:rule=scheduled,start=0.4,max=1"
NUM_STEPS, STOPS = 100, (30, 70)


def request(folder: Path, **changes: Any) -> RunRequest:
    base = RunRequest(
        task="tabular-mlp",
        method=METHOD,
        budget=Budget.parse(f"{NUM_STEPS * 16} samples"),
        seed=0,
        folder=folder,
        options=TaskOptions(width=16, depth=2, max_samples=400),
        power="modelled",
    )
    return replace(base, **changes)


def interrupted_after(num_steps: int, request: RunRequest) -> None:
    """Ctrl-C after so many steps."""
    seen = [0]

    def report(frac: float) -> None:
        if frac >= num_steps / NUM_STEPS - 1e-9 and not seen[0]:
            seen[0] = 1
            raise KeyboardInterrupt

    assert run_one(request, report).status == "interrupted"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run that was never stopped, and the same run in three parts."""
    folder = tmp_path_factory.mktemp("runs")
    run_one(request(folder / "whole"))
    for stop in STOPS:
        interrupted_after(stop, request(folder / "parts"))
    run_one(request(folder / "parts"))
    return folder / "whole", folder / "parts"


def same_totals(one: RunSummary, other: RunSummary) -> None:
    for name in ("status", "quality", "num_steps", "num_samples", "flop_by_phase", "steps_by_signature"):
        assert getattr(one, name) == getattr(other, name), name
    assert one.energy_kind == other.energy_kind == "modelled"


def same_traces(one: Trace, other: Trace) -> None:
    for name in ("step", "signature", "num_samples", "progress_frac", "loss", "flop", "learning_rate"):
        assert one.steps[name].to_pylist() == other.steps[name].to_pylist(), name
    places = [
        [(row["step"], row["part"], row["metric"], row["value"]) for row in trace.evaluations.to_pylist()]
        for trace in (one, other)
    ]
    assert places[0] == places[1]

    def prices(trace: Trace) -> Any:
        return {
            (row["signature"], row["phase"]): (row["flop"], row["size_bytes"])
            for row in trace.phases.to_pylist()
        }

    def kinds(trace: Trace) -> Any:
        fields = ("num_steps", "num_samples", "size", "frozen", "precision")
        return {row["signature"]: [row[name] for name in fields] for row in trace.signatures.to_pylist()}

    assert prices(one) == prices(other)
    assert kinds(one) == kinds(other)


def test_a_run_in_three_parts_is_one_run(folders: tuple[Path, Path]) -> None:
    whole, parts = folders
    assert (parts / "trace-3").is_dir()
    first, second = read_summary(whole / SUMMARY), read_summary(parts / SUMMARY)
    assert first is not None
    assert second is not None
    same_totals(first, second)
    one, other = read_run(whole), read_run(parts)
    same_traces(one, other)
    own = [row["kind"] for row in other.events.to_pylist() if row["kind"] == "freeze"]
    assert own == ["freeze"]
    assert Counter(other.events["kind"].to_pylist())["resume"] == len(STOPS)
    times = other.steps["end_s"].to_pylist()
    assert times == sorted(times)
    assert other.manifest.status == "finished"
    assert other.power.keys() == one.power.keys()
    energies = other.steps["energy_j"].to_pylist()
    assert energies == sorted(energies)
    assert energies[-1] > 0.0


def test_profiles_of_every_part_are_kept(folders: tuple[Path, Path]) -> None:
    """The last part runs only frozen steps: the plan and the profile of the others come from the first."""
    trace = read_run(folders[1])
    plain = next(row for row in trace.signatures.to_pylist() if row["signature"] == "n16")
    assert plain["num_sampled"] > 0
    timed = [row for row in trace.ops.to_pylist() if row["signature"] == "n16" and row["flop"] > 0.0]
    assert timed
    assert all(row["duration_median_s"] > 0.0 for row in timed)
    for row in trace.phases.to_pylist():
        if row["signature"] == "n16" and row["sampled_mean_s"] is not None:
            inside = [
                op["duration_mean_s"]
                for op in trace.ops.to_pylist()
                if op["signature"] == "n16" and op["phase"].startswith(row["phase"])
            ]
            assert sum(inside) == pytest.approx(row["sampled_mean_s"])


def test_an_effect_of_a_run_in_parts_is_that_of_the_run(folders: tuple[Path, Path], tmp_path: Path) -> None:
    whole, parts = (read_run(folder) for folder in folders)
    run_one(request(tmp_path, method="none"))
    documents = [
        effect_document([read_run(tmp_path)], [trace], name="x", family="mlp", title="x", notes="")
        for trace in (whole, parts)
    ]
    for one, other in zip(*(document["phases"] for document in documents), strict=True):
        for name in ("progress", "forward_frac", "backward_input_frac", "backward_weight_frac", "score_frac"):
            assert one[name] == other[name]
    assert documents[0]["steps_frac"] == documents[1]["steps_frac"]


def test_a_kill_is_continued_and_counted_once(tmp_path: Path) -> None:
    """SIGKILL far behind the last checkpoint: what was done since is recorded twice and counted once."""
    code = textwrap.dedent(
        f"""
        import os, signal
        from pathlib import Path
        from simtool.engine.checkpoint import CheckpointStore
        from simtool.engine.measure import run_one
        from tests.engine.measure.test_run_trace import request
        CheckpointStore.save_if_due = lambda self, trainer: trainer.num_steps == 50 and self.save(trainer)
        def report(frac):
            if frac >= 0.8:
                import time
                time.sleep(0.8)  # the steps since the checkpoint reach the disk, too
                os.kill(os.getpid(), signal.SIGKILL)
        run_one(request(Path({str(tmp_path / "killed")!r})), report)
        """
    )
    child = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.DEVNULL)
    assert child.returncode == -signal.SIGKILL
    first = read_trace(tmp_path / "killed" / "trace")
    assert first.is_cut
    assert first.steps["step"].to_pylist()[-1] == 80
    resumed, whole = run_one(request(tmp_path / "killed")), run_one(request(tmp_path / "whole"))
    assert read_trace(tmp_path / "killed" / "trace-2").steps["step"].to_pylist()[0] == 51
    same_totals(whole, resumed)
    same_traces(read_run(tmp_path / "whole"), read_run(tmp_path / "killed"))


def test_a_start_without_a_checkpoint_makes_what_was_before_void(tmp_path: Path) -> None:
    interrupted_after(30, request(tmp_path))
    (tmp_path / "checkpoint.pt").unlink()
    run_one(request(tmp_path))
    trace = read_run(tmp_path)
    assert trace.steps["step"].to_pylist() == list(range(1, NUM_STEPS + 1))
    assert trace.folder.name == "trace-2"


def test_a_start_that_did_nothing_is_passed_over(tmp_path: Path) -> None:
    """One that was killed before it wrote anything, and one that was refused."""
    interrupted_after(30, request(tmp_path))
    (tmp_path / "trace-2").mkdir()
    with pytest.raises(InputError, match="another task, method, budget"):
        run_one(request(tmp_path, seed=1))
    assert read_trace(tmp_path / "trace-3").steps.num_rows == 0
    assert read_run(tmp_path).steps.num_rows == 30
    run_one(request(tmp_path))
    assert (tmp_path / "trace-4").is_dir()
    assert read_run(tmp_path).steps["step"].to_pylist() == list(range(1, NUM_STEPS + 1))
    with pytest.raises(InputError):
        read_run(tmp_path / "nowhere")


def test_a_clock_that_began_anew_keeps_the_order_of_time(folders: tuple[Path, Path]) -> None:
    parts = [read_trace(folders[1] / name) for name in ("trace", "trace-2", "trace-3")]
    rebooted = parts[1]
    zero_s = rebooted.manifest.clock.zero_s
    assert zero_s is not None
    clock = rebooted.manifest.clock.model_copy(update={"zero_s": zero_s - 1e9})
    moved = replace(rebooted, manifest=rebooted.manifest.model_copy(update={"clock": clock}))
    for name in ("steps", "evaluations", "events"):
        table = getattr(moved, name)
        for index, column in enumerate(table.column_names):
            if column in ("begin_s", "end_s", "time_s"):
                values = [None if value is None else value - 1e9 for value in table[column].to_pylist()]
                table = table.set_column(index, table.schema.field(column), [values])
        moved = replace(moved, **{name: table})
    times = joined([parts[0], moved, parts[2]]).steps["end_s"].to_pylist()
    assert times == sorted(times)
    assert max(times) - min(times) < 600.0


def test_outside_work_is_that_of_the_whole_run(folders: tuple[Path, Path]) -> None:
    outside = [
        {
            row["phase"]: row["flop"]
            for row in read_run(folder).phases.to_pylist()
            if row["signature"] == OUTSIDE
        }
        for folder in folders
    ]
    assert outside[0] == outside[1]
    assert "prepare" in outside[0]
