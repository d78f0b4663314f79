"""Borders in a run that the trace should show: a value that a method sets, and when it changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simtool.engine.work import Work


@dataclass(slots=True)
class Border:
    """Tells the trace when a value is another one than before; `value` belongs into the method's state."""

    kind: str
    """Of the event, one word."""
    value: Any = None
    """What was told last: a number, a word or a flag; None is nothing yet."""

    def see(self, work: Work, value: Any, **detail: Any) -> None:
        """The value that holds from here on, with what else the event should say."""
        if value != self.value:
            self.value = value
            work.event(self.kind, detail)
