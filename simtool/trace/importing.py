"""Other tools' traces and power logs brought together as one trace of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simtool import __version__
from simtool.trace.columns import RowTaker, record_batch
from simtool.trace.device_steps import DeviceStep, device_steps
from simtool.trace.found import Choices, Found, OpsFound, read_file
from simtool.trace.kernels import KernelTable
from simtool.trace.manifest import Clock, Device, Manifest, Power, Software
from simtool.trace.merge import merged_ops
from simtool.trace.metering import Meter, Metering, coverage, meter, with_energy
from simtool.trace.power_log import FIELDS, MAX_MOMENT_S
from simtool.trace.schema import DEVICE_STEPS, POWER
from simtool.trace.source import Source, refuse
from simtool.trace.table_files import write_folder

if TYPE_CHECKING:
    import pyarrow as pa

TASK = "import"
"""What the manifest calls the task of an imported trace."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A trace in memory that was made of other tools' files."""

    manifest: Manifest
    kernels: KernelTable
    """Work of the devices; without rows where only power was read."""
    steps: tuple[DeviceStep, ...]
    metering: Metering
    devices: Mapping[int, Device]
    """Device of every rank."""
    num_bytes: int
    """Size of the files, as they lie on the disk."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is missing or doubtful."""
        return self.manifest.notes

    def tables(self) -> dict[str, pa.Table]:
        """The streams of the trace, by name."""
        tables = {"device_ops": self.kernels.table, "device_steps": steps_table(self.steps)}
        for one in self.metering.meters:
            tables[f"power-{one.name}"] = power_table(one)
        return tables

    def write(self, folder: Path, *, force: bool = False) -> Path:
        """Write it as a trace folder, whole or not at all.

        Raises:
            OutputError: if something is there, or it cannot be written.
        """
        write_folder(folder, self.manifest, self.tables(), force=force)
        return folder


def import_trace(
    files: Iterable[str | Path] | str | Path,
    *,
    format_name: str = "",
    rank: int | None = None,
    power_unit: str = "",
    power_offset_s: float | None = None,
    period_s: float | None = None,
) -> Imported:
    """Read traces and power logs of one run; the format of each is recognised by its content.

    Args:
        files: traces of one or several ranks, and power logs, plain or gzip.
        format_name: the format of all of them, one of `simtool.trace.found.READERS`.
        rank: the one rank to keep.
        power_unit: W, mW, kW or uW, where a log names no unit or a wrong one.
        power_offset_s: what to add to a time of the power logs, where the clocks are known to differ.
        period_s: time between readings of a log that has no times.

    Raises:
        InputError: for a file that cannot be read, that holds nothing of use, or files that do not belong together.
    """
    paths = [Path(files)] if isinstance(files, str | Path) else [Path(one) for one in files]
    if not paths:
        raise refuse("FILE", "found no file", "name a trace or a power log")
    doubled = sorted({str(path) for path in paths if paths.count(path) > 1})
    if doubled:
        raise refuse(doubled[0], "is named twice", "name each file once")
    choices = Choices(power_unit=_unit(power_unit), period_s=_period(period_s))
    _check_offset(power_offset_s)
    read = [(str(path), *read_file(Source(path), choices, format_name)) for path in paths]
    notes: list[str] = []
    for where, _, found in read:
        prefix = f"{Path(where).name}: " if len(read) > 1 else ""
        notes += [f"{prefix}{note}" for note in found.notes]
    with_ops = [(where, found.ops) for where, _, found in read if found.ops is not None]
    ops = merged_ops(with_ops, notes, rank)
    if ops is None and rank is not None:
        raise refuse("--rank", "no file holds device work", "leave the option out for power logs alone")
    metering = meter(
        [(where, found.power) for where, _, found in read if found.power], ops, power_offset_s, notes
    )
    steps = with_energy(device_steps(ops.kernels, ops.windows), metering) if ops is not None else ()
    if any(one.rank is not None for one in metering.meters) and steps and steps[0].energy_j is None:
        notes.append(
            "the energy of single steps is not known: the readings are too coarse, or do not cover them"
        )
    manifest = _manifest(read, ops, steps, metering, notes)
    return Imported(
        manifest=manifest, kernels=ops.kernels if ops is not None else KernelTable.empty(), steps=steps,
        metering=metering, devices=ops.devices if ops is not None else {},
        num_bytes=sum(path.stat().st_size for path in paths),
    )  # fmt: skip


