"""Power logs of other tools: recognised, in base units, cleaned, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simtool.errors import InputError
from simtool.trace import import_trace, read_trace
from simtool.trace.power_clean import clean
from simtool.trace.power_log import PowerLog
from tests.trace.power_files import BEGAN, WRITERS, nvidia_smi, put, stamp

TIMES = [2.0 * number for number in range(30)]
POWERS = [100.0 + 10 * (number % 7) for number in range(30)]


def log_of(times_s: list[float], *, scope: str = "gpu", **columns: list[float]) -> PowerLog:
    return PowerLog(
        format="test", device="gpu0", clock="relative", times_s=np.array(times_s, float), scope=scope,
        columns={name: np.array(values, float) for name, values in columns.items()},
    )  # fmt: skip


@pytest.mark.parametrize("writer", WRITERS)
def test_every_format_is_recognised_and_gives_the_same_powers(tmp_path: Path, writer: str) -> None:
    name, write = WRITERS[writer]
    imported = import_trace(put(tmp_path / "log", write(TIMES, POWERS)))
    (meter,) = imported.metering.meters
    assert imported.manifest.sources == (f"log ({name})",)
    assert meter.log.powers()[1] == pytest.approx(POWERS)
    assert np.diff(meter.log.powers()[0]) == pytest.approx(np.full(29, 2.0))
    energy_j, known_s = meter.log.energy_between(-1e9, 1e9)
    assert known_s == pytest.approx(58.0)
    # The counter that the DCGM writer keeps is a rectangle rule, the others are integrated by trapezoids.
    expected = (
        sum(2 * power for power in POWERS[1:])
        if writer == "dcgm"
        else 2 * sum(POWERS) - POWERS[0] - POWERS[-1]
    )
    assert energy_j == pytest.approx(expected)


def test_a_power_log_alone_is_a_trace(tmp_path: Path) -> None:
    imported = import_trace(put(tmp_path / "log", nvidia_smi(TIMES, POWERS)))
    trace = read_trace(imported.write(tmp_path / "out"))
    assert trace.power["gpu0"]["power_w"].to_pylist() == POWERS
    assert trace.power["gpu0"]["clock_hz"].to_pylist() == [1.98e9] * 30
    assert trace.power["gpu0"]["utilization_frac"].to_pylist() == pytest.approx([0.97] * 30)
    assert trace.manifest.power.kind == "measured"
    assert trace.manifest.power.period_s == pytest.approx((2.0, 2.0))
    assert trace.manifest.device.name == "H100"


def test_several_gpus_are_several_meters(tmp_path: Path) -> None:
    lines = ["timestamp, uuid, power.draw.instant [W], power.draw.average [W]"]
    for second in range(10):
        for card in "ab":
            when = stamp(BEGAN + second, "%Y/%m/%d %H:%M:%S.%f")
            lines.append(
                f"{when}, GPU-{card}, {100 + second}, [N/A]" if card == "a" else f"{when}, GPU-{card}, 50, 60"
            )
    imported = import_trace(put(tmp_path / "log", "\n".join(lines)))
    assert [meter.name for meter in imported.metering.meters] == ["gpu0", "gpu1"]
    assert imported.metering.meters[0].log.powers()[1][-1] == 109.0


# ------------------------------------------------------------------------------------- doubtful readings


def test_a_gap_is_not_integrated_over_and_told(tmp_path: Path) -> None:
    times = [0.1 * number for number in range(50)] + [60 + 0.1 * number for number in range(50)]
    imported = import_trace(put(tmp_path / "log", nvidia_smi(times, [200.0] * 100)))
    energy_j, known_s = imported.metering.meters[0].log.energy_between(0, 1e9)
    assert known_s == pytest.approx(9.8)
    assert energy_j == pytest.approx(200 * 9.8)
    assert imported.manifest.power.num_gaps == 1
    assert any("1 gap, the longest of 55.1 s" in note for note in imported.notes)


def test_milliwatts_called_watts_are_refused_and_read_when_told(tmp_path: Path) -> None:
    path = put(tmp_path / "log", nvidia_smi(TIMES, [power * 1e3 for power in POWERS]))
    with pytest.raises(InputError, match=r"30 of 30 values of power_w lie above 5000 W.*--power-unit mW"):
        import_trace(path)
    told = import_trace(path, power_unit="mW")
    assert told.metering.meters[0].log.powers()[1] == pytest.approx(POWERS)


def test_a_log_that_mixes_units_is_refused(tmp_path: Path) -> None:
    powers = [power * (1e3 if number % 2 else 1) for number, power in enumerate(POWERS)]
    with pytest.raises(InputError, match=r"15 of 30 values .* it may mix units"):
        import_trace(put(tmp_path / "log", nvidia_smi(TIMES, powers)))


def test_kilowatts_called_watts_and_dead_meters_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--power-unit kW"):
        import_trace(put(tmp_path / "a", nvidia_smi(TIMES, [power * 1e-3 for power in POWERS])))
    with pytest.raises(InputError, match="all 30 powers are zero: this meter does not measure"):
        import_trace(put(tmp_path / "b", nvidia_smi(TIMES, [0.0] * 30)))


@pytest.mark.parametrize("span_j", [2**32 * 1e-3, 2**32 * 1e-6])
def test_a_counter_that_wraps_goes_on(span_j: float) -> None:
    times = list(range(0, 60, 2))
    counted = [(span_j - 2000.0 + 150.0 * time) % span_j for time in times]
    found = clean(log_of(times, energy_j=counted, power_w=[150.0] * 30), "log")
    assert (found.num_wraps, found.num_resets) == (1, 0) if span_j > 1e5 else (2, 0)
    assert found.energy_between(0, 58)[0] == pytest.approx(150 * 58)
    assert found.counter_vs_integral_gap_frac == pytest.approx(0.0, abs=1e-9)


def test_a_counter_that_starts_anew_leaves_its_interval_out() -> None:
    times = list(range(0, 60, 2))
    counted = [9e5 + 150.0 * time if time < 30 else 150.0 * (time - 30) for time in times]
    found = clean(log_of(times, energy_j=counted, power_w=[150.0] * 30), "log")
    assert (found.num_wraps, found.num_resets) == (0, 1)
    energy_j, known_s = found.energy_between(0, 58)
    assert (energy_j, known_s) == (pytest.approx(150 * 56), 56)
    assert any("began anew 1 time" in note for note in found.notes)


def test_a_counter_alone_is_enough() -> None:
    times = list(range(0, 60, 2))
    found = clean(log_of(times, energy_j=[1000 + 100.0 * time for time in times]), "log")
    assert found.source == "counter"
    assert found.powers()[1] == pytest.approx(np.full(29, 100.0))


def test_a_counter_that_stands_still_gives_way_to_the_power() -> None:
    times = list(range(0, 60, 2))
    found = clean(log_of(times, energy_j=[4711.0] * 30, power_w=[150.0] * 30), "log")
    assert found.source == "power"
    assert any("stands still" in note for note in found.notes)
    assert found.energy_between(0, 58)[0] == pytest.approx(150 * 58)


def test_readings_out_of_order_and_negative_powers_are_told() -> None:
    found = clean(log_of([0, 2, 1, 3, 4], power_w=[10, 30, 20, -5, 50]), "log")
    assert found.powers()[0].tolist() == [0, 1, 2, 4]
    assert any("1 reading stood before an earlier one" in note for note in found.notes)
    assert any("1 negative power left out" in note for note in found.notes)


@given(
    steps=st.lists(st.floats(0.01, 10.0), min_size=2, max_size=40),
    cut=st.floats(0.0, 1.0),
    power=st.floats(1.0, 4000.0),
)
def test_energy_is_additive_in_time(steps: list[float], cut: float, power: float) -> None:
    times = np.concatenate(([0.0], np.cumsum(steps)))
    powers = power * (0.5 + 0.5 * np.cos(np.arange(len(times))) ** 2)
    found = clean(log_of(times.tolist(), power_w=powers.tolist()), "log")
    middle = cut * float(times[-1])
    whole, first, second = (
        found.energy_between(*window) for window in ((0.0, times[-1]), (0.0, middle), (middle, times[-1]))
    )
    assert first[0] + second[0] == pytest.approx(whole[0], abs=1e-9 * power * times[-1])
    assert first[1] + second[1] == pytest.approx(whole[1], abs=1e-9)
    assert whole[0] <= power * whole[1] * (1 + 1e-12)


# ------------------------------------------------------------------------------------------ tables, windows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("timestamp, utilization.gpu [%]\n2023/07/14 10:12:46.483, 3\n", "has no column 'power.draw'"),
        ("power.draw [W], clocks.sm [MHz]\n10, 3\n", "has no column 'timestamp'"),
        ("timestamp, power.draw [W]\nsoon, 10 W\nlater, 12 W\n", "has no reading of power or energy among its 2 rows"),
        ("timestamp, power.draw [W]\n2023/07/14 10:12:46.483, [N/A]\n", "has no reading of power or energy"),
        ("timestamp, power.draw [W]\n2023/07/14 10:12:46.483, 1, 2\n", "has 3 cells, the header 2"),
        ("# gpu     sm    mem\n# Idx      %      %\n    0     1    2\n", "has no column 'pwr'"),
        ("#Entity   GPUTL MCUTL\nID\nGPU 0     0     0\n", "has neither POWER nor TOTEC"),
        ("timestamp,project_name,run_id,duration,emissions,energy_consumed\n2024-01-01T00:00:00,a,b,1,2,3\n",
         "has no column 'gpu_energy'"),
        ("start_time,window_name,elapsed_time\n1,a,2\n", "has no column 'gpu0_energy'"),
        ("dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power\na,b,1,c,2,3,4\n",
         "it is a table of results, not a log"),
        ("t_s,node_0\n0,100\n1\n", "has 1 cells, the header 2"),
        ('{"card0": {"Average Graphics Package Power (W)": "10"}}\n{"card0": {"Aver', "is cut"),
        ("device,Average Graphics Package Power (W)\ncard0,N/A\n", "has no reading of power"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("hello, world\n1, 2\n", "is of no format that is known: it begins with 'hello, world'"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        import_trace(put(tmp_path / "log", text))
    assert said in str(caught.value)
    assert "log" in caught.value.problems[0].where


def test_a_log_without_times_counts_its_readings(tmp_path: Path) -> None:
    text = "# gpu    pwr  gtemp     sm\n# Idx      W      C      %\n" + "    0    100     40     97\n" * 5
    imported = import_trace(put(tmp_path / "log", text), period_s=0.5)
    assert imported.metering.meters[0].log.log.times_s.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0]
    assumed = import_trace(tmp_path / "log")
    assert any("one second between readings is assumed" in note for note in assumed.notes)


def test_dmon_with_times_alone_goes_over_midnight(tmp_path: Path) -> None:
    header = "#Time        gpu    pwr\n#HH:MM:SS    Idx      W\n"
    text = header + "".join(f" {time}      0    100\n" for time in ("23:59:58", "23:59:59", "00:00:00"))
    times = import_trace(put(tmp_path / "log", text)).metering.meters[0].log.log.times_s
    assert np.diff(times).tolist() == [1.0, 1.0]


def test_a_window_holds_its_mean_power_and_nothing_is_known_between(tmp_path: Path) -> None:
    text = (
        "start_time,window_name,elapsed_time,gpu0_energy,gpu1_energy\n"
        "100.0,epoch,50.0,9000.0,9000.0\n100.0,step,10.0,2000.0,1000.0\n120.0,step,10.0,1000.0,1000.0\n"
    )
    imported = import_trace(put(tmp_path / "log", text))
    log = imported.metering.meters[0].log
    assert log.energy_between(0, 10) == (pytest.approx(2000), pytest.approx(10))
    assert log.energy_between(10, 20) == (0, 0)
    assert log.energy_between(-100, 100) == (pytest.approx(3000), pytest.approx(20))
    assert any("gpu0: 1 window left out that holds or overlaps another" in note for note in imported.notes)


def test_real_windows_sum_to_what_was_written(reference_data: Path) -> None:
    path = reference_data / "data" / "power" / "zeus" / "profile_data" / "A40+resnet50+gpu0,1,2,3.csv"
    rows = [line.split(",") for line in path.read_text("utf-8").splitlines()[1:]]
    imported = import_trace(path)
    assert [meter.name for meter in imported.metering.meters] == ["gpu0", "gpu1", "gpu2", "gpu3"]
    for number, meter in enumerate(imported.metering.meters):
        energy_j, known_s = meter.log.energy_between(-1e9, 1e9)
        assert energy_j == pytest.approx(sum(float(row[3 + number]) for row in rows))
        assert known_s == pytest.approx(sum(float(row[2]) for row in rows))


def test_codecarbon_rows_are_windows_that_end_at_their_stamp(tmp_path: Path) -> None:
    header = (
        "timestamp,project_name,run_id,duration,emissions,cpu_energy,gpu_energy,ram_energy,energy_consumed,"
        "cpu_model,gpu_model"
    )
    rows = [
        "2024-01-01T00:01:40,p,r1,100,0.1,0.001,0.002,0,0.003,Xeon,2 x A100",
        "2024-01-01T00:03:20,p,r1,200,0.2,0.002,0.006,0,0.008,Xeon,2 x A100",
    ]
    imported = import_trace(put(tmp_path / "log", "\n".join([header, *rows])))
    gpu, cpu = imported.metering.meters
    assert (gpu.name, gpu.log.log.scope, gpu.log.log.kind) == ("gpu", "gpus", "measured")
    assert (cpu.name, cpu.log.log.kind) == ("cpu", "modelled")
    assert gpu.log.log.device_name == "2 x A100"
    assert gpu.log.energy_between(0, 100) == (pytest.approx(0.002 * 3.6e6), pytest.approx(100))
    assert gpu.log.energy_between(0, 200) == (pytest.approx(0.006 * 3.6e6), pytest.approx(200))


def test_node_power_of_many_nodes(reference_data: Path) -> None:
    name = "v4.0__smc-ac-power__64xSMC-H100-SXM-80GB__llama2_70b_lora__result_5730_3.csv.gz"
    imported = import_trace(reference_data / "data" / "power" / "mlperf_training" / "timeseries" / name)
    assert len(imported.metering.meters) == 64
    means = []
    for meter in imported.metering.meters:
        energy_j, known_s = meter.log.energy_between(0, 1e9)
        means.append(energy_j / known_s)
    assert np.mean(means) == pytest.approx(5087, rel=0.02)  # as summed up of the whole run


def test_the_a100_sensor_log(reference_data: Path) -> None:
    folder = reference_data / "data" / "power" / "nvml_sensor_yang"
    imported = import_trace(folder / "5050__A100__gpudata.csv")
    (meter,) = imported.metering.meters
    assert len(meter.log.log.times_s) == 965
    assert 50 < meter.log.powers()[1].min() < 60
