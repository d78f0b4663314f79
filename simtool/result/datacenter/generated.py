"""Jobs that a generator draws for a site: none larger than its pools, and as much work as was asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.config.load import load_document
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.validate import validate
from simtool.errors import InputError, Problem
from simtool.jobs.generate import MAX_JOBS, generate, jobs_per_day
from simtool.jobs.generator import Generator
from simtool.jobs.table import JobTable
from simtool.ledger.sums import FloatArray
from simtool.profiles.find import ProfileLibrary
from simtool.result.datacenter.pools import PricedPool, pools_named
from simtool.units import SECONDS_PER_DAY, display

SHORTEST_S = 1.0
"""Generated jobs run no shorter; less than that is not begun to meet a load."""
FIRST_JOBS = 1000
"""Drawn at first; then more, until there are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """The jobs of a stretch of the generator's own time that fit a pool."""

    table: JobTable
    too_large_s: FloatArray
    """When those were submitted that fit none [s]."""

    def num_too_large(self, end_s: float) -> int:
        """How many of those were submitted before a time."""
        return int((self.too_large_s < end_s).sum())

    @property
    def work_s(self) -> FloatArray:
        """Accelerator-seconds of every job, shape (jobs,)."""
        return np.asarray(self.table.num_devices * self.table.run_s)


def generated_jobs(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    pools: tuple[PricedPool, ...],
    seed: int,
    run: int,
    notes: list[str],
) -> JobTable:
    """Jobs of the datacenter's generator; jobs that fit no pool are left out.

    With a ``load``, times of submission are stretched or squeezed alike, so that the work of all jobs is that share of
    what the pools can do. In a given time, jobs are taken in their order until there is enough work: the last is cut
    to what is lacking, and the time that is stretched ends in the gap after it, as far in as the part of it that is
    left. A given number of jobs keeps its work, and the time from the first to the last submission follows. So the load
    is met under every seed, and a higher load brings the same jobs earlier, and more.

    Args:
        loaded: the datacenter.
        library: where generators are found.
        pools: where jobs run.
        seed: of all draws.
        run: index of the run inside a study.
        notes: what was assumed is added.

    Raises:
        InputError: no such generator, neither a number of jobs nor a time, no job, or none that a pool can hold.
    """
    datacenter, wanted = loaded.datacenter, loaded.datacenter.jobs.generator
    if wanted is None:
        raise ValueError("no generator")
    generator = _generator(loaded, library, wanted.profile)
    num_jobs = wanted.num_jobs
    span_s = None if datacenter.duration is None else float(datacenter.duration)
    if num_jobs is None and span_s is None:
        mend = "add 'num_jobs: ...' here, or 'duration: ...' to the datacenter"
        raise _wrong(loaded, "jobs.generator", "found neither a number of jobs nor a time", "", mend)
    chosen = pools_named(pools, wanted.pool)
    room = max(pool.fleet.num_devices for pool in chosen)
    smallest = min(
        size
        for kind in generator.batches.values()
        for size, share in zip(kind.sizes, kind.size_frac, strict=True)
        if share > 0.0
    )
    if smallest > room:
        found = f"found jobs of {smallest:,} accelerators and more"
        raise _wrong(loaded, "jobs.generator.profile", found, f"pools have up to {room:,}", "enlarge them")
    start = datacenter.start if wanted.load is None else None

    def draw(own_s: float) -> _Drawn:
        try:
            table = generate(generator, seed, span_s=own_s, start=start, run=run)
        except ValueError:
            found = f"found a time or a load of more than {MAX_JOBS:,} jobs"
            mend = "shorten the time, or lower the load or the number of jobs"
            raise _wrong(loaded, "jobs.generator", found, "", mend) from None
        fits = table.num_devices <= room
        return _Drawn(table=table.select(fits), too_large_s=table.submit_s[~fits])

    def enough(least_jobs: int, share: Callable[[_Drawn], float]) -> _Drawn:
        """Jobs of a time that grows until a share of what is needed exceeds 1."""
        own_s = max(FIRST_JOBS, least_jobs) / jobs_per_day(generator) * SECONDS_PER_DAY
        while (found := share(drawn := draw(own_s))) <= 1.0:
            # One stretch of a heavy-tailed generator says little of the next, so it is followed within bounds.
            own_s *= min(max(1.2 / max(found, 0.01), 1.5), 8.0)
        return drawn

    capacity = sum(pool.fleet.num_devices for pool in chosen)
    if num_jobs is not None:
        drawn = enough(num_jobs, lambda drawn: (len(drawn.table) + 0.5) / num_jobs)
        table = drawn.table.select(np.arange(len(drawn.table)) < num_jobs)
        end_s = float(table.submit_s[-1])
        if wanted.load is not None:
            table = _over(table, float(drawn.work_s[:num_jobs].sum()) / (capacity * float(wanted.load)))
    elif wanted.load is None:
        end_s = span_s or 0.0
        drawn = draw(end_s)
        table = drawn.table
    else:
        work_s = float(wanted.load) * capacity * (span_s or 0.0)
        drawn = enough(0, lambda drawn: float(drawn.work_s[:-1].sum()) / work_s)
        table, end_s = _with_work(drawn, work_s, span_s or 0.0)
    if len(table) == 0:
        found = f"found no job in {display(end_s, 's')} under seed {seed}, run {run}"
        raise _wrong(
            loaded, "jobs.generator", found, "at least one", "lengthen the time, or add 'num_jobs: ...'"
        )
    if wanted.load is not None:
        notes.append(
            f"{wanted.profile}: arrivals are paced so that jobs ask for {float(wanted.load):.0%} of {capacity:,} "
            "accelerators; the hours of the day shift with the pace"
            + ("" if num_jobs is not None else ", and the last job is cut to what was lacking")
        )
    if num_left := drawn.num_too_large(end_s):
        notes.append(
            f"{wanted.profile}: {num_left:,} jobs that ask for more than the {room:,} accelerators of a pool "
            "are left out"
        )
    return replace(table, start=None, name=tuple([f"generator/{name}" for name in table.name]))


