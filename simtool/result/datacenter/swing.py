"""Power at the scale of seconds: how the training runs of a campaign that run together swing the site."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from simtool.facility.swings import JobLoad, mean_course, pipeline_jitter_s, site_swing
from simtool.provenance import Derived
from simtool.result.datacenter.prepare import PreparedSite
from simtool.result.datacenter.steps import Steps, counted
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.step.waveform import step_waveform


def swing_quantities(site: PreparedSite, outcome: FleetOutcome) -> Iterable[Derived]:
    """Of the moment at which training runs hold the most accelerators; none without a campaign."""
    together = running_together(site, outcome)
    if not together:
        return
    loads = [load_of(site, name, num) for name, num in together.items()]
    swing = site_swing(loads)
    courses = [mean_course(load) for load in loads]
    below_w = sum(course.mean_w - course.trough_w for course in courses)
    above_w = sum(course.peak_w - course.mean_w for course in courses)
    names = ", ".join(together)
    about = f"IT power within steps while {names} train, the rest of the site steady"
    for name, value, unit, words in (
        ("power_swing_std_w", swing.std_w, "W", "standard deviation"),
        ("power_swing_below_w", below_w, "W", "lowest below the mean, of several runs if their lows meet"),
        ("power_swing_above_w", above_w, "W", "highest above the mean, of several runs if their highs meet"),
        ("power_ramp_w_per_s", swing.ramp_w_per_s, "W/s", "fastest change behind the supplies"),
    ):
        yield Derived(name=name, value=value, unit=unit, formula=f"{words}: {about}")


def running_together(site: PreparedSite, outcome: FleetOutcome) -> dict[str, int]:
    """The runs of the campaign that hold the most accelerators at one moment, and how many each holds then."""
    held = {run.row.name: _held(outcome, run.row.name) for run in site.campaign}
    moments = np.unique(np.concatenate([[], *(steps.times_s[:-1] for steps in held.values())]))
    if not len(moments):
        return {}
    devices = {name: steps.at(moments) for name, steps in held.items()}
    best = int(np.argmax(sum(devices.values(), np.zeros(len(moments)))))
    return {name: int(values[best]) for name, values in devices.items() if values[best] > 0}


def _held(outcome: FleetOutcome, name: str) -> Steps:
    """Accelerators that a run holds over time, on all pools."""
    begins, ends, nums = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for ledger in outcome.ledgers.values():
        if name in ledger.jobs:
            mine = ledger.table.job == ledger.jobs.index(name) + 1
            begins.append(ledger.table.t0_s[mine])
            ends.append(ledger.table.t1_s[mine])
            nums.append(ledger.table.num_devices[mine].astype(np.float64))
    return counted(np.concatenate(begins), np.concatenate(ends), outcome.end_s, np.concatenate(nums))


def load_of(site: PreparedSite, name: str, num_devices: int) -> JobLoad:
    """The longest stretch of a run as its power is seen from outside; pipeline stages shifted, ranks in step."""
    run = next(run for run in site.campaign if run.row.name == name)
    longest = max(run.prepared.phases, key=lambda phase: phase.num_steps * float(phase.estimate.step_time_s))
    return JobLoad(
        waveform=step_waveform(longest.estimate),
        num_ranks=num_devices,
        jitter_s=pipeline_jitter_s(longest.estimate),
    )
