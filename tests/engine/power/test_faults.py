"""What goes wrong with drivers: every fault is labelled, what was read before is kept, and nothing becomes zero."""

from __future__ import annotations

import math
from collections.abc import Callable

import pynvml
import pytest

from simtool.engine.power.meter import EnergyReport, UnavailableError
from simtool.engine.power.nvml import open_nvml
from simtool.engine.power.open import open_meter
from simtool.errors import InputError
from tests.engine.power.bench import GPUS, START_S, Bench, Wave

MakeBench = Callable[[str], Bench]
STEADY = Wave(1.0, high_w=200.0, low_w=200.0, idle_w=200.0)
VOLTA = f"{GPUS['volta'].control()} {STEADY.control()}"
TURING = f"{GPUS['turing'].control()} {STEADY.control()}"


def run(bench: Bench, duration_s: float = 6.0, device: str = "") -> EnergyReport:
    """A plain measurement from two seconds before `START_S` on."""
    meter = bench.meter(device).start()
    bench.wait(duration_s)
    return meter.stop()


def told(report: EnergyReport, words: str) -> bool:
    """Whether a note says so."""
    return any(words in note for note in report.notes)


def test_a_wrapped_counter_is_unwrapped(bench: MakeBench) -> None:
    base_j = 2**32 / 1000 - 200 * START_S - 300
    report = run(bench(f"{VOLTA} counter_base={base_j} wrap_bits=32"))
    assert report.energy_j == pytest.approx(1200.0, rel=0.01)
    assert report.source == "nvml-counter"
    assert told(report, "wrapped 1 times")
    assert not report.is_flagged


def test_a_driver_reloaded_midway_is_no_wrap(bench: MakeBench) -> None:
    report = run(bench(f"{VOLTA} reset_at={START_S + 1}"))
    assert told(report, "started anew")
    assert report.is_flagged
    assert report.energy_j == pytest.approx(1200.0, rel=0.03)


def test_a_counter_that_freezes_midway_is_continued_by_samples(bench: MakeBench) -> None:
    made = bench(f"{TURING} frozen_at={START_S}")
    meter = made.meter().start()
    made.wait(6.0)
    live_j = meter.energy_j()
    report = meter.stop()
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert live_j == pytest.approx(1200.0, rel=0.05)
    assert told(report, "stood still")
    assert report.is_flagged


def test_a_counter_that_never_counts_is_not_used(bench: MakeBench) -> None:
    report = run(bench(f"{TURING} frozen_at=0"))
    assert report.counter_j is None
    assert report.source == "nvml-samples"
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert report.is_flagged


def test_a_counter_that_samples_rule_out_is_not_believed(bench: MakeBench) -> None:
    report = run(bench(f"{TURING} counter_gain=0.5"))
    assert report.source == "nvml-samples"
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert told(report, "rule out")


def test_without_a_counter_energy_is_the_integral_and_says_so(bench: MakeBench) -> None:
    made = bench(f"{TURING} counter=0")
    meter = made.meter().start()
    made.wait(6.0)
    assert meter.source == "nvml-samples"
    assert meter.energy_j() == pytest.approx(1200.0, rel=0.03)
    report = meter.stop()
    assert report.counter_j is None
    assert report.gap_frac is None
    assert report.energy_j == pytest.approx(1200.0, rel=0.01)
    assert told(report, "no energy counter")


def test_a_virtual_gpu_that_tells_nothing_is_refused(bench: MakeBench) -> None:
    bench("clock=hand virtual=2 counter=0 arch=8")
    with pytest.raises(UnavailableError, match="neither power nor energy"):
        open_nvml()


def test_power_without_permission_leaves_the_counter(bench: MakeBench) -> None:
    report = run(bench(f"{VOLTA} forbidden=power"))
    assert report.source == "nvml-counter"
    assert report.error_j > 0
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert report.integral_j is None
    assert report.seen_frac is None
    assert told(report, "not told by this GPU or driver: power")


@pytest.mark.parametrize(("code", "hint"), [(4, "utility capability"), (9, ""), (18, "reload")])
def test_a_driver_that_refuses_is_told_with_what_would_help(bench: MakeBench, code: int, hint: str) -> None:
    bench(f"{VOLTA} init_error={code}")
    with pytest.raises(InputError, match=f"the driver does not answer.*{hint}"):
        open_meter("nvml")


def test_a_handle_without_permission_is_refused_by_name(bench: MakeBench) -> None:
    bench(f"{VOLTA} forbidden=handle")
    with pytest.raises(InputError, match=r"nvml: the first GPU: .*utility capability"):
        open_meter("nvml")


def test_a_gpu_that_does_not_exist_is_refused_with_the_command_that_lists_them(bench: MakeBench) -> None:
    bench(f"{VOLTA} count=2")
    for device in ("cuda:2", "GPU-other"):
        with pytest.raises(InputError, match="nvidia-smi -L"):
            open_meter("nvml", device)


