"""Many runs side by side: methods times seeds, over the cores, with what they came to in one table."""

from __future__ import annotations

import math
import multiprocessing
import re
import signal
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from simtool.engine.measure import SUMMARY, RunRequest, RunSummary, digest, read_summary, run_one
from simtool.engine.parallel import Parallel
from simtool.errors import InputError, Problem

Progressed = Callable[[float], None]
"""Told the finished share of all runs now and then."""
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Mean and standard deviation over seeds; the deviation is NaN for one seed."""

    mean: float
    deviation: float
    num: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Of the values that are known; NaN where none is.

        >>> Spread.of([1.0, 3.0, float("nan")])
        Spread(mean=2.0, deviation=1.4142135623730951, num=2)
        """
        known = [value for value in values if math.isfinite(value)]
        return cls(
            mean=fmean(known) if known else math.nan,
            deviation=stdev(known) if len(known) > 1 else math.nan,
            num=len(known),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodResult:
    """All seeds of one method on one task."""

    method: str
    runs: tuple[RunSummary, ...]

    @property
    def quality(self) -> Spread:
        """Quality of the test part."""
        return Spread.of(run.quality for run in self.runs)

    @property
    def flop(self) -> Spread:
        """Operations [FLOP]."""
        return Spread.of(run.flop for run in self.runs)

    @property
    def duration_s(self) -> Spread:
        """Time [s]."""
        return Spread.of(run.duration_s for run in self.runs)

    @property
    def energy_j(self) -> Spread:
        """Energy [J]; its kind stands in the runs."""
        return Spread.of(run.energy_j for run in self.runs)

    @property
    def num_failed(self) -> int:
        """Runs that diverged."""
        return sum(run.status == "diverged" for run in self.runs)


def run_all(
    requests: Sequence[RunRequest],
    *,
    num_workers: int = 1,
    progressed: Progressed | None = None,
    parallel: Parallel | None = None,
) -> list[RunSummary]:
    """Run everything, in this process or in several, and give the summaries in the order of the requests.

    With `parallel`, the processes that torchrun started do one run after the other together.

    A request whose folder holds a finished summary is taken from there. Ctrl-C stops all runs; each
    keeps its checkpoint.

    Raises:
        InputError: if a folder holds the finished run of another request.
        InputError, OutputError: of the first run that could not be done; the others are stopped.
        KeyboardInterrupt: after all runs have saved what they had.
    """
    done: dict[int, RunSummary] = {}
    open_ = []
    for index, request in enumerate(requests):
        held = read_summary(request.folder / SUMMARY)
        if held is not None and held.status != "interrupted":
            _check_same(held, request)
            done[index] = held
        else:
            open_.append(index)
    if parallel is not None:
        parallel.everyone(None)  # nobody writes before all have seen the same folders
    if num_workers <= 1 or len(open_) <= 1:
        for index in open_:
            done[index] = run_one(requests[index], _share(progressed, len(done), len(requests)), parallel)
            if done[index].status == "interrupted":
                raise KeyboardInterrupt
    else:
        done |= _in_processes(
            {index: requests[index] for index in open_}, num_workers, progressed, len(requests)
        )
    return [done[index] for index in range(len(requests))]


def _check_same(held: RunSummary, request: RunRequest) -> None:
    if held.asked != digest(request):
        raise InputError(
            Problem(
                str(request.folder),
                SUMMARY,
                "is of a run with another budget, data, width, depth, recipe, device or precision",
                "",
                "name another folder with -o, or remove this one",
            )
        )


def _share(progressed: Progressed | None, num_before: int, num_all: int) -> Progressed | None:
    if progressed is None:
        return None
    return lambda frac: progressed((num_before + min(1.0, frac)) / num_all)


def _in_processes(
    requests: dict[int, RunRequest], num_workers: int, progressed: Progressed | None, num_all: int
) -> dict[int, RunSummary]:
    context = multiprocessing.get_context("spawn")
    shares = context.Array("d", num_all)
    num_before = num_all - len(requests)
    with ProcessPoolExecutor(
        min(num_workers, len(requests)), mp_context=context, initializer=_begin, initargs=(shares,)
    ) as pool:
        futures = {pool.submit(_work, index, request): index for index, request in requests.items()}
        waiting: set[Future[RunSummary]] = set(futures)
        done: dict[int, RunSummary] = {}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=POLL_S, return_when=FIRST_COMPLETED)
                for future in finished:
                    done[futures[future]] = future.result()
                if progressed is not None:
                    progressed((num_before + sum(shares[:])) / num_all)
        except BaseException:
            for future in waiting:
                future.cancel()
            for process in multiprocessing.active_children():
                if process.pid is not None:
                    process.terminate()
            raise
    if any(summary.status == "interrupted" for summary in done.values()):
        raise KeyboardInterrupt
    return done


_shares: Any = None


def _begin(shares: Any) -> None:
    """A worker: Ctrl-C reaches it as one exception, a stop of the pool as the same."""
    global _shares  # noqa: PLW0603 - the one place where a worker keeps what it was born with
    _shares = shares
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _work(index: int, request: RunRequest) -> RunSummary:
    def report(frac: float) -> None:
        if _shares is not None:
            _shares[index] = min(1.0, frac)

    return run_one(request, report)


def by_method(runs: Sequence[RunSummary]) -> list[MethodResult]:
    """Runs of one task grouped by method, in the order of their first appearance."""
    names = list(dict.fromkeys(run.method for run in runs))
    return [
        MethodResult(method=name, runs=tuple(run for run in runs if run.method == name)) for name in names
    ]


def folder_name(text: str) -> str:
    """A method or task as a folder name.

    >>> folder_name("muon+progressive-size:until=0.6")
    'muon+progressive-size_until=0.6'
    """
    return re.sub(r"[^A-Za-z0-9.+=-]+", "_", Path(text).stem if text.endswith(".py") else text).strip("_")
