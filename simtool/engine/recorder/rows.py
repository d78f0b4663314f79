"""Costs and profiles as rows of a trace."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from simtool.engine.costs import CostTable, SignatureCost
from simtool.engine.count import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, Counts, OpCount, OpKey
from simtool.engine.plan import StepPlan
from simtool.engine.recorder.join import Sample, Share
from simtool.trace.schema import OUTSIDE

Row = dict[str, Any]
_NOTHING = Share()


def signature_row(cost: SignatureCost, plan: StepPlan | None, num_sampled: int) -> Row:
    """One kind of step: how often it ran, and what its plan says."""
    row: Row = {
        "signature": cost.signature,
        "num_steps": cost.num_steps,
        "num_timed": cost.num_timed,
        "num_sampled": num_sampled,
    }
    if plan is None:
        return row
    return row | {
        "num_samples": plan.num_samples,
        "size": plan.size,
        "active": None if plan.active is None else "+".join(map(str, plan.active)),
        "frozen": plan.frozen,
        "is_cached": plan.cached,
        "backward_rows": plan.backward_rows,
        "tokens_kept": plan.tokens_kept,
        "update": None if plan.update is None else _names(sorted(plan.update)),
        "precision": plan.precision,
        "tags": "+".join(sorted(plan.tags | _window(plan))) or None,
    }


def _window(plan: StepPlan) -> frozenset[str]:
    """A window of attention, as a further fact that changes the cost of a step."""
    return frozenset() if plan.window is None else frozenset({f"window={plan.window}"})


def _names(names: Sequence[str]) -> str:
    """Names of parameters, shortened where a large model has more than a cell may hold."""
    text = "+".join(names)
    return text if len(text) <= MAX_NAMES else f"{text[:MAX_NAMES]}... ({len(names)} in all)"


MAX_NAMES = 8192
"""Characters of the names of trained parameters that are kept."""


def phase_rows(cost: SignatureCost, samples: Sequence[Sample]) -> Iterator[Row]:
    """Time and work of each phase of one kind of step."""
    means = cost.step_s()
    flop, size_bytes = _work(cost.counts)
    sampled = [phase for sample in samples for phase in sample.phase_s]
    for phase in dict.fromkeys((*means, *flop, *sampled)):
        timed = [sample.get(phase, 0.0) for sample in cost.samples_s]
        row: Row = {
            "signature": cost.signature,
            "phase": phase,
            "num_timed": cost.num_timed,
            "mean_s": means.get(phase, 0.0),
            "flop": flop.get(phase, 0.0),
            "size_bytes": size_bytes.get(phase, 0.0),
        }
        if timed:
            row |= dict(zip(("p10_s", "median_s", "p90_s"), _percentiles(timed), strict=True))
        if samples:
            row["sampled_mean_s"] = float(np.mean([sample.phase_s.get(phase, 0.0) for sample in samples]))
        yield row


def op_rows(signature: str, counts: Counts, samples: Sequence[Sample]) -> Iterator[Row]:
    """Operations of one kind of step: as counted, and as timed where steps were sampled."""
    keys = dict.fromkeys((*counts.ops, *(key for sample in samples for key in sample.ops)))
    for key in keys:
        count = counts.ops.get(key, OpCount())
        row: Row = {
            "signature": signature,
            "phase": key.phase,
            "op": key.name,
            "shapes": json.dumps(key.shapes, separators=(",", ":")),
            "dtype": key.dtype,
            "calls": count.calls,
            "flop": count.flop,
            "size_bytes": count.size_bytes,
            "num_sampled": len(samples),
        }
        if samples:
            row |= _times(key, samples)
        yield row


def outside_rows(costs: CostTable) -> tuple[list[Row], list[Row], list[Row]]:
    """Signatures, phases and operations of the work between steps, with what torch did not see."""
    flop, size_bytes = _work(costs.once)
    for phase, declared in costs.declared_flop.items():
        flop[phase] = flop.get(phase, 0.0) + declared
    signatures: list[Row] = [{"signature": OUTSIDE, "num_steps": 1, "num_timed": 1, "num_sampled": 0}]
    phases: list[Row] = [
        {
            "signature": OUTSIDE,
            "phase": phase,
            "num_timed": 1,
            "mean_s": costs.once_s.get(phase, 0.0),
            "flop": flop.get(phase, 0.0),
            "size_bytes": size_bytes.get(phase, 0.0),
        }
        for phase in dict.fromkeys((*costs.once_s, *flop))
    ]
    return signatures, phases, list(op_rows(OUTSIDE, costs.once, ()))


def _work(counts: Counts) -> tuple[dict[str, float], dict[str, float]]:
    """Operations and bytes by timed phase; the halves of a backward pass are one."""
    flop: dict[str, float] = {}
    size_bytes: dict[str, float] = {}
    for key, count in counts.ops.items():
        phase = BACKWARD if key.phase in {BACKWARD_INPUT, BACKWARD_WEIGHT} else key.phase
        flop[phase] = flop.get(phase, 0.0) + count.flop
        size_bytes[phase] = size_bytes.get(phase, 0.0) + count.size_bytes
    return flop, size_bytes


def _times(key: OpKey, samples: Sequence[Sample]) -> Row:
    shares = [sample.ops.get(key, _NOTHING) for sample in samples]
    durations = [share.duration_s for share in shares]
    names = ("duration_p10_s", "duration_median_s", "duration_p90_s")
    return {
        "launches": float(np.mean([share.launches for share in shares])),
        "duration_mean_s": float(np.mean(durations)),
        **dict(zip(names, _percentiles(durations), strict=True)),
    }


def _percentiles(values: Sequence[float]) -> list[float]:
    return [float(value) for value in np.percentile(values, (10, 50, 90))]
