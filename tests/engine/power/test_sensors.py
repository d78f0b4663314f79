"""The reader against the sensor of every generation: where the mean of samples fails, the meter does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from simtool.engine.power.meter import EnergyReport, IntervalEnergy
from tests.engine.power.bench import GPUS, START_S, Bench, Wave, fixed, jittered, naive_j

MakeBench = Callable[[str], Bench]
PERIODS_S = (0.020, 0.035, 0.100, 0.101, 0.130, 0.250, 0.770, 2.0)


def measured(
    bench: Bench, *, before_s: float = 2.0, load_s: float = 8.0
) -> tuple[EnergyReport, IntervalEnergy, list[dict[str, float]]]:
    """Idle, then the load under a mark of its own."""
    meter = bench.meter().start()
    bench.wait(before_s)
    meter.mark("load")
    bench.wait(load_s)
    report = meter.stop()
    return report, report.intervals[-1], meter.readings()


def test_the_double_knows_its_own_truth(bench: MakeBench) -> None:
    wave = Wave(0.37, duty_frac=0.3, end_s=START_S + 5.0)
    made = bench(wave.control())
    for start_s, end_s in ((0.0, 19.0), (19.5, 20.2), (20.0, 30.0), (21.23, 21.24)):
        told_j = made.double.double_energy_j(end_s) - made.double.double_energy_j(start_s)
        assert told_j == pytest.approx(wave.energy_j(start_s, end_s))


@pytest.mark.parametrize("period_s", PERIODS_S)
@pytest.mark.parametrize("generation", GPUS)
def test_energy_is_right_and_its_error_stated(bench: MakeBench, generation: str, period_s: float) -> None:
    gpu, wave = GPUS[generation], Wave(period_s)
    report, load, _ = measured(bench(f"{gpu.control()} {wave.control()}"))
    true_j = wave.energy_j(report.start_s, report.end_s)
    assert report.integral_low_j is not None
    assert report.integral_high_j is not None
    assert report.integral_low_j <= true_j <= report.integral_high_j
    assert report.seen_frac == pytest.approx(
        1.0 if report.window_s != 0.025 and report.window_s != 0.02 and report.window_s != 0.01 else 0.3,
        abs=0.2,
    )
    if gpu.has_counter:
        assert report.source == "nvml-counter"
        assert load.energy_j == pytest.approx(wave.energy_j(load.start_s, load.end_s), rel=0.01)
        assert abs(load.energy_j - wave.energy_j(load.start_s, load.end_s)) < 3 * load.error_j
    else:
        assert report.source == "nvml-samples"
        assert report.counter_j is None
    if report.seen_frac is not None and report.seen_frac > 0.95:
        assert report.integral_j == pytest.approx(true_j, rel=0.02)
        assert report.integral_error_j is not None
        assert abs(report.integral_j - true_j) < 3 * report.integral_error_j


@pytest.mark.parametrize("generation", ["ga100", "hopper", "turing-quadro"])
def test_a_load_in_step_with_the_sensor_fools_the_mean_of_samples_but_not_the_meter(
    bench: MakeBench, generation: str
) -> None:
    wave = Wave(0.100)
    report, load, rows = measured(bench(f"{GPUS[generation].control()} {wave.control()}"))
    true_j = wave.energy_j(load.start_s, load.end_s)
    assert abs(naive_j(rows, load.start_s, load.end_s) / true_j - 1) > 0.6
    assert load.energy_j == pytest.approx(true_j, rel=0.005)
    if generation == "hopper":  # the average of 1 s misses nothing, so the samples are right too
        assert not report.is_flagged
        assert load.integral_j == pytest.approx(true_j, rel=0.01)
    else:
        assert report.is_flagged
        assert any("in step" in note for note in report.notes)


@pytest.mark.parametrize("generation", ["hopper", "ada-535", "ampere-535"])
def test_a_mean_over_a_second_smears_short_phases_but_not_the_meter(
    bench: MakeBench, generation: str
) -> None:
    wave = Wave(1.0, high_w=600.0, low_w=100.0)
    made = bench(f"{GPUS[generation].control()} limit=700 {wave.control()}")
    meter = made.meter().start()
    made.wait(2.0)
    for _ in range(10):
        for label in ("compute", "wait"):
            meter.mark(label)
            made.wait(0.5)
    report, rows = meter.stop(), meter.readings()
    for label, power_w in (("compute", 600.0), ("wait", 100.0)):
        parts = [part for part in report.intervals if part.label == label]
        naive = sum(naive_j(rows, part.start_s, part.end_s, "power_average_w") for part in parts)
        true_j = power_w * 5.0
        assert abs(naive / true_j - 1) > 0.35
        assert report.energy_by_label_j()[label] == pytest.approx(true_j, rel=0.10)
        for part in parts:
            assert abs(part.energy_j - power_w * part.duration_s) < 3 * part.error_j


@pytest.mark.parametrize("generation", ["ampere-525", "kepler"])
def test_a_slow_sensor_without_a_counter_still_tells_phases_longer_than_its_lag(
    bench: MakeBench, generation: str
) -> None:
    wave = Wave(3.0)
    made = bench(f"{GPUS[generation].control()} {wave.control()} counter=0")
    meter = made.meter().start()
    made.wait(2.0)
    for label in ("high", "low") * 3:
        meter.mark(label)
        made.wait(1.5)
    energies = meter.stop().energy_by_label_j()
    assert energies["high"] == pytest.approx(300.0 * 4.5, rel=0.05)
    assert energies["low"] == pytest.approx(60.0 * 4.5, rel=0.15)


@pytest.mark.parametrize("generation", ["volta", "pascal"])
def test_uneven_periods_see_what_even_ones_miss(bench: MakeBench, generation: str) -> None:
    wave = Wave(0.202)
    errors = {}
    for name, periods in (("even", fixed(0.202)), ("uneven", jittered())):
        made = bench(f"{GPUS[generation].control()} {wave.control()}")
        made.periods = periods
        report, load, rows = measured(made, load_s=10.0)
        true_j = wave.energy_j(load.start_s, load.end_s)
        errors[name] = abs(naive_j(rows, load.start_s, load.end_s) / true_j - 1)
        assert report.num_readings > 40
    assert errors["uneven"] < 0.05
    assert errors["even"] > 0.3


def test_no_way_of_reading_brings_back_what_the_sensor_did_not_see(bench: MakeBench) -> None:
    """Why the bounds of the integral are wide: an A100's updates and a load of the same period."""
    wave = Wave(0.100)
    made = bench(f"{GPUS['ga100'].control()} counter=0 {wave.control()}")
    report, load, _ = measured(made)
    assert load.integral_j is not None
    assert abs(load.integral_j / wave.energy_j(load.start_s, load.end_s) - 1) > 0.5
    assert any("anything from" in note for note in report.notes)


