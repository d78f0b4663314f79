"""Traces of the PyTorch profiler (Kineto): Chrome's JSON, plain or gzip, of NVIDIA and AMD devices."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from simtool.trace.found import READERS, Choices, Found, OpsFound
from simtool.trace.json_stream import no_cycle_search, read_events
from simtool.trace.kineto_events import EventColumns, integer_of, number_of
from simtool.trace.kineto_table import KinetoTables, tabulate
from simtool.trace.manifest import Device, Software
from simtool.trace.power_log import MAX_MOMENT_S
from simtool.trace.source import Source, counted, refuse
from simtool.units import GIGA, MEGA

_SINCE_1970_US = 1e15
"""Microseconds: a clock that shows more counts from 1970, and is in the year 2001 at least."""
_OVERLAP_S = 2e-6
"""Kernels of one queue that overlap by more than the rounding of their times."""


@READERS.register("kineto")
class Kineto:
    """PyTorch profiler (Kineto) or other Chrome trace JSON with device kernels, plain or gzip."""

    def claims(self, source: Source) -> bool:
        """A JSON object with the events, or whose beginning has the profiler's names; an array of events."""
        head = source.head.lstrip()
        if head.startswith("["):
            return bool(re.match(r'\[\s*\{[^{}]*"ph"\s*:', head))
        names = r'"(?:traceEvents|schemaVersion|deviceProperties|displayTimeUnit)"\s*:'
        return head.startswith("{") and bool(re.search(names, head))

    def read(self, source: Source, choices: Choices) -> Found:
        """The device work, its steps and its device."""
        header: dict[str, Any] = {}
        events = EventColumns()
        with no_cycle_search():
            for batch in read_events(source, header):
                events.take(batch)
        kernels = events.kernels()
        if not len(kernels.name):
            raise refuse(source.where, _nothing(events), _RECORD)
        distributed = header.get("distributedInfo")
        told = integer_of(distributed.get("rank")) if isinstance(distributed, dict) else -1
        tables = tabulate(events, told if told >= 0 else None)
        return Found(
            ops=OpsFound(
                kernels=tables.kernels,
                windows=tables.windows,
                devices={rank: _device(header, device) for rank, device in tables.device_of_rank.items()},
                software=Software(toolkit=_toolkit(header)),
                zero_unix_s=_zero(header, tables.zero_us),
            ),
            notes=(*_notes(events, tables), *_clock_notes(header, tables.zero_us)),
        )


_RECORD = "record with ProfilerActivity.CUDA while the device works"


def _nothing(events: EventColumns) -> str:
    lost = events.num_negative + events.num_unreadable
    why = f", and {lost} of them have no time or a negative one" if lost else ""
    return f"has no kernel of a device among its {events.num_events} events{why}"


def _device(header: Mapping[str, Any], number: int) -> Device:
    listed = header.get("deviceProperties")
    known = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = next((one for one in known if one.get("id") == number), None)
    if found is None and known and len({str(one.get("name")) for one in known}) == 1:
        found = known[0]  # AMD counts devices of the machine here and visible ones there
    if found is None:
        return Device()
    size, num_processors = number_of(found.get("totalGlobalMem")), integer_of(found.get("numSms"))
    name = str(found.get("name", ""))[:120]
    is_amd = "AMD" in name or "Instinct" in name or "hip_runtime_version" in header
    return Device(
        name=name,
        kind="rocm" if is_amd else "cuda",
        scope="gpu",
        memory_size_bytes=size if size > 0 else None,
        num_processors=num_processors if num_processors > 0 else None,
    )


def _toolkit(header: Mapping[str, Any]) -> str:
    cuda = integer_of(header.get("cuda_runtime_version"))
    if cuda > 0:
        return f"CUDA {cuda // 1000}.{cuda % 1000 // 10}"
    hip = integer_of(header.get("hip_runtime_version"))
    return f"ROCm {hip // 10_000_000}.{hip // 100_000 % 100}" if hip > 0 else ""


def _zero(header: Mapping[str, Any], zero_us: float) -> float | None:
    """Time 0 of the tables since 1970, where the file tells one that a clock can show."""
    base = number_of(header.get("baseTimeNanoseconds"))
    zero_s = base / GIGA + zero_us / MEGA if base > 0 else zero_us / MEGA
    is_told = base > 0 or zero_us > _SINCE_1970_US
    return zero_s if is_told and zero_s < MAX_MOMENT_S else None


def _clock_notes(header: Mapping[str, Any], zero_us: float) -> list[str]:
    is_told = "baseTimeNanoseconds" in header or zero_us > _SINCE_1970_US
    if is_told and _zero(header, zero_us) is None:
        return ["the time of day in the file cannot be: its times count from the first event"]
    return []


def _notes(events: EventColumns, tables: KinetoTables) -> list[str]:
    kernels = tables.kernels
    notes = []
    if events.num_negative or events.num_unreadable:
        notes.append(
            f"{counted(events.num_negative + events.num_unreadable, 'event')} of device work without a time or with "
            "a negative one left out"
        )
    if tables.num_unlaunched:
        share = tables.num_unlaunched / len(kernels)
        notes.append(
            f"the launch of {tables.num_unlaunched} of {len(kernels)} kernels ({share:.0%}) was not recorded: "
            "they belong to no step and no operator"
        )
    if tables.num_ambiguous:
        notes.append(
            f"the correlation numbers of {tables.num_ambiguous} kernels occur several times: each was joined "
            "to the last launch before it"
        )
    if not tables.windows:
        notes.append("no step is annotated (ProfilerStep): all device work counts as one step, number 0")
    notes += _missing_steps(tables)
    if not (kernels.texts("shapes")[0] >= 0).any():
        notes.append("no shapes were recorded: operations are not known (record with record_shapes=True)")
    if num := _num_overlapping(tables):
        notes.append(
            f"{counted(num, 'kernel')} overlapping with the one before in the queue: time in which several ran "
            "counts once"
        )
    if len(tables.device_of_rank) > 1:
        notes.append(f"the work of {len(tables.device_of_rank)} ranks stands in one file")
    return notes


def _missing_steps(tables: KinetoTables) -> list[str]:
    by_rank = Counter(window.rank for window in tables.windows)
    notes = []
    for rank in sorted(by_rank):
        numbers = sorted({window.step for window in tables.windows if window.rank == rank})
        gaps = [number for number in _between(numbers) if number not in set(numbers)]
        if gaps:
            shown = ", ".join(map(str, gaps[:5])) + (", ..." if len(gaps) > 5 else "")
            notes.append(f"rank {rank}: step {shown} is missing between {numbers[0]} and {numbers[-1]}")
    return notes


def _between(numbers: list[int]) -> range:
    whole = range(numbers[0], numbers[-1] + 1)
    return whole if len(whole) < 100_000 else range(0)


def _num_overlapping(tables: KinetoTables) -> int:
    kernels = tables.kernels
    start, duration = kernels.numbers("start_s"), kernels.numbers("duration_s")
    queue = np.stack((kernels.numbers("rank"), kernels.numbers("stream")), 1)
    order = np.lexsort((start, queue[:, 1], queue[:, 0]))
    same = np.all(queue[order][1:] == queue[order][:-1], axis=1)
    end = (start + duration)[order]
    return int(np.sum(same & (start[order][1:] < end[:-1] - _OVERLAP_S)))
