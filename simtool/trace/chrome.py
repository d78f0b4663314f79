"""The trace-event format of ui.perfetto.dev and chrome://tracing: events, and the file they go to.

Times are in microseconds since whatever moment the trace calls its start.
Source: "Trace Event Format", the Chromium project.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simtool.units import MEGA

DECIMALS = 3
"""Of a microsecond: nanoseconds."""
PROCESS = 1
"""Number of the one process of a trace."""
Event = dict[str, Any]


def named(what: str, name: str, track: int = 0) -> Event:
    """The name of the process (``process_name``) or of a track (``thread_name``)."""
    return {"ph": "M", "pid": PROCESS, "tid": track, "name": what, "args": {"name": name}}


def piece(name: str, track: int, begin: float, length: float, about: Mapping[str, Any]) -> Event:
    """A stretch of time on a track [us]."""
    return {
        "ph": "X",
        "pid": PROCESS,
        "tid": track,
        "name": name,
        "ts": begin,
        "dur": length,
        "args": dict(about),
    }


def instant(name: str, track: int, time: float, about: Mapping[str, Any]) -> Event:
    """A moment on a track [us]."""
    return {
        "ph": "i",
        "s": "t",
        "pid": PROCESS,
        "tid": track,
        "name": name,
        "ts": time,
        "args": dict(about),
    }


def counter(name: str, time: float, values: Mapping[str, float]) -> Event:
    """The value of a quantity from a moment on [us]."""
    return {"ph": "C", "pid": PROCESS, "tid": 0, "name": name, "ts": time, "args": dict(values)}


def microseconds(seconds: Sequence[float] | NDArray[Any]) -> list[float]:
    """Times as the format counts them.

    >>> microseconds([0.5, 1e-9])
    [500000.0, 0.001]
    """
    return [float(time) for time in np.round(np.asarray(seconds, np.float64) * MEGA, DECIMALS)]


def microsecond(seconds: float) -> float:
    """One time as the format counts it."""
    return round(seconds * MEGA, DECIMALS)


def write_events(path: Path, events: Iterable[Event], about: Mapping[str, Any]) -> None:
    """Write events as a compressed file whose bytes depend on nothing else."""
    trace = {"displayTimeUnit": "ms", "otherData": dict(about), "traceEvents": list(events)}
    text = json.dumps(trace, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=0) as packed,
    ):
        packed.write(text.encode())
