"""Cut, damaged and hostile traces: as much as can be read, or one clear refusal."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.trace import Manifest, TraceWriter, read_trace
from simtool.trace.manifest import Clock, Device, Power
from simtool.trace.schema import STREAMS, columns_by_stream
from simtool.trace.stream_file import message_ends, read_stream_file
from tests.trace.rows import op_row, small_trace, step_row


def cut_trace(folder: Path, batches: int = 3) -> Path:
    writer = TraceWriter(folder, Manifest(), flush_interval_s=60.0)
    for step in range(batches):
        writer.step(step_row(step))
        writer.event({"time_s": 1.0, "step": step, "kind": "grow", "detail": "{}"})
        writer.flush()
    writer.ops([op_row()])
    writer.ops([op_row("addmm")])
    writer.abandon()
    return folder


@pytest.mark.parametrize("name", ["events.arrow", "ops.arrow"])
def test_a_stream_that_is_cut_anywhere_reads_up_to_its_last_batch(name: str, tmp_path: Path) -> None:
    folder = cut_trace(tmp_path / "t", 2)
    path = folder / name
    whole = path.read_bytes()
    ends = {0, *message_ends(whole, path)}
    stream = STREAMS[name.partition(".")[0]]
    everything = read_stream_file(path, stream)[0].to_pylist()
    seen = []
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        table, num_lost = read_stream_file(path, stream)
        rows = table.to_pylist()
        assert rows == everything[: len(rows)]
        assert (num_lost == 0) == (length in ends)
        seen.append(len(rows))
    assert seen == sorted(seen)
    assert set(seen) == set(range(len(everything) + 1))
    path.write_bytes(whole[:-1])
    assert read_trace(folder).is_cut
    assert read_trace(folder).cut.keys() == {name}


def refusal(folder: Path) -> str:
    """The file for which a trace is refused, or nothing."""
    try:
        read_trace(folder).steps.to_pylist()
    except InputError as error:
        return Path(error.problems[0].where.partition(":")[0]).name
    return ""


def test_zeros_that_a_power_cut_left_are_a_cut(tmp_path: Path) -> None:
    folder = cut_trace(tmp_path / "t")
    path = folder / "steps.arrow"
    path.write_bytes(path.read_bytes() + bytes(512))
    trace = read_trace(folder)
    assert trace.steps.num_rows == 3
    assert trace.cut == {"steps.arrow": 512}


@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), kind=st.sampled_from(["arrow", "parquet"]))
def test_a_flipped_byte_is_read_or_refused(
    place: int, byte: int, kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trace") / "t"
    cut_trace(folder) if kind == "arrow" else small_trace(folder)
    path = folder / f"steps.{kind}"
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(bytes(data))
    assert refusal(folder) in {"", f"steps.{kind}"}


@given(noise=st.binary(max_size=300), name=st.sampled_from(["steps.arrow", "steps.parquet", "manifest.yaml"]))
def test_noise_is_refused(noise: bytes, name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = small_trace(tmp_path_factory.mktemp("trace") / "t")
    (folder / "steps.parquet").unlink()
    (folder / name).write_bytes(noise)
    assert refusal(folder) in {"", name}


def other_type() -> pa.Table:
    return pa.table({column.name: pa.array([], pa.utf8()) for column in STREAMS["events"].columns})


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (pa.table({"time_s": [1.0]}), "lacks the column 'step'"),
        (other_type(), "column 'time_s' is of type string"),
    ],
)
def test_a_table_with_other_columns_is_refused(table: pa.Table, told: str, tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    parquet.write_table(table, folder / "events.parquet")
    with pytest.raises(InputError, match=told):
        read_trace(folder)


def test_a_column_too_many_is_refused(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    events = read_trace(folder).events
    parquet.write_table(events.append_column("more", pa.array([1] * len(events))), folder / "events.parquet")
    with pytest.raises(InputError, match="has a column 'more'"):
        read_trace(folder)


def test_a_bomb_is_refused_before_it_unfolds(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    num_rows = 5_000_000
    columns = {
        "time_s": pa.nulls(num_rows, pa.float64()).fill_null(0.0),
        "step": pa.nulls(num_rows, pa.int64()).fill_null(0),
        "kind": pa.nulls(num_rows, pa.utf8()).fill_null("k" * 20),
        "detail": pa.nulls(num_rows, pa.utf8()).fill_null("d" * 20),
    }
    parquet.write_table(
        pa.table(columns), folder / "events.parquet", compression="zstd", use_dictionary=False
    )
    assert (folder / "events.parquet").stat().st_size < 2**20
    with pytest.raises(InputError, match="unpack"):
        read_trace(folder)


def test_what_is_no_trace_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_trace(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a file"):
        read_trace(tmp_path / "file")
    with pytest.raises(InputError, match="has no manifest"):
        read_trace(tmp_path)


@pytest.mark.parametrize("name", ["steps.parquet", "manifest.yaml"])
def test_no_pipe_or_folder_is_opened_for_a_file(name: str, tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match=r"plain file|has no manifest"):
        read_trace(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(InputError, match=r"plain file|has no manifest"):
        read_trace(folder)


def test_a_missing_part_is_told(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    (folder / "steps.parquet").rename(folder / "steps.0003.parquet")
    with pytest.raises(InputError, match="part 1 of steps is missing"):
        read_trace(folder)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    os.truncate(folder / "steps.parquet", 17 * 2**20)
    with pytest.raises(InputError, match="larger"):
        read_trace(folder)


def test_a_kill_between_packing_and_removing_changes_nothing(tmp_path: Path) -> None:
    cut, whole = cut_trace(tmp_path / "cut"), tmp_path / "whole"
    with TraceWriter(whole, Manifest(), flush_interval_s=60.0) as writer:
        for step in range(3):
            writer.step(step_row(step))
        writer.ops([op_row("addmm")])
    for name in ("steps.parquet", "ops.parquet"):
        (cut / name).write_bytes((whole / name).read_bytes())
    trace = read_trace(cut)
    assert trace.steps.equals(read_trace(whole).steps)
    assert [row["op"] for row in trace.ops.to_pylist()] == ["addmm"]


# ------------------------------------------------------------------------------------------ manifest


def edited(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | changes), "utf-8")


text = st.text(max_size=12)


@given(
    task=text,
    method=text,
    recipe=st.dictionaries(
        text,
        text | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False, allow_infinity=False),
    ),
    limit_w=st.none() | st.floats(1.0, 1e6),
)
def test_a_manifest_is_read_back(
    task: str,
    method: str,
    recipe: dict[str, Any],
    limit_w: float | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("trace") / "t"
    manifest = Manifest(
        task=task,
        method=method,
        recipe=recipe,
        device=Device(name=task, power_limit_w=limit_w),
        clock=Clock(offset_s=-0.5, offset_error_s=0.002, started="2026-01-02T03:04:05Z"),
        power=Power(kind="modelled", period_s=(0.02, 0.05), window_s=0.025),
    )
    TraceWriter(folder, manifest).close()
    assert read_trace(folder).manifest == manifest.model_copy(update={"status": "finished"})


def test_the_manifest_tells_every_column_with_its_unit(tmp_path: Path) -> None:
    document = yaml.safe_load((small_trace(tmp_path / "t") / "manifest.yaml").read_text("utf-8"))
    assert document["schema"] == "simtool/trace/1"
    assert document["columns"] == columns_by_stream()
    for stream in STREAMS.values():
        for column in stream.columns:
            suffixes = {
                "_s": "s",
                "_w": "W",
                "_j": "J",
                "_bytes": "byte",
                "_hz": "Hz",
                "_degc": "degC",
                "_frac": "",
            }
            unit = next(
                (unit for suffix, unit in suffixes.items() if column.name.endswith(suffix)), column.unit
            )
            assert column.unit == unit


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schema": "simtool/trace/2"}, "newer"),
        ({"schema": "simtool/trace/0"}, "never published"),
        ({"schema": "simtool/scenario/1"}, "simtool/trace/1"),
        ({"schema": None}, "schema"),
        ({"schema": ["simtool/trace/1"]}, "schema"),
        ({"status": "fine"}, "status"),
        ({"seed": "one"}, "seed"),
        ({"colour": 1}, "colour"),
        ({"device": {"power_limit_w": float("nan")}}, "power_limit_w"),
        ({"columns": None}, "columns"),
        ({"columns": {**columns_by_stream(), "power": {}}}, "columns.power.power_w"),
        ({"columns": {**columns_by_stream(), "evals": {"value": 3}}}, "columns.evals.time_s"),
    ],
)
def test_a_manifest_that_says_something_else_is_refused(
    changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    folder = small_trace(tmp_path / "t")
    edited(folder, **changes)
    with pytest.raises(InputError, match=told) as caught:
        read_trace(folder)
    assert "manifest.yaml" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- 1",
        "a: [",
        "a: &x [1]\nb: *x",
        "a: !!python/object/apply:os.system [true]",
        "a: " + "[" * 5000,
        "1: 2",
        "a: \ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
        "a: " + "9" * 5000,
        "=: 1",
        "x" * (2**20 + 1),
    ],
)
def test_a_hostile_manifest_is_refused(text: str, tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    (folder / "manifest.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"manifest\.yaml"):
        read_trace(folder)


def test_a_trace_from_before_a_stream_was_added_is_read(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    path = folder / "manifest.yaml"
    document = yaml.safe_load(path.read_text("utf-8"))
    del document["columns"]["device_ops"], document["columns"]["device_steps"]
    path.write_text(yaml.safe_dump(document), "utf-8")
    assert read_trace(folder).steps.num_rows == 5
