"""The picture of a trace: valid events, steps that hold their phases, the same bytes every time."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import OutputError
from simtool.trace import Manifest, TraceWriter, read_trace, write_perfetto
from simtool.trace.manifest import Clock, Power
from simtool.trace.perfetto import PHASES, STEPS
from tests.trace.rows import small_trace, step_row


def events_of(folder: Path, path: Path) -> list[dict[str, Any]]:
    write_perfetto(read_trace(folder), path)
    content = json.loads(gzip.decompress(path.read_bytes()), parse_constant=pytest.fail)
    events: list[dict[str, Any]] = content["traceEvents"]
    for event in events:
        assert {"ph", "pid", "name"} <= event.keys()
        assert event["ph"] in {"M", "X", "i", "C"}
        if event["ph"] != "M":
            assert math.isfinite(event["ts"])
        if event["ph"] == "X":
            assert event["dur"] >= 0.0
        if event["ph"] == "C":
            assert all(isinstance(value, float) for value in event["args"].values())
    return events


def test_everything_of_a_trace_is_in_the_picture(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t", power=Power(kind="modelled"), clock=Clock(zero_s=10.0, offset_s=0.5))
    events = events_of(folder, tmp_path / "p.json.gz")
    names = [event["name"] for event in events]
    assert {"n8", "forward", "backward", "optimizer", "start", "test loss", "loss"} <= set(names)
    power = [event for event in events if event["name"] == "gpu0 power modelled (W)"]
    assert [event["ts"] for event in power] == [1.5e6, 2.5e6, 3.5e6, 4.5e6, 5.5e6]
    assert {"gpu0 clock modelled (Hz)", "gpu0 temperature modelled (degC)"} <= set(names)
    start = next(event for event in events if event["name"] == "start")
    assert start["ts"] == 0.0
    assert start["args"] == {"step": 0, "of": "ü"}


def test_the_same_trace_gives_the_same_bytes(tmp_path: Path) -> None:
    trace = read_trace(small_trace(tmp_path / "t"))
    for name in ("a", "b"):
        write_perfetto(trace, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


seconds = st.floats(-1.0, 100.0) | st.just(math.nan) | st.just(math.inf)


@given(drawn=st.lists(st.tuples(seconds, seconds, seconds, seconds, st.none() | seconds), max_size=5))
def test_phases_lie_within_their_step(
    drawn: list[tuple[float, float, float, float, float | None]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trace")
    with TraceWriter(folder / "t", Manifest()) as writer:
        for begin_s, end_s, forward_s, loss, backward_s in drawn:
            writer.step(
                step_row(begin_s=begin_s, end_s=end_s, forward_s=forward_s, loss=loss, backward_s=backward_s)
            )
    steps = []
    for event in events_of(folder / "t", folder / "p.json.gz"):
        if event["ph"] == "X" and event["tid"] == STEPS:
            steps.append(event)
        elif event["ph"] == "X" and event["tid"] == PHASES:
            assert event["ts"] >= steps[-1]["ts"] - 0.002
            assert event["ts"] + event["dur"] <= steps[-1]["ts"] + steps[-1]["dur"] + 0.01
    finite = [row for row in drawn if math.isfinite(row[0]) and math.isfinite(row[1])]
    assert len(steps) == len(finite)


@pytest.mark.parametrize("detail", ["[1]", "no json", "[" * 3000, '{"a": NaN}'])
def test_any_detail_can_be_shown(detail: str, tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest()) as writer:
        writer.event({"time_s": 1.0, "kind": "grow", "detail": detail})
    assert any(event["name"] == "grow" for event in events_of(tmp_path / "t", tmp_path / "p"))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        write_perfetto(read_trace(small_trace(tmp_path / "t")), tmp_path / "absent" / "p.json.gz")
