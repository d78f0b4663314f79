"""Device seconds of every operation, summed by where it runs, what it is part of, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.machine.device import Device
from simtool.stepgraph import Number, Op, Scope, StepGraph


@dataclass(frozen=True, slots=True)
class Seconds:
    """Device time by (part of the step, bound) for one execution of a scope."""

    by_part: dict[tuple[str, str], Number]

    def total(self, *parts: str) -> Number:
        """Time of the named parts, all if none is named."""
        chosen: Number = 0.0
        for (part, _), seconds in self.by_part.items():
            if not parts or part in parts:
                chosen = chosen + seconds
        return chosen

    def bound_by(self, bound: str) -> Number:
        """Time bound by computation or by memory."""
        chosen: Number = 0.0
        for (_, by), seconds in self.by_part.items():
            if by == bound:
                chosen = chosen + seconds
        return chosen


def price(graph: StepGraph, device: Device) -> dict[Scope, Seconds]:
    """Device time of one layer, embedding and head per micro-batch, and of the step's end."""
    sums: dict[Scope, dict[tuple[str, str], Number]] = {scope: {} for scope in Scope}
    for op in graph:
        for bound, seconds in device.op_time_s(op).items():
            key = (part_of(op), bound)
            sums[op.scope][key] = sums[op.scope].get(key, 0.0) + op.count * seconds
    return {scope: Seconds(parts) for scope, parts in sums.items()}


def part_of(op: Op) -> str:
    """Part of the step that an operation's device time counts to."""
    return "recompute" if op.is_recompute else op.phase.value
