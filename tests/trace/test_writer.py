"""What a trace keeps: every value, through kills, full disks and second writers."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import OutputError
from simtool.trace import Manifest, TraceWriter, read_trace
from simtool.trace.columns import MAX_TEXT
from simtool.trace.schema import MAX_FILE_BYTES, STREAMS, Stream
from tests.trace.rows import op_row, small_trace, step_row

VALUES = {
    "text": st.text(max_size=20),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(),
    "flag": st.booleans(),
}


def rows_of(stream: Stream) -> st.SearchStrategy[list[dict[str, Any]]]:
    row = {
        column.name: VALUES[column.kind] | st.none() if column.is_optional else VALUES[column.kind]
        for column in stream.columns
        if column.name != "revision"
    }
    return st.lists(st.fixed_dictionaries(row), max_size=6)


def same(first: Any, second: Any) -> bool:
    both_nan = (
        isinstance(first, float) and isinstance(second, float) and math.isnan(first) and math.isnan(second)
    )
    return both_nan or first == second


@given(data=st.data(), is_closed=st.booleans())
def test_what_was_written_is_read_back(
    data: st.DataObject, is_closed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trace") / "t"
    steps, evals, events, power = (
        data.draw(rows_of(STREAMS[name])) for name in ("steps", "evals", "events", "power")
    )
    writer = TraceWriter(folder, Manifest())
    for row in steps:
        writer.step(row)
    for row in evals:
        writer.evaluation(row)
    for row in events:
        writer.event(row)
    for row in power:
        writer.power("cpu-package+dram", row)
    writer.flush()
    writer.close() if is_closed else writer.abandon()
    trace = read_trace(folder)
    assert trace.is_cut is not is_closed
    found = (trace.steps, trace.evaluations, trace.events, trace.power.get("cpu-package+dram"))
    for rows, table in zip((steps, evals, events, power), found, strict=True):
        read = [] if table is None else table.to_pylist()
        assert len(read) == len(rows)
        for row, back in zip(rows, read, strict=True):
            assert all(same(back[name], row[name]) for name in row)


@given(
    writings=st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 4)), max_size=8),
    is_closed=st.booleans(),
)
def test_the_last_word_on_a_signature_holds(
    writings: list[tuple[str, int]], is_closed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("trace") / "t"
    writer = TraceWriter(folder, Manifest())
    final: dict[str, int] = {}
    for signature, num_ops in writings:
        writer.ops([op_row(str(number), signature) for number in range(num_ops)])
        if num_ops:
            final[signature] = num_ops
    writer.close() if is_closed else writer.abandon()
    read = [row["signature"] for row in read_trace(folder).ops.to_pylist()]
    assert {signature: read.count(signature) for signature in set(read)} == final


def test_a_finished_trace_is_parquet_and_manifest_alone(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    assert sorted(path.name for path in folder.iterdir()) == [
        "evals.parquet",
        "events.parquet",
        "manifest.yaml",
        "ops.parquet",
        "phases.parquet",
        "power-gpu0.parquet",
        "signatures.parquet",
        "steps.parquet",
    ]
    assert read_trace(folder).manifest.status == "finished"


def test_the_same_rows_make_the_same_files(tmp_path: Path) -> None:
    first, second = small_trace(tmp_path / "a"), small_trace(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_half_a_character_is_escaped(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest()) as writer:
        writer.step(step_row(signature="a\udc80b"))
    assert read_trace(tmp_path / "t").steps["signature"].to_pylist() == ["a\\udc80b"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"colour": 1}, "no column 'colour'"),
        ({"step": 1.5}, "'step'"),
        ({"step": 2**63}, "64 bits"),
        ({"loss": "low"}, "'loss'"),
        ({"loss": None}, "'loss' of steps is missing"),
        ({"signature": "x" * (MAX_TEXT + 1)}, "characters"),
    ],
)
def test_a_row_that_does_not_fit_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest()) as writer:
        with pytest.raises(ValueError, match=told):
            writer.step(step_row() | change)
        with pytest.raises(ValueError, match="device"):
            writer.power("../gpu", {"time_s": 1.0})
    assert read_trace(tmp_path / "t").steps.num_rows == 0


def test_waiting_rows_are_written_within_a_second(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    writer.step(step_row())
    until_s = time.monotonic() + 1.0
    while read_trace(tmp_path / "t").steps.num_rows == 0:
        assert time.monotonic() < until_s + 4.0, (
            "waited five times as long as promised"
        )  # the machine is shared
        time.sleep(0.05)
    writer.abandon()


def test_rows_are_written_in_batches(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest(), flush_interval_s=60.0) as writer:
        for step in range(10_000):
            writer.step(step_row(step))
        assert writer.num_writes <= 4  # the schema and a batch for every 4096 rows
    assert read_trace(tmp_path / "t").steps["step"].to_pylist() == list(range(10_000))


def test_any_thread_may_write(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest(), flush_interval_s=0.001) as writer:

        def add(device: str) -> None:
            for number in range(1000):
                writer.power(device, {"time_s": float(number)})
                writer.power("shared", {"time_s": float(number)})

        threads = [threading.Thread(target=add, args=(f"gpu{number}",)) for number in range(3)]
        for thread in threads:
            thread.start()
        for step in range(1000):
            writer.step(step_row(step))
        for thread in threads:
            thread.join()
    trace = read_trace(tmp_path / "t")
    assert trace.power["shared"].num_rows == 3000
    assert all(
        trace.power[f"gpu{n}"]["time_s"].to_pylist() == [float(i) for i in range(1000)] for n in range(3)
    )
    assert trace.steps.num_rows == 1000


def test_no_file_grows_beyond_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simtool.trace.stream_file.MAX_PART_BYTES", 20_000)
    writer = TraceWriter(tmp_path / "t", Manifest(), flush_interval_s=60.0)
    for step in range(1000):
        writer.step(step_row(step))
        if step % 50 == 0:
            writer.flush()
    writer.flush()
    assert all(path.stat().st_size <= 20_000 for path in (tmp_path / "t").glob("*.arrow"))
    assert len(list((tmp_path / "t").glob("steps*.arrow"))) == 1  # parts that are full are packed at once
    assert len(read_trace(tmp_path / "t").steps) == 1000
    writer.close()
    assert len(list((tmp_path / "t").glob("steps*.parquet"))) > 3
    assert read_trace(tmp_path / "t").steps["step"].to_pylist() == list(range(1000))


def test_a_packed_part_that_holds_noise_is_no_larger_than_a_file_may_be(tmp_path: Path) -> None:
    with TraceWriter(tmp_path / "t", Manifest(), flush_interval_s=60.0) as writer:
        for _ in range(280):
            writer.event({"time_s": 0.0, "kind": "noise", "detail": os.urandom(MAX_TEXT // 2).hex()})
    sizes = [path.stat().st_size for path in (tmp_path / "t").iterdir()]
    assert sum(sizes) > 8 * 2**20
    assert max(sizes) <= MAX_FILE_BYTES


def test_a_folder_holds_one_trace(tmp_path: Path) -> None:
    folder = small_trace(tmp_path / "t")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(OutputError, match="holds"):
        TraceWriter(folder, Manifest())
    (folder / "manifest.yaml").unlink()
    with pytest.raises(OutputError, match="of another trace"):
        TraceWriter(folder, Manifest())
    del before["manifest.yaml"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        TraceWriter(tmp_path / "file", Manifest())


def test_of_two_writers_at_once_one_goes_through(tmp_path: Path) -> None:
    writers, refused = [], []

    def begin() -> None:
        try:
            writers.append(TraceWriter(tmp_path / "t", Manifest()))
        except OutputError as error:
            refused.append(error)

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(writers), len(refused)) == (1, 7)
    writers[0].close()
    assert not read_trace(tmp_path / "t").is_cut


def test_an_error_inside_ends_the_trace_as_interrupted(tmp_path: Path) -> None:
    def work() -> None:
        with TraceWriter(tmp_path / "t", Manifest()) as writer:
            writer.step(step_row())
            raise KeyError("x")

    with pytest.raises(KeyError):
        work()
    trace = read_trace(tmp_path / "t")
    assert (trace.manifest.status, trace.steps.num_rows, trace.is_cut) == ("interrupted", 1, False)
    assert "KeyError" in trace.manifest.reason


def test_nothing_is_written_after_the_end(tmp_path: Path) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    writer.close(status="diverged", reason="loss")
    writer.close()
    with pytest.raises(RuntimeError, match="closed"):
        writer.step(step_row())
    assert read_trace(tmp_path / "t").manifest.reason == "loss"


KILLED = """
import sys, time
from pathlib import Path
from simtool.trace import Manifest, TraceWriter
writer = TraceWriter(Path(sys.argv[1]), Manifest(task="killed"))
step = 0
while True:
    step += 1
    writer.step({"end_s": time.monotonic(), "step": step, "signature": "n8", "num_samples": step, "progress_frac": 0.0,
                 "learning_rate": 0.0, "loss": 0.0, "flop": 0.0, "is_sampled": False})
    print(step, flush=True)
    time.sleep(0.002)
