"""Collectives among the devices of this machine, where there are several."""

from __future__ import annotations

import queue as queues
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import torch.multiprocessing as processes

from simtool.engine.suites import ranks
from simtool.engine.suites.bench import EAGER, Bench, row
from simtool.engine.suites.part import Row, Unmeasurable
from simtool.engine.suites.point import Point

SIZES = tuple(2**power for power in range(16, 31, 2))
"""Of the whole buffer, 64 KiB to 1 GiB [byte]."""


class CollectivesPart:
    """All kinds over all sizes, in one go: starting the processes takes longer than most sizes."""

    name: ClassVar[str] = "collectives"
    share: ClassVar[float] = 0.08

    def __init__(
        self, backend: str = "nccl", sizes: Sequence[int] = SIZES, kinds: Sequence[str] = ()
    ) -> None:
        self._backend, self._sizes, self._kinds = backend, tuple(sizes), tuple(kinds or ranks.KINDS)
        self._rows: dict[str, Row] | None = None

    def points(self, bench: Bench) -> Sequence[Point]:
        """The largest sizes first; none on a device that is alone."""
        world = bench.facts.num_devices
        if world < 2:
            return []
        return [
            Point(
                part="collectives",
                op=kind,
                dtype="float32",
                shape=(("bytes", size), ("ranks", world)),
                size_bytes=float(size),
                mode=EAGER,
            )
            for size in sorted(self._sizes, reverse=True)
            for kind in self._kinds
        ]

    def measure(self, bench: Bench, point: Point) -> Row:
        """The time of one collective; the first call measures them all.

        Raises:
            Unmeasurable: the processes could not talk to each other.
        """
        if self._rows is None:
            self._rows = {}
            self._measure_all(bench)
        found = self._rows.get(point.key)
        if found is None:
            raise Unmeasurable("the processes of the ranks did not get this far")
        return found

    def _measure_all(self, bench: Bench) -> None:
        points = list(self.points(bench))
        world = bench.facts.num_devices
        context = processes.get_context("spawn")
        queue = context.Queue()
        with tempfile.TemporaryDirectory() as folder:
            store = str(Path(folder) / "store")
            arguments = (world, self._backend, store, points, bench.effort.measure_s, queue)
            # what was measured before a failure counts; every other point tells that it is missing
            with suppress(processes.ProcessRaisedException, processes.ProcessExitedException, RuntimeError):
                processes.start_processes(ranks.rank_main, arguments, nprocs=world, start_method="spawn")
            self._take(points, queue)

    def _take(self, points: list[Point], queue: queues.Queue[tuple[int, list[float], int, float]]) -> None:
        """Rows from what rank 0 handed back."""
        rows = self._rows if self._rows is not None else {}
        while True:
            try:
                place, each_s, num_calls, begin_s = queue.get(timeout=0.5)
            except queues.Empty:
                return
            point = points[place]
            rows[point.key] = {
                **row(point, begin_s),
                "mode": EAGER,
                "num_calls": num_calls,
                "num_repeats": len(each_s),
                **ranks.percentiles(each_s),
                "window_s": sum(each_s) * num_calls / len(each_s),
            }
