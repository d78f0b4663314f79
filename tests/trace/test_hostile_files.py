"""Damaged and hostile files: one clear error or a result, never a traceback, never nothing at all."""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.profiles.find import default_library
from simtool.trace import Imported, KernelTable, import_trace, read_trace, summarise
from simtool.trace.found import READERS
from simtool.trace.json_stream import read_documents, read_events
from simtool.trace.power_log import moment
from simtool.trace.source import Source
from simtool.workload.from_trace import from_kernels
from tests.trace.kineto_files import Recorder, two_steps, write
from tests.trace.power_files import WRITERS, put

TIMES = [0.5 * number for number in range(12)]
POWERS = [200.0 + 10 * (number % 3) for number in range(12)]
KINETO = json.dumps(two_steps()).encode()
CHAKRA = json.dumps({"schema": "1.1.1-chakra.0.0.4", "nodes": [
    {"id": 1, "name": "aten::mm", "ctrl_deps": 0, "cat": "cpu_op", "ts": 5, "inclusive_dur": 9,
     "inputs": {"values": [], "shapes": [[4, 8], [8, 2]], "types": ["Tensor(float)", "Tensor(float)"]}},
    {"id": 2, "name": "sgemm", "ctrl_deps": 1, "cat": "kernel", "ts": 8, "exclusive_dur": 3, "stream": 7},
]}).encode()  # fmt: skip
VALID = {
    "kineto": KINETO,
    "chakra": CHAKRA,
    **{name: write_log(TIMES, POWERS).encode() for name, (_, write_log) in WRITERS.items()},
}
LIBRARY = default_library()
FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def survives(path: Path) -> str:
    """Import, sum up and write a file; what the refusal says, or nothing where there was none."""
    try:
        imported = import_trace(path)
    except InputError as error:
        refusal = error
    else:
        return _is_sound(imported)
    assert all(problem.where and problem.found for problem in refusal.problems)
    return str(refusal)


def _is_sound(imported: Imported) -> str:
    summary = summarise(imported, LIBRARY)
    assert len(imported.kernels) > 0 or imported.metering.meters
    assert all(step.busy_s >= 0 and step.duration_s >= 0 for step in imported.steps)
    assert all(meter.log.edges_s.size for meter in imported.metering.meters)
    json.dumps(summary.as_json(), allow_nan=False)
    if len(imported.kernels):
        _becomes_a_workload(imported)
    return ""


def _becomes_a_workload(imported: Imported) -> None:
    """Or is refused."""
    try:
        workload = from_kernels(imported.kernels, batch=2, seq_len=8, name="any", source="", where="here")
    except InputError:
        return
    assert workload.flop(2, 8) > 0


@pytest.mark.parametrize("name", VALID)
def test_the_undamaged_files_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(VALID[name])
    assert survives(path) == ""


