"""Checkpoints of jobs that share the store of their site: longer writes where several save at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from simtool.ledger.sums import FloatArray
from simtool.result.datacenter.jobs import SiteJobs
from simtool.result.datacenter.prepare import PreparedSite
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.plan import JobKind, PoolUse
from simtool.sim.plan import CheckpointPlan
from simtool.sim.store import mean_write_s
from simtool.units import display

LOGGER = logging.getLogger(__name__)
MOST_ROUNDS = 6
CLOSE_FRAC = 0.01
"""Writes that change by less than this from one simulation to the next are found."""


def simulate_sharing(
    site: PreparedSite, jobs: SiteJobs, simulate: Callable[[SiteJobs], FleetOutcome]
) -> tuple[SiteJobs, FleetOutcome]:
    """Jobs and outcome with the writes that follow from who runs beside whom.

    When jobs run follows from how long they write, and the other way round: the fleet is simulated again with the
    mean writes of the jobs of each kind on each pool until they no longer change. Writes between the regular ones
    (before a stop, after a failure) are not counted as load of the store.

    Args:
        site: the site.
        jobs: with the writes that they would have alone.
        simulate: runs the fleet.
    """
    stores = _stores(site)
    outcome = simulate(jobs)
    if not stores:
        return jobs, outcome
    used = jobs
    for _ in range(MOST_ROUNDS):
        found = replace(jobs, kinds=_sharing(site, jobs, used, outcome, stores))
        change = _largest_change(used.kinds, found.kinds)
        if change <= CLOSE_FRAC:
            break
        used = found
        outcome = simulate(used)
    else:
        LOGGER.warning(
            "after %d simulations, the writes of jobs that share a store still change by %.2g %%: who runs beside "
            "whom depends on them",
            MOST_ROUNDS,
            change * 100.0,
        )
    return replace(used, notes=(*used.notes, *_notes(site, jobs, used))), outcome


def _stores(site: PreparedSite) -> dict[str, float]:
    """Bandwidths by site [byte/s]."""
    return {
        name: float(terms.store_bandwidth)
        for name, terms in site.loaded.datacenter.terms.items()
        if terms.store_bandwidth is not None
    }


def _sharing(
    site: PreparedSite, jobs: SiteJobs, used: SiteJobs, outcome: FleetOutcome, stores: dict[str, float]
) -> tuple[JobKind, ...]:
    """The kinds with the writes that follow from an outcome in which they wrote as `used` says."""
    uses = [list(kind.uses) for kind in jobs.kinds]
    for name, bandwidth in stores.items():
        groups = [
            group
            for index, pool in enumerate(site.pools)
            if pool.fleet.site == name
            for number in range(len(jobs.kinds))
            if (group := _group(jobs, used, outcome, number, index)) is not None
        ]
        if not groups:
            continue
        columns = [
            np.concatenate(column) for column in zip(*(group.columns for group in groups), strict=True)
        ]
        size_bytes = columns.pop()
        begins_s, ends_s, num, alone_s, used_s, stops = columns
        write_s = mean_write_s(begins_s, ends_s, num, alone_s, size_bytes / bandwidth, used_s, stops)
        first = 0
        for group in groups:
            last = first + len(group.columns[0])
            weights = num[first:last] if num[first:last].any() else None
            mean_s = float(np.average(write_s[first:last], weights=weights))
            checkpoint = replace(group.checkpoint, write_s=mean_s)
            uses[group.kind][group.pool] = replace(group.use, checkpoint=checkpoint)
            first = last
    return tuple(replace(kind, uses=tuple(own)) for kind, own in zip(jobs.kinds, uses, strict=True))


@dataclass(frozen=True, slots=True)
class _Group:
    """The jobs of a kind that ran on a pool, and save there."""

    kind: int
    pool: int
    use: PoolUse
    checkpoint: CheckpointPlan
    """As they would write alone."""
    columns: tuple[FloatArray, ...]
    """Begins, ends, numbers of writes, one write alone and as it was simulated, whether it stops, and its bytes."""


def _group(jobs: SiteJobs, used: SiteJobs, outcome: FleetOutcome, kind: int, pool: int) -> _Group | None:
    use, before = jobs.kinds[kind].uses[pool], used.kinds[kind].uses[pool]
    if use is None or before is None or use.checkpoint is None or before.checkpoint is None:
        return None
    plan = use.checkpoint
    mine = np.flatnonzero((outcome.pool == pool) & (jobs.kind == kind) & ~np.isnan(outcome.start_s))
    if not plan.interval_s or not len(mine):
        return None
    work_s = jobs.table.run_s[mine]
    ended_s = np.where(np.isnan(outcome.finish_s), outcome.end_s, outcome.finish_s)[mine]
    one = np.ones(len(mine))
    columns = (
        outcome.start_s[mine],
        ended_s,
        np.where(plan.interval_s < work_s, work_s / plan.interval_s, 0.0),
        one * plan.write_s,
        one * before.checkpoint.write_s,
        one * (plan.kind == "synchronous"),
        one * jobs.kinds[kind].state_bytes,
    )
    return _Group(kind, pool, use, plan, columns)


def _writes_s(kinds: tuple[JobKind, ...]) -> FloatArray:
    return np.array(
        [
            use.checkpoint.write_s
            for kind in kinds
            for use in kind.uses
            if use is not None and use.checkpoint is not None
        ]
    )


def _largest_change(before: tuple[JobKind, ...], after: tuple[JobKind, ...]) -> float:
    old_s, new_s = _writes_s(before), _writes_s(after)
    return float((np.abs(new_s - old_s) / np.maximum(np.maximum(old_s, new_s), 1e-9)).max(initial=0.0))


def _notes(site: PreparedSite, alone: SiteJobs, shared: SiteJobs) -> list[str]:
    """What sharing does to the writes of each kind of jobs."""
    notes = []
    for before, after in zip(alone.kinds, shared.kinds, strict=True):
        for pool, one, other in zip(site.pools, before.uses, after.uses, strict=True):
            if one is None or one.checkpoint is None or other is None or other.checkpoint is None:
                continue
            if other.checkpoint.write_s > one.checkpoint.write_s * (1.0 + 1e-6):
                long, own = display(other.checkpoint.write_s, "s"), display(one.checkpoint.write_s, "s")
                notes.append(
                    f"{before.name}: a checkpoint on pool {pool.name} takes {long} to the store that jobs share, and "
                    f"{own} to one of its own (mean of its writes)"
                )
    return notes
