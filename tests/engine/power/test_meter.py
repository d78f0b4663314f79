"""What every meter promises, on this machine, in real time, and by its clock."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from simtool.engine.power import open_meter
from simtool.engine.power.meter import READING_COLUMNS, NoMeter
from simtool.engine.power.modelled import WATTS_PER_BUSY_THREAD, ProcessorSecondsProbe
from simtool.engine.power.sampled import SampledMeter
from simtool.engine.power.sampler import ThreadSampler
from simtool.errors import InputError
from simtool.rng import stream
from tests.engine.power.bench import GPUS, START_S, Bench, Wave

MakeBench = Callable[[str], Bench]
VOLTA = f"{GPUS['volta'].control()} {Wave(0.5).control()}"


def test_marks_divide_the_time_and_the_energy(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter().start()
    made.wait(1.0)
    for label, duration_s in (("forward", 0.7), ("backward", 1.4), ("forward", 0.7)):
        meter.mark(label)
        made.wait(duration_s)
    report = meter.stop()
    assert [part.label for part in report.intervals] == ["", "forward", "backward", "forward"]
    assert sum(part.energy_j for part in report.intervals) == pytest.approx(report.energy_j, rel=1e-6)
    assert sum(part.duration_s for part in report.intervals) == pytest.approx(report.duration_s)
    assert set(report.energy_by_label_j()) == {"", "forward", "backward"}
    assert report.power_w == pytest.approx(report.energy_j / 3.8)


def test_live_energy_never_decreases_and_ends_near_the_report(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter()
    assert math.isnan(meter.energy_j())
    meter.start()
    told_j = []
    for _ in range(60):
        made.wait(0.07)
        told_j.append(meter.energy_j())
    assert told_j == sorted(told_j)
    assert meter.stop().energy_j == pytest.approx(told_j[-1], abs=0.15 * 300)
    assert meter.energy_j() == meter.report().energy_j


@pytest.mark.parametrize("extra", ["", "counter=0"])
def test_asking_often_leaves_no_rows(bench: MakeBench, extra: str) -> None:
    made = bench(f"{VOLTA} {extra}")
    meter = made.meter().start()
    for _ in range(2000):
        made.go_to(made.now_s + 0.001)
        meter.energy_j()
    assert len(meter.readings()) < 150
    assert meter.stop().duration_s == pytest.approx(2.0)


def test_a_report_can_be_had_midway(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter().start()
    made.wait(2.0)
    assert meter.report().duration_s == pytest.approx(2.0)
    made.wait(1.0)
    assert meter.stop().duration_s == pytest.approx(3.0)


def test_a_meter_is_started_once(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter()
    with pytest.raises(RuntimeError, match="not started"):
        meter.stop()
    with pytest.raises(RuntimeError, match="not started"):
        meter.report()
    with meter:
        made.wait(1.0)
        with pytest.raises(RuntimeError, match="once"):
            meter.start()
    assert meter.report() is meter.stop()


def test_readings_are_rows_of_the_trace_and_can_be_fetched_piece_by_piece(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter().start()
    made.wait(1.0)
    first = meter.readings()
    made.wait(1.0)
    rest = meter.readings(len(first))
    assert first + rest == meter.readings()
    assert all(list(row) == list(READING_COLUMNS) for row in first)
    assert all(row["power_average_w"] is None for row in first)  # this driver does not have it
    assert [row["time_s"] for row in first + rest] == sorted({row["time_s"] for row in first + rest})
    counters = [row["energy_counter_j"] for row in first + rest]
    assert counters == sorted(counters)


def test_the_manifest_can_be_written(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter().start()
    made.wait(3.0)
    manifest = json.loads(json.dumps(meter.stop().manifest(), allow_nan=False))
    assert manifest["kind"] == "measured"
    assert manifest["source"] == "nvml-counter"
    assert manifest["scope"] == "gpu"
    assert manifest["driver"] == "525.116.04"
    assert manifest["window_s"] == 0.01
    assert manifest["period_s"] == [0.02, 0.05]


@pytest.mark.parametrize("step_s", [0.4, 30.0, 1e9])
def test_a_clock_that_steps_back_is_survived_and_told(bench: MakeBench, step_s: float) -> None:
    made = bench(f"{GPUS['volta'].control()} {Wave(1.0, 200.0, 200.0, idle_w=200.0).control()}")
    meter = made.meter(clock=lambda: made.now_s - (step_s if made.now_s > START_S + 1 else 0.0)).start()
    told_j = []
    for _ in range(12):
        made.wait(0.5)
        told_j.append(meter.energy_j())
    report = meter.stop()
    assert told_j == sorted(told_j)
    assert any("stepped back" in note for note in report.notes)
    times = [row["time_s"] for row in meter.readings()]
    assert times == sorted(times)
    assert report.energy_j == pytest.approx(1200.0, rel=0.03)


def test_no_meter_has_no_number() -> None:
    with open_meter("none") as meter:
        meter.mark("anything")
        assert math.isnan(meter.energy_j())
    report = meter.report()
    assert isinstance(meter, NoMeter)
    assert (report.kind, report.source) == ("none", "none")
    assert math.isnan(report.energy_j)
    assert meter.readings() == []
    assert any("no meter was asked for" in note for note in report.notes)


def test_the_model_is_labelled_wherever_it_appears() -> None:
    seconds, now = [0.0], [0.0]
    probe = ProcessorSecondsProbe(seconds=lambda: seconds[0])

    class Still:
        """A sampler that reads when told."""

        def start(self, take: Callable[[], bool]) -> None:
            self.take = take

        def wait(self, duration_s: float) -> None: ...
        def stop(self) -> None: ...

    sampler = Still()
    meter = SampledMeter(probe, sampler, clock=lambda: now[0]).start()
    for label, busy_s in (("one", 2.0), ("two", 4.0)):
        meter.mark(label)
        for _ in range(10):
            seconds[0] += busy_s / 10
            now[0] += 0.3
            sampler.take()
    assert meter.kind == "modelled"
    assert meter.source == "cpu-seconds"
    report = meter.stop()
    watts = WATTS_PER_BUSY_THREAD.value
    assert report.energy_j == pytest.approx(6.0 * watts)
    assert report.modelled_j == pytest.approx(report.energy_j)
    assert report.energy_by_label_j() == pytest.approx({"one": 2.0 * watts, "two": 4.0 * watts})
    assert (report.kind, report.source, report.scope) == ("modelled", "cpu-seconds", "cpu-process")
    assert {part.kind for part in report.intervals} == {"modelled"}
    assert report.manifest()["kind"] == "modelled"
    assert report.notes[0].startswith("modelled, not measured")
    assert report.integral_j is None
    assert report.calibration_frac == WATTS_PER_BUSY_THREAD.spread
    assert WATTS_PER_BUSY_THREAD.kind == "assumed"


def test_the_model_in_real_time_with_the_real_thread() -> None:
    meter = open_meter("modelled")
    with meter:
        until_s = time.process_time() + 0.3
        before_j = 0.0
        while time.process_time() < until_s:
            assert meter.energy_j() >= before_j
            before_j = meter.energy_j()
    num_readings = len(meter.readings())
    assert num_readings < 60
    report = meter.report()
    assert report.energy_j >= 0.25 * WATTS_PER_BUSY_THREAD.value
    assert report.num_readings > 3
    gaps = [later["time_s"] - row["time_s"] for row, later in pairwise(meter.readings())]
    assert len({round(gap, 4) for gap in gaps[:-1]}) > 1


def test_the_thread_reads_at_uneven_times_and_stops() -> None:
    moments: list[float] = []

    def take() -> bool:
        moments.append(time.monotonic())
        return True

    sampler = ThreadSampler(stream(0, "power-meter", "period"), 0.005, 0.015)
    sampler.start(take)
    sampler.wait(0.3)
    sampler.stop()
    num_read = len(moments)
    time.sleep(0.03)
    assert len(moments) == num_read
    assert num_read > 8
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    assert min(gaps) >= 0.005


def test_an_error_of_our_own_in_the_thread_is_told_not_swallowed(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter().start()
    made.wait(1.0)
    meter._probe.read = lambda: 1 / 0  # type: ignore[assignment, method-assign, return-value]
    made.wait(1.0)
    report = meter.stop()
    assert report.kind == "modelled"
    assert any("ZeroDivisionError" in note for note in report.notes)


def test_an_unknown_source_is_refused_with_a_hint() -> None:
    with pytest.raises(InputError, match="did you mean 'nvml'"):
        open_meter("nvlm")


def test_automatic_choice_says_what_it_passed_over(bench: MakeBench, tmp_path: Path) -> None:
    bench("init_error=9")
    meter = open_meter(powercap=tmp_path / "absent")
    assert meter.kind == "modelled"
    with meter:
        time.sleep(0.05)
    notes = " ".join(meter.report().notes)
    assert "nvml: the driver does not answer" in notes
    assert "amd: amdsmi cannot be imported" in notes
    assert "rapl: the folder" in notes


def test_automatic_choice_takes_the_gpu_that_is_there(bench: MakeBench) -> None:
    bench(VOLTA)
    assert open_meter().source == "nvml-counter"
    assert open_meter(device="cpu").source in ("rapl", "cpu-seconds")


def test_a_named_accelerator_is_never_replaced_by_the_processor(bench: MakeBench) -> None:
    bench("init_error=9")
    meter = open_meter(device="cuda:0")
    assert meter.kind == "none"
    assert math.isnan(meter.energy_j())


SCRIPT = """
import json, sys, time
from simtool.engine.power import open_meter
meter = open_meter("nvml")
with meter:
    time.sleep(0.4)
    meter.mark("load")
    time.sleep(1.0)
report = meter.report()
assert "torch" not in sys.modules
print(json.dumps({**report.manifest(), "load_j": report.intervals[-1].energy_j, "n": report.num_readings}))
"""


def test_the_driver_s_library_is_found_as_on_a_machine_with_one(library: Path) -> None:
    """A new process, the dynamic linker's own search, the real clock and thread."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.parent),
        "NVML_DOUBLE": "name=NVIDIA_A100-SXM4-80GB arch=7 driver=535.54.03 window=0.025 i_window=0.025 "
        "update=0.1 high=300 low=300 idle=300",
    }
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["device"] == "NVIDIA A100-SXM4-80GB"
    assert told["architecture"] == "ga100"
    assert told["source"] == "nvml-counter"
    assert told["load_j"] == pytest.approx(300.0, rel=0.15)
    assert told["n"] > 10


def test_a_missing_package_is_told_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(
        InputError, match=r"nvidia-ml-py is not installed; .*simtool-planner\[engine\]"
    ) as refusal:
        open_meter("nvml")
    assert "\n" not in str(refusal.value)
