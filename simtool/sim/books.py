"""A job's books: what its time went to, written to the ledger once it is known what work is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from simtool.ledger import WORK_STATES, Ledger, Pattern, Share
from simtool.sim.course import Attempt, Cut
from simtool.sim.outcome import CauseOutcome
from simtool.sim.pace import Pace
from simtool.sim.spans import Series, Stretch


class Past(NamedTuple):
    """An attempt that is over."""

    attempt: Attempt
    end_s: float
    """In the time of the course."""
    pace: Pace
    cut: Cut
    cause: str
    """What ended it, or undid more of it later."""
    blames: tuple[tuple[str, float], ...] = ()
    """What was lost before that, by cause [s]."""


def undone(past: Past, step: int, cause: str) -> Past:
    """The attempt once the job has gone back to `step`, by the cause given."""
    if step >= past.cut.durable_step or past.cut.durable_step == past.attempt.first_step:
        return past
    before_s = _lost_s(past.cut, past.pace) - math.fsum(lost_s for _, lost_s in past.blames)
    return past._replace(
        cut=past.attempt.cut(past.end_s, step), cause=cause, blames=(*past.blames, (past.cause, before_s))
    )


@dataclass(slots=True, kw_only=True)
class Books:
    """Sums of one job, and its segments of the ledger."""

    job: str
    ledger: Ledger
    num_devices: int
    waiting_pattern: Pattern | None
    """Power of ranks that wait for a straggler; None: the least of what they do."""
    useful_s: list[float] = field(default_factory=list)
    slowed_s: list[float] = field(default_factory=list)
    lost_s: list[float] = field(default_factory=list)
    checkpoint_s: list[float] = field(default_factory=list)
    restart_s: list[float] = field(default_factory=list)
    waiting_s: list[float] = field(default_factory=list)
    num_checkpoints: int = 0
    _lost_by_cause: dict[str, list[float]] = field(default_factory=dict)
    _interruptions: dict[str, int] = field(default_factory=dict)

    def interrupted(self, cause: str) -> None:
        """Count an interruption."""
        self._interruptions[cause] = self._interruptions.get(cause, 0) + 1

    def lose(self, duration_s: float, cause: str) -> None:
        """Count time that was lost."""
        self.lost_s.append(duration_s)
        self._lost_by_cause.setdefault(cause, []).append(duration_s)

    def spend(self, t0_s: float, t1_s: float, pattern: Pattern, num_devices: int, cause: str = "") -> None:
        """Write down time outside of attempts, by the state of the pattern: idle nodes wait."""
        self.ledger.append(t0_s, t1_s, self.job, pattern, num_devices)
        state = pattern.shares[0].state
        if state == "lost_work":
            self.lose(t1_s - t0_s, cause)
        else:
            (self.waiting_s if state == "idle" else self.checkpoint_s).append(t1_s - t0_s)

    def record(self, past: Past) -> None:
        """Write down an attempt."""
        self.num_checkpoints += past.cut.num_checkpoints
        losses_s = self._write(past.cut, past.pace)
        if past.blames:
            for cause, lost_s in past.blames:
                self.lose(lost_s, cause)
            losses_s = [math.fsum(losses_s) - math.fsum(lost_s for _, lost_s in past.blames)]
        for lost_s in losses_s:
            self.lose(lost_s, past.cause)

    def _write(self, cut: Cut, pace: Pace) -> list[float]:
        """Write down what an attempt did; gives the lengths that were lost."""
        losses_s: list[float] = []
        if pace.is_even:
            for stretch in cut.stretches:
                losses_s += self._whole(stretch)
            for series in cut.series:
                losses_s += self._many(series)
        else:
            for stretch in _stretches(cut):
                losses_s += self._paced(stretch, pace)
        return losses_s

    def _whole(self, stretch: Stretch) -> Iterable[float]:
        t0_s, t1_s, pattern = stretch
        self.ledger.append(t0_s, t1_s, self.job, pattern, self.num_devices)
        return self._book(pattern, [t1_s - t0_s])

    def _many(self, series: Series) -> Iterable[float]:
        begins_s, ends_s, pattern = series
        self.ledger.append_many(begins_s, ends_s, self.job, pattern, self.num_devices)
        return self._book(pattern, (ends_s - begins_s).tolist())

    def _book(self, pattern: Pattern, lengths_s: list[float]) -> Iterable[float]:
        state = pattern.shares[0].state
        if state == "lost_work":
            return lengths_s
        book = self.checkpoint_s if state == "checkpoint" else self.useful_s
        (self.restart_s if state == "restart" else book).extend(lengths_s)
        return ()

    def _paced(self, stretch: Stretch, pace: Pace) -> Iterator[float]:
        """A stretch of a course that stragglers slowed down."""
        state = stretch.pattern.shares[0].state
        for piece in pace.pieces(stretch.t0_s, stretch.t1_s):
            pattern, length_s = stretch.pattern, piece.t1_s - piece.t0_s
            if piece.slowdown > 1.0 and state not in ("checkpoint", "restart"):
                pattern = slowed(pattern, piece.slowdown, self.waiting_pattern)
            self.ledger.append(piece.t0_s, piece.t1_s, self.job, pattern, self.num_devices)
            if state in WORK_STATES:
                self.useful_s.append(piece.own_s)
                self.slowed_s.append(length_s - piece.own_s)
            else:
                yield from self._book(stretch.pattern, [length_s])

    def causes(self) -> tuple[CauseOutcome, ...]:
        """What every cause did."""
        names = sorted(self._interruptions.keys() | self._lost_by_cause.keys())
        return tuple(
            CauseOutcome(
                cause=name,
                num_interruptions=self._interruptions.get(name, 0),
                lost_s=math.fsum(self._lost_by_cause.get(name, ())),
            )
            for name in names
        )


def _stretches(cut: Cut) -> Iterator[Stretch]:
    yield from cut.stretches
    for series in cut.series:
        for t0_s, t1_s in zip(series.t0_s.tolist(), series.t1_s.tolist(), strict=True):
            yield Stretch(t0_s, t1_s, series.pattern)


def _lost_s(cut: Cut, pace: Pace) -> float:
    return math.fsum(
        pace.real_s(one.t1_s) - pace.real_s(one.t0_s)
        for one in _stretches(cut)
        if one.pattern.shares[0].state == "lost_work"
    )


@lru_cache(maxsize=256)
def slowed(pattern: Pattern, slowdown: float, waiting: Pattern | None) -> Pattern:
    """What devices do while all wait for one that takes `slowdown` times as long.

    They do the same in a share 1 / slowdown of the time and spin in a collective for the rest.

    >>> busy = Share(state="compute", device_frac=1.0, power_w=(700.0, 90.0, 20.0))
    >>> spin = Share(state="lost_work", device_frac=1.0, power_w=(190.0, 90.0, 20.0))
    >>> slow = slowed(Pattern(name="step", shares=(busy,)), 1.25, Pattern(name="spin", shares=(spin,)))
    >>> round(slow.power_w, 9)  # 0.8 x 810 + 0.2 x 300
    708.0
    """
    state = "lost_work" if pattern.shares[0].state == "lost_work" else "exposed_communication"
    least = min((waiting or pattern).shares, key=lambda share: math.fsum(share.power_w))
    shares = [replace(share, device_frac=share.device_frac / slowdown) for share in pattern.shares]
    rest_frac = 1.0 - math.fsum(share.device_frac for share in shares)
    shares.append(Share(state=state, device_frac=rest_frac, power_w=least.power_w))
    return Pattern(name=f"{pattern.name} (slow)", shares=tuple(shares))
