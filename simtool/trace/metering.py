"""Power logs beside device work: whose power they are, by whose clock, and what each step used."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from simtool.trace.alignment import Alignment, Busy, align
from simtool.trace.device_steps import DeviceStep
from simtool.trace.found import OpsFound
from simtool.trace.intervals import union
from simtool.trace.kernels import KernelTable
from simtool.trace.power_clean import CleanLog, clean
from simtool.trace.power_log import PowerLog
from simtool.trace.source import refuse

MAX_ERROR_OF_STEP = 0.25
"""The energy of a step is not told where the clock's error is a larger share of the step."""
LEAST_COVERED = 0.999
"""Share of a step of which the power must be known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One log: its times are by the clock `origin_unix_s` points to, and lie `offset_s` before the ops' clock."""

    name: str
    """Of its stream."""
    log: CleanLog
    """With times from its origin."""
    rank: int | None
    """Rank whose device it meters; None for nodes, and where that is not known."""
    alignment: Alignment | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Metering:
    """All logs, by one clock."""

    meters: tuple[Meter, ...] = ()
    offset_s: float = 0.0
    """What to add to a time of any aligned meter."""
    written_offset_s: float = 0.0
    """What to add to a time as the first aligned log writes it; of wall clocks, beyond the difference they tell."""
    error_s: float | None = None
    method: str = ""
    clock: str = "monotonic"
    origin_unix_s: float | None = None
    """Time 0 of the meters as seconds since 1970 in UTC, where it is known."""


def meter(
    found: Sequence[tuple[str, tuple[PowerLog, ...]]],
    ops: OpsFound | None,
    given_s: float | None,
    notes: list[str],
) -> Metering:
    """Clean and align all logs.

    Args:
        found: file and its logs, which share a clock.
        ops: device work, if any.
        given_s: offset that the user states: what to add to a written time of a log to have it by the
            clock of the ops, which is 0 at the first event; of wall clocks, beyond the difference that they tell.
        notes: takes what is doubtful.

    Raises:
        InputError: for a log that cannot be used, or that has no time in common with the ops.
    """
    meters: list[Meter] = []
    first: Alignment | None = None
    written_offset_s = 0.0
    clock, origin_unix_s = "monotonic", None
    for where, logs in found:
        cleaned = [clean(log, where) for log in logs]
        notes += [note for log in cleaned for note in log.notes]
        origin_s = _origin(cleaned, ops)
        if not meters:
            clock = {"utc": "utc", "local": "local wall clock", "relative": "relative", "counted": "counted"}[
                logs[0].clock
            ]
            origin_unix_s = origin_s if logs[0].clock == "utc" else None
        moved = [_moved(log, -origin_s) for log in cleaned]
        ranks = _ranks(moved, ops)
        alignment = _aligned(where, moved, ranks, ops, origin_s, given_s, notes) if ops is not None else None
        if alignment is not None:
            if first is None:
                first = alignment
                has_day = (
                    ops is not None and ops.zero_unix_s is not None and logs[0].clock in ("utc", "local")
                )
                written_offset_s = first.offset_s - (0.0 if has_day else origin_s)
            moved = [_moved(log, alignment.offset_s - first.offset_s) for log in moved]
        names = {one.name for one in meters}
        for log, rank in zip(moved, ranks, strict=True):
            name = _free(re.sub(r"[^A-Za-z0-9_+-]", "_", log.log.device)[:36] or "meter", names)
            names.add(name)
            meters.append(Meter(name=name, log=log, rank=rank, alignment=alignment))
    errors = [one.alignment.error_s for one in meters if one.alignment is not None]
    return Metering(
        meters=tuple(meters), offset_s=first.offset_s if first else 0.0, written_offset_s=written_offset_s,
        error_s=max((error for error in errors if error is not None), default=None),
        method=first.method if first else "", clock=clock, origin_unix_s=origin_unix_s,
    )  # fmt: skip


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    return next(f"{name}-{number}" for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)


def _origin(logs: Sequence[CleanLog], ops: OpsFound | None) -> float:
    """Written time that becomes 0: that of the ops where both tell the time of day, else the first reading."""
    if ops is not None and ops.zero_unix_s is not None and logs[0].log.clock in ("utc", "local"):
        return ops.zero_unix_s
    return float(min(log.log.times_s[0] for log in logs))


def _moved(log: CleanLog, by_s: float) -> CleanLog:
    return replace(log, log=replace(log.log, times_s=log.log.times_s + by_s), edges_s=log.edges_s + by_s)


