"""A trace as a picture: steps by phase, evaluations and events, power and clocks, in Perfetto's format.

A step lies where it lay on the monotonic clock. Its phases follow each other in it, as long as their
own clock says; where that clock counts more than passed on the wall, as the processor seconds of
several threads do, they share the step in proportion. The exact durations stand in the arguments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool.errors import output_error
from simtool.trace.chrome import (
    Event,
    counter,
    instant,
    microsecond,
    microseconds,
    named,
    piece,
    write_events,
)
from simtool.trace.schema import POWER, STEP_PHASES

if TYPE_CHECKING:
    import pyarrow as pa

    from simtool.trace.reader import Trace

STEPS, PHASES, EVALUATIONS, EVENTS = 1, 2, 3, 4
"""Numbers of the tracks."""
_TRACKS = {STEPS: "steps", PHASES: "phases", EVALUATIONS: "evaluations", EVENTS: "events"}
_TIMES = ("begin_s", "end_s", "time_s")


def write_perfetto(trace: Trace, path: Path) -> None:
    """Write a trace as ``*.perfetto.json.gz``; the same trace gives the same bytes.

    Raises:
        OutputError: if the file cannot be written.
    """
    manifest = trace.manifest
    about = {"task": manifest.task, "method": manifest.method, "started": manifest.clock.started}
    try:
        write_events(path, perfetto_events(trace), about)
    except OSError as error:
        raise output_error(error, path) from error


def perfetto_events(trace: Trace) -> Iterator[Event]:
    """All events: names of the tracks, pieces, instants, counters."""
    start_s = _start_s(trace)
    yield named("process_name", f"{trace.manifest.task} with {trace.manifest.method}")
    for track, name in _TRACKS.items():
        yield named("thread_name", name, track)
    yield from _steps(trace.steps, start_s)
    yield from _instants(trace.evaluations, EVALUATIONS, start_s)
    yield from _instants(trace.events, EVENTS, start_s)
    for device, readings in trace.power.items():
        yield from _readings(
            device, readings, start_s - trace.manifest.clock.offset_s, trace.manifest.power.kind
        )


def _start_s(trace: Trace) -> float:
    """The first moment of the trace, from which the picture counts."""
    if trace.manifest.clock.zero_s is not None:
        return trace.manifest.clock.zero_s
    tables = [(trace.steps, 0.0), (trace.evaluations, 0.0), (trace.events, 0.0)]
    tables += [(readings, trace.manifest.clock.offset_s) for readings in trace.power.values()]
    times = [
        time + shift_s
        for table, shift_s in tables
        for name in _TIMES
        if name in table.column_names
        for time in table[name].to_pylist()
        if time is not None and math.isfinite(time)
    ]
    return min(times, default=0.0)


def _steps(steps: pa.Table, start_s: float) -> Iterator[Event]:
    previous_s = start_s
    for row in steps.to_pylist():
        end_s = row["end_s"]
        begin_s = previous_s if row["begin_s"] is None else row["begin_s"]
        if not (math.isfinite(begin_s) and math.isfinite(end_s)):
            continue
        wall_s = max(0.0, end_s - begin_s)
        previous_s = end_s
        begin, length = microseconds([begin_s - start_s, wall_s])
        about = {
            name: row[name] for name in ("step", "num_samples", "learning_rate", "loss", "duration_s", "flop")
        }
        yield piece(
            row["signature"], STEPS, begin, length, _finite({**about, "is_sampled": row["is_sampled"]})
        )
        yield from _phases(row, begin_s - start_s, wall_s)
        end = microsecond(end_s - start_s)
        for name in ("loss", "learning_rate"):
            if math.isfinite(row[name]):
                yield counter(name.replace("_", " "), end, {"value": row[name]})


def _phases(row: dict[str, Any], begin_s: float, wall_s: float) -> Iterator[Event]:
    lengths = {phase: row[f"{phase}_s"] or 0.0 for phase in STEP_PHASES}
    lengths = {phase: length for phase, length in lengths.items() if length > 0.0 and math.isfinite(length)}
    total_s = sum(lengths.values())
    scale = min(1.0, wall_s / total_s) if total_s else 1.0
    for phase, length_s in lengths.items():
        begin, length = microseconds([begin_s, length_s * scale])
        yield piece(phase, PHASES, begin, length, {"duration_s": length_s})
        begin_s += length_s * scale


def _instants(table: pa.Table, track: int, start_s: float) -> Iterator[Event]:
    for row in table.to_pylist():
        time_s = row.pop("time_s")
        if not math.isfinite(time_s):
            continue
        if track == EVENTS:
            name, about = row["kind"], {"step": row["step"], **_detail(row["detail"])}
        else:
            name, about = f"{row['part']} {row['metric']}", row
        yield instant(name, track, microsecond(time_s - start_s), _finite(about))


def _detail(text: str) -> dict[str, Any]:
    """The facts of an event, whatever was written."""
    try:
        detail = json.loads(text, parse_constant=str)
    except (ValueError, RecursionError):
        return {"detail": text}
    return detail if isinstance(detail, dict) else {"detail": text}


def _readings(device: str, readings: pa.Table, start_s: float, kind: str) -> Iterator[Event]:
    shown = {
        column.name: column.unit
        for column in POWER.columns
        if column.kind == "real" and column.name != "time_s"
    }
    note = " modelled" if kind == "modelled" else ""
    for row in readings.to_pylist():
        if not math.isfinite(row["time_s"]):
            continue
        time = microsecond(row["time_s"] - start_s)
        for name, unit in shown.items():
            value = row[name]
            if value is not None and math.isfinite(value):
                words = name.rpartition("_")[0].replace("_", " ")
                yield counter(f"{device} {words}{note} ({unit or 'fraction'})", time, {"value": value})
        if row["label"]:
            yield instant(row["label"], EVENTS, time, {"device": device})


def _finite(about: dict[str, Any]) -> dict[str, Any]:
    """Facts without nulls; numbers that JSON cannot hold are told as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in about.items()
        if value is not None
    }
