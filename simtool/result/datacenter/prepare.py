"""A datacenter with its names resolved and its jobs priced, ready to be simulated under any seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from simtool.config.load_datacenter import LoadedDatacenter
from simtool.errors import InputError, Problem
from simtool.facility import ConstantPue, Facility, build_facility
from simtool.profiles.find import ProfileLibrary
from simtool.result.datacenter.campaign import CampaignRun, campaign_runs
from simtool.result.datacenter.hazards import breakage_of, site_hazards
from simtool.result.datacenter.jobs import SiteJobs, site_jobs
from simtool.result.datacenter.limits import power_limits
from simtool.result.datacenter.pools import PricedPool, build_pools
from simtool.result.datacenter.signals import Place, SchedulerSignals, clock_notes
from simtool.rng import stream
from simtool.sim.fleet.outcome import FleetOutcome
from simtool.sim.fleet.placement import PLACEMENTS
from simtool.sim.fleet.plan import FleetPlan, PowerLimit
from simtool.sim.fleet.run import simulate_fleet
from simtool.sim.hazards import HazardEvent
from simtool.sim.hazards.events import hazard_events, job_events
from simtool.sim.hazards.plan import HazardPlan
from simtool.sim.schedulers import SCHEDULERS
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_YEAR, display

CARBON_SCHEDULERS = ("carbon-aware", "cleanest-site", "follow-carbon")
"""Schedulers that cannot do without the signal ``carbon``."""
MAX_DURATION_S = 100 * SECONDS_PER_YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedSite:
    """A datacenter, ready to run."""

    loaded: LoadedDatacenter
    library: ProfileLibrary
    pools: tuple[PricedPool, ...]
    campaign: tuple[CampaignRun, ...]
    hazards: HazardPlan | None
    limits: tuple[PowerLimit, ...]
    facilities: dict[str, Facility | ConstantPue]
    """By site."""
    profile_digests: dict[str, str]
    notes: tuple[str, ...]

    @property
    def end_s(self) -> float:
        """End of the simulation [s]; infinite: when the last job has ended."""
        duration = self.loaded.datacenter.duration
        return math.inf if duration is None else float(duration)


def prepare_site(loaded: LoadedDatacenter, library: ProfileLibrary) -> PreparedSite:
    """Resolve, check and price a datacenter; nothing is simulated yet.

    Raises:
        InputError: something in the file does not fit together.
        InfeasibleError: a model that does not fit the memory.
    """
    datacenter = loaded.datacenter
    _check_names(loaded)
    pools = build_pools(loaded, library)
    breakage = breakage_of(datacenter.reliability)
    hazards = site_hazards(loaded, library)
    campaign = campaign_runs(loaded, library, pools, breakage, hazards)
    digests: dict[str, str] = {}
    notes: list[str] = []
    for pool in pools:
        machine = pool.machine
        notes += machine.notes
        for kind, name in (
            ("accelerator", machine.accelerator.name),
            ("node", machine.node.name),
            ("network", machine.network.name),
            ("software", machine.software.name),
        ):
            digests[f"{kind}/{name}"] = library.digest(kind, name)
    for run in campaign:
        notes += _told(run)
        digests |= run.prepared.profile_digests
        notes += [f"{run.row.name}: {note}" for note in run.prepared.notes if note not in notes]
    for name in datacenter.terms:
        notes += clock_notes(Place(loaded, name), library)
    return PreparedSite(
        loaded=loaded,
        library=library,
        pools=pools,
        campaign=campaign,
        hazards=hazards,
        limits=power_limits(loaded),
        facilities={
            name: _facility(Place(loaded, name), library, pools, digests) for name in loaded.datacenter.terms
        },
        profile_digests=digests,
        notes=tuple(dict.fromkeys(notes)),
    )


def _told(run: CampaignRun) -> list[str]:
    """How a training run is laid out, and by which method it does less."""
    name, layout, batch = run.row.name, run.prepared.layout, run.prepared.scenario.workload.global_batch
    context = f" x cp {layout.cp}" if layout.cp > 1 else ""
    ranks = f"tp {layout.tp}{context} x pp {layout.pp} x dp {layout.dp}, ZeRO {layout.zero}"
    size = f"{batch:,} sequences" if isinstance(batch, int) else display(float(batch), "token")
    told = [f"{name}: {run.row.num_devices:,} accelerators as {ranks}; {size} a step"]
    effect = run.prepared.effect
    if effect is not None:
        told.append(
            f"{name}: with the method {effect.name} of its scenario (effect {effect.evidence}: {effect.source}); "
            "'method: false' leaves it out"
        )
    return told


def _check_names(loaded: LoadedDatacenter) -> None:
    scheduler = loaded.datacenter.scheduler
    problems = []
    for registry, name, field in (
        (SCHEDULERS, scheduler.name, "scheduler.name"),
        (PLACEMENTS, scheduler.placement, "scheduler.placement"),
    ):
        try:
            registry[name]
        except InputError as error:
            problems += [
                Problem(loaded.locate(field), field, one.found, one.allowed, one.mend)
                for one in error.problems
            ]
    duration = loaded.datacenter.duration
    if duration is not None and float(duration) > MAX_DURATION_S:
        found, allowed = f"found {float(duration) / SECONDS_PER_YEAR:.4g} years", "up to 100 years"
        problems.append(Problem(loaded.locate("duration"), "duration", found, allowed, "shorten it"))
    elif not _is_on_the_calendar(loaded.datacenter.start, float(duration or 0.0)):
        found = "found a time that leaves the calendar"
        mend = "begin earlier, or make it shorter"
        problems.append(Problem(loaded.locate("start"), "start", found, "years 1 to 9999", mend))
    problems += _lacks_carbon(loaded)
    if problems:
        raise InputError(problems)


def _is_on_the_calendar(start: datetime, duration_s: float) -> bool:
    """Whether the days of a run and those around it, which local time needs, have a date."""
    margin = timedelta(days=4)
    try:
        return start - margin < start + timedelta(seconds=duration_s) + margin
    except OverflowError:
        return False


def _lacks_carbon(loaded: LoadedDatacenter) -> list[Problem]:
    """Sites whose carbon intensity the scheduler asks for, and nobody tells."""
    name = loaded.datacenter.scheduler.name
    if name not in CARBON_SCHEDULERS:
        return []
    lacking = [
        Place(loaded, site)
        for site, terms in loaded.datacenter.terms.items()
        if terms.carbon.average is None and terms.carbon.marginal is None
    ]
    return [
        Problem(
            place.locate("carbon"),
            place.field("carbon"),
            f"found no intensity of the grid, which the scheduler {name} looks at",
            "",
            "add e.g. 'carbon: {average: {series: carbon-pjm}}', or name another scheduler",
        )
        for place in lacking
    ]


def _facility(
    place: Place, library: ProfileLibrary, pools: tuple[PricedPool, ...], digests: dict[str, str]
) -> Facility | ConstantPue:
    written = place.terms.facility
    if written.profile is None:
        return ConstantPue(pue=float(written.pue or 1.0))
    try:
        profile = library.get("facility", written.profile)
    except InputError as error:
        where, field = place.locate("facility.profile"), place.field("facility.profile")
        raise InputError(
            [Problem(where, field, one.found, one.allowed, one.mend) for one in error.problems]
        ) from None
    digests[f"facility/{written.profile}"] = library.digest("facility", written.profile)
    capacity_w = sum(pool.capacity_w for pool in pools if pool.fleet.site == place.name)
    if written.it_capacity is not None:
        capacity_w = float(written.it_capacity)
    return build_facility(profile, capacity_w)


def jobs_of(site: PreparedSite, run: int = 0) -> SiteJobs:
    """The jobs of one run of a study."""
    return site_jobs(site.loaded, site.library, site.pools, site.campaign, site.loaded.datacenter.seed, run)


def simulate_site(
    site: PreparedSite,
    jobs: SiteJobs,
    run: int = 0,
    progress: Callable[[float], None] | None = None,
) -> FleetOutcome:
    """One run of the fleet."""
    datacenter = site.loaded.datacenter
    plan = FleetPlan(
        pools=tuple(pool.fleet for pool in site.pools),
        kinds=jobs.kinds,
        scheduler=datacenter.scheduler.name,
        placement=datacenter.scheduler.placement,
        kill_at_limit=datacenter.scheduler.kill_at_limit,
        limits=site.limits,
        move_bytes_per_s=None if datacenter.moving is None else float(datacenter.moving.bandwidth),
    )
    horizon_s = _horizon_s(site, jobs)
    signals = {
        name: SchedulerSignals(Place(site.loaded, name), site.library, horizon_s) for name in datacenter.terms
    }
    return simulate_fleet(
        jobs.table,
        plan,
        kinds=jobs.kind,
        node_events={
            pool.name: _events(site.hazards, pool, datacenter.seed, run)
            for pool in site.pools
            if site.hazards is not None
        },
        job_events=_job_events(site.hazards, datacenter.seed, run),
        signals={pool.name: signals[pool.fleet.site] for pool in site.pools},
        end_s=site.end_s,
        progress=progress,
    )


def _events(hazards: HazardPlan, pool: PricedPool, seed: int, run: int) -> Iterator[HazardEvent]:
    """What happens to the nodes of a pool; every pool has random numbers of its own."""
    own = int(stream(seed, f"pool/{pool.name}", "hazards", run).integers(2**31))
    num_nodes = pool.fleet.num_nodes + pool.fleet.spare_nodes
    return takewhile(lambda event: event.time_s < math.inf, hazard_events(hazards, num_nodes, own, run))


def _horizon_s(site: PreparedSite, jobs: SiteJobs) -> float:
    """A time by which all is over, for signals that schedulers look at [s]."""
    if site.end_s < math.inf:
        return site.end_s
    table = jobs.table
    capacity = sum(pool.fleet.num_devices for pool in site.pools)
    work_s = float((table.num_devices * table.run_s).sum()) / capacity
    return float(table.submit_s[-1]) + 4.0 * (work_s + float(table.run_s.max())) + 30.0 * SECONDS_PER_DAY


def _job_events(
    hazards: HazardPlan | None, seed: int, run: int
) -> Callable[[str], Iterator[HazardEvent]] | None:
    if hazards is None or not hazards.job_causes:
        return None
    return lambda name: job_events(hazards, name, seed, run)
