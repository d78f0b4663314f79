"""How long a block of calls takes: processor time on a CPU, events of the device on an accelerator."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import torch

from simtool.engine.clock import Clock, ProcessClock

Block = Callable[[], object]


class Stopwatch(Protocol):
    """Times blocks of calls that run one behind the other."""

    kind: str
    """``process`` or ``device``, as clocks are called."""

    def durations_s(self, block: Block, num_repeats: int) -> list[float]:
        """Seconds of each of several runs of a block, without a pause between them."""

    def finish(self) -> None:
        """Wait until the device has done everything that it was given."""

    def recorded(self, block: Block) -> Block | None:
        """The block as a single launch, or None where the device cannot record it."""


class ProcessStopwatch:
    """Processor seconds of this process: what else runs on a shared machine does not count."""

    kind = "process"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or ProcessClock()

    def durations_s(self, block: Block, num_repeats: int) -> list[float]:
        """Processor seconds of each run."""
        readings = [self._clock.read_s()]
        for _ in range(num_repeats):
            block()
            readings.append(self._clock.read_s())
        return [end - begin for begin, end in pairwise(readings)]

    def finish(self) -> None:
        """Nothing runs behind the back of a processor."""

    def recorded(self, block: Block) -> Block | None:
        """A processor has no graphs."""
        return None


class DeviceStopwatch:
    """Events in the stream of the device: it is never idle between two runs, whatever the host does.

    Args:
        device: the accelerator.
        cuda: what stands for `torch.cuda`.
    """

    kind = "device"

    def __init__(self, device: torch.device, cuda: Any = torch.cuda) -> None:
        self._device, self._cuda = device, cuda

    def durations_s(self, block: Block, num_repeats: int) -> list[float]:
        """Seconds between the events around each run."""
        with self._cuda.device(self._device):
            events = [self._cuda.Event(enable_timing=True) for _ in range(num_repeats + 1)]
            events[0].record()
            for event in events[1:]:
                block()
                event.record()
            events[-1].synchronize()
        return [begin.elapsed_time(end) * 1e-3 for begin, end in pairwise(events)]  # events tell milliseconds

    def finish(self) -> None:
        """Wait for the device."""
        self._cuda.synchronize(self._device)

    def recorded(self, block: Block) -> Block | None:
        """The block as a graph of the device; None where a call in it cannot be recorded."""
        with self._cuda.device(self._device):
            # libraries allocate their workspaces on first use, and may not do so within a recording
            beside = self._cuda.Stream()
            beside.wait_stream(self._cuda.current_stream())
            with self._cuda.stream(beside):
                block()
            self._cuda.current_stream().wait_stream(beside)
            graph = self._cuda.CUDAGraph()
            try:
                with self._cuda.graph(graph):
                    block()
            except RuntimeError:
                self._cuda.synchronize(self._device)
                return None
        replay: Block = graph.replay
        return replay


def num_runs(wanted_s: float, each_s: float, most: int = 1_000_000) -> int:
    """Runs that fill a time, at least one.

    >>> num_runs(1.0, 0.3)
    4
    """
    return max(1, min(most, math.ceil(wanted_s / max(each_s, 1e-9))))
