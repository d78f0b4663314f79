"""What the recorder makes of a run: every step, prices that sum up, and no price from a slowed step."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from simtool.engine.budget import Budget
from simtool.engine.checkpoint import CheckpointStore
from simtool.engine.costs import SignatureCost
from simtool.engine.method import Method
from simtool.engine.plan import StepPlan
from simtool.engine.recorder import TraceRecorder
from simtool.engine.trainer import RunOutcome, RunSettings, Trainer
from simtool.trace import Manifest, Trace, TraceWriter, read_trace, write_perfetto
from simtool.trace.manifest import Power
from simtool.trace.schema import OUTSIDE, UNATTRIBUTED
from tests.engine.toy import ToyTask

torch.set_num_threads(1)


class Alternating(Method):
    """Two kinds of steps in turn, and a boundary that costs."""

    name = "alternating"

    def boundary(self, work: Any, progress: Any) -> None:
        if progress.step == 4:
            with work.phase("prepare", flop=7.0):
                torch.ones(3) + 1.0

    def plan(self, progress: Any, plan: StepPlan) -> StepPlan:
        return plan.changed(size=4) if progress.step % 2 else plan


def record(
    folder: Path,
    num_steps: int = 24,
    *,
    facts: dict[str, Any] | None = None,
    task: ToyTask | None = None,
    **options: Any,
) -> tuple[Trace, RunOutcome]:
    writer = TraceWriter(folder, Manifest(task="toy", **(facts or {})))
    recorder = TraceRecorder(writer, **{"num_samples": 2, "sample_every": 8, **options})
    settings = RunSettings(budget=Budget.parse(f"{8 * num_steps} samples"), num_evaluations=2)
    outcome = Trainer(task or ToyTask(), [Alternating()], settings, recorder=recorder).run()
    recorder.close(outcome)
    return read_trace(folder), outcome


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trace, RunOutcome]:
    return record(tmp_path_factory.mktemp("recorded") / "t", tokens_per_sample=8)


def test_every_step_is_there(recorded: tuple[Trace, RunOutcome]) -> None:
    trace, outcome = recorded
    rows = trace.steps.to_pylist()
    assert [row["step"] for row in rows] == list(range(1, 25))
    assert sum(row["flop"] for row in rows) == pytest.approx(outcome.costs.flop())
    assert rows[-1]["num_tokens"] == 24 * 8 * 8
    assert rows[-1]["progress_frac"] == 1.0
    assert all(row["energy_j"] is None for row in rows)  # without a meter there is no zero energy
    for row, after in pairwise(rows):
        assert row["begin_s"] < row["end_s"] <= after["begin_s"]
    for row in rows:
        phases = [row[f"{phase}_s"] or 0.0 for phase in ("data", "score", "forward", "backward", "optimizer")]
        assert row["duration_s"] == pytest.approx(sum(phases))
        assert row["duration_s"] > 0.0
    assert trace.manifest.status == "finished"
    assert not trace.is_cut


def test_the_third_and_fourth_and_every_eighth_step_of_a_kind_are_sampled(
    recorded: tuple[Trace, RunOutcome],
) -> None:
    trace, outcome = recorded
    by_kind: dict[str, list[bool]] = {}
    for row in trace.steps.to_pylist():
        by_kind.setdefault(row["signature"], []).append(row["is_sampled"])
    for flags in by_kind.values():
        assert [number for number, flag in enumerate(flags, start=1) if flag] == [3, 4, 8]
    for row in trace.signatures.to_pylist():
        if row["signature"] != OUTSIDE:
            assert (row["num_steps"], row["num_timed"], row["num_sampled"]) == (12, 12 - 1 - 3, 3)
            assert row["size"] == (4 if "size=4" in row["signature"] else None)
    assert all(entry.num_timed == 8 for entry in outcome.costs.by_signature.values())


def test_operations_sum_to_phases_and_phases_to_the_run(recorded: tuple[Trace, RunOutcome]) -> None:
    trace, outcome = recorded
    num_steps = {row["signature"]: row["num_steps"] for row in trace.signatures.to_pylist()}
    phases = trace.phases.to_pylist()
    charged = [row for row in phases if row["phase"] != "eval"]
    assert sum(num_steps[row["signature"]] * row["mean_s"] for row in charged) == pytest.approx(
        outcome.costs.duration_s()
    )
    assert sum(num_steps[row["signature"]] * row["flop"] for row in charged) == pytest.approx(
        outcome.costs.flop()
    )
    ops = trace.ops.to_pylist()
    for row in phases:
        if row["sampled_mean_s"] is None:
            continue
        parts = (
            {"backward", "backward_input", "backward_weight"}
            if row["phase"] == "backward"
            else {row["phase"]}
        )
        mine = [op for op in ops if op["signature"] == row["signature"] and op["phase"] in parts]
        assert sum(op["duration_mean_s"] for op in mine) == pytest.approx(row["sampled_mean_s"])
        assert sum(op["flop"] for op in mine) == pytest.approx(row["flop"])
        assert sum(op["op"] == UNATTRIBUTED for op in mine) == 1
        for op in mine:
            assert op["duration_p10_s"] <= op["duration_median_s"] <= op["duration_p90_s"]


def test_products_are_found_in_both_halves_of_the_backward_pass(recorded: tuple[Trace, RunOutcome]) -> None:
    products = [row for row in recorded[0].ops.to_pylist() if row["flop"] > 0.0]
    assert {row["phase"] for row in products} == {"forward", "backward_input", "backward_weight"}
    assert all(row["duration_median_s"] > 0.0 for row in products)
    assert all(row["launches"] == pytest.approx(row["calls"]) for row in products)


def test_work_between_steps_is_there(recorded: tuple[Trace, RunOutcome]) -> None:
    outside = {row["phase"]: row for row in recorded[0].phases.to_pylist() if row["signature"] == OUTSIDE}
    assert set(outside) == {"prepare", "eval"}
    assert outside["prepare"]["flop"] == 7.0


def test_evaluations_and_events_are_there(recorded: tuple[Trace, RunOutcome], tmp_path: Path) -> None:
    trace, outcome = recorded
    rows = trace.evaluations.to_pylist()
    assert (rows[-1]["part"], rows[-1]["metric"], rows[-1]["value"]) == (
        "test",
        "loss",
        outcome.quality["loss"],
    )
    assert [row["kind"] for row in trace.events.to_pylist()] == ["start", "end"]
    write_perfetto(trace, tmp_path / "p.json.gz")


def test_training_is_the_same_with_and_without_a_recorder(recorded: tuple[Trace, RunOutcome]) -> None:
    settings = RunSettings(budget=Budget.parse("192 samples"), num_evaluations=2)
    alone = Trainer(ToyTask(), [Alternating()], settings).run()
    assert alone.quality == recorded[1].quality
    assert alone.costs.flop() == recorded[1].costs.flop()


def test_a_run_with_a_meter_has_its_energy(tmp_path: Path) -> None:
    trace, _ = record(tmp_path / "t", 6, facts={"power": Power(kind="modelled")})
    assert trace.steps["energy_j"].to_pylist() == [0.0] * 6


def test_a_diverged_run_is_a_whole_trace(tmp_path: Path) -> None:
    trace, _ = record(tmp_path / "t", 6, task=ToyTask(is_broken="nan"))
    assert trace.manifest.status == "diverged"
    assert "nan" in trace.manifest.reason
    assert math.isnan(trace.steps["loss"].to_pylist()[-1])
    assert trace.events["kind"].to_pylist()[-1] == "diverged"


def test_a_kill_leaves_counts_and_times(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    recorder = TraceRecorder(writer, num_samples=2)
    settings = RunSettings(budget=Budget.parse("64 samples"))
    Trainer(ToyTask(), [Method()], settings, recorder=recorder).run()
    writer.abandon()
    trace = read_trace(tmp_path / "t")
    assert trace.is_cut
    mm = [row for row in trace.ops.to_pylist() if row["flop"] > 0.0]
    assert mm
    assert all(row["num_sampled"] == 2 and row["duration_median_s"] > 0.0 for row in mm)


def test_an_interrupted_run_ends_its_trace(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    recorder = TraceRecorder(writer)
    recorder.event("start", {"step": 0, "why": None})
    recorder.close()
    trace = read_trace(tmp_path / "t")
    assert (trace.manifest.status, trace.is_cut) == ("interrupted", False)


def test_a_resumed_run_tells_its_signatures_again(tmp_path: Path) -> None:
    settings = RunSettings(budget=Budget.parse("160 samples"))
    first = Trainer(ToyTask(), [Alternating()], settings)
    first.set_up()
    for _ in range(6):
        first.step(first.progress())
    store = CheckpointStore(tmp_path / "c")
    store.save(first)
    writer = TraceWriter(tmp_path / "t", Manifest())
    recorder = TraceRecorder(writer, num_samples=2)
    outcome = Trainer(ToyTask(), [Alternating()], settings, recorder=recorder).run(store)
    recorder.close(outcome)
    trace = read_trace(tmp_path / "t")
    kinds = [row for row in trace.signatures.to_pylist() if row["signature"] != OUTSIDE]
    assert {(row["num_steps"], row["num_sampled"], row["num_samples"]) for row in kinds} == {(10, 2, 8)}
    assert trace.steps["step"].to_pylist() == list(range(7, 21))


def test_a_profiler_of_the_user_keeps_ours_away(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    recorder = TraceRecorder(writer, num_samples=3)
    trainer = Trainer(
        ToyTask(), [Method()], RunSettings(budget=Budget.parse("64 samples")), recorder=recorder
    )
    with torch.profiler.profile():
        outcome = trainer.run()
    recorder.close(outcome)
    assert not any(read_trace(tmp_path / "t").steps["is_sampled"].to_pylist())
    assert all(entry.num_timed == 0 for entry in outcome.costs.by_signature.values())  # all were slowed


def test_a_failing_step_ends_its_profile(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest()) as writer:
        recorder = TraceRecorder(writer, num_samples=1)
        recorder.signature(StepPlan(num_samples=1), SignatureCost("n1"))
        for _ in range(2):
            with recorder.sampling(0, "n1") as step:
                assert not step.is_sampled
        third = recorder.sampling(2, "n1")
        assert third.is_sampled
        with pytest.raises(KeyError), third:
            raise KeyError
        assert not torch.autograd._profiler_enabled()


def test_a_step_costs_no_write_of_its_own(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest(), flush_interval_s=60.0)
    recorder = TraceRecorder(writer, num_samples=0, sample_every=0)
    settings = RunSettings(budget=Budget.parse("800 samples"), num_evaluations=0)
    outcome = Trainer(ToyTask(), [Method()], settings, recorder=recorder).run()
    before_close = writer.num_writes
    recorder.close(outcome)
    assert before_close == 2 * 3  # schema and first rows of signatures, phases and ops
    assert read_trace(tmp_path / "t").steps.num_rows == 100
