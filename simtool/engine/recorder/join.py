"""Whose time it was: spans of a profile joined with the operations that were counted.

The counter sees an operation where it enters the dispatcher, and not what it calls in turn; so the
outermost span with the name of a counted operation is that operation, with everything inside. What is
left of a phase (Python, views, the autograd engine, waiting) stands in a row of its own: the operations
of a phase always sum to the phase.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from simtool.engine.count import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, Counts, OpCount, OpKey
from simtool.engine.recorder.profile import Shapes, Span
from simtool.engine.work import RANGE
from simtool.trace.schema import UNATTRIBUTED

_HALVES = (BACKWARD_INPUT, BACKWARD_WEIGHT)


@dataclass(slots=True)
class Share:
    """What one kind of operation took in one step."""

    duration_s: float = 0.0
    launches: float = 0.0


@dataclass(slots=True)
class Sample:
    """One profiled step."""

    phase_s: dict[str, float] = field(default_factory=dict)
    """Duration of each phase on the wall."""
    ops: dict[OpKey, Share] = field(default_factory=dict)
    """Sum over the operations of a phase, the unattributed one included, is the duration of the phase."""


@dataclass(frozen=True, slots=True)
class _Range:
    phase: str
    begin_s: float
    end_s: float


def join(outermost: Sequence[Span], counts: Counts, *, on_device: bool) -> Sample:
    """Time and launches of each counted operation in one profiled step.

    Args:
        outermost: spans of all threads, the phases among them.
        counts: operations of one step of this kind.
        on_device: time is that of the kernels an operation started, wherever and whenever they ran; the
            host's own time else. Kernels that overlap make the unattributed rest smaller, at worst negative.
    """
    sample = Sample()
    known = _by_name(counts)
    ranges = [
        _Range(span.name.removeprefix(RANGE), span.begin_s, span.end_s)
        for top in outermost
        for span in top.everything()
        if span.name.startswith(RANGE)
    ]
    for found in ranges:
        sample.phase_s[found.phase] = sample.phase_s.get(found.phase, 0.0) + found.end_s - found.begin_s
    for span in outermost:
        _visit(span, "", ranges, known, sample, on_device=on_device)
    spent = dict.fromkeys(sample.phase_s, 0.0)
    for key, share in sample.ops.items():
        spent[BACKWARD if key.phase in _HALVES else key.phase] += share.duration_s
    for phase, duration_s in sample.phase_s.items():
        sample.ops[OpKey(phase, UNATTRIBUTED, (), "")] = Share(duration_s - spent[phase])
    return sample


_Known = dict[tuple[str, str], list[tuple[OpKey, OpCount]]]


def _by_name(counts: Counts) -> _Known:
    """Counted operations by phase of a profile and name."""
    known: _Known = {}
    for key, count in counts.ops.items():
        phase = BACKWARD if key.phase in _HALVES else key.phase
        known.setdefault((phase, key.name), []).append((key, count))
    return known


def _visit(
    span: Span, phase: str, ranges: Iterable[_Range], known: _Known, sample: Sample, *, on_device: bool
) -> None:
    if span.name.startswith(RANGE):
        phase = span.name.removeprefix(RANGE)
    elif not phase:  # the backward pass of an accelerator runs on a thread of its own
        inside = (found.phase for found in ranges if found.begin_s <= span.begin_s < found.end_s)
        phase = next(inside, "")
    matching = _matching(span, phase, known) if phase else None
    if matching is None:
        for child in span.children:
            _visit(child, phase, ranges, known, sample, on_device=on_device)
        return
    duration_s, launches = span.duration_s, 1
    if on_device:
        inner = list(span.everything())
        duration_s = sum(part.device_s for part in inner)
        launches = sum(part.launches for part in inner)
    for key, share in _shares(span.shapes, matching):
        held = sample.ops.setdefault(key, Share())
        held.duration_s += duration_s * share
        held.launches += launches * share


def _matching(span: Span, phase: str, known: _Known) -> list[tuple[OpKey, OpCount]] | None:
    """Counted operations of a span's name.

    Where autograd sums gradients it adds in place, unless somebody watches the dispatcher, as the counter does.
    """
    name = span.name.rpartition("::")[2]
    return known.get((phase, name)) or known.get((phase, name.removesuffix("_")))


def _shares(shapes: Shapes, matching: list[tuple[OpKey, OpCount]]) -> Iterable[tuple[OpKey, float]]:
    """To whom a span belongs: to those of its shapes, else to all of its name, by their work.

    The profiler may not tell the shapes of operands that come in a list, which mostly stand last. A joint
    backward (of a convolution) was counted in both halves, and is divided by operations.
    """
    told = [(tuple(filter(None, key.shapes)), key, count) for key, count in matching]
    same = [(key, count) for seen, key, count in told if seen == shapes]
    alike = [(key, count) for seen, key, count in told if shapes and seen[: len(shapes)] == shapes]
    chosen = same or alike or matching
    for weights in (
        [count.flop for _, count in chosen],
        [count.size_bytes for _, count in chosen],
        [float(count.calls) for _, count in chosen],
    ):
        if total := sum(weights):
            return [(key, weight / total) for (key, _), weight in zip(chosen, weights, strict=True)]
    return [(key, 1.0 / len(chosen)) for key, _ in chosen]
