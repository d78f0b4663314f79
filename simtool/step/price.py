"""Device seconds of every operation, summed by where it runs, what it is part of, and what bounds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from simtool.machine.device import Device
from simtool.stepgraph import Kind, Number, Op, Phase, Scope, StepGraph
from simtool.workload.precision import LOW_PRECISIONS


@dataclass(frozen=True, slots=True)
class Seconds:
    """Device time by (part of the step, bound, class of operation) for one execution of a scope."""

    by_part: dict[tuple[str, str, str], Number]
    attention: dict[bool, Number] = field(default_factory=dict)
    """Of it in attention's core, by whether it is backward; recomputation left out."""

    def total(self, *parts: str) -> Number:
        """Time of the named parts, all if none is named."""
        chosen: Number = 0.0
        for (part, _, _), seconds in self.by_part.items():
            if not parts or part in parts:
                chosen = chosen + seconds
        return chosen

    def bound_by(self, bound: str) -> Number:
        """Time bound by computation or by memory."""
        chosen: Number = 0.0
        for (_, by, _), seconds in self.by_part.items():
            if by == bound:
                chosen = chosen + seconds
        return chosen


def price(graph: StepGraph, device: Device) -> dict[Scope, Seconds]:
    """Device time of one layer, embedding and head per micro-batch, and of the step's end."""
    sums: dict[Scope, dict[tuple[str, str, str], Number]] = {scope: {} for scope in Scope}
    attention: dict[Scope, dict[bool, Number]] = {scope: {False: 0.0, True: 0.0} for scope in Scope}
    for op in graph:
        is_attention = op.kind in (Kind.ATTENTION, Kind.UNFUSED_ATTENTION) and not op.is_recompute
        for bound, seconds in device.op_time_s(op).items():
            key = (part_of(op), bound, class_of(op))
            sums[op.scope][key] = sums[op.scope].get(key, 0.0) + op.count * seconds
            if is_attention:
                is_backward = op.phase is not Phase.FORWARD
                attention[op.scope][is_backward] = attention[op.scope][is_backward] + op.count * seconds
    return {scope: Seconds(parts, attention[scope]) for scope, parts in sums.items()}


def part_of(op: Op) -> str:
    """Part of the step that an operation's device time counts to."""
    return "recompute" if op.is_recompute else op.phase.value


def class_of(op: Op) -> str:
    """The kind of operation, with the format of low-precision products: what one ratio of a stack scales."""
    low = f" {op.dtype}" if op.dtype in LOW_PRECISIONS else ""
    return op.kind.value + low + (f" {op.pattern}" if op.pattern else "")
