"""What became of a fleet's jobs, and how well its devices were used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.ledger import Ledger
from simtool.ledger.sums import FloatArray, IntArray

STATUSES = ("completed", "failed", "cancelled", "over limit", "unfinished", "never started")
"""The first three as the table of jobs says a job ends by itself. Over limit: ended by its requested limit.
Unfinished: it still ran, or waited to go on, when the simulation ended."""
OVER_LIMIT, UNFINISHED, NEVER_STARTED = 3, 4, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """Something that stopped jobs."""

    time_s: float
    cause: str
    pool: str
    jobs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOutcome:
    """One simulated fleet, from 0 to `end_s`. Arrays have one value a job, in the order of the table."""

    end_s: float
    ledgers: dict[str, Ledger]
    """By pool."""
    num_devices: dict[str, int]
    """By pool, spares included."""
    names: tuple[str, ...]
    submit_s: FloatArray
    devices: IntArray
    """Devices that it held last; those asked for if it never started."""
    start_s: FloatArray
    """When it first got devices; not a number if never."""
    finish_s: FloatArray
    """When it ended; not a number if it did not."""
    deadline_s: FloatArray
    """When it should have ended; infinite if it need not."""
    waited_s: FloatArray
    """In the queue in all, up to the end of the simulation: also after a preemption or a failure."""
    status: NDArray[np.int8]
    """Index of `STATUSES`."""
    pool: NDArray[np.int16]
    """Where it ran last; -1 if nowhere."""
    num_preemptions: IntArray
    num_moves: IntArray
    """How often it was moved while it ran: to another pool, or to another number of devices."""
    num_interruptions: IntArray
    interruptions: tuple[Interruption, ...]
    moved_bytes: float
    """Saved states that jobs took along from one site to another."""
    num_events: int
    """Simulated events, the measure of how long the simulation takes."""

    @property
    def num_deadlines_missed(self) -> int:
        """Jobs that ended after their deadline, or whose deadline passed before the end of the simulation."""
        ended_s = np.where(np.isnan(self.finish_s), np.inf, self.finish_s)
        return int(((ended_s > self.deadline_s) & (self.deadline_s < self.end_s)).sum())

    @property
    def num_waiting_mean(self) -> float:
        """Jobs in the queue, mean over time: waiting time of all over the length."""
        return float(self.waited_s.sum()) / self.end_s

    @property
    def num_running_mean(self) -> float:
        """Jobs that hold devices, mean over time."""
        ended_s = np.where(np.isnan(self.finish_s), self.end_s, self.finish_s)
        present_s = ended_s - np.minimum(self.submit_s, self.end_s)
        return float((present_s - self.waited_s).sum()) / self.end_s

    def slowdown(self, at_least_s: float = 10.0) -> FloatArray:
        """Bounded slowdown of the jobs that ended, at least 1.

        Time in the system over time that it held devices, or over `at_least_s` if that is longer.
        Source: D. Feitelson et al., "Theory and practice in parallel job scheduling", JSSPP 1997.
        """
        ended = ~np.isnan(self.finish_s)
        present_s = self.finish_s[ended] - self.submit_s[ended]
        held_s = present_s - self.waited_s[ended]
        return np.asarray(np.maximum(1.0, present_s / np.maximum(held_s, at_least_s)))

    @property
    def utilisation_frac(self) -> float:
        """Device time that jobs held over device time in all."""
        held = sum(ledger.device_s() - _unheld(ledger) for ledger in self.ledgers.values())
        return held / (self.end_s * sum(self.num_devices.values()))


def _unheld(ledger: Ledger) -> float:
    return ledger.group("device_s", ("job",)).get(("",), 0.0)
