"""No sensor: processor seconds of this process times watts of a busy thread. Labelled modelled wherever it appears."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from simtool.engine.power.probe import Identity, Reading
from simtool.provenance import Sourced

WATTS_PER_BUSY_THREAD = Sourced(
    value=5.6,
    unit="W",
    kind="assumed",
    source="package power over busy hardware threads at half load and more, median of four processors (4.2 EPYC 8024P, "
    "4.5 Xeon E5-2620 v3, 6.7 Threadripper 1950X, 12.8 Xeon E3-1240 v2): RAPL logs of mlco2/codecarbon at b05965e4",
    spread=0.6,
)
"""What a busy hardware thread adds; idle machine, memory, disks and power supply are not in it."""


def processor_seconds() -> float:
    """Processor seconds of this process, and of its children as far as they have ended."""
    times = os.times()  # in ticks of 10 ms, too coarse for what this process does itself
    return time.process_time() + times.children_user + times.children_system


class ProcessorSecondsProbe:
    """A counter that grows with the work of this process."""

    def __init__(
        self, watts: Sourced = WATTS_PER_BUSY_THREAD, seconds: Callable[[], float] = processor_seconds
    ) -> None:
        self._watts, self._seconds = watts, seconds
        note = (
            f"modelled, not measured: processor seconds x {watts.value:g} W a busy thread "
            f"({watts.kind}, spread {watts.spread or 0.0:.0%}; {watts.source})"
        )
        self.identity = Identity(
            kind="modelled",
            source="cpu-seconds",
            scope="cpu-process",
            device="processor",
            longest_tick_s=0.0,
            spread_frac=watts.spread or 0.0,
            notes=(note,),
        )

    def read(self) -> Reading:
        """The counter alone."""
        return Reading(energy_counter_j=self.read_counter_j())

    def read_counter_j(self) -> float:
        """Seconds times watts [J]."""
        return self._seconds() * self._watts.value

    def notes(self) -> tuple[str, ...]:
        """Nothing comes to light."""
        return ()

    def close(self) -> None:
        """Nothing is held open."""