@pytest.mark.parametrize("gain", [0.94, 1.11])
def test_a_miscalibrated_card_is_consistent_and_its_spread_is_stated(bench: MakeBench, gain: float) -> None:
    wave = Wave(2.0)
    made = bench(f"{GPUS['volta'].control()} {wave.control()} gain={gain} counter_gain={gain}")
    report, load, _ = measured(made)
    assert not report.is_flagged
    assert load.energy_j == pytest.approx(gain * wave.energy_j(load.start_s, load.end_s), rel=0.01)
    assert report.calibration_frac == 0.05


def test_counter_and_samples_that_disagree_are_flagged(bench: MakeBench) -> None:
    made = bench(f"{GPUS['turing'].control()} {Wave(2.0).control()} counter_gain=0.95")
    report, _, _ = measured(made)
    assert report.gap_frac == pytest.approx(1 / 0.95 - 1, abs=0.01)
    assert report.is_flagged
    made = bench(f"{GPUS['turing'].control()} {Wave(2.0).control()} counter_gain=0.98")
    assert not measured(made)[0].is_flagged


def test_a_steady_load_is_told_exactly_by_every_sensor(bench: MakeBench) -> None:
    for gpu in GPUS.values():
        wave = Wave(1.0, high_w=250.0, low_w=250.0, idle_w=250.0)
        report, load, _ = measured(bench(f"{gpu.control()} {wave.control()}"), load_s=3.0)
        assert report.energy_j == pytest.approx(250.0 * report.duration_s, rel=0.01)
        assert load.integral_j == pytest.approx(250.0 * load.duration_s, rel=0.01)
        assert not report.is_flagged
