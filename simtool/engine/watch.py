"""Who may look at a run while it happens: a recorder, and a power meter. Both are optional."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from simtool.engine.costs import SignatureCost
from simtool.engine.plan import StepPlan


class Recorder(Protocol):
    """Takes down what a run does. Everything it is given is final: nothing is changed later."""

    def sampling(self, step: int, signature: str) -> Any:
        """A context manager around a whole step, which may profile it; truthy `is_sampled` if it does."""

    def step(self, row: Mapping[str, Any]) -> None:
        """One finished step."""

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """One evaluation."""

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """A rare event: start, checkpoint, resume, diverged, interrupted, end, or one of a method's (`Work.event`)."""

    def flush(self) -> None:
        """Everything told so far must be safe now: a checkpoint is about to say that it was done."""

    def signature(self, plan: StepPlan, cost: SignatureCost) -> None:
        """A signature that this process meets for the first time, after its first step here."""


class Nobody:
    """A recorder that keeps nothing."""

    @contextmanager
    def sampling(self, step: int, signature: str) -> Iterator[None]:
        """No profile."""
        yield

    def step(self, row: Mapping[str, Any]) -> None:
        """Forgotten."""

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """Forgotten."""

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Forgotten."""

    def flush(self) -> None:
        """Nothing is held."""

    def signature(self, plan: StepPlan, cost: SignatureCost) -> None:
        """Forgotten."""


class EnergyMeter(Protocol):
    """Joules of the devices that train."""

    @property
    def kind(self) -> str:
        """``"measured"`` or ``"modelled"``."""

    def energy_j(self) -> float:
        """Energy since the meter was started [J]."""


def combined_kind(*kinds: str) -> str:
    """Kind of an energy that is the sum of several; an empty one says nothing.

    >>> combined_kind("measured", "modelled"), combined_kind("measured", ""), combined_kind("measured", "none")
    ('modelled', 'measured', 'none')
    """
    return next((kind for kind in ("none", "modelled", "measured") if kind in kinds), "none")