@pytest.mark.parametrize("fault", ["lost_at", "unloaded_at"])
def test_a_gpu_lost_midway_keeps_what_was_read_and_models_the_rest(bench: MakeBench, fault: str) -> None:
    made = bench(f"{VOLTA} {fault}={START_S + 1}")  # three of six seconds
    meter = made.meter().start()
    meter.mark("before")
    made.wait(2.9)
    assert meter.kind == "measured"
    meter.mark("across")
    made.wait(2.1)
    assert meter.kind == "modelled"
    meter.mark("after")
    before_j = meter.energy_j()
    made.wait(1.0)
    assert meter.energy_j() > before_j
    report = meter.stop()
    assert report.kind == "modelled"
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)
    assert report.modelled_j == pytest.approx(600.0, rel=0.05)
    assert report.counter_j == pytest.approx(600.0, rel=0.05)
    assert [part.kind for part in report.intervals] == ["measured", "modelled", "modelled"]
    assert report.intervals[2].energy_j == pytest.approx(200.0, rel=0.02)
    assert report.num_faults == 1
    assert told(report, "what was read before is kept")
    assert len(meter.readings()) > 50
    assert all(row["time_s"] <= START_S + 1.05 for row in meter.readings())


def test_a_gpu_lost_before_the_first_reading_gives_no_energy_rather_than_zero(bench: MakeBench) -> None:
    made = bench(VOLTA)
    meter = made.meter()
    made.set("lost_at=0")
    meter.start()
    made.wait(2.0)
    assert math.isnan(meter.energy_j())
    report = meter.stop()
    assert math.isnan(report.energy_j)
    assert report.kind == "none"


def test_readings_that_fail_for_a_while_leave_a_told_pause_that_the_counter_bridges(bench: MakeBench) -> None:
    report = run(bench(f"{VOLTA} timeout_at={START_S} timeout_until={START_S + 1.5}"))
    assert report.kind == "measured"
    assert report.energy_j == pytest.approx(1200.0, rel=0.01)
    assert report.num_faults > 20
    assert told(report, "nothing was read")
    assert told(report, "readings failed")


@pytest.mark.parametrize("device", ["", "MIG-double"])
def test_mig_is_labelled_as_the_power_of_the_whole_gpu(bench: MakeBench, device: str) -> None:
    report = run(bench(f"{VOLTA} mig=1"), device=device)
    assert report.scope == "gpu-shared-by-mig"
    assert told(report, "whole GPU")
    assert report.energy_j == pytest.approx(1200.0, rel=0.02)


def test_a_gh200_counts_and_reads_the_whole_module(bench: MakeBench) -> None:
    made = bench(
        f"{GPUS['hopper'].control()} {STEADY.control()} name=NVIDIA_GH200_480GB module=150 counter_module=150 limit=900"
    )
    report = run(made)
    assert report.scope == "module"
    assert report.energy_j == pytest.approx(6 * 350.0, rel=0.02)
    assert report.integral_j == pytest.approx(6 * 350.0, rel=0.02)
    assert not report.is_flagged


def test_another_superchip_is_told_to_be_uncertain(bench: MakeBench) -> None:
    made = bench(f"{GPUS['hopper'].control()} {STEADY.control()} arch=10 name=NVIDIA_GB200 module=800")
    report = run(made)
    assert report.scope == "gpu"
    assert report.architecture == "blackwell"
    assert told(report, "of the GPU or of the module")
    assert told(report, "is assumed")


def test_clocks_temperature_reasons_and_limit_are_in_the_readings(bench: MakeBench) -> None:
    made = bench(f"{GPUS['hopper'].control()} {STEADY.control()} reasons=36")
    meter = made.meter().start()
    made.wait(0.5)
    meter.stop()
    row = meter.readings()[-1]
    assert row["sm_clock_hz"] == 1410e6
    assert row["memory_clock_hz"] == 1215e6
    assert row["temperature_c"] == 47
    assert row["limit_w"] == 400
    assert row["throttle"] == "software-power-cap+software-thermal"
    assert row["power_w"] == pytest.approx(200, abs=0.01)
    assert row["power_average_w"] == pytest.approx(200, abs=0.01)


@pytest.mark.parametrize(
    "missing", ["clock", "temperature", "reasons", "limit", "fields", "architecture", "driver"]
)
def test_a_missing_column_does_not_stop_the_meter(bench: MakeBench, missing: str) -> None:
    report = run(bench(f"{GPUS['hopper'].control()} {STEADY.control()} missing={missing}"))
    assert report.energy_j == pytest.approx(1200.0, rel=0.03)
    assert missing == "fields" or told(report, "not told")


def test_several_gpus_without_a_choice_are_told(bench: MakeBench) -> None:
    assert told(run(bench(f"{VOLTA} count=4")), "4 GPUs")


def test_cuda_visible_devices_is_heeded(bench: MakeBench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench(f"{VOLTA} count=4")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-double")
    assert open_nvml("cuda:1").identity.device == "Tesla V100-SXM2-16GB"
    with pytest.raises(UnavailableError, match="CUDA_VISIBLE_DEVICES"):
        open_nvml("cuda:2")


def test_a_refused_probe_lets_the_driver_go(bench: MakeBench) -> None:
    bench("clock=hand counter=0 arch=8")
    with pytest.raises(UnavailableError):
        open_nvml()
    with pytest.raises(pynvml.NVMLError):
        pynvml.nvmlDeviceGetCount()
