"""Takes events of the PyTorch profiler into columns of numbers, so that a file of gigabytes fits.

Texts that recur (names, shapes) are kept once. What cannot carry device work is dropped on sight: Python
frames, flows between events, samples of memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

DEVICE_WORK = {
    "kernel": "kernel", "Kernel": "kernel", "gpu_op": "kernel", "mtia_ccp_events": "kernel",
    "gpu_memcpy": "memcpy", "Memcpy": "memcpy", "gpu_memset": "memset", "Memset": "memset",
}  # fmt: skip
LAUNCHES = frozenset(
    {"cuda_runtime", "cuda_driver", "hip_runtime", "Runtime", "xpu_runtime", "xpu_driver", "mtia_runtime",
     "privateuse1_runtime", "privateuse1_driver", "cuda_profiler_range_launch"}
)  # fmt: skip
CALLS = frozenset({"cpu_op", "Operator"})
MARKS = frozenset({"user_annotation", "User_annotation"})
_KINDS = {
    **dict.fromkeys(CALLS, 0), **dict.fromkeys(MARKS, 1), **dict.fromkeys(LAUNCHES, 2),
    **dict.fromkeys(DEVICE_WORK, 3),
}  # fmt: skip
STEP = "ProfilerStep#"
LONGEST_US, LATEST_US = 1e13, 1e21
"""No operation lasts months, and no clock counts further: such a number is no time."""
MAX_TEXT = 4096
"""Characters of a name or of shapes that are kept."""
_BARE = frozenset(
    f"aten::{name}"
    for name in (
        "view", "as_strided", "t", "transpose", "permute", "empty", "empty_strided", "empty_like", "reshape",
        "slice", "select", "expand", "detach", "unsqueeze", "squeeze", "narrow", "_reshape_alias", "_unsafe_view",
        "result_type", "resize_", "alias", "flatten", "chunk", "split", "contiguous", "to", "lift_fresh",
    )
)  # fmt: skip
"""Operators that start no kernel themselves: their shapes are of no use here."""


class Texts:
    """Every text once; a text is known by its number. Number 0 is the empty text."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def number(self, text: Any) -> int:
        """The number of a text, which is cut to `MAX_TEXT` characters."""
        found = self._numbers.get(text) if isinstance(text, str) else None
        if found is None:
            shown = text if isinstance(text, str) else repr(text)
            found = self._numbers.setdefault(shown[:MAX_TEXT], len(self._numbers))
        return found

    def numbers(self, texts: Sequence[Any]) -> Codes:
        """The numbers of several texts."""
        known = self._numbers
        try:
            found = [known.get(text, -1) for text in texts]
        except TypeError:  # a name that is a list
            found = [-1] * len(texts)
        if -1 in found:
            found = [
                self.number(text) if number < 0 else number for text, number in zip(texts, found, strict=True)
            ]
        return np.array(found, np.int64)

    def all(self) -> list[str]:
        """Every text, in the order of the numbers."""
        return list(self._numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Device work in the order of the file; times in microseconds of the file's own clock."""

    name: Codes
    kind: Codes
    """Number of kernel, memcpy or memset."""
    begin_us: Floats
    duration_us: Floats
    device: Codes
    stream: Codes
    correlation: Codes
    external: Codes
    size_bytes: Floats
    """Bytes of a copy, or of the input of a collective; NaN where it is not told."""
    group_size: Codes
    """Ranks of a collective; 0 where it is not told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launches:
    """Calls of the runtime that start device work."""

    begin_us: Floats
    thread: Codes
    correlation: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class Operators:
    """Operators and annotations on the host."""

    name: Codes
    begin_us: Floats
    end_us: Floats
    thread: Codes
    external: Codes
    arguments: Codes
    """Number of what `operator_work` reads: types, shapes, strides and values; 0 where they were not
    recorded, -1 for a range that somebody marked."""


@dataclass(slots=True)
class EventColumns:
    """Grows by batches of events."""

    texts: Texts = field(default_factory=Texts)
    steps: list[tuple[int, float, float, int]] = field(default_factory=list)
    """Number, begin, end and thread of every annotated step."""
    num_events: int = 0
    num_unreadable: int = 0
    """Events of device work without a time."""
    num_negative: int = 0
    """Events of device work with a negative begin or duration."""
    _threads: dict[tuple[Any, Any], int] = field(default_factory=dict)
    _kernels: list[list[Any]] = field(default_factory=list)
    _launches: list[list[Any]] = field(default_factory=list)
    _operators: list[list[Any]] = field(default_factory=list)

    def take(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Add a batch of events."""
        self.num_events += len(events)
        sorted_by_kind: tuple[list[Mapping[str, Any]], ...] = ([], [], [], [])
        kinds = _KINDS
        for event in events:
            category = event.get("cat")
            if type(category) is str and (kind := kinds.get(category)) is not None and event.get("ph") == "X":
                sorted_by_kind[kind].append(event)
        calls, marks, launches, work = sorted_by_kind
        if calls:
            self._take_operators(calls, are_marks=False)
        if marks:
            self._take_operators(self._without_steps(marks), are_marks=True)
        if launches:
            self._take_launches(launches)
        if work:
            self._take_work(work)

    def _without_steps(self, marks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """Annotations that are no steps; the steps are kept apart."""
        others = []
        for event in marks:
            name = event.get("name")
            if not isinstance(name, str) or not name.startswith(STEP):
                others.append(event)
                continue
            number, begin, duration = (
                name[len(STEP) :],
                number_of(event.get("ts")),
                number_of(event.get("dur")),
            )
            if number.isdecimal() and number.isascii() and len(number) < 16 and begin >= 0 and duration >= 0:
                (thread,) = self._thread_numbers([event])
                self.steps.append((int(number), begin, begin + duration, thread))
        return others

    def _take_operators(self, events: Sequence[Mapping[str, Any]], *, are_marks: bool) -> None:
        begin, duration = _floats(events, "ts"), _floats(events, "dur")
        arguments = _arguments(events)
        said = np.full(len(events), -1 if are_marks else 0, np.int64)
        if not are_marks:
            for place, (event, told) in enumerate(zip(events, arguments, strict=True)):
                if ("Input Dims" in told or "Input dims" in told) and _plain(event.get("name")) not in _BARE:
                    said[place] = self.texts.number(
                        f"{told.get('Input type', told.get('Input Types'))}\n"
                        f"{told.get('Input Dims', told.get('Input dims'))}\n"
                        f"{told.get('Input Strides')}\n{told.get('Concrete Inputs')}"
                    )
        columns = [
            self.texts.numbers([event.get("name", "") for event in events]), begin, begin + duration,
            np.array(self._thread_numbers(events), np.int64),
            _integers([told.get("External id") for told in arguments]), said,
        ]  # fmt: skip
        keep = (begin >= 0) & (duration >= 0)
        self._operators.append(columns if keep.all() else [column[keep] for column in columns])

    def _take_launches(self, events: Sequence[Mapping[str, Any]]) -> None:
        begin = _floats(events, "ts")
        correlation = _integers([told.get("correlation") for told in _arguments(events)])
        columns = [begin, np.array(self._thread_numbers(events), np.int64), correlation]
        keep = (begin >= 0) & (correlation >= 0)
        self._launches.append(columns if keep.all() else [column[keep] for column in columns])

    def _take_work(self, events: Sequence[Mapping[str, Any]]) -> None:
        begin, duration = _floats(events, "ts"), _floats(events, "dur")
        arguments = _arguments(events)
        kinds = [DEVICE_WORK[event["cat"]] for event in events]
        sizes = [
            _size(told) if kind == "kernel" else told.get("bytes")
            for kind, told in zip(kinds, arguments, strict=True)
        ]
        columns = [
            self.texts.numbers([event.get("name", "") for event in events]),
            self.texts.numbers(kinds), begin, duration,
            _integers([told.get("device", event.get("pid")) for event, told in zip(events, arguments, strict=True)]),
            _integers([told.get("stream", event.get("tid")) for event, told in zip(events, arguments, strict=True)]),
            _integers([told.get("correlation") for told in arguments]),
            _integers([told.get("External id", told.get("external id")) for told in arguments]),
            _numbers(sizes),
            np.maximum(_integers([told.get("Group size") for told in arguments]), 0),
        ]  # fmt: skip
        is_lost = np.isnan(begin) | np.isnan(duration) | (duration > LONGEST_US) | (begin > LATEST_US)
        is_negative = ~is_lost & ((begin < 0) | (duration < 0))
        self.num_unreadable += int(is_lost.sum())
        self.num_negative += int(is_negative.sum())
        keep = ~is_lost & ~is_negative
        self._kernels.append(columns if keep.all() else [column[keep] for column in columns])

    def _thread_numbers(self, events: Sequence[Mapping[str, Any]]) -> list[int]:
        threads = self._threads
        try:
            found = [threads.get((event.get("pid"), event.get("tid")), -1) for event in events]
        except TypeError:  # a process or thread that is a list
            found = [-1] * len(events)
        if -1 in found:
            for place, event in enumerate(events):
                if found[place] < 0:
                    key = (_plain(event.get("pid")), _plain(event.get("tid")))
                    found[place] = threads.setdefault(key, len(threads))
        return found

    def process_of_thread(self) -> list[Any]:
        """The process of each thread, by the thread's number."""
        return [process for process, _ in self._threads]

    def kernels(self) -> Kernels:
        """What was taken of device work."""
        name, kind, begin, duration, device, stream, correlation, external, size, group = _joined(
            self._kernels, "qqddqqqqdq"
        )
        return Kernels(
            name=name, kind=kind, begin_us=begin, duration_us=duration, device=device, stream=stream,
            correlation=correlation, external=external, size_bytes=size, group_size=group,
        )  # fmt: skip

    def launches(self) -> Launches:
        """What was taken of calls of the runtime."""
        begin, thread, correlation = _joined(self._launches, "dqq")
        return Launches(begin_us=begin, thread=thread, correlation=correlation)

    def operators(self) -> Operators:
        """What was taken of operators."""
        name, begin, end, thread, external, arguments = _joined(self._operators, "qddqqq")
        return Operators(
            name=name, begin_us=begin, end_us=end, thread=thread, external=external, arguments=arguments
        )


def _joined(parts: Sequence[Sequence[NDArray[Any]]], kinds: str) -> list[NDArray[Any]]:
    if not parts:
        return [np.empty(0, np.float64 if kind == "d" else np.int64) for kind in kinds]
    return [np.concatenate(columns) for columns in zip(*parts, strict=True)]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int) else repr(value)[:80]


def _arguments(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    found = [event.get("args") for event in events]
    return [told if type(told) is dict else {} for told in found]


def _floats(events: Sequence[Mapping[str, Any]], name: str) -> Floats:
    return _numbers([event.get(name) for event in events])


def _numbers(values: Sequence[Any]) -> Floats:
    """Finite numbers, NaN for everything else."""
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.array([number_of(value) for value in values], np.float64)
    if found.ndim != 1:
        return np.array([number_of(value) for value in values], np.float64)
    found[~np.isfinite(found)] = np.nan
    return found


def _integers(values: Sequence[Any]) -> Codes:
    """Whole numbers from 0, -1 for everything else."""
    if None not in values:
        try:
            found = np.array(values)
        except (TypeError, ValueError, OverflowError):
            found = np.empty(0)
        if found.dtype == np.int64 and found.ndim == 1:
            whole: Codes = np.maximum(found, -1)
            return whole
    return np.array([integer_of(value) for value in values], np.int64)


def number_of(value: Any) -> float:
    """A finite number, or NaN for everything else.

    >>> number_of("12.5"), number_of(3), number_of(None)
    (12.5, 3.0, nan)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def integer_of(value: Any) -> int:
    """A whole number of 63 bits, or -1 for everything else.

    >>> integer_of(7), integer_of("7"), integer_of("gpu"), integer_of(2**80)
    (7, 7, -1, -1)
    """
    if type(value) is not int:
        if not isinstance(value, str) or len(value) > 20:
            return -1
        try:
            value = int(value)
        except ValueError:
            return -1
    return value if 0 <= value < 2**63 else -1


_ITEM_BYTES = {
    "float": 4, "float32": 4, "half": 2, "float16": 2, "bfloat16": 2, "double": 8, "float64": 8, "int": 4,
    "long": 8, "int64": 8, "int32": 4, "byte": 1, "char": 1, "bool": 1, "uint8": 1, "int8": 1, "short": 2,
    "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip


def _size(arguments: Mapping[str, Any]) -> float:
    """Bytes of one rank's input to a collective."""
    if "Collective name" not in arguments:
        return math.nan
    item = _ITEM_BYTES.get(str(arguments.get("dtype")).lower())
    count = number_of(arguments.get("In msg nelems"))
    return count * item if item else math.nan
