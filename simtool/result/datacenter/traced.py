"""The jobs of a datacenter's file of jobs, by the pools that they can run on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.config.datacenter import moment
from simtool.config.datacenter_jobs import TraceJobs
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InfeasibleError, InputError, Problem
from simtool.jobs.files import read_jobs
from simtool.jobs.readers import JOB_READERS
from simtool.jobs.table import ANY, JobTable
from simtool.result.datacenter.pools import PricedPool, pools_named
from simtool.units import display


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedJobs:
    """Jobs of a file that can run on the same pools."""

    table: JobTable
    name: str
    """Of their kind."""
    pools: tuple[PricedPool, ...]


def trace_path(loaded: LoadedDatacenter, trace: TraceJobs) -> Path:
    """The file of jobs; a relative one lies beside the datacenter's."""
    path = Path(trace.file).expanduser()
    return path if path.is_absolute() else loaded.path.parent / path


def traced_jobs(
    loaded: LoadedDatacenter, trace: TraceJobs, pools: tuple[PricedPool, ...], notes: list[str]
) -> tuple[TracedJobs, ...]:
    """The jobs of a file; those that it ties to a type of accelerator run on pools of that type alone.

    Args:
        loaded: the datacenter.
        trace: what it says of the file.
        pools: where jobs run.
        notes: what was assumed is added.

    Raises:
        InputError: a file that is wrong, no job in the time, a job too large, or tied to a type that no pool has.
        InfeasibleError: a deadline that its job cannot meet even if it starts at once.
    """
    path = trace_path(loaded, trace)
    table = _read(loaded, trace, path)
    if trace.any_accelerator:
        table = replace(table, accelerator=np.full(len(table), ANY, np.int32), accelerators=())
    if trace.first is not None or trace.last is not None:
        table = _between(loaded, trace, table)
    _refuse_hopeless(path, table)
    table, what = _from_the_start(trace, table)
    notes.append(
        f"{path.name}: {len(table):,} jobs, {table.gpu_hours:,.0f} accelerator-hours; {what} when the site starts, "
        f"{loaded.datacenter.start:%Y-%m-%dT%H:%MZ}"
    )
    num_elastic = int((table.max_devices > table.min_devices).sum())
    if num_elastic and loaded.datacenter.scheduler.name != "elastic":
        notes.append(
            f"{path.name}: {num_elastic:,} jobs are elastic; of the shipped schedulers 'elastic' alone gives them "
            "other numbers of devices than they ask for"
        )
    chosen = pools_named(pools, trace.pool)
    tied = {
        code: _of_type(path, word, chosen)
        for code, word in enumerate(table.accelerators)
        if (table.accelerator == code).any()
    }
    parts = [] if not (table.accelerator == ANY).any() else [(ANY, "trace", chosen)]
    parts += [(code, f"trace on {table.accelerators[code]}", found) for code, found in tied.items()]
    traced = []
    for code, name, found in parts:
        jobs = table.select(table.accelerator == code)
        jobs.require_fits(max(pool.fleet.num_devices for pool in found), place=str(path))
        traced.append(TracedJobs(table=jobs, name=name, pools=found))
    return tuple(traced)


def _read(loaded: LoadedDatacenter, trace: TraceJobs, path: Path) -> JobTable:
    """The jobs of the file; what the datacenter says wrongly of it is told where the datacenter says it."""
    try:
        return read_jobs(
            path,
            trace.format,
            time_zone=trace.time_zone,
            drop_zero_length=trace.drop_zero_length,
            sort=trace.sort,
        )
    except InputError as error:
        raise InputError([_at(loaded, path, one) for one in error.problems]) from None


def _at(loaded: LoadedDatacenter, path: Path, problem: Problem) -> Problem:
    """What is wrong with a file's rows stands in the file, all else in the datacenter."""
    if problem.where == str(path) and not problem.field:
        field, found = "jobs.trace.file", f"{path}: {problem.found}"
    elif not problem.where and problem.field in {"time_zone", JOB_READERS.noun}:
        field = f"jobs.trace.{'format' if problem.field == JOB_READERS.noun else problem.field}"
        found = problem.found
    else:
        return problem
    return replace(problem, where=loaded.locate(field), field=field, found=found)


def _from_the_start(trace: TraceJobs, table: JobTable) -> tuple[JobTable, str]:
    """The jobs in seconds since the site's start, and what of the file lies there."""
    if table.start is None:
        return table, "their times count from"
    if trace.first is None:
        begin_s, what = float(table.submit_s[0]), "the first is submitted"
    else:
        begin_s, what = moment(trace.first, table.start), f"it is {trace.first:%Y-%m-%dT%H:%MZ} in the file"
    moved = replace(
        table, submit_s=table.submit_s - begin_s, deadline_s=table.deadline_s - begin_s, start=None
    )
    return moved, what


def _between(loaded: LoadedDatacenter, trace: TraceJobs, table: JobTable) -> JobTable:
    field = "jobs.trace.first" if trace.first is not None else "jobs.trace.last"
    if table.start is None:
        found = "found it with jobs that stand on no calendar"
        raise InputError(Problem(loaded.locate(field), field, found, "", "leave first and last out"))
    first_s = 0.0 if trace.first is None else moment(trace.first, table.start)
    last_s = math.inf if trace.last is None else moment(trace.last, table.start)
    table = table.between(first_s, last_s)
    if len(table) == 0:
        place = loaded.locate("jobs.trace")
        raise InputError(
            Problem(place, "jobs.trace", "found no job between first and last", "", "widen them")
        )
    return table


def _refuse_hopeless(path: Path, table: JobTable) -> None:
    """Refuse deadlines that pass before their jobs could end."""
    spare_s = table.deadline_s - table.submit_s - table.run_s
    late = np.flatnonzero(spare_s < 0.0)
    if len(late) == 0:
        return
    row = int(late[np.argmin(spare_s[late])])
    more = f"; so it is with {len(late) - 1:,} other jobs" if len(late) > 1 else ""
    raise InfeasibleError(
        f"deadline of {table.name[row]}",
        f"{path}: job {table.name[row]!r}, row {row + 1} in order of submission, runs for "
        f"{display(float(table.run_s[row]), 's')} and has its deadline "
        f"{display(float(table.deadline_s[row] - table.submit_s[row]), 's')} after its submission{more}",
        ("a later deadline_s", "leave deadline_s empty where there is none"),
    )


def _of_type(path: Path, word: str, pools: tuple[PricedPool, ...]) -> tuple[PricedPool, ...]:
    """The pools of an accelerator, called by its name or the first part of it: h100 for h100-sxm."""
    asked = word.lower()
    found = tuple(
        pool
        for pool in pools
        if pool.machine.accelerator.name == asked or pool.machine.accelerator.name.startswith(f"{asked}-")
    )
    if not found:
        known = ", ".join(sorted({pool.machine.accelerator.name for pool in pools}))
        mend = (
            "add 'any_accelerator: true' to jobs.trace to run them on other types, as long as they ran there"
        )
        raise InputError(
            Problem(str(path), "accelerator", f"found jobs tied to {word!r}", f"pools have {known}", mend)
        )
    return found
