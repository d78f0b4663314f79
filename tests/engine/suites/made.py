"""Devices, meters and clocks that do what a test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import torch

from simtool.engine.power.probe import Identity, Reading
from simtool.engine.power.sampled import SampledMeter
from simtool.engine.power.sampler import ThreadSampler
from simtool.engine.suites.bench import Bench, Effort
from simtool.engine.suites.devices import Facts
from simtool.rng import stream

SHORT = Effort(settle_s=0.0, measure_s=0.002, num_repeats=3)
WATTS = 120.0


def facts(kind: str = "cpu", **changes: Any) -> Facts:
    told: dict[str, Any] = {
        "name": "Made Device",
        "kind": kind,
        "architecture": "cpu" if kind == "cpu" else "hopper",
        "num_processors": 1 if kind == "cpu" else 132,
        "memory_size_bytes": 80e9,
        "cache_size_bytes": 50e6,
    }
    return Facts(**{**told, **changes})


def bench(
    kind: str = "cpu", *, stopwatch: Any = None, meter: Any = None, seed: int = 0, **changes: Any
) -> Bench:
    from simtool.engine.suites.stopwatch import ProcessStopwatch

    return Bench(
        facts=facts(kind, **changes),
        device=torch.device("cpu"),
        stopwatch=stopwatch or ProcessStopwatch(),
        effort=SHORT,
        meter=meter,
        seed=seed,
    )


class SteadyProbe:
    """A counter that grows by `WATTS` a second, whatever happens."""

    spread_frac = 0.0

    def __init__(self) -> None:
        self.identity = Identity(
            kind="measured", source="made", scope="gpu", device="made", longest_tick_s=0.0, notes=()
        )

    def read(self) -> Reading:
        return Reading(energy_counter_j=self.read_counter_j())

    def read_counter_j(self) -> float:
        return time.monotonic() * WATTS

    def notes(self) -> tuple[str, ...]:
        return ()

    def close(self) -> None:
        pass


def steady_meter() -> SampledMeter:
    return SampledMeter(SteadyProbe(), ThreadSampler(stream(0, "test", "period")))


class TickingStopwatch:
    """Every call takes as long as it says itself: blocks report the seconds that `spend` was told."""

    kind = "process"

    def __init__(self, can_record: bool = False) -> None:
        self.now_s = 0.0
        self.num_recorded = 0
        self._can_record = can_record

    def spend(self, duration_s: float) -> Callable[[], None]:
        def call() -> None:
            self.now_s += duration_s

        return call

    def durations_s(self, block: Callable[[], object], num_repeats: int) -> list[float]:
        found = []
        for _ in range(num_repeats):
            before_s = self.now_s
            block()
            found.append(self.now_s - before_s)
        return found

    def finish(self) -> None:
        pass

    def recorded(self, block: Callable[[], object]) -> Callable[[], object] | None:
        self.num_recorded += 1
        return block if self._can_record else None


class FakeCuda:
    """What the device's stopwatch needs of `torch.cuda`, on a clock of its own."""

    def __init__(self, fails: bool = False) -> None:
        self.now_ms, self.log, self._fails = 0.0, [], fails

    class _Event:
        def __init__(self, cuda: FakeCuda) -> None:
            self._cuda, self.at_ms = cuda, -1.0

        def record(self) -> None:
            self.at_ms = self._cuda.now_ms

        def synchronize(self) -> None:
            self._cuda.log.append("wait")

        def elapsed_time(self, end: FakeCuda._Event) -> float:
            return end.at_ms - self.at_ms

    class _Stream:
        def wait_stream(self, other: object) -> None:
            pass

    def Event(self, enable_timing: bool) -> FakeCuda._Event:  # noqa: N802 - named as torch names it
        assert enable_timing
        return FakeCuda._Event(self)

    def Stream(self) -> FakeCuda._Stream:  # noqa: N802
        return FakeCuda._Stream()

    def current_stream(self) -> FakeCuda._Stream:
        return FakeCuda._Stream()

    @contextmanager
    def device(self, device: object) -> Any:
        yield

    @contextmanager
    def stream(self, stream: object) -> Any:
        self.log.append("beside")
        yield

    def CUDAGraph(self) -> Any:  # noqa: N802
        class Graph:
            block: Callable[[], object] | None = None

            def replay(self) -> None:
                cuda.now_ms += 0.5

        cuda = self
        return Graph()

    @contextmanager
    def graph(self, graph: object) -> Any:
        self.log.append("record")
        if self._fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        yield

    def synchronize(self, device: object = None) -> None:
        self.log.append("finish")
