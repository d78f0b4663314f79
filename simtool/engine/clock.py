"""The clocks that price a phase."""

from __future__ import annotations

import time
from typing import Protocol

import torch


class Clock(Protocol):
    """Seconds that only grow."""

    kind: str

    def read_s(self) -> float:
        """Seconds since some moment, after all work handed over so far is done."""


class ProcessClock:
    """Processor seconds of this process, all threads: neighbours on a shared machine do not count."""

    kind = "process"

    def read_s(self) -> float:
        """Seconds of processor time."""
        return time.process_time()


class DeviceClock:
    """Seconds on the wall after the accelerator has finished what it was given."""

    kind = "device"

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def read_s(self) -> float:
        """Seconds of the monotonic clock, after a synchronisation."""
        torch.cuda.synchronize(self._device)
        return time.monotonic()


def clock_for(device: torch.device) -> Clock:
    """The clock that prices work on a device."""
    return DeviceClock(device) if device.type == "cuda" else ProcessClock()
