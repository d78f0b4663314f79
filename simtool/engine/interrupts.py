"""Ctrl-C between steps: what is saved then is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

HELD = (signal.SIGINT, signal.SIGTERM)
"""Signals that may stand for Ctrl-C; a worker of many runs is stopped by the second."""


class HeldInterrupts:
    """Keeps an interrupt until `deliver`; a second one is not kept any more.

    In the middle of a step weights, order of the data and counters do not belong together, so a checkpoint of
    that moment could not be continued exactly. Only signals that Python code handles are kept, and only in the
    main thread, the one that Python hands signals to.

    Args:
        is_patient: keep a second one, too: among several processes one that leaves in the middle of a step
            keeps the others waiting, and who starts them passes on a signal that they have already.

    >>> with HeldInterrupts() as interrupts:
    ...     signal.raise_signal(signal.SIGINT)  # nothing happens yet
    ...     try:
    ...         interrupts.deliver()
    ...     except KeyboardInterrupt:
    ...         print("now")
    now
    """

    def __init__(self, *, is_patient: bool = False) -> None:
        self._is_patient = is_patient
        self._before: dict[signal.Signals, Any] = {}
        self._waiting: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in HELD:
                if callable(handler := signal.getsignal(number)):
                    self._before[number] = handler
                    signal.signal(number, self._keep)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if error is None:
            self.deliver()

    @property
    def is_waiting(self) -> bool:
        """Whether one is kept."""
        return self._waiting is not None

    def forget(self) -> None:
        """What waits was answered already. Who starts several processes also passes on what each had itself."""
        self._waiting = None

    def deliver(self) -> None:
        """Do what the waiting signal wanted, if there is one."""
        if self._waiting is not None:
            (number, frame), self._waiting = self._waiting, None
            self._before[signal.Signals(number)](number, frame)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._waiting is not None and not self._is_patient:
            self._before[signal.Signals(number)](number, frame)
        self._waiting = (number, frame)