def _over(table: JobTable, span_s: float) -> JobTable:
    """The same jobs, the first submitted at once and the last after so many seconds."""
    own_s = table.span_s
    since_s = table.submit_s - table.submit_s[0]
    return replace(table, submit_s=since_s * (span_s / own_s) if own_s else since_s)


def _with_work(drawn: _Drawn, work_s: float, span_s: float) -> tuple[JobTable, float]:
    """The first jobs, with so many accelerator-seconds, stretched over a time; and where their own time ends [s]."""
    table, own = drawn.table, drawn.work_s
    sums = np.cumsum(own)
    last = int(np.searchsorted(sums, work_s, side="left"))
    left_s = work_s - float(sums[last] - own[last])
    part = min(left_s / float(own[last]), 1.0)
    end_s = float(table.submit_s[last] + part * (table.submit_s[last + 1] - table.submit_s[last]))
    run_s = table.run_s.copy()
    run_s[last] *= part
    num = last + 1 if run_s[last] >= SHORTEST_S or last == 0 else last
    pace = end_s / span_s if end_s > 0.0 else 1.0
    # Rounding may put the last job on the end, where nothing is submitted any more.
    submit_s = np.minimum(table.submit_s / pace, math.nextafter(span_s, 0.0))
    taken = replace(table, submit_s=submit_s, run_s=run_s)
    return taken.select(np.arange(len(table)) < num), end_s


def _generator(loaded: LoadedDatacenter, library: ProfileLibrary, name: str) -> Generator:
    if Path(name).suffix in (".yaml", ".yml"):
        return validate(load_document(loaded.path.parent / Path(name).expanduser()), Generator, {})
    try:
        found = library.get("jobs", name)
    except InputError as error:
        where = loaded.locate("jobs.generator.profile")
        raise InputError(
            [replace(problem, where=where, field="jobs.generator.profile") for problem in error.problems]
        ) from None
    if not isinstance(found, Generator):
        raise TypeError(f"library returned {type(found).__name__} for jobs {name}")
    return found


def _wrong(loaded: LoadedDatacenter, field: str, found: str, allowed: str, mend: str) -> InputError:
    return InputError(Problem(loaded.locate(field), field, found, allowed, mend))
