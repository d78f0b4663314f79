"""What is written down while a fleet runs, in columns, and the ledger that comes of it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from simtool.ledger import Ledger, Pattern
from simtool.ledger.sums import FloatArray

NOBODY = -1
"""In place of a job: devices that no job holds."""


class Books:
    """Intervals of device time of one pool."""

    __slots__ = ("_blocks", "_codes", "_devices", "_job", "_pattern", "_patterns", "_t0_s", "_t1_s")

    def __init__(self) -> None:
        self._t0_s, self._t1_s = array("d"), array("d")
        self._job, self._pattern, self._devices = array("q"), array("q"), array("q")
        self._patterns: list[Pattern] = []
        self._codes: dict[int, int] = {}  # by identity: patterns are few, and comparing them is slow
        self._blocks: list[tuple[FloatArray, FloatArray, int, int, int]] = []

    def add(self, t0_s: float, t1_s: float, job: int, pattern: Pattern, num_devices: int) -> None:
        """So many devices of a job, or of nobody, followed a pattern."""
        if t1_s > t0_s and num_devices:
            self._t0_s.append(t0_s)
            self._t1_s.append(t1_s)
            self._job.append(job)
            self._pattern.append(self._code(pattern))
            self._devices.append(num_devices)

    def add_many(
        self, t0_s: FloatArray, t1_s: FloatArray, job: int, pattern: Pattern, num_devices: int
    ) -> None:
        """The same for many intervals."""
        keep = t1_s > t0_s
        if keep.any():
            self._blocks.append((t0_s[keep], t1_s[keep], job, self._code(pattern), num_devices))

    def _code(self, pattern: Pattern) -> int:
        code = self._codes.get(id(pattern))
        if code is None:
            code = self._codes[id(pattern)] = len(self._patterns)
            self._patterns.append(pattern)  # kept alive, so that its identity stays its own
        return code

    def ledger(self, names: Sequence[str]) -> Ledger:
        """All of it as a ledger, with jobs by name."""
        lengths = [len(block[0]) for block in self._blocks]
        t0_s, t1_s = (
            np.concatenate([np.frombuffer(column, np.float64), *(block[place] for block in self._blocks)])
            for place, column in enumerate((self._t0_s, self._t1_s))
        )
        job, pattern, devices = (
            np.concatenate(
                [
                    np.frombuffer(column, np.int64),
                    np.repeat(np.array([block[place] for block in self._blocks], np.int64), lengths),
                ]
            )
            for place, column in ((2, self._job), (3, self._pattern), (4, self._devices))
        )
        ledger = Ledger()
        present, codes = np.unique(job, return_inverse=True)
        labels = ["" if index == NOBODY else names[index] for index in present.tolist()]
        ledger.append_columns(t0_s, t1_s, labels, codes, self._patterns, pattern, devices)
        return ledger
