"""The order of a suite: shares of the time, what no device can do, and going on where it stopped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from simtool.engine.suites import bandwidth, bench, devices, gemm, run_suite, suite
from simtool.engine.suites.bench import Bench
from simtool.engine.suites.folder import BEFORE, Folder
from simtool.engine.suites.part import Part, Row, Unmeasurable
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import ProcessStopwatch
from simtool.engine.suites.suite import Course
from simtool.errors import InputError, OutputError
from simtool.trace import read_trace
from tests.engine.suites import made


class FakeTime:
    """A clock that only points move."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(suite, "time", fake)
    return fake


class Counting:
    """Points that take as long as they are told, or fail."""

    name: ClassVar[str] = "first"
    share: ClassVar[float] = 0.75

    def __init__(
        self,
        number: int,
        wait_s: float = 0.0,
        failure: Exception | None = None,
        clock: FakeTime | None = None,
    ) -> None:
        self._number, self._wait_s, self._failure = number, wait_s, failure
        self._clock = clock or FakeTime()
        self.measured: list[Point] = []

    def points(self, bench: Bench) -> Sequence[Point]:
        return [Point(part=self.name, op="made", shape=(("n", n),)) for n in range(self._number)]

    def measure(self, bench: Bench, point: Point) -> Row:
        self._clock.now_s += self._wait_s
        if self._failure is not None and point.size("n") == 1:
            raise self._failure
        self.measured.append(point)
        return bench.measure(point, [lambda: None])


class Other(Counting):
    name: ClassVar[str] = "second"
    share: ClassVar[float] = 0.25


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with made.steady_meter() as meter:
        yield Folder(tmp_path / "trace", made.facts(), meter, kind="cpu", seed=0, clock="process")


def course(folder: Folder, *parts: Part, wanted_s: float = 60.0) -> Course:
    found = Course(parts, made.bench(), folder)
    found.run(suite.time.monotonic(), wanted_s, 0.0, lambda _what, _done: None)
    return found


@pytest.mark.parametrize("wanted_s", [1.0, 7.0, 20.0])
def test_a_part_uses_its_share_of_the_time_at_any_moment(
    folder: Folder, clock: FakeTime, wanted_s: float
) -> None:
    large, small = Counting(1000, 0.1, clock=clock), Other(1000, 0.05, clock=clock)
    left = course(folder, large, small, wanted_s=wanted_s).num_left
    assert left == 2000 - len(large.measured) - len(small.measured) > 0
    assert 0.1 * len(large.measured) == pytest.approx(0.75 * wanted_s, abs=0.2)
    assert 0.05 * len(small.measured) == pytest.approx(0.25 * wanted_s, abs=0.2)


def test_a_point_that_would_not_fit_is_not_begun(folder: Folder, clock: FakeTime) -> None:
    slow, quick = Counting(10, 3.0, clock=clock), Other(10, 0.1, clock=clock)
    course(folder, slow, quick, wanted_s=4.5)
    assert clock.now_s <= 4.5
    assert len(slow.measured) == 1
    assert len(quick.measured) == 10


@pytest.mark.parametrize(
    "failure",
    [Unmeasurable("not here"), RuntimeError("no kernel"), torch.cuda.OutOfMemoryError("full")],
    ids=lambda error: type(error).__name__,
)
def test_what_the_device_cannot_do_is_told_and_the_rest_goes_on(folder: Folder, failure: Exception) -> None:
    part = Counting(4, failure=failure)
    assert course(folder, part).num_left == 0
    assert [point.size("n") for point in part.measured] == [0, 2, 3]
    assert list(folder.skipped) == ["first made n=1"]


def test_errors_of_ours_are_not_taken_for_findings(folder: Folder) -> None:
    with pytest.raises(TypeError):
        course(folder, Counting(4, failure=TypeError("a bug")))


def run_cpu(folder: Path, **more: Any) -> suite.SuiteOutcome:
    return run_suite("cpu", folder, parts=["launch"], **more)


def test_a_suite_leaves_a_trace_that_says_what_was_measured_and_how(tmp_path: Path) -> None:
    told: list[float] = []
    outcome = run_cpu(tmp_path / "trace", progress=lambda _, done: told.append(done))
    trace = read_trace(tmp_path / "trace")
    assert (outcome.num_measured, outcome.num_left, outcome.is_complete) == (3, 0, True)
    assert told == sorted(told)
    assert trace.manifest.status == "finished"
    assert trace.manifest.task == "suite-cpu"
    assert trace.manifest.clock.durations == "process"
    assert trace.manifest.device.num_threads == 1
    assert outcome.device == trace.manifest.device.name
    rows = trace.kernels.to_pylist()
    assert {row["op"] for row in rows} == {"add", "mm", "linear_forward_backward"}
    assert all(0.0 < row["duration_p10_s"] <= row["duration_p90_s"] for row in rows)
    assert all(row["power_kind"] != "measured" or row["power_w"] > 0 for row in rows)


