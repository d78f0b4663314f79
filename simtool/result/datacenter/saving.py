"""How training runs of a campaign save their state, and how often, whatever it is that stops them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from simtool.config.datacenter import Breakage
from simtool.config.datacenter_jobs import CampaignJob
from simtool.config.load_datacenter import LoadedDatacenter
from simtool.config.reliability import Checkpoint, Reliability
from simtool.errors import InputError, Problem
from simtool.provenance import Sourced
from simtool.result.datacenter.hazards import RECLAIM
from simtool.result.plan import build_plan
from simtool.result.prepare import Prepared
from simtool.sim.hazards.means import interruption_rate_per_s
from simtool.sim.hazards.plan import HazardPlan
from simtool.sim.plan import CheckpointPlan
from simtool.sim.theory import daly_interval_s, young_interval_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """What a run says of its checkpoints, in place of its scenario or by it."""

    checkpoint: Checkpoint | None
    """None: nothing is ever saved."""
    restart: Sourced | None


def saving_of(
    loaded: LoadedDatacenter,
    field: str,
    job: CampaignJob,
    own: Reliability | str,
    breakage: dict[str, Any] | None,
) -> Saving:
    """Checkpoint and restart of a run: its own, or those of its scenario.

    Raises:
        InputError: nodes fail and one of the two is missing; a checkpoint without a restart, which reclaims and
            preemption need as well; a kind that a site cannot follow.
    """
    checkpoint, restart = job.checkpoint, job.restart
    if not isinstance(own, str):
        checkpoint = checkpoint or own.checkpoint
        restart = own.restart if restart is None else restart
    lacks = "checkpoint" if checkpoint is None else "restart" if restart is None else ""
    if lacks and (breakage is not None or checkpoint is not None):
        example = "checkpoint: {write: 1 min}" if checkpoint is None else "restart: 10 min"
        found = f"found none, and scenario {job.scenario} has none either"
        mend = f"add e.g. '{example}'" + ("" if breakage is None else ", or write 'reliability: none'")
        raise InputError(Problem(loaded.locate(field), f"{field}.{lacks}", found, "", mend))
    if checkpoint is not None and checkpoint.kind == "in-memory":
        at = f"{field}.checkpoint.kind"
        found = "found 'in-memory'" + ("" if job.checkpoint else f", as scenario {job.scenario} has it")
        mend = "write a checkpoint of another kind: where a site's failures leave copies is not followed"
        raise InputError(Problem(loaded.locate(at), at, found, "synchronous or asynchronous", mend))
    return Saving(checkpoint=checkpoint, restart=restart)


def reliability_of(saving: Saving, breakage: dict[str, Any] | None) -> Reliability | str:
    """The scenario's ``reliability`` at this site: what breaks here, and how the run goes on."""
    if saving.checkpoint is None or saving.restart is None:  # the one without the other is refused
        return "none"
    causes = dict.fromkeys(Breakage.model_fields) if breakage is None else breakage
    return Reliability.model_construct(**causes, restart=saving.restart, checkpoint=saving.checkpoint)


def checkpoint_plan(
    loaded: LoadedDatacenter,
    job: CampaignJob,
    prepared: Prepared,
    saving: Saving,
    hazards: HazardPlan | None,
    work_s: float,
) -> CheckpointPlan | None:
    """Checkpoints of a run on a pool.

    A fixed interval holds whatever happens. The optimum of Daly or Young follows from everything that interrupts the
    run unannounced, reclaims with too short a notice among it; where nothing does, from announced reclaims. Without any
    rate the optimum is never, ``interval -> inf``: then the state is saved when the run is asked to leave, by
    preemption, a power limit or maintenance, and at its end. Where nothing can stop it, nothing is saved.

    Args:
        loaded: the datacenter.
        job: the run.
        prepared: on this pool.
        saving: from `saving_of`.
        hazards: what fails at the site, reclaims included.
        work_s: time of all its steps there [s].
    """
    written = saving.checkpoint
    if written is None:
        return None
    plan = build_plan(prepared).checkpoint
    if isinstance(written.interval, Sourced):
        return plan
    num_nodes = prepared.scenario.cluster.num_nodes
    rate_per_s, is_announced = 0.0, job.preemptible or loaded.datacenter.power.is_limited
    if hazards is not None:
        rate_per_s = interruption_rate_per_s(hazards, num_nodes)
        for cause in hazards.causes:
            is_announced = is_announced or cause.effect == "maintenance"
            is_reclaim = cause.name == RECLAIM and cause.effect == "maintenance"
            if is_reclaim and (cause.detection.mean_s < plan.durable_s or rate_per_s == 0.0):
                rate_per_s += cause.arrivals.rate_per_unit_s * num_nodes
    if rate_per_s == 0.0:
        return replace(plan, interval_s=work_s) if is_announced else None
    optimum_s = {"daly": daly_interval_s, "young": young_interval_s}[written.interval]
    return replace(plan, interval_s=float(optimum_s(plan.stop_s, 1.0 / rate_per_s)))