@pytest.mark.parametrize("name", VALID)
@FEW
@given(data=st.data())
def test_changed_bytes(tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray(VALID[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "file"
    path.write_bytes(bytes(content))
    survives(path)


@pytest.mark.parametrize("name", VALID)
@FEW
@given(share=st.floats(0, 1, exclude_max=True), is_packed=st.booleans())
def test_cut_files(tmp_path: Path, name: str, share: float, is_packed: bool) -> None:
    content = gzip.compress(VALID[name]) if is_packed else VALID[name]
    path = tmp_path / "file"
    path.write_bytes(content[: int(share * len(content))])
    said = survives(path)
    if is_packed or name in ("kineto", "chakra"):
        assert said


@FEW
@given(document=anything)
@example(document=[])
@example(document={"traceEvents": []})
@example(document={"traceEvents": {}})
@example(document={"traceEvents": [1, None, []]})
@example(document={"nodes": [{"id": 1, "type": "COMP_NODE", "durationMicros": "x"}], "schema": "chakra"})
@example(document={"card0": {"Average Graphics Package Power (W)": [1]}})
def test_any_json(tmp_path: Path, document: Any) -> None:
    path = tmp_path / "file"
    path.write_text(json.dumps(document), "utf-8")
    assert survives(path)


FIELDS = ("ph", "cat", "name", "pid", "tid", "ts", "dur", "args")
INNER = ("correlation", "External id", "device", "stream", "Input Dims", "Input type", "Input Strides",
         "Concrete Inputs", "bytes", "Collective name", "dtype", "In msg nelems", "Group size")  # fmt: skip


@FEW
@given(
    changes=st.lists(
        st.tuples(st.integers(0, 20), st.sampled_from(FIELDS + INNER), anything), min_size=1, max_size=6
    ),
    header=st.dictionaries(
        st.sampled_from(
            ("deviceProperties", "distributedInfo", "baseTimeNanoseconds", "cuda_runtime_version")
        ),
        anything,
        max_size=3,
    ),
)
def test_events_with_anything_in_their_fields(
    tmp_path: Path, changes: list[tuple[int, str, Any]], header: Any
) -> None:
    document = {**json.loads(KINETO), **header}
    events = document["traceEvents"]
    for place, name, value in changes:
        event = events[place % len(events)]
        if name in FIELDS:
            event[name] = value
        elif isinstance(event.get("args"), dict):
            event["args"][name] = value
    path = tmp_path / "file"
    path.write_text(json.dumps(document), "utf-8")
    survives(path)


@FEW
@given(
    name=st.sampled_from(sorted(VALID.keys() - {"kineto", "chakra"})),
    changes=st.lists(
        st.tuples(st.integers(0, 30), st.integers(0, 12), st.text(max_size=12) | st.floats().map(str)),
        min_size=1, max_size=6,
    ),
)  # fmt: skip
def test_cells_with_anything_in_them(tmp_path: Path, name: str, changes: list[tuple[int, int, str]]) -> None:
    lines = VALID[name].decode().splitlines()
    for row, column, text in changes:
        separator = "," if "," in lines[row % len(lines)] else " "
        cells = lines[row % len(lines)].split(separator)
        cells[column % len(cells)] = text
        lines[row % len(lines)] = separator.join(cells)
    path = tmp_path / "file"
    path.write_text("\n".join(lines), "utf-8")
    survives(path)


@pytest.mark.parametrize("base", [1e18 * 60, 1e30, 1e300, -1e18])
def test_a_time_of_day_that_no_clock_shows_is_not_taken(tmp_path: Path, base: float) -> None:
    path = put(tmp_path / "file", json.dumps(two_steps(baseTimeNanoseconds=base)))
    imported = import_trace(path)
    assert imported.manifest.clock.ops == "relative"
    assert any("the time of day in the file cannot be" in note for note in imported.notes)
    assert "no time" not in survives(path)


@pytest.mark.parametrize("offset_s", [math.nan, math.inf, -math.inf, 1e300])
def test_an_offset_that_is_no_time(tmp_path: Path, offset_s: float) -> None:
    path = put(tmp_path / "file", json.dumps(two_steps()))
    with pytest.raises(InputError, match="--power-offset"):
        import_trace(path, power_offset_s=offset_s)


@pytest.mark.parametrize(
    "text", ["9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "0001/01/01 00:00:00"]
)
def test_a_moment_that_no_log_has(text: str) -> None:
    assert moment(text) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(KINETO, mtime=0)[:-20], "is cut: the gzip stream has no end"),
        (
            gzip.compress(KINETO, mtime=0)[:30] + b"\x00" * 40 + gzip.compress(KINETO, mtime=0)[70:],
            "is damaged",
        ),
        (KINETO[:-2], "is cut"),
        (KINETO[:700], "is cut in event"),
        (KINETO.replace(b'"cat": "kernel"', b'"cat": "cpu_op"'), "has no kernel of a device among its"),
        (b'{"traceEvents": [{"ph": "X"} {"ph": "X"}]}', "expected ',' or ']'"),
        (b'{"traceEvents": [{"ph": "X"}]', "is cut behind"),
        (b'{"schemaVersion": 1}', "has no array 'traceEvents'"),
        (b'{"traceEvents": [' + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"]}", "event 1"),
        (b'{"traceEvents": []} []', "goes on behind the end of its JSON"),
        (b'{"schemaVersion": 1, "traceEvents": [{"ts": 1' + b"0" * 5000 + b"}]}", "event 1 is no JSON"),
        (b"PK\x03\x04 and so on", "is a ZIP archive"),
        (b"PAR1 and so on", "is a Parquet file"),
        (b"\x00\x01\x02", "holds zero bytes"),
        (b'{"traceEvents": [{"name": "\xff\xfe"}]}', "is no UTF-8 text at about byte"),
        (b"", "is empty"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        import_trace(path)
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["dur", "ts"])
def test_a_time_beyond_any_clock_is_left_out_and_said(tmp_path: Path, name: str) -> None:
    document = json.loads(KINETO)
    kernels = [event for event in document["traceEvents"] if event.get("cat") == "kernel"]
    kernels[0][name] = 1e308
    path = tmp_path / "file"
    path.write_text(json.dumps(document))
    imported = import_trace(path)
    assert any("1 event of device work without a time" in note for note in imported.notes)


def test_brackets_without_end_do_not_take_minutes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"[" * 100_000)
    began = time.perf_counter()
    with pytest.raises(InputError, match="no format that is known"):
        import_trace(path)
    assert time.perf_counter() - began < 5.0


def test_the_place_of_an_error_is_told(tmp_path: Path) -> None:
    text = json.dumps(two_steps()).replace('"dur": 100', '"dur": ,', 1)
    with pytest.raises(InputError) as caught:
        import_trace(put(tmp_path / "file", text))
    place = int(caught.value.problems[0].where.rpartition(" ")[2])
    assert abs(place - text.index('"dur": ,')) < 12


def test_missing_files_folders_and_doubles(tmp_path: Path) -> None:
    path = put(tmp_path / "file", json.dumps(two_steps()))
    with pytest.raises(InputError, match="does not exist"):
        import_trace(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder"):
        import_trace(tmp_path)
    with pytest.raises(InputError, match="is named twice"):
        import_trace([path, path])
    with pytest.raises(InputError, match="unknown trace format 'kinto'; did you mean 'kineto'"):
        import_trace(path, format_name="kinto")
    with pytest.raises(InputError, match="found no file"):
        import_trace([])
    with pytest.raises(InputError, match="--power-unit"):
        import_trace(path, power_unit="horses")


# ----------------------------------------------------------------------------------- the stream of events


class Pieces(Source):
    """A file that comes in pieces of a few characters."""

    def pieces(self, piece_bytes: int = 7) -> Iterator[str]:
        text = self.path.read_text("utf-8")
        for place in range(0, len(text), 7):
            yield text[place : place + 7]


@FEW
@given(
    events=st.lists(st.dictionaries(st.text(max_size=5), anything, max_size=3), max_size=12),
    indent=st.sampled_from([None, 1]),
)
def test_events_come_out_as_they_went_in(
    tmp_path: Path, events: list[dict[str, Any]], indent: int | None
) -> None:
    document = {"before": {"traceEvents": [1]}, "traceEvents": events, "after": 12345}
    path = put(tmp_path / "file", json.dumps(document, indent=indent))
    header: dict[str, Any] = {}
    found = [event for batch in read_events(Pieces(path), header) for event in batch]
    # Text of both sides: what is no number is equal to nothing, not even itself.
    assert json.dumps(found) == json.dumps(events)
    assert header == {"before": {"traceEvents": [1]}, "after": 12345}


def test_documents_one_behind_the_other(tmp_path: Path) -> None:
    for text in ('{"a": 1}{"b": 2}\n 3', '[{"a": 1}, {"b": 2}, 3]', '{"a": 1},{"b": 2},3'):
        assert list(read_documents(Pieces(put(tmp_path / "file", text)))) == [{"a": 1}, {"b": 2}, 3]
    with pytest.raises(InputError, match="is cut"):
        list(read_documents(Source(put(tmp_path / "file", '[{"a": 1}, {"b": '))))


def test_a_file_is_read_within_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    recorder = Recorder()
    recorder.product(1000)
    filler = json.dumps({"ph": "X", "cat": "python_function", "name": "x" * 400, "ts": 1, "dur": 1})
    path = tmp_path / "t.json"
    with path.open("w", encoding="utf-8") as file:
        file.write('{"traceEvents": [' + ",".join(json.dumps(event) for event in recorder.events))
        for _ in range(60_000):
            file.write("," + filler)
        file.write("]}")
    size = path.stat().st_size
    assert size > 25e6
    tracemalloc.start()
    events = sum(len(batch) for batch in read_events(Source(path), {}))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert events == 60_003
    assert peak < 1.6 * size  # a batch of events, not all of them; json.load needs about four times the file


# --------------------------------------------------------------------------------------- folders on disk


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simtool.errors import OutputError
    from simtool.trace import table_files

    imported = import_trace(write(tmp_path / "t.json", two_steps()))
    out = imported.write(tmp_path / "deep" / "out")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(OutputError, match="holds a trace already"):
        imported.write(out)

    def fail(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table_files, "_packed", fail)
    with pytest.raises(OutputError, match="the disk is full"):
        imported.write(out, force=True)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    monkeypatch.undo()
    imported.write(out, force=True)
    assert read_trace(out).device_ops.num_rows == 6
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(OutputError, match="holds files that are no trace"):
        imported.write(tmp_path / "mine", force=True)
    with pytest.raises(OutputError, match="is no folder"):
        imported.write(tmp_path / "t.json", force=True)


def test_a_large_table_goes_on_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from simtool.trace import table_files

    imported = import_trace(write(tmp_path / "t.json", two_steps()))
    monkeypatch.setattr(table_files, "ROWS_PER_PART", 4)
    out = imported.write(tmp_path / "out")
    assert sorted(path.name for path in out.glob("device_ops*")) == [
        "device_ops.0002.parquet",
        "device_ops.parquet",
    ]
    again = KernelTable(read_trace(out).device_ops)
    assert again.table.equals(imported.kernels.plain())
    assert again.table["name"].num_chunks == 2
    for name in ("name", "operator", "settings"):
        places, words = again.texts(name)
        own_places, own_words = imported.kernels.texts(name)
        assert [words[place] if place >= 0 else None for place in places] == [
            own_words[place] if place >= 0 else None for place in own_places
        ]


# ------------------------------------------------------------------------------------------- the registry


@pytest.mark.parametrize("name", VALID)
def test_each_file_is_claimed_by_one_reader(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(VALID[name])
    claims = [found for found in READERS if READERS[found]().claims(Source(path))]
    assert len(claims) == 1


def test_every_format_says_what_it_is() -> None:
    assert set(READERS) == {
        "chakra", "codecarbon", "dcgm", "kineto", "mlperf-power", "nvidia-dmon", "nvidia-smi", "rocm-smi", "zeus",
    }  # fmt: skip
    assert all(len(summary) > 10 for summary in READERS.summaries().values())


@pytest.mark.parametrize("wrong", sorted(READERS))
@pytest.mark.parametrize("name", ["kineto", "nvidia-smi", "spl.txt"])
def test_a_file_forced_into_a_format_is_read_or_refused(tmp_path: Path, name: str, wrong: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(VALID[name])
    try:
        import_trace(path, format_name=wrong)
    except InputError as error:
        refusal = error
    else:
        return
    assert refusal.problems
