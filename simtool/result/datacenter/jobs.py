"""All jobs of a datacenter as one table: those of a file, those of a generator, and the campaign's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from simtool.config.datacenter import moment
from simtool.config.datacenter_jobs import JobWork
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem
from simtool.jobs.campaign import campaign_table
from simtool.jobs.files import read_jobs
from simtool.jobs.table import JobTable, concat
from simtool.ledger.sums import IntArray
from simtool.profiles.find import ProfileLibrary
from simtool.result.datacenter.campaign import CampaignRun
from simtool.result.datacenter.generated import generated_jobs
from simtool.result.datacenter.patterns import plain_points, waiting
from simtool.result.datacenter.pools import PricedPool, pools_named
from simtool.sim.fleet.plan import JobKind, PoolUse
from simtool.sim.plan import CheckpointPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteJobs:
    """The jobs, and which kind each is of."""

    table: JobTable
    kinds: tuple[JobKind, ...]
    kind: IntArray
    """Index of `kinds`, shape (jobs,)."""
    notes: tuple[str, ...]


def site_jobs(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    pools: tuple[PricedPool, ...],
    campaign: Sequence[CampaignRun],
    seed: int,
    run: int = 0,
) -> SiteJobs:
    """All jobs in order of submission.

    Args:
        loaded: the datacenter.
        library: where generators are found.
        pools: where jobs run.
        campaign: its training runs, priced.
        seed: of the generator.
        run: index of the run inside a study.

    Raises:
        InputError: a file of jobs that is wrong, or no job in the time.
    """
    parts: list[tuple[JobTable, JobKind]] = []
    notes: list[str] = []
    jobs = loaded.datacenter.jobs
    if jobs.trace is not None:
        table = _traced(loaded, pools, notes)
        parts.append(
            (_asking(table, jobs.work), _kind(loaded, pools, "trace", jobs.trace.pool, "jobs.trace"))
        )
    if jobs.generator is not None:
        table = generated_jobs(loaded, library, pools, seed, run, notes)
        kind = _kind(loaded, pools, "generator", jobs.generator.pool, "jobs.generator")
        parts.append((_asking(table, jobs.work), kind))
    if campaign:
        rows = campaign_table([one.row for one in campaign])
        named = {one.row.name: one.kind for one in campaign}
        parts += [
            (rows.select(np.array([name == own for own in rows.name])), named[name]) for name in rows.name
        ]
    kinds = tuple(kind for _, kind in parts)
    of_job = {name: index for index, (table, _) in enumerate(parts) for name in table.name}
    table = concat([table for table, _ in parts]) if len(parts) > 1 else parts[0][0]
    notes += list(table.notes)
    kind_of = np.array([of_job[name] for name in table.name], np.int64)
    return SiteJobs(table=table, kinds=kinds, kind=kind_of, notes=tuple(dict.fromkeys(notes)))


def _asking(table: JobTable, work: JobWork | None) -> JobTable:
    """Limits and preemption as the datacenter states them."""
    if work is None:
        return table
    if work.limit is not None:
        limit_s = np.where(np.isinf(table.limit_s), table.run_s * float(work.limit), table.limit_s)
        table = replace(table, limit_s=limit_s)
    if work.preemptible:
        table = replace(table, preemptible=np.ones(len(table), np.bool_))
    return table


def _traced(loaded: LoadedDatacenter, pools: tuple[PricedPool, ...], notes: list[str]) -> JobTable:
    datacenter, trace = loaded.datacenter, loaded.datacenter.jobs.trace
    if trace is None:
        raise ValueError("no trace")
    path = Path(trace.file).expanduser()
    path = path if path.is_absolute() else loaded.path.parent / path
    table = read_jobs(path, trace.format, time_zone=trace.time_zone)
    if trace.first is not None or trace.last is not None:
        if table.start is None:
            place = loaded.locate("jobs.trace.first")
            found = "found it with jobs that stand on no calendar"
            raise InputError(Problem(place, "jobs.trace.first", found, "", "leave first and last out"))
        first_s = 0.0 if trace.first is None else moment(trace.first, table.start)
        last_s = math.inf if trace.last is None else moment(trace.last, table.start)
        table = table.between(first_s, last_s)
        if len(table) == 0:
            place = loaded.locate("jobs.trace")
            raise InputError(
                Problem(place, "jobs.trace", "found no job between first and last", "", "widen them")
            )
    rooms = [pool.fleet.num_devices for pool in pools_named(pools, trace.pool)]
    table.require_fits(max(rooms), place=str(path))
    begin_s = float(table.submit_s[0])
    table = replace(
        table, submit_s=table.submit_s - begin_s, deadline_s=table.deadline_s - begin_s, start=None
    )
    notes.append(
        f"{path.name}: {len(table):,} jobs, {table.gpu_hours:,.0f} accelerator-hours; the first is submitted when "
        f"the site starts, {datacenter.start:%Y-%m-%dT%H:%MZ}"
    )
    return table


def _kind(
    loaded: LoadedDatacenter, pools: tuple[PricedPool, ...], name: str, wanted: str | None, field: str
) -> JobKind:
    """What devices do in jobs of which only size and time are known."""
    work = loaded.datacenter.jobs.work
    if work is None:
        raise ValueError("jobs without 'work'")
    chosen = pools_named(pools, wanted)
    boards = {pool.machine.accelerator.name for pool in chosen}
    if len(boards) > 1:
        found = (
            f"found pools of {' and '.join(sorted(boards))}, and jobs of which only size and time are known"
        )
        mend = "add 'pool: ...': nobody knows how much quicker they are on the other"
        raise InputError(Problem(loaded.locate(field), f"{field}.pool", found, "", mend))
    limited = loaded.datacenter.power.is_limited
    lowest = float(loaded.datacenter.power.lowest_cap)
    uses: list[PoolUse | None] = [None] * len(pools)
    for pool in chosen:
        points = plain_points(name, pool.machine, float(work.activity), lowest)
        uses[pool.index] = PoolUse(
            points=points if limited else points[:1],
            checkpoint=_checkpoint(loaded, work, pool),
            restart_s=0.0 if work.restart is None else float(work.restart),
            restart_pattern=waiting(pool.machine, "restart", "restart"),
        )
    size = None if work.checkpoint is None else work.checkpoint.size
    return JobKind(name=name, uses=tuple(uses), state_bytes=0.0 if size is None else float(size))


def _checkpoint(loaded: LoadedDatacenter, work: JobWork, pool: PricedPool) -> CheckpointPlan | None:
    written = work.checkpoint
    if written is None:
        return None
    problems = []
    field = "jobs.work.checkpoint"
    if isinstance(written.interval, str):
        mend = "write e.g. 'interval: 1 h'"
        found = f"found {written.interval!r}, whose optimum depends on the size of each job"
        problems.append(
            Problem(loaded.locate(f"{field}.interval"), f"{field}.interval", found, "a time", mend)
        )
    if written.write is None and written.size is None:
        found, mend = "found no size of a checkpoint", "add 'size: ...', or 'write: ...' in its place"
        problems.append(Problem(loaded.locate(field), f"{field}.size", found, "", mend))
    if written.kind == "in-memory":
        found, mend = "found 'in-memory'", "write synchronous or asynchronous: a site's jobs know no peers"
        problems.append(Problem(loaded.locate(f"{field}.kind"), f"{field}.kind", found, "", mend))
    if problems:
        raise InputError(problems)
    write_s = (
        float(written.write)
        if written.write is not None
        else float(written.size or 0.0) / float(written.bandwidth or 1.0)
    )
    return CheckpointPlan(
        kind=written.kind,
        write_s=write_s,
        stall_s=0.0 if written.stall is None else float(written.stall),
        interval_s=None if isinstance(written.interval, str) else float(written.interval),
        pattern=waiting(pool.machine, "checkpoint", "checkpoint"),
    )
