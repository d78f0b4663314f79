"""What launching costs the host, read where the device waited for it.

A kernel that finds its device idle began when the host had called for it: between two such calls the host
was the slow side, and the time between them is what one launch costs with everything that the framework does
for it. The device's own delay is the time from the call to the begin of such a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtool.calibrate.profiled_runs import Run
from simtool.trace.kernels import NOTHING

LEAST_LAUNCHES = 20
"""Launches onto an idle device below which nothing is told."""
LONGEST_LAUNCH_S = 1e-3
"""A longer pause between two calls is other work of the host: reading data, logging, a checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFacts:
    """Launches of all runs together."""

    num_launches: int
    """In steps, with their calls recorded."""
    num_awaited: int
    """Of them, those that an idle device waited for."""
    host_s: tuple[float, float, float] | None
    """Time between the calls of such launches: 10th percentile, median, 90th percentile."""
    delay_s: float | None
    """Median from the call to the kernel's begin on an idle device."""
    idle_frac: float
    """Share of the steps' time in which the device did nothing."""

    @property
    def is_host_bound(self) -> bool:
        """Whether the device waited for most of its launches."""
        return self.num_awaited > 0.5 * self.num_launches


def launch_facts(runs: Sequence[Run]) -> LaunchFacts:
    """Launches of all ranks of all runs."""
    between, delays = [], []
    num_launches, num_awaited = 0, 0
    whole_s, busy_s = 0.0, 0.0
    for run in runs:
        whole_s += sum(step.duration_s for step in run.steps)
        busy_s += sum(step.busy_s for step in run.steps)
        for rank in run.kernels.ranks:
            kernels = run.kernels.of_rank(rank)
            start, launch = kernels.numbers("start_s"), kernels.numbers("launch_s")
            ends = np.maximum.accumulate(start + kernels.numbers("duration_s"))
            was_idle = np.concatenate(
                ([True], ends[:-1] <= launch[1:])
            )  # not a number: not recorded, not idle
            chosen = ~np.isnan(launch) & (kernels.numbers("step") != NOTHING)
            order = np.flatnonzero(chosen)[np.argsort(launch[chosen], kind="stable")]
            awaited = was_idle[order]
            num_launches += len(order)
            num_awaited += int(awaited.sum())
            delays.append((start - launch)[order][awaited])
            between.append(np.diff(launch[order])[awaited[1:]])
    delay, pause = (np.concatenate([*found, np.empty(0)]) for found in (delays, between))
    pause = pause[(pause > 0) & (pause < LONGEST_LAUNCH_S)]
    is_told = len(pause) >= LEAST_LAUNCHES
    return LaunchFacts(
        num_launches=num_launches, num_awaited=num_awaited,
        host_s=tuple(np.percentile(pause, [10, 50, 90]).tolist()) if is_told else None,
        delay_s=float(np.median(delay)) if len(delay) >= LEAST_LAUNCHES else None,
        idle_frac=max(0.0, 1.0 - busy_s / whole_s) if whole_s > 0 else 0.0,
    )  # fmt: skip
