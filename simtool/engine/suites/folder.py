"""The trace folder of a suite: begun, or continued where an earlier run stopped."""

from __future__ import annotations

import math
import platform
import shutil
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

import simtool
from simtool.engine.power import EnergyReport, PowerMeter
from simtool.engine.power_stream import power_begun, power_entry, power_row
from simtool.engine.suites.devices import Facts
from simtool.engine.suites.part import Row
from simtool.engine.suites.point import Point
from simtool.errors import InputError, OutputError, Problem
from simtool.trace import Manifest, Trace, TraceWriter, read_trace
from simtool.trace.manifest import Clock, Device, Software

TASK = "suite-"
"""Beginning of the manifest's task in a suite's trace; the kind of the suite follows."""
SKIPPED = "skipped"
BEFORE = ".before"
"""Ending of the folder that an earlier run's trace is in, until its rows are safe in the new one."""
MEANINGLESS = frozenset({"revision"})


class Folder:
    """Rows of a suite on their way to disk.

    Args:
        folder: where the trace goes.
        facts: of the device.
        meter: that runs meanwhile.
        kind: of the suite.
        seed: of its sizes and their order.
        clock: that priced the kernels, ``process`` or ``device``.

    Raises:
        InputError: the folder holds another trace, or the suite of another device or seed.
        OutputError: it cannot be written.
    """

    def __init__(
        self, folder: Path, facts: Facts, meter: PowerMeter, *, kind: str, seed: int, clock: str
    ) -> None:
        self._folder, self._meter, self._facts = folder, meter, facts
        self.done: set[str] = set()
        self.skipped: dict[str, str] = {}
        manifest = Manifest(
            task=f"{TASK}{kind}",
            seed=seed,
            device=_device(facts),
            software=Software(
                simtool=simtool.__version__,
                python=platform.python_version(),
                torch=str(torch.__version__),
                toolkit=str(torch.version.cuda or torch.version.hip or ""),
            ),
            clock=Clock(
                durations=clock,
                zero_s=time.monotonic(),
                started=datetime.now(UTC).isoformat(timespec="seconds"),
            ),
            power=power_begun(meter),
        )
        earlier = _earlier(folder, manifest)
        self.writer = TraceWriter(folder, manifest)
        if earlier is not None:
            self._take_over(earlier)

    def has(self, point: Point) -> bool:
        """Whether a point was measured, or found to be beyond the device."""
        return point.key in self.done or point.key in self.skipped

    def add(self, point: Point, row: Row) -> None:
        """A point that was measured; power that nobody knows is left out."""
        if not math.isfinite(row.get("power_w", math.nan)):
            row = {name: value for name, value in row.items() if name not in ("power_w", "power_kind")}
        self.writer.kernel({**row, "point": point.key})
        self.done.add(point.key)

    def skip(self, point: Point, reason: str) -> None:
        """A point that the device cannot do."""
        self.skipped[point.key] = reason
        detail = {"point": point.key, "reason": reason}
        self.writer.event({"time_s": time.monotonic(), "kind": SKIPPED, "detail": detail})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OutputError):
            self.writer.abandon()
            return
        report = self._meter.report()
        if report.kind == "measured":
            for reading in self._meter.readings():
                self.writer.power("0", power_row(reading))
        reason = f"{type(error).__name__}: {error}".rstrip(": ") if error is not None else ""
        self.writer.close(
            status="finished" if error is None else "interrupted",
            reason=reason,
            device=_device(self._facts, report),
            power=power_entry(report),
        )

    def _take_over(self, earlier: Trace) -> None:
        """Rows of an earlier run, written anew; only then its folder goes."""
        for write, table in (
            (self.writer.kernel, earlier.kernels),
            (self.writer.step, earlier.steps),
            (self.writer.evaluation, earlier.evaluations),
            (self.writer.event, earlier.events),
        ):
            for row in table.to_pylist():
                write(row)
        for revise, table in (
            (self.writer.signatures, earlier.signatures),
            (self.writer.phases, earlier.phases),
            (self.writer.ops, earlier.ops),
        ):
            revise(_without(table.to_pylist(), MEANINGLESS))
        for name, table in earlier.power.items():
            for row in table.to_pylist():
                self.writer.power(name, row)
        self.writer.flush()
        shutil.rmtree(_before(self._folder))
        self.done.update(earlier.kernels["point"].to_pylist())
        self.skipped.update(_skipped(earlier))


def _skipped(trace: Trace) -> Iterable[tuple[str, str]]:
    import json

    for row in trace.events.to_pylist():
        if row["kind"] == SKIPPED:
            detail = json.loads(row["detail"])
            yield detail["point"], detail["reason"]


def _earlier(folder: Path, manifest: Manifest) -> Trace | None:
    """The trace of an earlier run of the same suite, moved out of the way; None where there is none."""
    before = _before(folder)
    if before.is_dir():  # an earlier attempt to continue was cut before the rows were safe
        shutil.rmtree(folder, ignore_errors=True)
    elif (folder / "manifest.yaml").is_file():
        _check_same(read_trace(folder).manifest, manifest, folder)
        folder.rename(before)
    else:
        return None
    return read_trace(before)


def _check_same(found: Manifest, wanted: Manifest, folder: Path) -> None:
    facts = {
        "suite": (found.task, wanted.task),
        "device": (found.device.name, wanted.device.name),
        "seed": (str(found.seed), str(wanted.seed)),
        "torch": (found.software.torch, wanted.software.torch),
    }
    if different := {name: pair for name, pair in facts.items() if pair[0] != pair[1]}:
        raise InputError(
            [
                Problem(
                    str(folder), name, f"holds {before!r}, not {now!r}", "", "name another folder with -o"
                )
                for name, (before, now) in different.items()
            ]
        )


def _before(folder: Path) -> Path:
    return folder.with_name(folder.name + BEFORE)


def _device(facts: Facts, report: EnergyReport | None = None) -> Device:
    return Device(
        name=facts.name,
        kind="cuda" if facts.kind == "gpu" else "cpu",
        num_threads=facts.num_threads if facts.kind == "cpu" else None,
        num_devices=facts.num_devices,
        architecture=facts.architecture,
        num_processors=facts.num_processors,
        memory_size_bytes=facts.memory_size_bytes,
        cache_size_bytes=facts.cache_size_bytes if facts.is_cache_known else None,
        driver=report.driver if report else "",
        scope=report.scope if report else "",
        power_limit_w=report.limit_w if report else None,
    )


def _without(rows: Iterable[Mapping[str, Any]], names: frozenset[str]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in names} for row in rows]
