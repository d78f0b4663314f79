"""Runs that a profiler saw: folders of `simtool import`, and other tools' files as they are.

A folder holds one run: traces of its ranks and its power logs. A trace file named by itself is a run of its
own; power logs named beside it are those of this run, which is clear only where it is the one such file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simtool.calibrate.trace_profile import find_trace
from simtool.errors import InputError, Problem
from simtool.trace.device_steps import DeviceStep
from simtool.trace.found import READERS
from simtool.trace.importing import TASK, Imported, import_trace
from simtool.trace.kernels import KernelTable
from simtool.trace.manifest import Manifest
from simtool.trace.power_clean import CleanLog, clean
from simtool.trace.power_log import FIELDS, PowerLog
from simtool.trace.reader import Trace, read_trace
from simtool.trace.source import Source

if TYPE_CHECKING:
    import pyarrow as pa

OPS_FORMATS = frozenset({"kineto", "chakra"})
"""Formats that hold device work; all others are power logs."""
SUITE = "suite-"
"""How the tasks of our own suites of measurements begin."""


@dataclass(frozen=True, kw_only=True)
class Metered:
    """Power of one rank's device, by the clock of the ops once `offset_s` is added to its times."""

    rank: int
    log: CleanLog
    offset_s: float
    error_s: float
    """How far the offset may be off."""
    kind: str
    """measured or modelled."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One profiled run."""

    where: str
    manifest: Manifest
    kernels: KernelTable
    steps: tuple[DeviceStep, ...]
    meters: tuple[Metered, ...]
    notes: tuple[str, ...]

    @property
    def device_name(self) -> str:
        """As the device calls itself."""
        return self.manifest.device.name


def suite_of(names: Sequence[str]) -> Trace | None:
    """The trace of one of our own suites of measurements, if that is what is named; None for anything else.

    Raises:
        InputError: a suite beside other traces, or a trace of ours of another kind.
    """
    for name in names:
        path = find_trace(name)
        if not path.is_dir():
            continue
        trace = read_trace(path)
        if trace.manifest.task == TASK:
            continue
        if len(names) > 1 and trace.manifest.task.startswith(SUITE):
            found = "is a suite of measurements, named beside other traces"
            raise InputError(Problem(name, "", found, "", "calibrate from it alone"))
        return trace
    return None


def read_runs(names: Sequence[str]) -> list[Run]:
    """All runs, each with its power.

    Args:
        names: folders of imported traces, trace files, power logs.

    Raises:
        InputError: what cannot be read, holds no kernels, or does not say which run it belongs to.
    """
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise InputError(Problem(doubled[0], "", "is named twice", "", "name each trace once"))
    paths = [find_trace(name) for name in names]
    runs = [_of_folder(path) for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    logs = [path for path in files if _format(path) not in OPS_FORMATS]
    traces = [path for path in files if path not in logs]
    if logs and len(traces) != 1:
        shown = "without a trace file" if not traces else f"beside {len(traces)} trace files"
        mend = "bring each run and its logs together with 'simtool import TRACE LOG -o DIR', and name the folders"
        found = f"is a power log {shown}"
        raise InputError(Problem(str(logs[0]), "", found, "one trace file for all power logs", mend))
    runs += [_of_import(str(path), import_trace([path, *logs])) for path in traces]
    if empty := [run for run in runs if not len(run.kernels)]:
        found, mend = (
            "holds no kernels of a device",
            "record with the profiler's CUDA activities, and import again",
        )
        raise InputError([Problem(run.where, "", found, "", mend) for run in empty])
    return runs


def _format(path: Path) -> str:
    source = Source(path)
    return next(
        (name for name in READERS if source.head.strip() and READERS[name]().claims(source)), "kineto"
    )


def _of_import(where: str, imported: Imported) -> Run:
    metering = imported.metering
    return Run(
        where=where, manifest=imported.manifest, kernels=imported.kernels, steps=imported.steps,
        meters=tuple(
            Metered(
                rank=one.rank, log=one.log, offset_s=metering.offset_s, error_s=metering.error_s or 0.0,
                kind=one.log.log.kind,
            )
            for one in metering.meters
            if one.rank is not None and one.alignment is not None
        ),
        notes=imported.notes,
    )  # fmt: skip


def _of_folder(folder: Path) -> Run:
    trace = read_trace(folder)
    kernels = KernelTable(trace.device_ops)
    steps = tuple(DeviceStep(**row) for row in trace.device_steps.to_pylist())
    return Run(
        where=str(folder), manifest=trace.manifest, kernels=kernels, steps=steps,
        meters=_meters(trace, kernels), notes=trace.manifest.notes,
    )  # fmt: skip


def _meters(trace: Trace, kernels: KernelTable) -> tuple[Metered, ...]:
    """The meters of single devices; those of nodes say nothing of one device."""
    manifest = trace.manifest
    if not manifest.clock.alignment or not len(kernels):
        return ()
    devices, ranks = kernels.numbers("device").tolist(), kernels.numbers("rank").tolist()
    rank_of = dict(sorted(set(zip(devices, ranks, strict=True)), reverse=True))  # of a device its lowest rank
    names = [name for name in trace.power if name.startswith("gpu") and name[3:].isdigit()]
    found = []
    for name in sorted(names):
        rank = next(iter(rank_of.values())) if len(names) == len(rank_of) == 1 else rank_of.get(int(name[3:]))
        if rank is not None:
            found.append(
                Metered(
                    rank=rank, log=clean(_log(name, trace.power[name], manifest), str(trace.folder)),
                    offset_s=manifest.clock.offset_s, error_s=manifest.clock.offset_error_s or 0.0,
                    kind=manifest.power.kind,
                )
            )  # fmt: skip
    return tuple(found)


def _log(name: str, table: pa.Table, manifest: Manifest) -> PowerLog:
    import numpy as np

    def column(one: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(table[one].cast("double").fill_null(float("nan")).to_numpy(), np.float64)

    columns = {one: column(one) for one in FIELDS}
    return PowerLog(
        format="simtool", device=name, device_name=manifest.device.name, clock="relative",
        times_s=column("time_s"),
        columns={one: values for one, values in columns.items() if not np.isnan(values).all()},
        labels=tuple(label or "" for label in table["label"].to_pylist()), scope="gpu",
        kind="modelled" if manifest.power.kind == "modelled" else "measured",
    )  # fmt: skip
