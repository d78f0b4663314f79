"""What a simulation gives: the ledger, the events, and what became of every job."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simtool.ledger import Ledger

EVENT_KINDS = ("submit", "start", "failure", "stop", "wait", "restart", "end", "repair", "maintenance")
"""A node fails, or is taken for maintenance; its job stops when that is noticed, may wait for a node, and
restarts; a node returns.
Checkpoints are regular and have no events: the ledger has their intervals, the job their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at one moment, for a timeline."""

    time_s: float
    kind: str
    """One of `EVENT_KINDS`."""
    job: str = ""
    """The job it happened to; empty where no job held the node."""
    node: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseOutcome:
    """What one cause did to a job."""

    cause: str
    num_interruptions: int
    lost_s: float
    """Work that it undid, and time until it was noticed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutcome:
    """Times of one job; useful + slowed + lost + checkpoint + restart + waiting = end - start."""

    name: str
    num_nodes: int
    num_devices: int
    submit_s: float
    start_s: float
    """When it got its nodes."""
    end_s: float
    """When its last state was durable."""
    num_failures: int
    """Failures of nodes that it held."""
    num_interruptions: int
    """Failures that stopped it: those while it was stopped already do not count."""
    num_checkpoints: int
    """Checkpoints that became durable, the last included."""
    useful_s: float
    """Work that was kept: the time of its steps."""
    lost_s: float
    """Work that failures undid, and time until they were noticed."""
    checkpoint_s: float
    """Time that saving stopped it, also in vain."""
    restart_s: float
    waiting_s: float
    """Without enough nodes."""
    slowed_s: float = 0.0
    """What kept work took longer because of stragglers."""
    causes: tuple[CauseOutcome, ...] = ()
    """By name; they sum to `num_interruptions` and `lost_s`."""
    num_announced: int = 0
    """Times that it stopped for maintenance that it knew of."""
    num_corrupt: int = 0
    """Corruptions that nobody had found when it ended: its result is wrong."""

    @property
    def queued_s(self) -> float:
        """From submission to start."""
        return self.start_s - self.submit_s

    @property
    def goodput_frac(self) -> float:
        """Useful time over the time from start to end."""
        return self.useful_s / (self.end_s - self.start_s)

    @property
    def effective_time_frac(self) -> float:
        """Time in training that was kept, at whatever pace, over the time from start to end.

        What reports of large runs call effective training time. Without stragglers it is `goodput_frac`.
        """
        return (self.useful_s + self.slowed_s) / (self.end_s - self.start_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One simulated run, from 0 until its last job ends."""

    ledger: Ledger
    events: tuple[Event, ...]
    """By time; simultaneous ones in the order in which they happened."""
    jobs: tuple[JobOutcome, ...]
    """In the order in which they were given."""
    end_s: float
    num_devices: int
    """Of the cluster, spares included."""
    num_failures: int
    """That took nodes down, held by jobs or not; one that takes several counts once."""
    num_events: int
    """Simulated events, the measure of how long the simulation takes."""

    @property
    def by_job(self) -> dict[str, JobOutcome]:
        """The jobs by name."""
        return {job.name: job for job in self.jobs}

    @property
    def goodput_frac(self) -> float:
        """Useful device time over device time from start to end, all jobs."""
        useful = math.fsum(job.num_devices * job.useful_s for job in self.jobs)
        return useful / math.fsum(job.num_devices * (job.end_s - job.start_s) for job in self.jobs)
