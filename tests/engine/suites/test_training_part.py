"""Training steps in a suite: recorded under the run's name, plain ones operation by operation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from simtool.engine.suites import training
from simtool.engine.suites.part import Unmeasurable
from simtool.engine.suites.training import TrainingPart
from simtool.trace import Manifest, TraceWriter, read_trace
from tests.engine.suites.made import bench


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[TraceWriter]:
    with TraceWriter(tmp_path / "trace", Manifest()) as writer:
        yield writer


def test_plain_training_of_wide_models_comes_first(writer: TraceWriter) -> None:
    ops = [point.op for point in TrainingPart(writer).points(bench())]
    assert ops[: len(training.WIDE_TASKS)] == [f"{task}-wide/none" for task in training.WIDE_TASKS]
    assert {"char-gpt/none", "image-cnn/muon", "tabular-mlp/infobatch"} <= set(ops)
    assert ops.index("tabular-mlp/none") < ops.index("char-gpt/muon")
    assert len(set(ops)) == len(ops)


def test_steps_are_kept_under_the_name_of_their_run(
    writer: TraceWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "NUM_STEPS", 6)
    monkeypatch.setitem(training.MOST_S, "cpu", 60.0)
    part = TrainingPart(writer, tasks=("tabular-mlp",), methods=("none", "weight-averaging"))
    made = bench()
    for point in part.points(made):
        row = part.measure(made, point)
        assert row["num_calls"] == 6
        assert row["duration_median_s"] > 0.0
        assert row["flop"] > 0.0
    writer.close()
    trace = read_trace(writer.folder)
    names = {signature.partition(":")[0] for signature in trace.phases["signature"].to_pylist()}
    assert names == {"tabular-mlp/none", "tabular-mlp/weight-averaging"}
    assert {name.partition(":")[0] for name in trace.ops["signature"].to_pylist()} == {"tabular-mlp/none"}
    assert any(row["duration_median_s"] for row in trace.ops.to_pylist())
    assert trace.steps.num_rows == 12


def test_the_work_of_a_step_is_that_of_its_phases(
    writer: TraceWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "NUM_STEPS", 4)
    monkeypatch.setitem(training.MOST_S, "cpu", 60.0)
    part = TrainingPart(writer, tasks=("tabular-mlp",), methods=("none",))
    made = bench()
    (point,) = part.points(made)
    row = part.measure(made, point)
    writer.close()
    phases = [row for row in read_trace(writer.folder).phases.to_pylist() if "n" in row["signature"]]
    inside = [row["flop"] for row in phases if "(outside" not in row["signature"]]
    assert row["flop"] == pytest.approx(sum(inside))


def test_a_method_that_does_not_fit_is_told_with_its_reason(writer: TraceWriter) -> None:
    part = TrainingPart(writer, tasks=("tabular-mlp",), methods=("token-dropping",))
    made = bench()
    (point,) = part.points(made)
    with pytest.raises(Unmeasurable, match="tokens"):
        part.measure(made, point)
