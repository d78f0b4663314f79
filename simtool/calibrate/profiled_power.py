"""Power by what a device does, from power logs over profiled runs.

A stretch of time has shares: computing (products, convolutions, attention), moving memory (all other
kernels), communicating with nothing else to do, and waiting (no kernel at all). Its mean power is the sum of
the shares, each times the power of its kind: linear in four powers, whose priors are those of the profile.
A stretch is as long as four readings and four errors of the clock, so that a meter that averages, or lies
beside the ops, does not blur what is told apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from simtool.calibrate.fit import Coefficient
from simtool.calibrate.prior_fit import PriorFit, fit_with_prior
from simtool.calibrate.profiled_curves import Hardware
from simtool.calibrate.profiled_runs import Metered, Run
from simtool.calibrate.tables import FloatArray, KernelTable
from simtool.trace.intervals import covered, union
from simtool.trace.power_clean import CleanLog

DOING = ("compute", "memory", "communication", "waiting")
"""Kinds of time, each of which hides those behind it."""
_CLASSES: Mapping[str, tuple[str, ...]] = {
    "compute": ("gemm", "attention", "conv"),
    "memory": ("memory", "optimizer", "copy"),
    "communication": ("communication",),
}
READINGS_PER_STRETCH = 4
LEAST_STRETCHES = 8
"""Below, power is not fitted."""
MOST_STRETCHES = 100_000
"""Of one run; a longer one has longer stretches."""
NUM_BLOCKS = 10
"""Neighbouring stretches are held out together: the next one is no news."""
LEAST_DEVIATION = 0.2
"""How far a board's power may be from its profile's: boards, firmware and kernels differ."""
CAP_BINDS = 0.95
"""Power over the cap from which on a stretch says what the cap allows, not what the work would draw."""
CAPPED = 0.98
"""A limit below this share of the profile's is a cap that somebody set."""
MOSTLY = 0.9
"""Share of computing from which a stretch tells the clock's effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretches:
    """Stretches of metered time."""

    shares: Mapping[str, FloatArray]
    power_w: FloatArray
    limit_w: FloatArray
    """Not a number where it was not logged."""
    clock_hz: FloatArray
    block: FloatArray

    def __len__(self) -> int:
        return len(self.power_w)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerFit:
    """What was found of a device's power."""

    stretches: Stretches
    used: FloatArray
    """1 for stretches that were fitted, 0 for those that a cap held down."""
    fit: PriorFit | None
    reason: str = ""
    """Why nothing was fitted."""
    limits_w: tuple[float, ...] = ()
    """Limits that were logged, ascending."""
    notes: tuple[str, ...] = ()


def fit_power(runs: Sequence[Run], hardware: Hardware, seed: int) -> PowerFit:
    """Fit the powers of a device to all runs that were metered."""
    power = hardware.accelerator.power
    stretches = stretches_of(runs)
    empty = np.zeros(len(stretches))
    modelled = any(meter.kind != "measured" for run in runs for meter in run.meters)
    if not any(run.meters for run in runs):
        return PowerFit(
            stretches=stretches, used=empty, fit=None, reason="no power was logged beside the ops"
        )
    if modelled and not len(stretches):
        return PowerFit(
            stretches=stretches, used=empty, fit=None, reason="the power that was logged is modelled"
        )
    limits = _limits(runs)
    if power.limit is None and not limits:
        return PowerFit(
            stretches=stretches, used=empty, fit=None, reason="neither the profile nor the log states a limit"
        )
    limit_w = float(power.limit) if power.limit is not None else limits[-1]
    free = ~((stretches.limit_w < CAPPED * limit_w) & (stretches.power_w >= CAP_BINDS * stretches.limit_w))
    notes = _notes(limits, limit_w, int(np.sum(~free)))
    told: dict[str, Any] = {"limits_w": limits, "notes": notes}
    if int(free.sum()) < LEAST_STRETCHES:
        reason = (
            f"power is known in {int(free.sum())} stretches of time, at least {LEAST_STRETCHES} are needed"
        )
        return PowerFit(stretches=stretches, used=empty, fit=None, reason=reason, **told)
    priors = {}
    for doing in DOING:
        number = getattr(power.by_phase, doing)
        priors[doing] = Coefficient(limit_w * float(number), max(LEAST_DEVIATION, number.spread or 0.0))
    present = {doing: one for doing, one in priors.items() if np.any(stretches.shares[doing][free] > 0)}
    idle_w = {doing: one.prior for doing, one in priors.items()}
    columns = {doing: stretches.shares[doing][free] for doing in DOING}
    blocks = _drawn_blocks(stretches.block[free], seed)
    table = KernelTable(
        columns=columns, time_s=stretches.power_w[free], work=np.full(int(free.sum()), limit_w), group=blocks,
        is_training=np.ones(int(free.sum()), bool),
    )  # fmt: skip

    def predict(curve: SimpleNamespace, rows: KernelTable) -> FloatArray:
        watts = {**idle_w, **vars(curve)}
        return np.asarray(sum(rows.columns[doing] * watts[doing] for doing in DOING))

    if table.num_groups < 2:
        reason = "all metered time lies in one stretch"
        return PowerFit(stretches=stretches, used=empty, fit=None, reason=reason, **told)
    fit = fit_with_prior(table, present, predict)
    return PowerFit(stretches=stretches, used=free.astype(float), fit=fit, **told)


