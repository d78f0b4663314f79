"""A frozen view of the ledger: its segments sorted by time, and how to expand and to sum them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from simtool.ledger.pattern import COMPONENTS, LEDGER_STATES, Pattern
from simtool.ledger.sums import FloatArray, IntArray, running_sum, sum_by_key

Block = tuple[FloatArray, FloatArray, int | IntArray, int | IntArray, int | IntArray]
"""Begins, ends, job, pattern and devices; the last three once for all intervals, or one for each."""

QUANTITIES = ("device_s", "energy_j")
RECORD_COMPONENTS = (*COMPONENTS, "device")
"""``device_s`` rows count whole devices: an accelerator with its share of host and network."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates per device of all patterns, one entry for every share and quantity, pattern after pattern."""

    first: IntArray
    """Index of the first entry of every pattern."""
    num: IntArray
    """Number of entries of every pattern."""
    quantity: IntArray
    component: IntArray
    state: IntArray
    rate: FloatArray
    """Devices per device, or watts per device."""

    @classmethod
    def of(cls, patterns: Sequence[Pattern]) -> Rates:
        """The rates of these patterns, in their order."""
        entries: list[tuple[int, int, int, float]] = []
        first = []
        for pattern in patterns:
            first.append(len(entries))
            for share in pattern.shares:
                state = LEDGER_STATES.index(share.state)
                entries.append((0, len(COMPONENTS), state, share.device_frac))
                entries += [
                    (1, component, state, share.device_frac * watts)
                    for component, watts in enumerate(share.power_w)
                ]
        codes = np.array([entry[:3] for entry in entries], np.int64).reshape(-1, 3)
        return cls(
            first=np.array(first, np.int64),
            num=np.array([len(pattern.shares) * len(RECORD_COMPONENTS) for pattern in patterns], np.int64),
            quantity=codes[:, 0],
            component=codes[:, 1],
            state=codes[:, 2],
            rate=np.array([entry[3] for entry in entries], np.float64),
        )

    def expand(self, pattern: IntArray) -> tuple[IntArray, IntArray]:
        """Row and entry of everything that rows with these patterns expand to, row after row."""
        num = self.num[pattern]
        rows = np.repeat(np.arange(len(pattern)), num)
        within = np.arange(len(rows)) - np.repeat(np.cumsum(num) - num, num)
        return rows, self.first[pattern][rows] + within


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """All segments, sorted by begin and end, and sums over them that every query needs."""

    t0_s: FloatArray
    t1_s: FloatArray
    job: IntArray
    pattern: IntArray
    num_devices: IntArray
    rates: Rates
    pair_job: IntArray
    """Job and pattern of every pair that occurs."""
    pair_pattern: IntArray
    pair_device_s: FloatArray
    """Device-seconds of every pair."""
    breakpoints_s: FloatArray
    """Every time at which a segment begins or ends, rising."""
    begins: IntArray
    """Index of each segment's begin and end among the breakpoints."""
    ends: IntArray

    @classmethod
    def of(
        cls,
        rows: Sequence[tuple[float, float, int, int, int]],
        blocks: Sequence[Block],
        patterns: Sequence[Pattern],
    ) -> Table:
        """Sort segments given singly (`rows`) and as arrays (`blocks`): begin, end, job, pattern, devices."""
        singles = np.array(rows, np.float64).reshape(-1, 5)
        t0_s = np.concatenate([singles[:, 0], *(block[0] for block in blocks)])
        t1_s = np.concatenate([singles[:, 1], *(block[1] for block in blocks)])
        job, pattern, num_devices = (
            np.concatenate([singles[:, place].astype(np.int64), *_filled(blocks, place)])
            for place in (2, 3, 4)
        )
        order = np.lexsort((t1_s, t0_s))  # stable: what ties stays in order of appending
        t0_s, t1_s, job, pattern, num_devices = (
            column[order] for column in (t0_s, t1_s, job, pattern, num_devices)
        )
        pairs, pair = np.unique(job * max(len(patterns), 1) + pattern, return_inverse=True)
        breakpoints_s, where = np.unique(np.concatenate([t0_s, t1_s]), return_inverse=True)
        return cls(
            t0_s=t0_s,
            t1_s=t1_s,
            job=job,
            pattern=pattern,
            num_devices=num_devices,
            rates=Rates.of(patterns),
            pair_job=pairs // max(len(patterns), 1),
            pair_pattern=pairs % max(len(patterns), 1),
            pair_device_s=sum_by_key(pair, num_devices * (t1_s - t0_s), len(pairs)),
            breakpoints_s=breakpoints_s,
            begins=where[: len(t0_s)],
            ends=where[len(t0_s) :],
        )

    def step_function(self, rate: FloatArray) -> FloatArray:
        """Sum of the segments' rates from every breakpoint to the next (one value fewer than breakpoints)."""
        keys = np.concatenate([self.begins, self.ends])
        steps = sum_by_key(keys, np.concatenate([rate, -rate]), len(self.breakpoints_s))
        return running_sum(steps)[:-1]


def _filled(blocks: Sequence[Block], place: int) -> list[IntArray]:
    """One number of every interval of blocks, in their order."""
    if all(isinstance(block[place], int) for block in blocks):  # many small blocks: one array at once
        lengths = [len(block[0]) for block in blocks]
        return [np.repeat(np.array([block[place] for block in blocks], np.int64), lengths)]
    return [np.broadcast_to(np.asarray(block[place], np.int64), len(block[0])) for block in blocks]
