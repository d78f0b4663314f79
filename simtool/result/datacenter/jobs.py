"""All jobs of a datacenter as one table: those of a file, those of a generator, and the campaign's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from simtool.config.datacenter_jobs import JobWork
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.reliability import Checkpoint
from simtool.errors import InputError, Problem
from simtool.jobs.campaign import campaign_table
from simtool.jobs.table import JobTable, concat
from simtool.ledger.sums import IntArray
from simtool.profiles.find import ProfileLibrary
from simtool.result.datacenter.campaign import CampaignRun
from simtool.result.datacenter.generated import generated_jobs
from simtool.result.datacenter.patterns import plain_points, waiting
from simtool.result.datacenter.pools import PricedPool, pools_named
from simtool.result.datacenter.traced import traced_jobs
from simtool.sim.fleet.plan import JobKind, PoolUse
from simtool.sim.plan import CheckpointPlan

NOBODY, UNNAMED = "(no job)", "(unnamed)"
"""In place of a user: devices that no job held, and what nobody caused; the user whose word is empty."""


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
        for traced in traced_jobs(loaded, jobs.trace, pools, notes):
            kind = _kind(loaded, pools, traced.name, traced.pools, "jobs.trace")
            parts.append((_asking(traced.table, jobs.work), kind))
        _refuse_reserved(loaded, [word for table, _ in parts for word in table.users])
        _refuse_twice(loaded, [name for table, _ in parts for name in table.name])
    if jobs.generator is not None:
        table = generated_jobs(loaded, library, pools, seed, run, notes)
        kind = _kind(loaded, pools, "generator", pools_named(pools, jobs.generator.pool), "jobs.generator")
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


def _refuse_twice(loaded: LoadedDatacenter, traced: Sequence[str]) -> None:
    """Refuse runs of a campaign that are called as a job of the file."""
    trace, known = loaded.datacenter.jobs.trace, set(traced)
    problems = [
        Problem(
            loaded.locate(field),
            field,
            f"found {job.name!r}, as a job of {'' if trace is None else trace.file} is called",
            "",
            "call the run differently",
        )
        for index, job in enumerate(loaded.datacenter.jobs.campaign)
        for field in (f"jobs.campaign[{index}].name",)
        if job.name in known
    ]
    if problems:
        raise InputError(problems)


def _refuse_reserved(loaded: LoadedDatacenter, users: Sequence[str]) -> None:
    """Refuse users who are called by words that mean something else in results."""
    if reserved := sorted({NOBODY, UNNAMED} & set(users)):
        field, found = (
            "jobs.trace.file",
            f"found a user called {reserved[0]!r}, which means something else in results",
        )
        raise InputError(Problem(loaded.locate(field), field, found, "", "call that user differently"))


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


def _kind(
    loaded: LoadedDatacenter,
    pools: tuple[PricedPool, ...],
    name: str,
    chosen: tuple[PricedPool, ...],
    field: str,
) -> JobKind:
    """What devices do in jobs of which only size and time are known."""
    work = loaded.datacenter.jobs.work
    if work is None:
        raise ValueError("jobs without 'work'")
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
    terms = loaded.datacenter.terms
    needs = "that moves between sites" if loaded.datacenter.moving is not None and len(terms) > 1 else ""
    if terms[pool.fleet.site].store_bandwidth is not None:
        needs = "that goes to a store which jobs share"
    if needs and written.size is None:
        found = f"found no size of the state {needs}"
        mend = "write e.g. 'size: 120 GB' and 'bandwidth: 2 GB/s' in place of 'write'"
        problems.append(Problem(loaded.locate(field), f"{field}.size", found, "", mend))
    elif written.write is None and written.size is None:
        found, mend = "found no size of a checkpoint", "add 'size: ...', or 'write: ...' in its place"
        problems.append(Problem(loaded.locate(field), f"{field}.size", found, "", mend))
    if written.kind == "in-memory":
        found, mend = "found 'in-memory'", "write synchronous or asynchronous: a site's jobs know no peers"
        problems.append(Problem(loaded.locate(f"{field}.kind"), f"{field}.kind", found, "", mend))
    if problems:
        raise InputError(problems)
    return CheckpointPlan(
        kind=written.kind,
        write_s=_write_s(written),
        stall_s=0.0 if written.stall is None else float(written.stall),
        interval_s=None if isinstance(written.interval, str) else float(written.interval),
        pattern=waiting(pool.machine, "checkpoint", "checkpoint"),
    )


def _write_s(written: Checkpoint) -> float:
    if written.write is not None:
        return float(written.write)
    if written.size is None or written.bandwidth is None:
        raise ValueError("a checkpoint without 'write' has a size and a bandwidth")
    return float(written.size) / float(written.bandwidth)