def _unit(unit: str) -> str:
    allowed = ("W", "mW", "kW", "uW")
    if unit and unit not in allowed:
        raise refuse("--power-unit", f"found {unit!r}", "choose one of them", allowed=", ".join(allowed))
    return unit


def _period(period_s: float | None) -> float | None:
    if period_s is not None and not 0 < period_s < 1e6:
        raise refuse("--period", f"found {period_s} s", "give the seconds between two readings")
    return period_s


def _check_offset(offset_s: float | None) -> None:
    if offset_s is not None and not abs(offset_s) < MAX_MOMENT_S:
        raise refuse("--power-offset", f"found {offset_s} s", "give the seconds to add to the log's times")


def _manifest(
    read: Sequence[tuple[str, str, Found]], ops: OpsFound | None, steps: Sequence[DeviceStep], metering: Metering,
    notes: Sequence[str],
) -> Manifest:  # fmt: skip
    device = next(iter(ops.devices.values())) if ops is not None else _metered_device(metering)
    software = ops.software if ops is not None else Software()
    zero = ops.zero_unix_s if ops is not None else metering.origin_unix_s
    started = "" if zero is None else datetime.fromtimestamp(zero, UTC).isoformat(timespec="microseconds")
    return Manifest(
        task=TASK,
        device=device.model_copy(update={"num_devices": max(1, len(ops.devices) if ops is not None else 1)}),
        software=software.model_copy(update={"simtool": __version__}),
        clock=Clock(
            ops="utc" if zero is not None else "relative", power=metering.clock, durations="device", zero_s=0.0,
            started=started, offset_s=metering.offset_s, offset_error_s=metering.error_s,
            alignment=metering.method,
        ),
        power=_power(metering, steps),
        status="finished",
        sources=tuple(f"{Path(where).name} ({name})" for where, name, _ in read),
        notes=tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _metered_device(metering: Metering) -> Device:
    first = metering.meters[0].log.log
    return Device(name=first.device_name, scope=first.scope)


def _power(metering: Metering, steps: Sequence[DeviceStep]) -> Power:
    logs = [one.log for one in metering.meters]
    if not logs:
        return Power()
    periods = [log.period_s for log in logs if log.period_s is not None]
    gaps = [log.counter_vs_integral_gap_frac for log in logs if log.counter_vs_integral_gap_frac is not None]
    return Power(
        kind="measured" if any(log.log.kind == "measured" for log in logs) else "modelled",
        source=", ".join(sorted({f"{log.log.format} ({log.source})" for log in logs})),
        period_s=(min(low for low, _ in periods), max(high for _, high in periods)) if periods else None,
        counter_vs_integral_gap_frac=max(gaps, key=abs) if gaps else None,
        coverage_frac=coverage(steps, metering),
        num_gaps=sum(log.num_gaps for log in logs), num_resets=sum(log.num_resets for log in logs),
        num_wraps=sum(log.num_wraps for log in logs),
    )  # fmt: skip


def steps_table(steps: Sequence[DeviceStep]) -> pa.Table:
    """The stream `device_steps`."""
    import pyarrow as pa

    take = RowTaker(DEVICE_STEPS)
    return pa.Table.from_batches([record_batch(DEVICE_STEPS, [take(asdict(step)) for step in steps])])


def power_table(one: Meter) -> pa.Table:
    """The stream `power` of one meter; times from its origin."""
    import numpy as np
    import pyarrow as pa

    log = one.log.log
    columns: dict[str, Sequence[Any]] = {"time_s": log.times_s.tolist()}
    for name in FIELDS:
        if name in log.columns:
            columns[name] = [None if np.isnan(value) else value for value in log.columns[name].tolist()]
    if log.labels:
        columns["label"] = [label or None for label in log.labels]
    empty = [None] * len(log.times_s)
    rows = list(zip(*(columns.get(column.name, empty) for column in POWER.columns), strict=True))
    return pa.Table.from_batches([record_batch(POWER, rows)])