def _ranks(logs: Sequence[CleanLog], ops: OpsFound | None) -> list[int | None]:
    """Rank of every log of a GPU: by the number of the device, or the only one there is."""
    if ops is None:
        return [None] * len(logs)
    by_device: dict[int, int] = {}
    ranks, devices = ops.kernels.numbers("rank"), ops.kernels.numbers("device")
    for rank, device in sorted(
        {(int(rank), int(device)) for rank, device in zip(ranks, devices, strict=True)}
    ):
        by_device.setdefault(device, rank)
    of_gpus = [log for log in logs if re.fullmatch(r"gpu\d+", log.log.device)]
    if len(of_gpus) == 1 and len(ops.devices) == 1:
        return [next(iter(ops.devices)) if log in of_gpus else None for log in logs]
    return [by_device.get(int(log.log.device[3:])) if log in of_gpus else None for log in logs]


def _busy(kernels: KernelTable, zero_unix_s: float | None) -> Busy:
    begin = kernels.numbers("start_s")
    begins, ends = union(begin, begin + kernels.numbers("duration_s"))
    return Busy(begins_s=begins, ends_s=ends, zero_unix_s=zero_unix_s)


def _aligned(
    where: str, logs: Sequence[CleanLog], ranks: Sequence[int | None], ops: OpsFound, origin_s: float,
    given_s: float | None, notes: list[str],
) -> Alignment | None:  # fmt: skip
    """The first alignment that a log of a file gives."""
    has_day = ops.zero_unix_s is not None and logs[0].log.clock in ("utc", "local")
    if given_s is not None:
        # As written, a relative time t is t + given by the ops' clock; times here count from the origin.
        return Alignment(offset_s=given_s + (0.0 if has_day else origin_s), error_s=None, method="given")
    reason = ""
    ordered = sorted(zip(logs, ranks, strict=True), key=lambda pair: pair[1] is None)
    for log, rank in ordered:
        kernels = ops.kernels if rank is None else ops.kernels.of_rank(rank)
        # Times count from the ops' own zero, so its value here is 0.
        found = align(_busy(kernels, 0.0 if has_day else None), log)
        if isinstance(found, Alignment):
            return found
        reason = reason or found
    if "no time in common" in reason:
        raise refuse(where, reason, "name the log of this run, or say --power-offset")
    notes.append(f"{where}: {reason}; its power is kept by its own clock and not laid over the steps")
    return None


def with_energy(steps: Sequence[DeviceStep], metering: Metering) -> tuple[DeviceStep, ...]:
    """The steps with the energy of their rank's device, where it is known well enough."""
    by_rank: Mapping[int | None, Meter] = {
        one.rank: one
        for one in reversed(metering.meters)
        if one.rank is not None and one.alignment is not None
    }
    found = []
    for step in steps:
        one = by_rank.get(step.rank)
        energy_j = None
        if one is not None and step.duration_s > 0:
            error_s = metering.error_s or 0.0
            used_j, covered_s = one.log.energy_between(
                step.begin_s - metering.offset_s, step.end_s - metering.offset_s
            )
            if (
                covered_s >= LEAST_COVERED * step.duration_s
                and error_s <= MAX_ERROR_OF_STEP * step.duration_s
            ):
                energy_j = used_j
        found.append(replace(step, energy_j=energy_j))
    return tuple(found)


def coverage(steps: Sequence[DeviceStep], metering: Metering) -> float | None:
    """Share of the steps' time of which the power is known, mean over ranks, or over meters of nodes."""
    aligned = [one for one in metering.meters if one.alignment is not None]
    if not aligned or not steps:
        return None
    metered = {one.rank: one for one in aligned if one.rank is not None}
    shares = []
    if metered:
        for rank in sorted({step.rank for step in steps}):
            own = [step for step in steps if step.rank == rank]
            shares.append(_share(metered[rank].log, own, metering.offset_s) if rank in metered else 0.0)
    else:
        shares = [_share(one.log, steps, metering.offset_s) for one in aligned]
    return float(np.clip(np.mean(shares), 0.0, 1.0))


def _share(log: CleanLog, steps: Sequence[DeviceStep], offset_s: float) -> float:
    whole = sum(step.duration_s for step in steps)
    known = sum(log.energy_between(step.begin_s - offset_s, step.end_s - offset_s)[1] for step in steps)
    return known / whole if whole > 0 else 0.0
