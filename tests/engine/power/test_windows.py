"""The table of windows, and the double's, against the measurements that they rest on."""

from __future__ import annotations

import csv
from datetime import datetime
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from simtool.engine.power.integral import Integrator, updates
from simtool.engine.power.windows import Channel, driver_branch, family, sensor_for
from tests.engine.power.bench import GPUS

FOLDER = Path("data/power/nvml_sensor_yang")
# NVML's architecture by product, as the workbook names them.
ARCHITECTURES = (
    (9, ("H100",)),
    (8, ("4090",)),
    (7, ("A100", "A10", "A5000", "A6000", "3090", "3070")),
    (6, ("2080", "2060", "1650", "TITAN_RTX", "RTX_8000")),
    (5, ("V100",)),
    (4, ("P100", "1080", "TITAN_X_Pascal")),
    (3, ("TITAN_X", "M40", "K620")),
    (2, ("K40", "K80")),
)


def architecture(name: str) -> int:
    """NVML's number for a product."""
    return next(number for number, words in ARCHITECTURES if any(word in name for word in words))


def measured_rows(folder: Path) -> list[tuple[str, str, str, float, float | None]]:
    """Product, driver, channel, update [s] and median window [s] of every block of the workbook."""
    found = []
    for file, window_column in (("local_gpus", 12), ("remote_gpus", 8)):
        rows = list(csv.reader((folder / f"overall_results__{file}.csv").read_text("utf-8").splitlines()))
        for index, row in enumerate(rows[5:], start=5):
            if not row[0] or any(row[1:]):
                if not (len(row) > 2 and driver_branch(row[1]) and row[2]):
                    continue
                name = next(rows[above][0] for above in range(index, 0, -1) if not any(rows[above][1:]))
                channels: tuple[Channel, ...] = ("usage", "average", "instant")
                for offset, channel in enumerate(channels, start=1):
                    if index + offset >= len(rows) or rows[index + offset][1] not in ("True", "False"):
                        break  # a later driver of the same card has one channel alone
                    if rows[index + offset][1] == "False":
                        continue
                    text = rows[index + offset][window_column]
                    window_s = float(text) / 1000 if text.replace(".", "").isdigit() else None
                    found.append((name, row[1], channel, float(row[2]) / 1000, window_s))
    return found


def test_every_measured_window_agrees_with_the_table(reference_data: Path) -> None:
    rows = measured_rows(reference_data / FOLDER)
    assert len(rows) > 80
    assert sum(window_s is not None for *_, window_s in rows) > 50
    for name, driver, channel, update_s, window_s in rows:
        spaced = name.replace("_", " ")
        sensor = sensor_for(family(architecture(name), spaced), spaced, driver, channel)  # type: ignore[arg-type]
        assert sensor.kind == "measured"
        assert sensor.update_s == pytest.approx(update_s, rel=0.06), (name, driver, channel)
        if window_s is not None and "Alienware" not in name:  # the workbook notes that its load was not flat
            assert sensor.window_s == pytest.approx(window_s, rel=0.3, abs=0.0075), (name, driver, channel)


def test_a_window_of_a_second_was_seen_as_a_rise_of_a_second(reference_data: Path) -> None:
    """Where the workbook gives no window but a slow rise, the table has a mean over 1 s or a lag."""
    for name, driver, channel, _, window_s in measured_rows(reference_data / FOLDER):
        spaced = name.replace("_", " ")
        sensor = sensor_for(family(architecture(name), spaced), spaced, driver, channel)  # type: ignore[arg-type]
        if window_s is None and "TITAN_X_Pascal" not in name and "TITAN_RTX" not in name:
            assert sensor.window_s == 1.0 or sensor.lag_s > 0, (name, driver, channel)


def test_the_double_has_the_windows_of_the_workbook(reference_data: Path) -> None:
    rows = measured_rows(reference_data / FOLDER)
    for word, channel, seconds in (
        ("A100-SXM", "usage", GPUS["ga100"].instant_s),
        ("H100", "instant", GPUS["hopper"].instant_s),
        ("V100", "usage", GPUS["volta"].usage_s),
        ("P100", "usage", GPUS["pascal"].usage_s),
        ("TITAN_RTX", "usage", GPUS["turing"].usage_s),
        ("RTX_8000", "usage", GPUS["turing-quadro"].usage_s),
    ):
        windows = [row[4] for row in rows if word in row[0] and row[2] == channel and row[4] is not None]
        assert median(windows) == pytest.approx(seconds, rel=0.15)


@pytest.mark.parametrize(
    ("number", "name", "generation"),
    [
        (7, "NVIDIA A100-PCIE-40GB", "ga100"),
        (7, "NVIDIA A30", "ga100"),
        (7, "NVIDIA A10", "ampere"),
        (9, "NVIDIA GH200 480GB", "hopper"),
        (10, "NVIDIA B200", "blackwell"),
        (99, "a GPU of tomorrow", "unknown"),
    ],
)
def test_generations(number: int, name: str, generation: str) -> None:
    assert family(number, name) == generation


def test_the_driver_decides_on_ampere_and_ada() -> None:
    for generation in ("ampere", "ada"):
        windows = [
            sensor_for(generation, "", driver, "usage").window_s for driver in ("525.1", "530.3", "535.5")
        ]
        assert windows == [1.0, 0.1, 1.0]


def test_what_nobody_measured_is_called_assumed() -> None:
    assert sensor_for("blackwell", "NVIDIA B200", "570.1", "instant").kind == "assumed"
    assert sensor_for("unknown", "", "", "average").kind == "assumed"


def recorded(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Moments [s] and instant power [W] of a log of an A100."""
    rows = list(csv.reader(path.read_text("utf-8").splitlines()))[1:]
    moments = [datetime.strptime(row[0], "%Y/%m/%d %H:%M:%S.%f").timestamp() for row in rows]  # noqa: DTZ007
    times = np.array(moments) - moments[0]
    keep = np.concatenate(([True], np.diff(times) > 0))
    return times[keep], np.array([float(row[6]) for row in rows])[keep]


def test_updates_of_a_real_a100_are_found(reference_data: Path) -> None:
    """The log polls every 15 ms; the load switches every 52 ms, in a slow beat with the sensor's updates."""
    times, values = recorded(reference_data / FOLDER / "5050__A100__gpudata.csv")
    moments, _ = updates(times, values, 0.101)
    assert median(np.diff(moments)) == pytest.approx(0.103, abs=0.004)


def test_a_real_beat_fools_a_mean_over_a_second_and_stays_within_the_bounds(reference_data: Path) -> None:
    times, values = recorded(reference_data / FOLDER / "5050__A100__gpudata.csv")
    sensor = sensor_for("ga100", "NVIDIA A100-PCIE-40GB", "535.54.03", "instant")
    integrator = Integrator(times, values, sensor, 250.0)
    whole = integrator.over(2.6, 9.4)  # two full beats
    power_w = whole.energy_j / 6.8
    means_w = []
    for start_s in np.arange(2.6, 8.5, 0.25):
        part = integrator.over(start_s, start_s + 1.0)
        means_w.append(float(values[(times >= start_s) & (times <= start_s + 1.0)].mean()))
        assert part.low_j <= power_w <= part.high_j
    assert max(abs(mean_w / power_w - 1) for mean_w in means_w) > 0.3