def _limits(runs: Sequence[Run]) -> tuple[float, ...]:
    """Limits that were logged, ascending [W]."""
    columns = [
        meter.log.log.columns["power_limit_w"]
        for run in runs
        for meter in run.meters
        if "power_limit_w" in meter.log.log.columns
    ]
    values = np.concatenate([*columns, np.empty(0)])
    found: list[float] = np.unique(np.round(values[~np.isnan(values)], 1)).tolist()
    return tuple(found)


def _notes(limits: tuple[float, ...], limit_w: float, num_held: int) -> tuple[str, ...]:
    notes = []
    capped = [one for one in limits if one < CAPPED * limit_w]
    if capped:
        shown = ", ".join(f"{one:g}" for one in capped[:4]) + (", ..." if len(capped) > 4 else "")
        notes.append(f"the board ran under a cap of {shown} W, of {limit_w:g} W: kernels may have run slower")
    if num_held:
        notes.append(f"{num_held} stretches at the cap say what the cap allows, and were not fitted")
    return tuple(notes)


def _drawn_blocks(block: FloatArray, seed: int) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Neighbouring stretches in blocks, numbered in an order drawn by the seed."""
    from simtool.rng import stream

    order = np.unique(block, return_inverse=True)[1].reshape(-1)
    number = order * min(NUM_BLOCKS, int(order.max()) + 1) // (int(order.max()) + 1)
    drawn = stream(seed, "calibrate", "power").permutation(int(number.max()) + 1)
    return np.asarray(drawn[number], np.intp)


def stretches_of(runs: Sequence[Run]) -> Stretches:
    """Stretches of all metered ranks of all runs."""
    parts = [
        part
        for run in runs
        for meter in run.meters
        if meter.kind == "measured" and (part := _of_meter(run, meter)) is not None
    ]
    offsets = np.cumsum([0, *(len(part) for part in parts)])

    def joined(column: list[FloatArray]) -> FloatArray:
        return np.concatenate([*column, np.empty(0)])

    return Stretches(
        shares={doing: joined([part.shares[doing] for part in parts]) for doing in DOING},
        power_w=joined([part.power_w for part in parts]), limit_w=joined([part.limit_w for part in parts]),
        clock_hz=joined([part.clock_hz for part in parts]),
        block=joined([part.block + offset for part, offset in zip(parts, offsets, strict=False)]),
    )  # fmt: skip


def _of_meter(run: Run, meter: Metered) -> Stretches | None:
    """The stretches of one meter that its readings cover whole."""
    log = meter.log
    if log.period_s is None:
        return None
    kernels = run.kernels.of_rank(meter.rank)
    begin = kernels.numbers("start_s")
    end = begin + kernels.numbers("duration_s")
    first_s, last_s = float(begin.min()), float(end.max())
    width_s = READINGS_PER_STRETCH * max(log.period_s[1], meter.error_s)
    width_s = max(width_s, (last_s - first_s) / MOST_STRETCHES)
    edges = np.arange(first_s, last_s, width_s)
    if len(edges) < 2:
        return None
    energy_j, known_s = _energies(log, edges - meter.offset_s)
    whole = (known_s >= 0.999 * width_s) & (energy_j > 0)
    shares: dict[str, FloatArray] = {}
    before = np.zeros(len(edges) - 1)
    chosen: tuple[str, ...] = ()
    for doing in DOING[:-1]:
        chosen += _CLASSES[doing]
        rows = kernels.where("op_class", *chosen)
        share = np.diff(covered(*union(begin[rows], end[rows]), edges)) / width_s
        shares[doing] = np.maximum(share - before, 0.0)[whole]
        before = share
    shares["waiting"] = np.maximum(1.0 - before, 0.0)[whole]
    places = np.flatnonzero(whole)
    return Stretches(
        shares=shares, power_w=(energy_j / np.maximum(known_s, 1e-12))[whole],
        limit_w=_means(meter, "power_limit_w", edges)[whole], clock_hz=_means(meter, "clock_hz", edges)[whole],
        block=places.astype(float),
    )  # fmt: skip


def _energies(log: CleanLog, edges_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Energy of every stretch between edges where it is known, and the time for which it is."""
    lengths_s = np.where(log.is_known, np.diff(log.edges_s), 0.0)
    gained_j = np.where(log.is_known, np.diff(log.energy_j), 0.0)
    energy_j, known_s = (np.concatenate(([0.0], np.cumsum(part))) for part in (gained_j, lengths_s))
    return (
        np.diff(np.interp(edges_s, log.edges_s, energy_j)),
        np.diff(np.interp(edges_s, log.edges_s, known_s)),
    )


def _means(meter: Metered, column: str, edges: FloatArray) -> FloatArray:
    """Mean reading in every stretch; not a number where there is none."""
    values = meter.log.log.columns.get(column)
    means = np.full(len(edges) - 1, np.nan)
    if values is None:
        return means
    place = np.searchsorted(edges, meter.log.log.times_s + meter.offset_s, "right") - 1
    good = ~np.isnan(values) & (place >= 0) & (place < len(means))
    num = np.bincount(place[good], minlength=len(means))
    total = np.bincount(place[good], values[good], len(means))
    means[num > 0] = total[num > 0] / num[num > 0]
    return means