"""


def test_a_kill_costs_less_than_a_second(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "t")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    begin_s = time.monotonic()
    last = 0
    for line in process.stdout:
        last = int(line)
        if time.monotonic() - begin_s > 2.0 and last > 20:
            break
    process.send_signal(signal.SIGKILL)
    killed_s = time.monotonic()
    process.stdout.close()
    process.wait()
    trace = read_trace(tmp_path / "t")
    steps = trace.steps["step"].to_pylist()
    assert trace.is_cut
    assert trace.manifest.status == "running"
    assert steps == list(range(1, len(steps) + 1))
    assert steps[-1] <= last + 100
    assert killed_s - trace.steps["end_s"].to_pylist()[-1] < 1.0 + 1.0  # a second, and a busy machine


FULL = """
import resource, sys
from pathlib import Path
from simtool.errors import OutputError
from simtool.trace import Manifest, TraceWriter
writer = TraceWriter(Path(sys.argv[1]), Manifest(), flush_interval_s=60.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
row = {"end_s": 0.0, "signature": "n8", "num_samples": 0, "progress_frac": 0.0, "learning_rate": 0.0, "loss": 0.0,
       "flop": 0.0, "is_sampled": False}
try:
    for step in range(100_000):
        writer.step({**row, "step": step})
        if step % 10 == 9:
            writer.flush()
            print(step, flush=True)
except OutputError as error:
    print("refused", error)
for again in (lambda: writer.step({**row, "step": 1}), writer.flush, writer.close):
    try:
        again()
    except OutputError:
        print("refused")
"""


def test_a_full_disk_is_told_and_costs_nothing_that_was_written(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "t")],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    written = [int(line) for line in lines if line.isdigit()]
    assert lines[len(written)].startswith("refused")
    assert "steps.arrow" in lines[len(written)]
    assert lines[len(written) + 1 :] == ["refused"] * 3
    trace = read_trace(tmp_path / "t")
    assert trace.steps["step"].to_pylist() == list(range(written[-1] + 1))
    assert trace.is_cut
    assert not trace.cut  # the torn batch was taken back


def test_a_disk_that_fills_while_packing_leaves_the_streams(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = TraceWriter(tmp_path / "t", Manifest())
    for step in range(100):
        writer.step(step_row(step))

    def full(path: Path, _: bytes) -> None:
        raise OutputError(str(path), "cannot be written: No space left on device")

    monkeypatch.setattr("simtool.trace.compact.write_whole", full)
    with pytest.raises(OutputError, match="No space"):
        writer.close()
    trace = read_trace(tmp_path / "t")
    assert trace.steps.num_rows == 100
    assert trace.is_cut


def test_arrow_does_not_bring_pandas(tmp_path: Path) -> None:
    caught = tmp_path / "caught"
    (tmp_path / "pandas.py").write_text(
        f"open({str(caught)!r}, 'w').close()\nraise ImportError('no pandas here')\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from pathlib import Path\nfrom tests.trace.rows import small_trace\n"
        "from simtool.trace import read_trace, write_perfetto\n"
        f"folder = small_trace(Path({str(tmp_path / 't')!r}))\n"
        f"write_perfetto(read_trace(folder), Path({str(tmp_path / 'p.json.gz')!r}))\n"
        "assert 'torch' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    assert not caught.exists()
