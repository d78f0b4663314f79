"""A suite: all parts within a time, whatever was measured kept, continued where it stopped."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from simtool.engine.power import PowerMeter, open_meter
from simtool.engine.suites.attention import AttentionPart
from simtool.engine.suites.bandwidth import BandwidthPart
from simtool.engine.suites.bench import EFFORTS, Bench
from simtool.engine.suites.collectives import CollectivesPart
from simtool.engine.suites.devices import device_of, facts_of
from simtool.engine.suites.folder import Folder
from simtool.engine.suites.gemm import GemmPart
from simtool.engine.suites.launch import LaunchPart
from simtool.engine.suites.part import Part, Row, Unmeasurable
from simtool.engine.suites.point import Point
from simtool.engine.suites.stopwatch import DeviceStopwatch, ProcessStopwatch
from simtool.engine.suites.sustained import IDLE, IDLE_S, PowerPart, idle
from simtool.engine.suites.training import TrainingPart
from simtool.errors import InputError, Problem
from simtool.units import SECONDS_PER_MINUTE

DEFAULT_MINUTES = {"gpu": 10.0, "cpu": 3.0}
RESERVE_S = {"gpu": 12.0, "cpu": 3.0}
"""Kept for closing the trace."""
LEAST_MINUTES = 0.2

Told = Callable[[str, float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteOutcome:
    """What a suite came to."""

    folder: Path
    device: str
    num_measured: int
    """Points in the folder, those of earlier runs included."""
    num_left: int
    """Points for which there was no time; the same command again goes on with them."""
    skipped: dict[str, str]
    """Points that this device cannot do, and why."""
    duration_s: float
    power_kind: str
    """measured, modelled or none."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left."""
        return self.num_left == 0


def run_suite(
    kind: str,
    folder: Path,
    *,
    minutes: float | None = None,
    seed: int = 0,
    progress: Told | None = None,
    parts: Sequence[str] = (),
) -> SuiteOutcome:
    """Measure this machine's GPU or CPU into a trace folder.

    A folder that holds the beginning of the same suite is continued. Ctrl-C keeps what was measured.

    Args:
        kind: ``gpu`` or ``cpu``; a CPU is measured on one thread, in processor time.
        folder: where the trace goes.
        minutes: time on the wall; 10 on a GPU and 3 on a CPU if not given.
        seed: of sizes and of their order.
        progress: called with what is being measured and the share of the time that is used.
        parts: names of the parts to run, all if none is named.

    Raises:
        InputError: an unknown kind or part, no such device, too little time, or the folder holds something else.
        OutputError: the folder cannot be written.
    """
    device = device_of(kind)
    wanted_s = _checked_minutes(kind, minutes) * SECONDS_PER_MINUTE
    begin_s = time.monotonic()
    with _one_thread(kind), open_meter(device=str(device)) as meter:
        # Before the first use of the device: its context, once there, draws power for the rest of the process.
        bare = _bare_idle(kind, meter, parts)
        facts = facts_of(device)
        stopwatch = DeviceStopwatch(device) if device.type == "cuda" else ProcessStopwatch()
        bench = Bench(
            facts=facts,
            device=device,
            stopwatch=stopwatch,
            effort=EFFORTS[facts.kind],
            meter=meter,
            seed=seed,
        )
        with Folder(folder, facts, meter, kind=kind, seed=seed, clock=stopwatch.kind) as trace:
            if bare is not None:
                trace.add(*bare)
            course = Course(_chosen(parts_of(trace), parts), bench, trace)
            course.run(begin_s, wanted_s, RESERVE_S[facts.kind], progress or _nobody)
    return SuiteOutcome(
        folder=folder,
        device=facts.name,
        num_measured=len(trace.done),
        num_left=course.num_left,
        skipped=dict(trace.skipped),
        duration_s=time.monotonic() - begin_s,
        power_kind=meter.kind,
    )


def parts_of(trace: Folder) -> list[Part]:
    """All parts of a suite."""
    return [
        PowerPart(),
        LaunchPart(),
        GemmPart(),
        BandwidthPart(),
        AttentionPart(),
        CollectivesPart(),
        TrainingPart(trace.writer),
    ]


class Course:
    """Takes points of all parts in turn, so that each part has used its share of the time at any moment.

    Args:
        parts: what to measure.
        bench: what measures.
        trace: where rows go, and what is there already.
    """

    def __init__(self, parts: Sequence[Part], bench: Bench, trace: Folder) -> None:
        self._bench, self._trace = bench, trace
        self._parts = {part.name: part for part in parts}
        self._left: dict[str, list[Point]] = {
            part.name: [point for point in part.points(bench) if not trace.has(point)] for part in parts
        }
        self._used_s = dict.fromkeys(self._parts, 0.0)
        self._longest_s = dict.fromkeys(self._parts, 0.0)

    @property
    def num_left(self) -> int:
        """Points that were not reached."""
        return sum(map(len, self._left.values()))

    def run(self, begin_s: float, wanted_s: float, reserve_s: float, told: Told) -> None:
        """Measure until nothing is left, or the next point would not fit into the time."""
        end_s = begin_s + wanted_s - reserve_s
        while name := self._next(end_s - time.monotonic()):
            point = self._left[name].pop(0)
            now_s = time.monotonic()
            told(f"{name}: {point.op} {point.shape_text}".rstrip(), (now_s - begin_s) / wanted_s)
            try:
                self._trace.add(point, self._parts[name].measure(self._bench, point))
            except Unmeasurable as error:
                self._trace.skip(point, error.reason)
            except torch.cuda.OutOfMemoryError:
                self._trace.skip(point, "the device has too little memory")
            except RuntimeError as error:
                self._trace.skip(point, f"{type(error).__name__}: {str(error).splitlines()[0]}")
            took_s = time.monotonic() - now_s
            self._used_s[name] += took_s
            self._longest_s[name] = max(self._longest_s[name], took_s)

    def _next(self, left_s: float) -> str:
        """The part that is furthest behind its share and whose points fit; empty where there is none."""
        fitting = [name for name, points in self._left.items() if points and self._longest_s[name] < left_s]
        if left_s <= 0 or not fitting:
            return ""
        return min(fitting, key=lambda name: self._used_s[name] / self._parts[name].share)


def _bare_idle(kind: str, meter: PowerMeter, parts: Sequence[str]) -> tuple[Point, Row] | None:
    """Idle power before the device has a context; None where no meter tells."""
    if parts and PowerPart.name not in parts:
        return None
    point = Point(part=PowerPart.name, op=IDLE)
    try:
        return point, idle(point, meter, IDLE_S[kind])
    except Unmeasurable:
        return None


def _chosen(parts: list[Part], names: Sequence[str]) -> list[Part]:
    known = [part.name for part in parts]
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            Problem("--parts", "", f"found {unknown[0]!r}", ", ".join(known), "name parts of the suite")
        )
    return [part for part in parts if not names or part.name in names]


def _checked_minutes(kind: str, minutes: float | None) -> float:
    if minutes is None:
        return DEFAULT_MINUTES[kind]
    if not LEAST_MINUTES <= minutes < float("inf"):
        raise InputError(
            Problem(
                "--minutes",
                "",
                f"found {minutes:g}",
                f"{LEAST_MINUTES:g} and more",
                "write e.g. --minutes 10",
            )
        )
    return minutes


@contextmanager
def _one_thread(kind: str) -> Iterator[None]:
    """One thread on a CPU: processor time of several would hide how they wait for each other."""
    before = torch.get_num_threads()
    if kind == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _nobody(what: str, done_frac: float) -> None:
    """Tells nobody."""
