"""What ran on what, and when: the facts that every trace begins with."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import torch

from simtool import __version__
from simtool.engine.power.meter import PowerMeter
from simtool.engine.suites.devices import facts_of
from simtool.trace.manifest import Clock, Device, Software

TRACE = "trace"


def device_facts(device: torch.device, meter: PowerMeter) -> Device:
    """The device that computes, and what the meter's energy is of."""
    facts = facts_of(device)
    return Device(
        name=facts.name,
        kind=device.type,
        scope=meter.scope,
        num_threads=torch.get_num_threads() if device.type == "cpu" else None,
    )


def software_facts(precision: str, *, is_compiled: bool) -> Software:
    """Versions of what runs."""
    return Software(
        simtool=__version__,
        python=platform.python_version(),
        torch=str(torch.__version__),
        toolkit=str(torch.version.cuda or torch.version.hip or ""),
        dtype=precision,
        is_compiled=is_compiled,
    )


def clock_facts(durations: str) -> Clock:
    """Where the clocks stand now; `durations` is the clock that prices phases."""
    return Clock(durations=durations, zero_s=time.monotonic(), started=utc_now())


def utc_now() -> str:
    """The present moment, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def free_folder(folder: Path) -> Path:
    """``trace``, or the next ``trace-2``, ``trace-3``: every start of a run has a trace of its own."""
    path, number = folder / TRACE, 1
    while path.exists():
        number += 1
        path = folder / f"{TRACE}-{number}"
    return path
