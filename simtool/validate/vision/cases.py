"""From what a row ran to a case that the step model prices."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, cast

import numpy as np

from simtool.config.scenario import Cluster
from simtool.layout.habits import habits_of
from simtool.layout.layouts import Layouts
from simtool.layout.memory import MemoryEstimate, estimate_memory
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.step.step import Job
from simtool.validate.case import Case
from simtool.validate.vision.names import BASE, LARGEST_BATCH, SLICED, WORKER, Known
from simtool.validate.vision.rows import Config, Row, Skipped, read_row
from simtool.workload.precision import PEAK_RATE

SHARE_LOST = 1.9
"""A batch that had to be halved at least once is below this part of itself."""
LEAST_BATCH = 8.0
"""Samples of a stated batch that are not halved further: the memory estimate is then too high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VisionCase:
    """One row, expressed."""

    config: Config
    case: Case

    @property
    def measured_s(self) -> float:
        """Step time as published."""
        return self.case.tokens / self.case.job.seq_len / self.config.samples_per_s

    @property
    def architecture(self) -> str:
        """Of the accelerator."""
        return self.case.machine.accelerator.architecture

    @property
    def mfu_flop_per_s(self) -> float:
        """Peak rate that model FLOP are compared with."""
        return self.case.machine.device.peak_flop_per_s(self.config.precision)


def express(row: Row, library: ProfileLibrary) -> VisionCase | Skipped:
    """A row of either table as a case, or why it cannot be one."""
    config = read_row(row)
    return config if isinstance(config, Skipped) else _express(config, dict(row), library)


def _express(config: Config, row: dict[str, str], library: ProfileLibrary) -> VisionCase | Skipped:
    limit = library.get("accelerator", config.accelerator).power.limit
    cap_w = config.power_cap_w
    if cap_w is not None and limit is not None and cap_w >= float(limit):
        cap_w = None
    machine = _machine(library, config.accelerator, config.node, config.num_nodes, cap_w)
    machine = _with_cores(machine, config)
    if PEAK_RATE.get(config.precision, config.precision) not in machine.accelerator.peak:
        return Skipped(config.row_id, config.family, f"no {config.precision} rate of {config.accelerator}")
    model = _model(library, config.model)
    job = Job(
        model=model,
        seq_len=config.seq_len,
        precision=config.precision,
        recompute="none",
        attention="flash" if config.is_fused else "unfused",
    )
    layouts, memory = _fitting(config, job, machine)
    case = Case(
        row=row,
        model=cast(Any, model),
        job=job,
        layouts=layouts,
        machine=machine,
        method=None,
        memory=memory,
        measured_s=float(np.asarray(layouts.global_batch)) / config.samples_per_s,
        token_flop=float(np.asarray(model.model_flop_per_token(config.seq_len))),
        rules=config.rules,
    )
    return VisionCase(config=config, case=case)


def _with_cores(machine: Machine, config: Config) -> Machine:
    """The cores that really prepare samples.

    R-slice: a rented machine of some accelerators has their share of the server's. R-worker: one process an
    accelerator prepares its samples, however many cores there are.
    """
    cores = machine.node.host_cores
    if cores is None or config.suite not in (*SLICED, *WORKER):
        return machine
    on_node = min(config.num_devices, machine.accelerators_per_node)
    share = float(on_node)
    if config.suite in SLICED:
        share = float(cores) * on_node / machine.accelerators_per_node
    own = Sourced(value=share, unit="", kind="assumed", source="share of the server")
    return replace(machine, node=machine.node.model_copy(update={"host_cores": own}))


def _layouts(config: Config, micro_batch: float, count: float) -> Layouts:
    return Layouts(
        tp=1.0,
        pp=1.0,
        vpp=1.0,
        dp=float(config.num_devices),
        zero=0.0,
        micro_batch=micro_batch,
        sequence_parallel=False,
        num_micro_batches=count,
    )


def _fitting(config: Config, job: Job, machine: Machine) -> tuple[Layouts, MemoryEstimate]:
    """Samples at a time, and how often. R-halved: a batch that memory does not hold is worked off in halves.

    R-batch: where none is stated it is the largest power of two that memory holds.
    """
    batch = LARGEST_BATCH[config.model.kind] if config.batch is None else config.batch
    count = config.num_micro_batches
    while True:
        layouts = _layouts(config, batch, count)
        memory = estimate_memory(
            job.model,
            layouts,
            seq_len=job.seq_len,
            precision=job.precision,
            recompute="none",
            attention=job.attention,
            capacity_bytes=machine.memory_bytes,
            workspace_bytes=machine.workspace_bytes,
            habits=habits_of(BASE),
        )
        stated = config.batch is not None
        is_halved = config.batch is not None and batch <= config.batch / SHARE_LOST
        if bool(memory.fits) or batch <= 1.0 or job.model.table_features > 0:
            return layouts, memory
        if is_halved and batch < LEAST_BATCH:
            return layouts, memory
        batch, count = batch / 2.0, count * (2.0 if stated else 1.0)


@cache
def _model(library: ProfileLibrary, known: Known) -> Any:
    preset = cast(Any, library.get(known.kind, known.preset))
    shape = preset.shape()
    return type(shape).model_validate(shape.model_dump() | dict(known.changes))


@cache
def _machine(
    library: ProfileLibrary, accelerator: str, node: str | None, num_nodes: int, cap_w: float | None
) -> Machine:
    cap = None if cap_w is None else Sourced(value=cap_w, unit="W", kind="published", source="the row")
    cluster = Cluster(accelerator=accelerator, node=node, num_nodes=num_nodes, power_cap=cap)
    return build_machine(
        library, cluster, BASE, attention=None, power_limit_w=None, locate=lambda field: field
    )
