"""A thread that reads at uneven times, so that it cannot run in step with a periodic load."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

SHORTEST_S, LONGEST_S = 0.020, 0.050
"""Bounds of the time between two readings [s]."""


class Sampler(Protocol):
    """Calls a function again and again, until it says that there is no more, or is stopped."""

    def start(self, take: Callable[[], bool]) -> None: ...
    def wait(self, duration_s: float) -> None: ...
    def stop(self) -> None: ...


class ThreadSampler:
    """Reads in a thread of its own; periods are uniform in [shortest, longest], drawn from a named stream.

    A fixed period that divides the period of the load, or is divided by it, sees the same part of each cycle for
    ever. What the sensor itself does not see (`windows`), no way of reading brings back.
    """

    def __init__(
        self,
        generator: np.random.Generator,
        shortest_s: float = SHORTEST_S,
        longest_s: float = LONGEST_S,
    ) -> None:
        self._generator, self._shortest_s, self._longest_s = generator, shortest_s, longest_s
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, take: Callable[[], bool]) -> None:
        """Begins to call `take`, the first time at once."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, args=(take,), name="power-sampler", daemon=True)
        self._thread.start()

    def wait(self, duration_s: float) -> None:
        """Lets the thread go on for a while."""
        threading.Event().wait(duration_s)

    def stop(self) -> None:
        """Returns when the last reading is done."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, take: Callable[[], bool]) -> None:
        while take():
            if self._stopping.wait(self._generator.uniform(self._shortest_s, self._longest_s)):
                return
