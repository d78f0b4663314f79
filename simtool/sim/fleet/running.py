"""A job that holds devices, and its books."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from simtool.ledger import lost
from simtool.sim.fleet.books import Books
from simtool.sim.fleet.course import ROUNDING, Course, Piece
from simtool.sim.fleet.plan import PoolUse
from simtool.sim.fleet.spans import Span
from simtool.sim.schedulers import QueuedJob

MANY = 8
"""From so many regular checkpoints on, their intervals are written down as arrays."""


class Stage(Enum):
    """What a job that holds devices is doing."""

    RUNNING = "running"
    DETECTING = "detecting"
    """Something broke, and it does not know yet."""
    WAITING = "waiting"
    """For devices in place of those it lost."""
    SAVING = "saving"
    """Its state, before it leaves."""


class Undecided(NamedTuple):
    """Work whose fate is open: what was done, by how many devices of which pool."""

    piece: Piece
    num_devices: int
    books: Books


class Suspicion(NamedTuple):
    """What a job computes has been wrong since a moment, and nobody has found out yet."""

    event: object
    clean_s: float
    """Work in the latest state from before."""


class Running:
    """One job from the moment it gets devices until it gives them back."""

    __slots__ = (
        "books",
        "course",
        "durable_s",
        "num_held",
        "num_interruptions",
        "pending",
        "point",
        "queued",
        "saved_s",
        "since_s",
        "slowed",
        "spans",
        "stage",
        "start_s",
        "stop_s",
        "stopping",
        "straggle",
        "suspicion",
        "total_s",
        "use",
        "version",
    )

    def __init__(
        self,
        queued: QueuedJob,
        use: PoolUse,
        spans: list[Span],
        books: Books,
        *,
        now_s: float,
        total_s: float,
        durable_s: float,
        again: bool,
        point: int,
        slowed: float,
        moving_s: float = 0.0,
    ) -> None:
        self.queued, self.use, self.spans, self.books = queued, use, spans, books
        self.num_held = queued.num_devices
        self.start_s, self.total_s, self.durable_s = now_s, total_s, durable_s
        self.point, self.slowed = point, slowed
        self.straggle = 1.0
        self.pending: list[Undecided] = []
        self.suspicion: Suspicion | None = None
        self.stopping = use.points[point].pattern
        self.since_s = self.stop_s = now_s
        self.saved_s = durable_s
        self.num_interruptions = 0
        self.version = 0
        self.stage = Stage.RUNNING
        self.begin(now_s, again, moving_s)

    def begin(self, now_s: float, again: bool, moving_s: float = 0.0) -> None:
        """Work from the durable state on, if it has run before after a restart and once its state is here."""
        self.stage = Stage.RUNNING
        self.version += 1
        self.course = Course(
            self.use,
            self.total_s,
            now_s,
            point=self.point,
            slowed=self.slowed / self.straggle,
            done_s=self.durable_s,
            durable_s=self.durable_s,
            lead_s=moving_s + self.use.restart_s if again else 0.0,
            lead=self.use.restart_pattern,
        )

    def retime(self, now_s: float, *, point: int | None = None, straggle: float | None = None) -> bool:
        """Go on at another operating point, or with a slower or quicker node; False if that changes nothing now."""
        point = self.point if point is None else min(point, len(self.use.points) - 1)
        straggle = self.straggle if straggle is None else straggle
        if (point, straggle) == (self.point, self.straggle):
            return False
        self.point, self.straggle = point, straggle
        if self.stage is not Stage.RUNNING:
            return False
        position = self.course.at(now_s)
        if position.done_s >= self.total_s:
            return False  # only its last save is left
        saved_at_s = self.course.saved_at_s(now_s)
        self._close(now_s)
        self._book_safe(position.durable_s)
        self.version += 1
        self.durable_s = position.durable_s
        stopped = position.lead_left_s > 0.0
        self.course = Course(
            self.use,
            self.total_s,
            now_s,
            point=point,
            slowed=self.slowed / straggle,
            done_s=position.done_s,
            durable_s=position.durable_s,
            saved_at_s=saved_at_s,
            lead_s=position.lead_left_s,
            lead=position.activity if stopped else None,
            in_flight=position.in_flight,
        )
        return True

    def finish(self, now_s: float) -> None:
        """It is over, done or ended by its limit: what it did stands."""
        if self.stage is Stage.RUNNING:
            self._close(now_s)
        else:
            self.settle(now_s)
        self.suspicion = None
        self._write(self.pending, math.inf)
        self.pending = []

    def interrupt(self, now_s: float, detection_s: float) -> None:
        """Something breaks: what is not saved is lost, and it goes on in vain until it notices."""
        if self.stage is Stage.RUNNING:
            position = self.course.at(now_s)
            self.durable_s, self.stopping = position.durable_s, lost(position.activity)
            self._close(now_s)
        else:
            self.settle(now_s)
            self.stopping = lost(self.stopping)
        if self.suspicion is not None and self.durable_s <= self._limit_s(self.suspicion.clean_s):
            self.suspicion = None  # it goes on from a state from before
        self._book(self.durable_s)
        self.stage, self.since_s, self.stop_s = Stage.DETECTING, now_s, now_s + detection_s
        self.num_interruptions += 1
        self.version += 1

    def can_save_in(self, time_s: float) -> bool:
        """Whether a save takes no longer; a job that never saves has nothing to wait for."""
        saving = self.use.checkpoint
        return saving is None or saving.interval_s is None or saving.durable_s <= time_s

    def save(self, now_s: float) -> float:
        """Stop to save the state, then leave; when that is done [s]. At once where nothing can be saved."""
        position, saving = self.course.at(now_s), self.use.checkpoint
        if position.in_flight is not None and position.lead_left_s > 0.0:
            until_s, self.saved_s = position.in_flight
        elif saving is None or saving.interval_s is None or position.lead_left_s > 0.0:
            until_s, self.saved_s = now_s, position.durable_s
        else:
            until_s, self.saved_s = now_s + saving.durable_s, position.done_s
        self._close(now_s)
        self._book_safe(position.durable_s)
        self.durable_s = position.durable_s
        self.stage, self.since_s, self.stop_s = Stage.SAVING, now_s, until_s
        self.stopping = saving.pattern if saving is not None else position.activity
        self.version += 1
        return until_s

    def saved(self, now_s: float) -> None:
        """The save of `save` is complete."""
        self.settle(now_s)
        self.durable_s = self.saved_s
        self._book(self.durable_s)

    def lose(self, spans: list[Span]) -> None:
        """Devices are gone; call `settle` or `interrupt` first."""
        for start, stop in spans:
            kept: list[Span] = []
            for begin, end in self.spans:
                if end <= start or stop <= begin:
                    kept.append((begin, end))
                    continue
                kept += [(begin, start)] if begin < start else []
                kept += [(stop, end)] if stop < end else []
            self.spans = kept
        self.num_held = sum(stop - start for start, stop in self.spans)

    def gain(self, spans: list[Span]) -> None:
        """More devices, in place of lost ones; call `settle` first."""
        self.spans = self.spans + spans
        self.num_held += sum(stop - start for start, stop in spans)

    def settle(self, now_s: float) -> None:
        """Write down what its devices did since the last change, while it does not run."""
        if self.stage is not Stage.RUNNING:
            self.books.add(self.since_s, now_s, self.queued.job, self.stopping, self.num_held)
        self.since_s = now_s

    def corrupt(self, now_s: float, event: object) -> bool:
        """From now on it computes nonsense; False if it computes nothing, or nonsense already."""
        if self.stage is not Stage.RUNNING or self.suspicion is not None:
            return False
        clean_s = self.durable_s if self.use.checkpoint is None else self.course.saved_at_s(now_s)
        self.suspicion = Suspicion(event, max(clean_s, 0.0))
        return True

    def find_corruption(self, now_s: float) -> None:
        """It is found: everything since the last state from before is lost."""
        if self.suspicion is None:
            return
        clean_s = self.suspicion.clean_s
        if self.stage is Stage.RUNNING:
            clean_s = min(clean_s, self.course.at(now_s).durable_s)
            self._close(now_s)
        else:
            clean_s = min(clean_s, self.durable_s)
            self.settle(now_s)
        self.suspicion, self.durable_s = None, clean_s
        self._book(clean_s)
        if self.stage is not Stage.WAITING:
            self.stage, self.stopping = Stage.DETECTING, lost(self.course.pattern)
            self.since_s = self.stop_s = now_s
            self.num_interruptions += 1
            self.version += 1

    def _close(self, now_s: float) -> None:
        """The course ends here; its pieces wait to be written down."""
        course, safe = self.course, 0
        if not self.pending and self.suspicion is None and self.use.checkpoint is not None:
            safe = course.num_durable(now_s)
            safe = safe if safe >= MANY else 0
        if safe and self.use.checkpoint is not None:
            begins, ends, stops = course.regular(safe)
            job, num = self.queued.job, self.num_held
            self.books.add_many(begins, ends, job, course.pattern, num)
            self.books.add_many(ends, stops, job, self.use.checkpoint.pattern, num)
        self.pending += [Undecided(piece, self.num_held, self.books) for piece in course.pieces(now_s, safe)]

    def _book_safe(self, durable_s: float) -> None:
        """Write down what nothing can undo any more."""
        if self.suspicion is not None:
            durable_s = min(durable_s, self.suspicion.clean_s)
        limit_s = self._limit_s(durable_s)
        waiting = [one for one in self.pending if one.piece.done_s > limit_s]
        self._write([one for one in self.pending if not one.piece.done_s > limit_s], math.inf)
        self.pending = waiting

    def _book(self, durable_s: float) -> None:
        """Write down what waits for it: work beyond what is safe was in vain, the rest may still be suspect."""
        limit_s = self._limit_s(durable_s)
        self._write([one for one in self.pending if one.piece.done_s > limit_s], -math.inf)
        self.pending = [one for one in self.pending if not one.piece.done_s > limit_s]
        self._book_safe(durable_s)

    def _write(self, decided: list[Undecided], durable_s: float) -> None:
        job = self.queued.job
        for (t0_s, t1_s, pattern, done_s), num, books in decided:
            books.add(t0_s, t1_s, job, lost(pattern) if done_s > durable_s else pattern, num)

    def _limit_s(self, durable_s: float) -> float:
        """Work up to here is safe; the rounding of a sum is not taken for work."""
        return durable_s + ROUNDING * self.total_s
