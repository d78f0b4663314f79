"""Power at the scale of seconds: how the training runs of a campaign that run together swing the site."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from simtool.facility.swings import JobLoad, mean_course, pipeline_jitter_s, site_swing
from simtool.provenance import Derived
from simtool.result.datacenter.prepare import PreparedSite
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.step.waveform import step_waveform


def swing_quantities(site: PreparedSite, outcome: FleetOutcome) -> Iterable[Derived]:
    """Of the moment at which training runs hold the most accelerators; none without a campaign."""
    together = running_together(site, outcome)
    if not together:
        return
    loads = [load_of(site, name) for name in together]
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


def running_together(site: PreparedSite, outcome: FleetOutcome) -> tuple[str, ...]:
    """The runs of the campaign that hold the most accelerators at one moment."""
    places = {name: index for index, name in enumerate(outcome.names)} if site.campaign else {}
    spans = [
        (run.row.name, float(outcome.start_s[at]), float(outcome.finish_s[at]), run.row.num_devices)
        for run in site.campaign
        if np.isfinite(outcome.start_s[at := places[run.row.name]])
    ]
    spans = [
        (name, begin, end if np.isfinite(end) else outcome.end_s, num) for name, begin, end, num in spans
    ]
    best: tuple[int, tuple[str, ...]] = (0, ())
    for _, moment, _, _ in spans:
        now = [(name, num) for name, begin, end, num in spans if begin <= moment < end]
        held = sum(num for _, num in now)
        if held > best[0]:
            best = held, tuple(name for name, _ in now)
    return best[1]


def load_of(site: PreparedSite, name: str) -> JobLoad:
    """The longest stretch of a run as its power is seen from outside; pipeline stages shifted, ranks in step."""
    run = next(run for run in site.campaign if run.row.name == name)
    longest = max(run.prepared.phases, key=lambda phase: phase.num_steps * float(phase.estimate.step_time_s))
    return JobLoad(
        waveform=step_waveform(longest.estimate),
        num_ranks=run.row.num_devices,
        jitter_s=pipeline_jitter_s(longest.estimate),
    )
