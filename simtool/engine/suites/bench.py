"""Measuring one point: warm up, fill the window, repeat, and read the meter around it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import torch

from simtool.engine.power import PowerMeter
from simtool.engine.suites.devices import Facts
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import Block, Stopwatch, num_runs
from simtool.rng import stream

GRAPH_BELOW_S = 50e-6
"""Calls shorter than this are recorded and launched together: alone they would time the host."""
CALLS_IN_GRAPH = 64
CACHE_FACTOR = 2.0
"""Operands in turn exceed the last cache this many times, as those of a step do."""
MOST_SETS = 8
DRAWN = 2**20
"""Random numbers that are drawn; larger operands repeat them."""
EAGER, GRAPH = "eager", "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How long a point is measured."""

    settle_s: float
    """Runs before anything is timed, so that clocks and caches are those of sustained work."""
    measure_s: float
    """Least time of what is timed."""
    num_repeats: int
    """Equal blocks of calls that the time is cut into; their spread is reported."""

    def longer(self, measure_s: float) -> Effort:
        """The same with at least this time measured."""
        return Effort(
            settle_s=max(self.settle_s, 0.2 * measure_s),
            measure_s=max(self.measure_s, measure_s),
            num_repeats=self.num_repeats,
        )


EFFORTS = {
    "gpu": Effort(settle_s=0.05, measure_s=0.35, num_repeats=15),
    "cpu": Effort(settle_s=0.01, measure_s=0.06, num_repeats=7),
}
"""By kind of suite. On an accelerator a window is long enough for the power meter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What measures: the device, its stopwatch and its meter."""

    facts: Facts
    device: torch.device
    stopwatch: Stopwatch
    effort: Effort
    meter: PowerMeter | None
    seed: int

    def generator(self, purpose: str) -> np.random.Generator:
        """Randomness of one purpose."""
        return stream(self.seed, "suite", purpose)

    def random(self, *size: int, dtype: torch.dtype) -> torch.Tensor:
        """Numbers as a model has them: on zeros a device draws less power and may run faster."""
        number = math.prod(size)
        source = torch.Generator(device=self.device).manual_seed(self.seed)
        drawn = torch.randn(min(number, DRAWN), device=self.device, generator=source).to(dtype)
        if number <= DRAWN:
            return drawn.view(*size)
        return drawn.repeat(-(-number // DRAWN))[:number].view(*size)

    def num_sets(self, size_bytes: float) -> int:
        """Sets of operands to go through in turn, so that the cache holds what it would hold in a step."""
        return max(
            1, min(MOST_SETS, int(CACHE_FACTOR * self.facts.cache_size_bytes / max(size_bytes, 1.0)) + 1)
        )

    def measure(self, point: Point, calls: Sequence[Block], effort: Effort | None = None) -> dict[str, Any]:
        """One row of the kernels stream.

        Args:
            point: what is measured.
            calls: the same work on different operands; they are gone through in turn.
            effort: instead of the bench's own.
        """
        effort = effort or self.effort
        begin_s = time.monotonic()
        for call in calls:
            call()
        self.stopwatch.finish()
        unit, num_calls, mode = self._unit(point, calls)
        unit_s = min(self.stopwatch.durations_s(unit, 2))
        self.stopwatch.durations_s(_times(unit, num_runs(effort.settle_s, unit_s)), 1)
        unit_s = min(self.stopwatch.durations_s(unit, 2))
        num_units = num_runs(effort.measure_s / effort.num_repeats, unit_s)
        begin_j, window_begin_s = self._energy_j(), time.monotonic()
        durations = self.stopwatch.durations_s(_times(unit, num_units), effort.num_repeats)
        self.stopwatch.finish()
        window_s = time.monotonic() - window_begin_s
        each = np.array(durations) / (num_units * num_calls)
        p10, median, p90 = np.percentile(each, [10, 50, 90])
        return {
            **row(point, begin_s),
            "mode": mode,
            "num_calls": num_units * num_calls * effort.num_repeats,
            "num_repeats": effort.num_repeats,
            "duration_median_s": float(median),
            "duration_p10_s": float(p10),
            "duration_p90_s": float(p90),
            **self.drawn(begin_j, window_s),
        }

    def drawn(self, begin_j: float, window_s: float) -> dict[str, Any]:
        """Mean power since the meter stood at `begin_j`, and what kind of number that is."""
        if self.meter is None:
            return {"window_s": window_s}
        power_w = (self.meter.energy_j() - begin_j) / window_s
        return {"window_s": window_s, "power_w": power_w, "power_kind": self.meter.kind}

    def energy_j(self) -> float:
        """The meter's reading, 0 without one."""
        return self._energy_j()

    def _energy_j(self) -> float:
        self.stopwatch.finish()
        return self.meter.energy_j() if self.meter is not None else 0.0

    def _unit(self, point: Point, calls: Sequence[Block]) -> tuple[Block, int, str]:
        """What is repeated, how many calls it holds, and how it is launched."""
        turn = _in_turn(calls)
        once_s = min(self.stopwatch.durations_s(turn, 3))
        if point.mode != EAGER and (point.mode == GRAPH or once_s < GRAPH_BELOW_S):
            num_calls = -(-CALLS_IN_GRAPH // len(calls)) * len(calls)
            recorded = self.stopwatch.recorded(_times(turn, num_calls))
            if recorded is not None:
                return recorded, num_calls, GRAPH
        return turn, 1, EAGER


def row(point: Point, begin_s: float) -> dict[str, Any]:
    """What a row says of its point."""
    return {
        "begin_s": begin_s,
        "part": point.part,
        "op": point.op,
        "dtype": point.dtype,
        "layout": point.layout,
        "shape": point.shape_text,
        "flop": point.flop,
        "size_bytes": point.size_bytes,
    }


def _in_turn(calls: Sequence[Block]) -> Block:
    """One call, every time the next one."""
    if len(calls) == 1:
        return calls[0]
    following = cycle(calls).__next__

    def run() -> None:
        following()()

    return run


def _times(block: Block, number: int) -> Block:
    """A block several times."""
    if number == 1:
        return block

    def run() -> None:
        for _ in range(number):
            block()

    return run
