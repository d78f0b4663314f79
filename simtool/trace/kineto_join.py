"""Joins device work to the calls that launched it, and those to the operators around them.

A kernel and its launch share a correlation number. A launch lies within an operator, the innermost one of
its thread at that time. What the operators around it are called tells the phase of the step.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simtool.trace.kineto_events import Codes, Floats, Kernels, Launches, Operators

FORWARD, BACKWARD, OPTIMIZER, DATA = 1, 2, 3, 4
PHASE_NAMES = ("", "forward", "backward", "optimizer", "data")
_PHASES = (
    (BACKWARD, re.compile(r"^autograd::engine|Backward\d*$|_backward(?:$|_)|^#* ?backward\b", re.IGNORECASE)),
    (OPTIMIZER, re.compile(r"^Optimizer\.|^#* ?optimizer\b|^optimizer[_-]?step|aten::_fused_(?:adam|sgd)")),
    (DATA, re.compile(r"DataLoader|^#* ?(?:data|copy|input)[ _-]?(?:load|batch|to[_ ]device)")),
    (FORWARD, re.compile(r"^#* ?forward\b|\.forward$")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """For every kernel what it belongs to; -1 where that is not known."""

    launch: Codes
    operator: Codes
    """Innermost operator, annotations left out."""
    phase: Codes
    parent: Codes
    """Of every operator the one around it, annotations included; threads without launches are left out."""
    num_ambiguous: int
    """Kernels whose correlation number occurs several times, as where files of several processes were merged."""


def join(kernels: Kernels, launches: Launches, operators: Operators, texts: list[str]) -> Joined:
    """Join everything to everything."""
    launch, num_ambiguous = _launches_of(kernels, launches)
    num_operators = len(operators.name)
    parent = np.full(num_operators, -1, np.int64)
    phase_of_text = np.array([_phase_of(text) for text in texts], np.int64)
    phase_of_operator = phase_of_text[operators.name]
    own = operators.arguments >= 0
    innermost = np.where(own, np.arange(num_operators), -1)
    operator = np.full(len(kernels.name), -1, np.int64)
    phase = np.zeros(len(kernels.name), np.int64)
    has_launch = launch >= 0
    at_us = launches.begin_us[launch[has_launch]]
    at_thread = launches.thread[launch[has_launch]]
    members = np.flatnonzero(has_launch)
    for thread in np.unique(at_thread):
        chosen = np.flatnonzero(operators.thread == thread)
        if not len(chosen):
            continue
        order = chosen[np.lexsort((-operators.end_us[chosen], operators.begin_us[chosen]))]
        _nest(order, operators, parent, phase_of_operator, innermost)
        here = at_thread == thread
        around = _around(at_us[here], order, operators, parent)
        found = around >= 0
        place = members[here][found]
        operator[place] = innermost[around[found]]
        phase[place] = phase_of_operator[around[found]]
    _by_external(kernels, operators, own, operator, phase, phase_of_operator)
    return Joined(launch=launch, operator=operator, phase=phase, parent=parent, num_ambiguous=num_ambiguous)


def _phase_of(text: str) -> int:
    return next((phase for phase, pattern in _PHASES if pattern.search(text)), 0)


def _launches_of(kernels: Kernels, launches: Launches) -> tuple[Codes, int]:
    """Of every kernel the last launch of its correlation number before it."""
    order = np.lexsort((launches.begin_us, launches.correlation))
    numbers = launches.correlation[order]
    first = np.searchsorted(numbers, kernels.correlation, "left")
    behind = np.searchsorted(numbers, kernels.correlation, "right")
    launch = np.full(len(kernels.name), -1, np.int64)
    is_found = (behind > first) & (kernels.correlation >= 0)
    launch[is_found] = order[first[is_found]]
    several = np.flatnonzero(is_found & (behind - first > 1))
    for kernel in several:
        candidates = order[first[kernel] : behind[kernel]]
        num_before = np.searchsorted(launches.begin_us[candidates], kernels.begin_us[kernel], "right")
        launch[kernel] = candidates[max(0, num_before - 1)]
    return launch, len(several)


def _nest(order: Codes, operators: Operators, parent: Codes, phase: Codes, innermost: Codes) -> None:
    """Fill in, for the operators of one thread, what is around each and what it inherits from there."""
    ends = operators.end_us[order].tolist()
    begins = operators.begin_us[order].tolist()
    numbers = order.tolist()
    phases = phase[order].tolist()
    owners = innermost[order].tolist()
    parents = [-1] * len(numbers)
    stack: list[int] = []
    for place, begin in enumerate(begins):
        while stack and ends[stack[-1]] <= begin:
            stack.pop()
        if stack:
            above = stack[-1]
            parents[place] = numbers[above]
            if not phases[place]:
                phases[place] = phases[above]
            if owners[place] < 0:
                owners[place] = owners[above]
        stack.append(place)
    parent[order], phase[order], innermost[order] = parents, phases, owners


def _around(at_us: Floats, order: Codes, operators: Operators, parent: Codes) -> Codes:
    """The innermost operator around each moment, or -1."""
    place = np.searchsorted(operators.begin_us[order], at_us, "right") - 1
    found: NDArray[np.int64] = np.where(place >= 0, order[np.maximum(place, 0)], -1)
    while True:
        is_over = (found >= 0) & (operators.end_us[found] < at_us)
        if not is_over.any():
            return found
        found[is_over] = parent[found[is_over]]


def _by_external(
    kernels: Kernels,
    operators: Operators,
    own: NDArray[np.bool_],
    operator: Codes,
    phase: Codes,
    phases: Codes,
) -> None:
    """Kernels without a launch that they could be joined by have the number of their operator, at times."""
    left = np.flatnonzero((operator < 0) & (kernels.external >= 0))
    known = np.flatnonzero(own & (operators.external >= 0))
    if not len(left) or not len(known):
        return
    order = known[np.argsort(operators.external[known], kind="stable")]
    place = np.searchsorted(operators.external[order], kernels.external[left])
    found = order[np.minimum(place, len(order) - 1)]
    same = operators.external[found] == kernels.external[left]
    # In old files the number is that of the launch: then it tells nothing about operators.
    same &= kernels.external[left] != kernels.correlation[left]
    operator[left[same]] = found[same]
    phase[left[same]] = np.where(phase[left[same]] > 0, phase[left[same]], phases[found[same]])
