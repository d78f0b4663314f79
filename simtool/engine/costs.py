"""The cost table: what each signature costs, how often it ran, and what was done once.

Operations are exact: counted in the first step of a signature and multiplied by the number of its
steps. Time is measured in every other step, since counting slows a step down; steps without a time
are taken at the mean of their signature. A kind of step that no other step of the run repeated is
estimated from the timed kinds, by its operations and calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simtool.engine.count import Counts, OpCount, OpKey

PHASES = (
    "data", "score", "forward", "backward_input", "backward_weight", "optimizer", "communication", "prepare", "eval"
)  # fmt: skip
"""Where work is booked. ``prepare`` is what is done once or rarely: counting, cache filling, surgery.
``eval`` is never charged to training."""
CHARGED = tuple(phase for phase in PHASES if phase != "eval")
TIMED = ("data", "score", "forward", "backward", "optimizer", "communication")
"""Phases of a step with a time of their own; the two halves of a backward pass run interleaved."""
MAX_SAMPLES = 256


@dataclass(slots=True)
class SignatureCost:
    """Price of one kind of step."""

    signature: str
    num_steps: int = 0
    counts: Counts = field(default_factory=Counts)
    """Operations of one step."""
    flop: dict[str, float] = field(default_factory=dict)
    """Of one step, by phase [FLOP]: the sum of `counts`."""
    num_timed: int = 0
    duration_s: dict[str, float] = field(default_factory=dict)
    """Sum over the timed steps, by phase."""
    samples_s: list[dict[str, float]] = field(default_factory=list)
    """Durations by phase of up to `MAX_SAMPLES` timed steps, for medians and spread."""
    counted_s: dict[str, float] = field(default_factory=dict)
    """Of the counted step, used only where no other step of this kind ran: without the time that counting
    itself took, but with that of calling the counter and of everything that a first step sets up."""
    counted_share: float = 1.0
    """Share of `counted_s` that an ordinary step of this kind would take, as far as other kinds tell; 1 is an
    upper bound."""
    charged_flop: float = 0.0
    """The sum of `flop`."""
    num_calls: int = 0
    """The sum of calls in `counts`."""
    total_s: float = 0.0
    """The sum of `duration_s`."""

    def book(self, duration_s: dict[str, float], counts: Counts | None, *, is_timed: bool = True) -> None:
        """One more step; with `counts` it was the counted one, without `is_timed` its time says nothing."""
        self.num_steps += 1
        if counts is not None:
            self.counts, self.counted_s, self.flop = counts, duration_s, counts.flop_by_phase()
            self.charged_flop = sum(self.flop.values())
            self.num_calls = sum(count.calls for count in counts.ops.values())
            return
        if not is_timed:
            return
        self.num_timed += 1
        for phase, value in duration_s.items():
            self.duration_s[phase] = self.duration_s.get(phase, 0.0) + value
            self.total_s += value
        if len(self.samples_s) < MAX_SAMPLES:
            self.samples_s.append(duration_s)

    def step_s(self) -> dict[str, float]:
        """Mean duration of a step, by phase."""
        if not self.num_timed:
            return {phase: value * self.counted_share for phase, value in self.counted_s.items()}
        return {phase: total / self.num_timed for phase, total in self.duration_s.items()}

    def mean_s(self) -> float:
        """Mean duration of a step: the sum of `step_s`."""
        if not self.num_timed:
            return sum(self.counted_s.values()) * self.counted_share
        return self.total_s / self.num_timed


@dataclass(slots=True)
class CostTable:
    """All kinds of steps of a run, and what was done outside of steps."""

    by_signature: dict[str, SignatureCost] = field(default_factory=dict)
    once: Counts = field(default_factory=Counts)
    once_flop: dict[str, float] = field(default_factory=dict)
    """The sum of `once`, by phase [FLOP]."""
    once_s: dict[str, float] = field(default_factory=dict)
    declared_flop: dict[str, float] = field(default_factory=dict)
    """Work that torch does not see (numpy, LAPACK), declared by who did it, by phase."""

    def entry(self, signature: str) -> SignatureCost:
        """The price of a signature; a new one on first sight."""
        return self.by_signature.setdefault(signature, SignatureCost(signature))

    def book(
        self, signature: str, duration_s: dict[str, float], counts: Counts | None, *, is_timed: bool = True
    ) -> None:
        """One more step of a kind; see `SignatureCost.book`."""
        self.entry(signature).book(duration_s, counts, is_timed=is_timed)
        untimed = [entry for entry in self.by_signature.values() if not entry.num_timed]
        if untimed:
            self._estimate(untimed)

    def _estimate(self, untimed: Sequence[SignatureCost]) -> None:
        """What an ordinary step of kinds without a time would take, from the kinds that have one.

        Halfway between time in proportion to operations (large products) and to calls (small ones),
        and never more than the counted step took.
        """
        timed = [entry for entry in self.by_signature.values() if entry.num_timed]
        total_s = sum(entry.total_s for entry in timed)
        flop = sum(entry.num_timed * entry.charged_flop for entry in timed)
        num_calls = sum(entry.num_timed * entry.num_calls for entry in timed)
        for entry in untimed:
            counted_s = sum(entry.counted_s.values())
            if not (flop and num_calls and counted_s):
                continue
            by_both_s = 0.5 * total_s * (entry.charged_flop / flop + entry.num_calls / num_calls)
            entry.counted_share = min(1.0, by_both_s / counted_s)

    @property
    def is_unpriced(self) -> bool:
        """Whether nothing is known but one step that was counted, so that its time is no price at all."""
        entries = list(self.by_signature.values())
        return len(entries) == 1 and entries[0].num_steps == 1 and not entries[0].num_timed

    def book_once(self, phase: str, duration_s: float, counts: Counts | None, declared_flop: float) -> None:
        """Work between steps."""
        self.once_s[phase] = self.once_s.get(phase, 0.0) + duration_s
        if counts is not None:
            self.once.merge(counts)
            self.once_flop[phase] = self.once_flop.get(phase, 0.0) + counts.flop()
        self.declare(phase, declared_flop)

    def declare(self, phase: str, flop: float) -> None:
        """Operations that torch does not see."""
        if flop:
            self.declared_flop[phase] = self.declared_flop.get(phase, 0.0) + flop

    def flop_by_phase(self) -> dict[str, float]:
        """Operations of the run so far, by phase [FLOP]."""
        total = dict.fromkeys(PHASES, 0.0)
        for entry in self.by_signature.values():
            for phase, flop in entry.flop.items():
                total[phase] += entry.num_steps * flop
        for phase, flop in (*self.once_flop.items(), *self.declared_flop.items()):
            total[phase] += flop
        return total

    def flop(self) -> float:
        """Operations charged to training so far [FLOP]."""
        steps = sum(entry.num_steps * entry.charged_flop for entry in self.by_signature.values())
        return steps + sum(
            flop
            for once in (self.once_flop, self.declared_flop)
            for phase, flop in once.items()
            if phase != "eval"
        )

    def duration_by_phase_s(self) -> dict[str, float]:
        """Time of the run so far, by timed phase, with ``prepare`` [s]."""
        total = dict.fromkeys((*TIMED, "prepare", "eval"), 0.0)
        for entry in self.by_signature.values():
            for phase, mean in entry.step_s().items():
                total[phase] += entry.num_steps * mean
        for phase, value in self.once_s.items():
            total[phase] += value
        return total

    def duration_s(self) -> float:
        """Time charged to training so far [s]."""
        return self.steps_s() + sum(value for phase, value in self.once_s.items() if phase != "eval")

    def steps_s(self) -> float:
        """Time of all steps so far, without what was done between them [s]."""
        return sum(entry.num_steps * entry.mean_s() for entry in self.by_signature.values())

    def untimed_s(self) -> float:
        """The part of `steps_s` of steps that were counted, profiled or compiled, at the mean of others [s]."""
        return sum(
            (entry.num_steps - entry.num_timed) * entry.mean_s() for entry in self.by_signature.values()
        )

    def price_s(self, steps: dict[str, int]) -> float:
        """Time that so many steps of these signatures would take [s].

        Raises:
            KeyError: for a signature that this table has not seen.
        """
        return sum(count * self.by_signature[signature].mean_s() for signature, count in steps.items())

    def state_dict(self) -> dict[str, Any]:
        """Everything, as lists, numbers and strings."""
        return {
            "signatures": [
                {
                    "signature": entry.signature,
                    "num_steps": entry.num_steps,
                    "num_timed": entry.num_timed,
                    "duration_s": dict(entry.duration_s),
                    "samples_s": [dict(sample) for sample in entry.samples_s],
                    "counted_s": dict(entry.counted_s),
                    "counted_share": entry.counted_share,
                    "charged_flop": entry.charged_flop,
                    "num_calls": entry.num_calls,
                    "total_s": entry.total_s,
                    "flop": dict(entry.flop),
                    "counts": _rows(entry.counts),
                }
                for entry in self.by_signature.values()
            ],
            "once": _rows(self.once),
            "once_flop": dict(self.once_flop),
            "once_s": dict(self.once_s),
            "declared_flop": dict(self.declared_flop),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> CostTable:
        """The table that `state_dict` described."""
        table = cls(
            once=_counts(state["once"]),
            once_flop=dict(state["once_flop"]),
            once_s=dict(state["once_s"]),
            declared_flop=dict(state["declared_flop"]),
        )
        for row in state["signatures"]:
            values = dict(row)
            values["counts"] = _counts(values["counts"])
            table.by_signature[row["signature"]] = SignatureCost(**values)
        return table


def _rows(counts: Counts) -> list[list[Any]]:
    return [
        [
            key.phase,
            key.name,
            [list(shape) for shape in key.shapes],
            key.dtype,
            count.calls,
            count.flop,
            count.size_bytes,
        ]
        for key, count in counts.ops.items()
    ]


def _counts(rows: list[list[Any]]) -> Counts:
    counts = Counts()
    for phase, name, shapes, dtype, calls, flop, size_bytes in rows:
        key = OpKey(phase, name, tuple(tuple(shape) for shape in shapes), dtype)
        counts.ops[key] = OpCount(calls, flop, size_bytes)
    return counts
