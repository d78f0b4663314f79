"""How long each step took, and what the device did in that time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtool.trace.intervals import Floats, clipped, covered, overlap, total, union
from simtool.trace.kernels import NOTHING, KernelTable
from simtool.trace.kineto_table import Window


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceStep:
    """One step of one rank; columns as in `schema.DEVICE_STEPS`."""

    rank: int
    step: int
    begin_s: float
    end_s: float
    busy_s: float
    compute_s: float
    communication_s: float
    exposed_communication_s: float
    num_ops: int
    flop: float | None
    energy_j: float | None = None

    @property
    def duration_s(self) -> float:
        """From begin to end [s]."""
        return self.end_s - self.begin_s


def device_steps(kernels: KernelTable, windows: Sequence[Window]) -> tuple[DeviceStep, ...]:
    """The steps of every rank, in order.

    A step begins when its annotation begins on the host or, where the device was still at work on what was
    launched before, when it came to this step. It ends with its annotation or its last kernel, and no later than
    the next one begins: so steps tile the time also where the host runs ahead of the device. Without
    annotations all device work is one step, number 0. Communication is exposed while no computation runs
    beside it; copies hide nothing.

    Args:
        kernels: of all ranks.
        windows: annotated steps.
    """
    found: list[DeviceStep] = []
    for rank in kernels.ranks:
        own = kernels.of_rank(rank)
        begin, end = own.numbers("start_s"), own.numbers("start_s") + own.numbers("duration_s")
        own_windows = [window for window in windows if window.rank == rank]
        bounds = _bounds(own, begin, end, own_windows)
        found += _measured(rank, own, begin, end, bounds)
    return tuple(found)


def _bounds(
    kernels: KernelTable, begin: Floats, end: Floats, windows: Sequence[Window]
) -> list[tuple[int, float, float]]:
    if not windows:
        return [(0, float(begin.min()), float(end.max()))]
    step = kernels.numbers("step")
    bounds: list[tuple[int, float, float]] = []
    for window in sorted(windows, key=lambda one: (one.begin_s, one.step)):
        here = (step == window.step) & (kernels.numbers("launch_s") >= window.begin_s)
        here = here if here.any() else step == window.step
        first, last = window.begin_s, window.end_s
        if here.any():
            started = float(begin[here].min())
            before = end[~here & (begin < started)]
            if len(before):
                first = max(first, min(started, float(before.max())))
            last = max(last, float(end[here].max()))
        bounds.append((window.step, first, max(first, last)))
    for place, (number, first, last) in enumerate(bounds[:-1]):
        bounds[place] = (number, first, max(first, min(last, bounds[place + 1][1])))
    return bounds


def _measured(
    rank: int, kernels: KernelTable, begin: Floats, end: Floats, bounds: Sequence[tuple[int, float, float]]
) -> list[DeviceStep]:
    communicates = kernels.where("op_class", "communication")
    computes = ~communicates & ~kernels.where("op_class", "copy")
    busy = union(begin, end)
    compute = union(begin[computes], end[computes])
    communication = union(begin[communicates], end[communicates])
    step, flop = kernels.numbers("step"), kernels.numbers("flop")
    rows = []
    for number, first, last in bounds:
        own = step == number if len(bounds) > 1 or number else step != NOTHING
        window = np.array([first, last])
        talked = clipped(communication, first, last)
        counted = flop[own & ~np.isnan(flop)]
        rows.append(
            DeviceStep(
                rank=rank, step=number, begin_s=first, end_s=last,
                busy_s=float(np.diff(covered(*busy, window))[0]),
                compute_s=float(np.diff(covered(*compute, window))[0]),
                communication_s=total(talked),
                exposed_communication_s=max(0.0, total(talked) - overlap(talked, compute)),
                num_ops=int(own.sum()), flop=float(counted.sum()) if len(counted) else None,
            )
        )  # fmt: skip
    return rows