def test_the_number_of_threads_is_given_back(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_cpu(tmp_path / "trace")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_same_command_again_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from simtool.engine.suites.launch import LaunchPart

    usual, num_calls = LaunchPart.measure, 0

    def interrupted(self: LaunchPart, bench: Bench, point: Point) -> Row:
        nonlocal num_calls
        num_calls += 1
        if num_calls == 2:
            raise KeyboardInterrupt
        return usual(self, bench, point)

    monkeypatch.setattr(LaunchPart, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cpu(tmp_path / "trace")
    cut = read_trace(tmp_path / "trace")
    assert (cut.manifest.status, cut.kernels.num_rows) == ("interrupted", 1)
    outcome = run_cpu(tmp_path / "trace")
    whole = read_trace(tmp_path / "trace")
    assert (outcome.num_measured, whole.manifest.status) == (3, "finished")
    assert whole.kernels.slice(0, 1).equals(cut.kernels)
    assert num_calls == 4
    assert not (tmp_path / f"trace{BEFORE}").exists()
    assert run_cpu(tmp_path / "trace").is_complete
    assert num_calls == 4  # nothing was left


def test_a_continuation_that_was_cut_before_it_began_loses_nothing(tmp_path: Path) -> None:
    run_cpu(tmp_path / "trace")
    (tmp_path / "trace").rename(tmp_path / f"trace{BEFORE}")
    (tmp_path / "trace").mkdir()
    assert run_cpu(tmp_path / "trace").num_measured == 3
    assert read_trace(tmp_path / "trace").kernels.num_rows == 3


def test_the_suite_of_another_seed_is_not_continued(tmp_path: Path) -> None:
    run_cpu(tmp_path / "trace")
    before = sorted(path.read_bytes() for path in (tmp_path / "trace").iterdir())
    with pytest.raises(InputError, match="seed"):
        run_cpu(tmp_path / "trace", seed=1)
    assert sorted(path.read_bytes() for path in (tmp_path / "trace").iterdir()) == before


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "trace").mkdir()
    (tmp_path / "trace" / "steps.parquet").write_bytes(b"mine")
    with pytest.raises(OutputError):
        run_cpu(tmp_path / "trace")
    assert (tmp_path / "trace" / "steps.parquet").read_bytes() == b"mine"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tpu", {}), "gpu or cpu"),
        (("cpu", {"minutes": 0.0}), "minutes"),
        (("cpu", {"minutes": float("nan")}), "minutes"),
        (("cpu", {"minutes": float("inf")}), "minutes"),
        (("cpu", {"parts": ["gem"]}), "gemm"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, arguments: tuple[str, dict[str, Any]], said: str
) -> None:
    kind, more = arguments
    with pytest.raises(InputError, match=said):
        run_suite(kind, tmp_path / "trace", **more)


def test_without_a_gpu_the_suite_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--suite cpu"):
        run_suite("gpu", tmp_path / "trace")


def test_the_way_of_a_gpu_on_a_device_that_plays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of a GPU's suite but the device: points, meter, idle power first, and a manifest that calibrates."""
    grid = replace(
        gemm.GRIDS["gpu"], widths=(32, 64), rows=(32, 64), few_rows=(1,), num_weights=3, others=("float32",)
    )
    monkeypatch.setitem(gemm.GRIDS, "gpu", grid)
    monkeypatch.setitem(gemm.SQUARE, "gpu", 64)
    monkeypatch.setitem(bandwidth.MOST_BYTES, "gpu", 2.0**18)
    monkeypatch.setitem(bench.EFFORTS, "gpu", made.SHORT)
    for name in ("IDLE_S", "LOAD_S"):
        monkeypatch.setitem(
            getattr(__import__("simtool.engine.suites.sustained", fromlist=["x"]), name), "gpu", 0.05
        )
    monkeypatch.setattr("simtool.engine.suites.attention.GRIDS", {"gpu": devices_grid()})
    monkeypatch.setattr(suite, "device_of", lambda _: torch.device("cpu"))
    told = made.facts("gpu", cache_size_bytes=2.0**14, memory_size_bytes=2.0**30)
    monkeypatch.setattr(suite, "facts_of", lambda _: told)
    monkeypatch.setattr(suite, "open_meter", lambda device: made.steady_meter())  # noqa: ARG005
    monkeypatch.setattr(suite, "ProcessStopwatch", ProcessStopwatch)
    parts = ["power", "gemm", "bandwidth", "attention"]
    outcome = run_suite("gpu", tmp_path / "trace", parts=parts, minutes=1.0)
    trace = read_trace(tmp_path / "trace")
    rows = trace.kernels.to_pylist()
    assert outcome.power_kind == trace.manifest.power.kind == "measured"
    assert rows[0]["op"] == "idle"
    assert {row["part"] for row in rows} == set(parts)
    assert {row["power_kind"] for row in rows} == {"measured"}
    assert trace.manifest.device.architecture == "hopper"
    assert trace.power["0"].num_rows > 0
    assert not outcome.skipped


def devices_grid() -> Any:
    from simtool.engine.suites.attention import Grid

    return Grid(heads=((2, 16),), lengths=(32, 64), tokens=(64,), most_flop=1e9)


def test_families_that_devices_name_are_families_of_profiles() -> None:
    from simtool.profiles.find import shipped_folder

    known = {path.stem for path in (shipped_folder("hardware_profiles") / "families").glob("*.yaml")}
    assert {*devices.NVIDIA_FAMILIES.values(), *devices.AMD_FAMILIES.values()} <= known
