"""Training runs that scenarios describe, as jobs of this site: how long each takes, and what its devices draw."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from simtool.config.datacenter import moment
from simtool.config.datacenter_jobs import CampaignJob
from simtool.config.load import LoadedScenario, load_scenario
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.reliability import Reliability
from simtool.errors import InfeasibleError, InputError, Problem
from simtool.jobs.campaign import CampaignRow
from simtool.machine.power_caps import machine_under_cap
from simtool.profiles.find import ProfileLibrary, extendable, find_scenario
from simtool.result.datacenter.patterns import caps_w, training, waiting
from simtool.result.datacenter.pools import ANY, PricedPool
from simtool.result.datacenter.saving import Saving, checkpoint_plan, reliability_of, saving_of
from simtool.result.plan import CHECKPOINT_BYTES_PER_PARAMETER
from simtool.result.prepare import Prepared, prepare
from simtool.result.result import PhaseEstimate
from simtool.result.stretches import stretches
from simtool.sim.fleet.plan import JobKind, OperatingPoint, PoolUse
from simtool.sim.hazards.plan import HazardPlan
from simtool.step.step import estimate_step
from simtool.units import display


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignRun:
    """One training run, priced on this site."""

    row: CampaignRow
    kind: JobKind
    prepared: Prepared
    """On the first pool that it can run on."""
    method_name: str
    """Empty without a method."""


def campaign_runs(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    pools: tuple[PricedPool, ...],
    breakage: dict[str, Any] | None,
    hazards: HazardPlan | None,
) -> tuple[CampaignRun, ...]:
    """All runs of the campaign.

    Args:
        loaded: the datacenter.
        library: where profiles are found.
        pools: where they run.
        breakage: what breaks, as a scenario's ``reliability`` has it; None if nothing does.
        hazards: the same as causes, reclaims of hired nodes included.

    Raises:
        InputError: a scenario that is not found, or does not fit the pool.
        InfeasibleError: a model that does not fit the memory.
    """
    return tuple(
        _priced(loaded, library, pools, breakage, hazards, index, job)
        for index, job in enumerate(loaded.datacenter.jobs.campaign)
    )


def _priced(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    pools: tuple[PricedPool, ...],
    breakage: dict[str, Any] | None,
    hazards: HazardPlan | None,
    index: int,
    job: CampaignJob,
) -> CampaignRun:
    field = f"jobs.campaign[{index}]"
    chosen = [pool for pool in pools if job.pool == ANY or pool.name == (job.pool or pools[0].name)]
    scenario = _scenario(loaded, field, job).scenario
    _refuse_outside(loaded, field, job, chosen, scenario.cluster.num_nodes)
    saving = saving_of(loaded, field, job, scenario.reliability, breakage)
    reliability = reliability_of(saving, breakage)
    found: list[tuple[PricedPool, Prepared]] = []
    refused: InputError | InfeasibleError | None = None
    for pool in chosen:
        try:
            found.append((pool, _prepared(loaded, library, pool, reliability, field, job)))
        except (InputError, InfeasibleError) as error:
            refused = error
    if not found or (refused is not None and job.pool != ANY):
        raise AssertionError if refused is None else _of_run(loaded, field, job, refused)
    prepared, work_s = found[0][1], _work_s(found[0][1].phases)
    num_devices = int(prepared.layouts.num_devices)
    uses: list[PoolUse | None] = [None] * len(pools)
    for pool, there in found:
        if int(there.layouts.num_devices) == num_devices:
            uses[pool.index] = _use(loaded, job, there, work_s, saving, hazards)
    datacenter = loaded.datacenter
    workload = prepared.scenario.workload
    row = CampaignRow(
        name=job.name,
        model=workload.model if isinstance(workload.model, str) else job.scenario,
        submit_s=moment(job.submit, datacenter.start),
        num_devices=num_devices,
        run_s=work_s,
        limit_s=math.inf if job.limit is None else float(job.limit),
        deadline_s=math.inf if job.deadline is None else moment(job.deadline, datacenter.start),
        priority=job.priority,
        preemptible=job.preemptible,
        min_devices=_least(loaded, field, job, num_devices, prepared),
    )
    if work_s > row.limit_s:
        place = loaded.locate(f"{field}.limit")
        asked, takes = display(row.limit_s, "s"), display(work_s, "s")
        told = f"found {asked} for a run that takes {takes} without any failure"
        raise InputError(Problem(place, f"{field}.limit", told, "", "raise it, or train on fewer tokens"))
    if row.submit_s + work_s > row.deadline_s:
        raise InfeasibleError(
            f"deadline of {job.name}",
            f"the run takes {display(work_s, 's')} without any wait or failure, and there are "
            f"{display(row.deadline_s - row.submit_s, 's')} from its submission to its deadline",
            ("more nodes, fewer tokens", "a later deadline"),
        )
    size = None if saving.checkpoint is None else saving.checkpoint.size
    if size is None:
        state_bytes = float(CHECKPOINT_BYTES_PER_PARAMETER) * prepared.job.model.num_parameters
    else:
        state_bytes = float(size)
    kind = JobKind(name=job.name, uses=tuple(uses), holds_nodes=True, state_bytes=state_bytes)
    method = "" if prepared.effect is None else prepared.effect.method
    return CampaignRun(row=row, kind=kind, prepared=prepared, method_name=method)


def _refuse_outside(
    loaded: LoadedDatacenter, field: str, job: CampaignJob, chosen: Sequence[PricedPool], of_scenario: int
) -> None:
    """Refuse a run that its pools have too few nodes for, or that is submitted outside the time."""
    problems = []
    wanted = of_scenario if job.num_nodes is None else job.num_nodes
    largest = max(chosen, key=lambda pool: pool.fleet.num_nodes)
    most = largest.fleet.num_nodes
    if (job.min_nodes or wanted) > most:
        found = f"found {wanted:,} nodes"
        found += "" if job.num_nodes is not None else f", those of scenario {job.scenario}"
        allowed = f"up to the {most:,} nodes of pool {largest.name}"
        mend = f"write e.g. 'num_nodes: {most}' with 'layout: auto', or enlarge the pool"
        where = loaded.locate(f"{field}.num_nodes")
        problems.append(Problem(where, f"{field}.num_nodes", found, allowed, mend))
    datacenter, submit = loaded.datacenter, f"{field}.submit"
    submit_s = moment(job.submit, datacenter.start)
    if submit_s < 0.0:
        found, mend = "found a moment before the start", "move it, or the start"
        problems.append(Problem(loaded.locate(submit), submit, found, "", mend))
    elif datacenter.duration is not None and submit_s >= float(datacenter.duration):
        length = display(float(datacenter.duration), "s")
        found = f"found a moment {display(submit_s, 's')} after the start"
        allowed = f"less than the duration, {length}"
        problems.append(
            Problem(loaded.locate(submit), submit, found, allowed, "move it, or lengthen duration")
        )
    if problems:
        raise InputError(problems)


def _of_run(
    loaded: LoadedDatacenter, field: str, job: CampaignJob, error: InputError | InfeasibleError
) -> InputError | InfeasibleError:
    """What is wrong with a scenario on this site, at the run that asks for it."""
    if isinstance(error, InfeasibleError):
        others = tuple(one.replace("cluster.num_nodes", f"{field}.num_nodes") for one in error.alternatives)
        return InfeasibleError(f"{field} ({job.name}): {error.limit}", error.detail, others)
    return InputError(
        [
            one
            if one.field.startswith(field)
            else replace(
                one,
                where=loaded.locate(field),
                field=field,
                found=f"scenario {job.scenario}, {one.field}: {one.found}",
            )
            for one in error.problems
        ]
    )


def _least(
    loaded: LoadedDatacenter, field: str, job: CampaignJob, num_devices: int, prepared: Prepared
) -> int | None:
    """Accelerators of an elastic run at least."""
    if job.min_nodes is None:
        return None
    least = job.min_nodes * prepared.machine.accelerators_per_node
    if least > num_devices:
        found, allowed = (
            f"found {job.min_nodes:,} nodes",
            f"allowed: up to the {num_devices:,} accelerators it takes",
        )
        where = loaded.locate(f"{field}.min_nodes")
        raise InputError(Problem(where, f"{field}.min_nodes", found, allowed, "lower it"))
    return least


def _prepared(
    loaded: LoadedDatacenter,
    library: ProfileLibrary,
    pool: PricedPool,
    reliability: Reliability | str,
    field: str,
    job: CampaignJob,
) -> Prepared:
    scenario = _scenario(loaded, field, job)
    written = loaded.datacenter.pools[pool.index]
    cluster = scenario.scenario.cluster
    asked = job.num_nodes
    if asked is None:
        # As many devices as the scenario has, on nodes of another size if need be.
        asked = cluster.num_nodes
    changed = scenario.scenario.model_copy(
        update={
            "cluster": cluster.model_copy(
                update={
                    "accelerator": written.accelerator,
                    "node": written.node,
                    "network": written.network,
                    "network_bandwidth_per_node": None,
                    "num_nodes": asked,
                    "spare_nodes": 0,
                    "power_cap": None,
                }
            ),
            "reliability": reliability,
            **({} if job.tokens is None else {"workload": _with_tokens(scenario, job)}),
            **({} if job.layout is None else {"layout": job.layout}),
            **({} if job.method else {"method": "none"}),
        }
    )
    return prepare(replace(scenario, scenario=changed), library)


def _scenario(loaded: LoadedDatacenter, field: str, job: CampaignJob) -> LoadedScenario:
    name = job.scenario
    beside = loaded.path.parent / name
    try:
        path = beside if beside.suffix in (".yaml", ".yml") and beside.exists() else find_scenario(name)
    except InputError as error:
        where = loaded.locate(f"{field}.scenario")
        raise InputError(
            [replace(problem, where=where, field=f"{field}.scenario") for problem in error.problems]
        ) from None
    return load_scenario(path, elsewhere=extendable())


def _with_tokens(scenario: LoadedScenario, job: CampaignJob) -> Any:
    return scenario.scenario.workload.model_copy(update={"tokens": job.tokens, "batch_ramp": None})


def _work_s(phases: tuple[PhaseEstimate, ...]) -> float:
    return sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in phases)


def _use(
    loaded: LoadedDatacenter,
    job: CampaignJob,
    prepared: Prepared,
    work_s: float,
    saving: Saving,
    hazards: HazardPlan | None,
) -> PoolUse:
    """The run at every cap, its speed relative to that on its first pool."""
    machine, points = prepared.machine, list[OperatingPoint]()
    lowest = float(loaded.datacenter.power.lowest_cap)
    limited = loaded.datacenter.power.is_limited
    for cap_w in (caps_w(machine, lowest) or (None,)) if limited else (None,):
        phases = prepared.phases
        if cap_w is not None and points:
            capped = machine_under_cap(machine, cap_w)
            plain = estimate_step(prepared.job, prepared.layouts, capped)
            phases = stretches(
                prepared.scenario, prepared.job, prepared.layouts, capped, prepared.effect, plain
            )
        name = job.name if not points else f"{job.name} at {cap_w:.0f} W"
        speed = work_s / _work_s(phases)
        if points:
            speed = min(speed, points[-1].speed)
        points.append(OperatingPoint(speed, training(name, phases)))
    return PoolUse(
        points=tuple(points),
        checkpoint=checkpoint_plan(loaded, job, prepared, saving, hazards, work_s),
        restart_s=0.0 if saving.restart is None else float(saving.restart),
        restart_pattern=waiting(machine, "restart", "restart"),
    )
