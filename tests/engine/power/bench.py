"""A GPU in a bottle: the double of the driver's library, built with the C compiler, under a clock set by hand."""

from __future__ import annotations

import ctypes
import math
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from simtool.engine.power.nvml import open_nvml
from simtool.engine.power.sampled import SampledMeter
from simtool.rng import stream

SOURCE = Path(__file__).with_name("nvml_double.c")
START_S = 20.0


def build(folder: Path) -> Path:
    """Compiles the double; the name is the one that nvidia-ml-py looks for."""
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE, "-lm"], check=True)
    return library


@dataclass(frozen=True)
class Gpu:
    """The sensor of a generation as SC24 measured it; windows in seconds, 0 where a channel does not exist."""

    name: str
    architecture: int
    driver: str
    update_s: float
    usage_s: float
    instant_s: float = 0.0
    average_s: float = 0.0
    lag_s: float = 0.0
    has_counter: bool = True

    def control(self) -> str:
        """The double's settings."""
        text = f"clock=hand name={self.name} arch={self.architecture} driver={self.driver} update={self.update_s}"
        text += f" window={self.usage_s} counter={int(self.has_counter)} lag={self.lag_s}"
        text += f" i_window={self.instant_s}" if self.instant_s else ""
        return text + (f" a_window={self.average_s}" if self.average_s else "")


GPUS = {
    "kepler": Gpu("Tesla_K40m", 2, "535.54.03", 0.015, 0.015, lag_s=0.041, has_counter=False),
    "pascal": Gpu("Tesla_P100-PCIE-16GB", 4, "535.54.03", 0.020, 0.010, has_counter=False),
    "volta": Gpu("Tesla_V100-SXM2-16GB", 5, "525.116.04", 0.020, 0.010),
    "turing": Gpu("NVIDIA_TITAN_RTX", 6, "525.116.04", 0.101, 0.101),
    "turing-quadro": Gpu("Quadro_RTX_8000", 6, "525.116.04", 0.100, 0.020),
    "ga100": Gpu("NVIDIA_A100-SXM4-80GB", 7, "535.54.03", 0.100, 0.025, instant_s=0.025),
    "ampere-525": Gpu("NVIDIA_RTX_A6000", 7, "525.89.02", 0.100, 1.0),
    "ampere-530": Gpu("NVIDIA_GeForce_RTX_3090", 7, "530.30.02", 0.100, 0.1),
    "ampere-535": Gpu("NVIDIA_GeForce_RTX_3090", 7, "535.54.03", 0.100, 1.0, instant_s=0.1, average_s=1.0),
    "ada-535": Gpu("NVIDIA_GeForce_RTX_4090", 8, "535.54.03", 0.100, 1.0, instant_s=0.1, average_s=1.0),
    "hopper": Gpu("NVIDIA_H100_PCIe", 9, "535.104.05", 0.100, 1.0, instant_s=0.025, average_s=1.0),
}


@dataclass(frozen=True)
class Wave:
    """A square wave of power from `begin_s` to `end_s` of the double's clock, idle before and after."""

    period_s: float
    high_w: float = 300.0
    low_w: float = 60.0
    duty_frac: float = 0.5
    idle_w: float = 60.0
    begin_s: float = START_S
    end_s: float = 1e9

    def control(self) -> str:
        """The double's settings."""
        return (
            f"period={self.period_s} high={self.high_w} low={self.low_w} duty={self.duty_frac} "
            f"idle={self.idle_w} begin={self.begin_s} end={self.end_s}"
        )

    def energy_j(self, start_s: float, end_s: float) -> float:
        """The truth, counted cycle by cycle."""
        moments = {start_s, end_s, *(t for t in (self.begin_s, self.end_s) if start_s < t < end_s)}
        last = min(end_s, self.end_s)
        for cycle in range(math.ceil(max(0.0, last - self.begin_s) / self.period_s)):
            edge = self.begin_s + cycle * self.period_s
            moments.update(t for t in (edge, edge + self.duty_frac * self.period_s) if start_s < t < last)
        ordered = sorted(moments)
        return math.fsum(self._power_w((a + b) / 2) * (b - a) for a, b in pairwise(ordered))

    def _power_w(self, time_s: float) -> float:
        if not self.begin_s <= time_s < self.end_s:
            return self.idle_w
        phase = (time_s - self.begin_s) / self.period_s % 1.0
        return self.high_w if phase < self.duty_frac else self.low_w


class Bench:
    """The double in this process, its clock, and a sampler that moves the clock instead of waiting."""

    def __init__(self, library: Path, control: str) -> None:
        self.double = ctypes.CDLL(str(library))
        self.double.double_set_time.argtypes = [ctypes.c_double]
        self.double.double_energy_j.argtypes = [ctypes.c_double]
        self.double.double_energy_j.restype = ctypes.c_double
        self.now_s = 0.0
        self.set("! clock=hand " + control)
        self.go_to(START_S - 2.0)
        self.take: Callable[[], bool] = lambda: False
        self.periods: Iterator[float] = jittered()

    def set(self, control: str) -> None:
        """Changes settings of the double."""
        self.double.double_control(control.encode())

    def go_to(self, time_s: float) -> None:
        """Sets the clock."""
        self.now_s = time_s
        self.double.double_set_time(time_s)

    def meter(self, device: str = "", **options: Any) -> SampledMeter:
        """A meter of the double's GPU that runs on this clock."""
        return SampledMeter(
            open_nvml(device), self, clock=options.pop("clock", lambda: self.now_s), **options
        )

    # The sampler's side.

    def start(self, take: Callable[[], bool]) -> None:
        """Reads once."""
        self.take = take if take() else (lambda: False)

    def wait(self, duration_s: float) -> None:
        """Lets time pass, reading as the thread would."""
        end_s = self.now_s + duration_s
        while (next_s := self.now_s + next(self.periods)) < end_s:
            self.go_to(next_s)
            if not self.take():
                self.take = lambda: False
        self.go_to(end_s)

    def stop(self) -> None:
        """Reads no more."""
        self.take = lambda: False


def jittered(shortest_s: float = 0.020, longest_s: float = 0.050) -> Iterator[float]:
    """The periods of the real sampler."""
    generator = stream(0, "power-meter", "period")
    while True:
        yield float(generator.uniform(shortest_s, longest_s))


def fixed(period_s: float) -> Iterator[float]:
    """The periods of a naive one."""
    while True:
        yield period_s


def naive_j(rows: list[dict[str, Any]], start_s: float, end_s: float, column: str = "power_w") -> float:
    """What people do: the mean of the samples times the duration."""
    values = [row[column] for row in rows if start_s <= row["time_s"] <= end_s]
    return float(np.mean(values)) * (end_s - start_s)
