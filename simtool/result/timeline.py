"""The run as a trace that ui.perfetto.dev and chrome://tracing open: states, events, power.

The trace-event format counts in microseconds since the scenario's start. Slices are what each job
does, instants are failures and whatever else the simulator reports, counters are the devices that no
job holds and the power of every component.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.ledger import COMPONENTS, Ledger
from simtool.result.result import Result
from simtool.trace.chrome import Event, counter, instant, microseconds, named, piece, write_events

DECIMALS = 3
"""Milliwatts: finer than anything that is simulated."""


def write_timeline(path: Path, result: Result) -> None:
    """Write the trace of a result, compressed, without the time of writing."""
    about = {"scenario": result.scenario.name, "start": result.scenario.site.start.isoformat()}
    write_events(path, trace_events(result), about)


def trace_events(result: Result) -> Iterator[Event]:
    """All events of the trace: names of tracks, slices, instants, counters."""
    ledger = result.outcome.ledger
    yield named("process_name", result.scenario.name)
    tracks = {job: number for number, job in enumerate(ledger.jobs, start=1)}
    for job, number in tracks.items():
        yield named("thread_name", job, number)
    segments = ledger.segments()
    yield from _slices(segments, tracks)
    yield from _instants(result, tracks)
    yield from _waiting_devices(segments)
    yield from _power(ledger)


def _slices(segments: dict[str, NDArray[Any]], tracks: dict[str, int]) -> Iterator[Event]:
    begins, lengths = microseconds(segments["t0_s"]), microseconds(segments["t1_s"] - segments["t0_s"])
    names = (segments[name].tolist() for name in ("job", "pattern", "num_devices"))
    for begin, length, job, pattern, num_devices in zip(begins, lengths, *names, strict=True):
        if job in tracks:
            yield piece(pattern, tracks[job], begin, length, {"num_devices": num_devices})


def _instants(result: Result, tracks: dict[str, int]) -> Iterator[Event]:
    events = result.outcome.events
    times = microseconds(np.array([event.time_s for event in events]))
    for event, time in zip(events, times, strict=True):
        about = {"node": event.node, "note": event.note}
        told = {name: value for name, value in about.items() if value not in (None, "")}
        yield instant(event.kind, tracks.get(event.job, 0), time, told)


def _waiting_devices(segments: dict[str, NDArray[Any]]) -> Iterator[Event]:
    """Counters of the devices that no job holds, by what they do."""
    free = segments["job"] == ""
    for pattern in dict.fromkeys(segments["pattern"][free].tolist()):
        mine = free & (segments["pattern"] == pattern)
        times = np.unique(np.concatenate((segments["t0_s"][mine], segments["t1_s"][mine])))
        change = np.zeros(len(times))
        np.add.at(change, np.searchsorted(times, segments["t0_s"][mine]), segments["num_devices"][mine])
        np.add.at(change, np.searchsorted(times, segments["t1_s"][mine]), -segments["num_devices"][mine])
        for time, devices in zip(microseconds(times), np.cumsum(change).tolist(), strict=True):
            yield counter(f"devices {pattern}", time, {"devices": int(devices)})


def _power(ledger: Ledger) -> Iterator[Event]:
    """Counters of each component's power, which drops to nothing at the end."""
    by_component = [
        np.append(np.round(ledger.power_w(component=component), DECIMALS), 0.0).tolist()
        for component in COMPONENTS
    ]
    for time, *watts in zip(microseconds(ledger.breakpoints_s), *by_component, strict=True):
        yield counter("IT power (W)", time, dict(zip(COMPONENTS, watts, strict=True)))
