"""From priced steps to what the simulator needs: patterns, jobs, checkpoints, failures."""

from __future__ import annotations

from dataclasses import dataclass

from simtool.config.reliability import Reliability
from simtool.errors import InfeasibleError
from simtool.ledger import Pattern, Share
from simtool.machine.machine import StatePower
from simtool.provenance import Derived, Input, Sourced
from simtool.result.hazards import hazard_plan, lasting_inputs, rate_inputs
from simtool.result.leaves import shape_input
from simtool.result.prepare import Prepared
from simtool.sim.hazards.means import interruption_rate_per_s
from simtool.sim.plan import CheckpointPlan, ClusterPlan, FailurePlan, JobPlan, WorkPhase
from simtool.sim.theory import daly_interval_s, young_interval_s
from simtool.step.estimate import STEP_STATES, StepEstimate
from simtool.units import SECONDS_PER_DAY, SECONDS_PER_YEAR

CHECKPOINT_BYTES_PER_PARAMETER = Sourced(
    value=14.0,
    unit="byte",
    kind="assumed",
    source="master weights and two Adam moments in fp32 and the working copy; BLOOM's 2.3 TB are 13 a weight",
    spread=0.1,
)

MAX_CHECKPOINTS = 150_000
"""Of one run; Llama 3.1 405B has some 5,000."""

NEVER_PER_YEAR = 1e-9
"""Failures of all nodes: one in a billion years is none, and its intervals would leave the range of floats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A simulation, ready to run."""

    job: JobPlan
    cluster: ClusterPlan
    checkpoint: CheckpointPlan
    failures: FailurePlan
    interval: Derived | None
    """Work between two checkpoints, explained; None without checkpoints."""
    pause: Derived | None
    """For how long saving stops the job, explained; None where nothing fails."""
    rates: tuple[Input, ...] = ()
    """How often each cause strikes."""
    repairs: tuple[Input, ...] = ()
    """How long nodes are down."""
    detections: tuple[Input, ...] = ()
    """How long it takes to notice."""


def build_plan(prepared: Prepared) -> Plan:
    """The simulation of a prepared scenario."""
    scenario, machine = prepared.scenario, prepared.machine
    idle = machine.state_power(machine.power_w("idle"), loaded=False)
    waiting = machine.state_power(machine.power_w("waiting"))
    phases = tuple(
        WorkPhase(
            num_steps=phase.num_steps,
            step_time_s=float(phase.estimate.step_time_s),
            pattern=_training(f"training {index}", phase.estimate),
        )
        for index, phase in enumerate(prepared.phases)
    )
    job = JobPlan(name=scenario.name, phases=phases, num_nodes=scenario.cluster.num_nodes)
    cluster = ClusterPlan(
        num_nodes=scenario.cluster.num_nodes,
        spare_nodes=scenario.cluster.spare_nodes,
        devices_per_node=machine.accelerators_per_node,
        idle=_whole("idle", "idle", idle),
        # A failed node stays powered while it is diagnosed: idle power.
        down=_whole("down", "down", idle),
    )
    checkpoint_pattern = _whole("checkpoint", "checkpoint", waiting)
    restart_pattern = _whole("restart", "restart", waiting)
    if isinstance(scenario.reliability, str):
        return Plan(
            job=job,
            cluster=cluster,
            checkpoint=CheckpointPlan(
                kind="synchronous", write_s=0.0, stall_s=0.0, interval_s=None, pattern=checkpoint_pattern
            ),
            failures=FailurePlan(
                rate_per_node_s=0.0,
                repair_s=0.0,
                detection_s=0.0,
                restart_s=0.0,
                restart_pattern=restart_pattern,
            ),
            interval=None,
            pause=None,
        )
    reliability, num_nodes = scenario.reliability, scenario.cluster.num_nodes
    written = reliability.node_failures_per_1000_node_days
    rate = 0.0 if written is None else float(written) / (1000.0 * SECONDS_PER_DAY)
    if rate * num_nodes * SECONDS_PER_YEAR < NEVER_PER_YEAR:
        rate = 0.0
    hazards = hazard_plan(reliability, prepared.failures)
    rates = rate_inputs(reliability, prepared.failures)
    write, pause = _write(reliability, prepared), _pause(reliability, prepared)
    rate_per_s = rate * num_nodes + interruption_rate_per_s(hazards, num_nodes)
    interval = _interval(reliability, rate_per_s, rates, pause)
    _bounded(job, interval)
    kept = reliability.checkpoint.persistent_interval
    quick = reliability.checkpoint.restart
    return Plan(
        job=job,
        cluster=cluster,
        checkpoint=CheckpointPlan(
            kind=reliability.checkpoint.kind,
            write_s=write.value,
            stall_s=pause.value,
            interval_s=None if interval is None else interval.value,
            pattern=checkpoint_pattern,
            persistent_interval_s=0.0 if kept is None else float(kept),
            memory_restart_s=None if quick is None else float(quick),
        ),
        failures=FailurePlan(
            rate_per_node_s=rate,
            repair_s=0.0 if reliability.repair is None else float(reliability.repair),
            detection_s=0.0 if reliability.detection is None else float(reliability.detection),
            restart_s=float(reliability.restart),
            restart_pattern=restart_pattern,
            # Until somebody notices, the other ranks spin in a collective that never ends.
            detection_pattern=_whole("detection", "lost_work", waiting),
            hazards=hazards,
        ),
        interval=interval,
        pause=pause,
        rates=rates,
        repairs=lasting_inputs(reliability, prepared.failures, "repair"),
        detections=lasting_inputs(reliability, prepared.failures, "detection"),
    )


def _bounded(job: JobPlan, interval: Derived | None) -> None:
    """Refuse what would take hours and gigabytes to simulate: each checkpoint is an entry of the ledger."""
    work_s = sum(phase.num_steps * phase.step_time_s for phase in job.phases)
    if interval is not None and work_s / interval.value > MAX_CHECKPOINTS:
        raise InfeasibleError(
            "number of checkpoints",
            f"{work_s / SECONDS_PER_DAY:.4g} days of training with a checkpoint every {interval.value:.4g} s "
            f"are more than {MAX_CHECKPOINTS:,}",
            ["fewer tokens, more nodes, or a longer reliability.checkpoint.interval"],
        )


def _training(name: str, estimate: StepEstimate) -> Pattern:
    fractions = [float(estimate.state_frac(state)) for state in STEP_STATES]
    fractions[-1] = max(0.0, 1.0 - sum(fractions[:-1]))
    return Pattern(
        name=name,
        shares=tuple(
            Share(state=state, device_frac=fraction, power_w=_components(estimate.power[state]))
            for state, fraction in zip(STEP_STATES, fractions, strict=True)
        ),
    )


def _whole(name: str, state: str, power: StatePower) -> Pattern:
    return Pattern(name=name, shares=(Share(state=state, device_frac=1.0, power_w=_components(power)),))


def _components(power: StatePower) -> tuple[float, float, float]:
    return float(power.accelerator_w), float(power.host_w), float(power.network_w)


def _write(reliability: Reliability, prepared: Prepared) -> Derived:
    """Time until a checkpoint is safe."""
    checkpoint = reliability.checkpoint
    if checkpoint.write is not None:
        return Derived(
            name="checkpoint_write_s",
            value=float(checkpoint.write),
            unit="s",
            formula="as the scenario writes it",
            inputs=(Input("reliability.checkpoint.write", checkpoint.write),),
        )
    if checkpoint.bandwidth is None:
        raise ValueError("a checkpoint needs write or bandwidth; the scenario schema demands one of them")
    if checkpoint.size is not None:
        return Derived(
            name="checkpoint_write_s",
            value=float(checkpoint.size) / float(checkpoint.bandwidth),
            unit="s",
            formula="size / bandwidth of the store",
            inputs=(
                Input("reliability.checkpoint.size", checkpoint.size),
                Input("reliability.checkpoint.bandwidth", checkpoint.bandwidth),
            ),
        )
    size = float(CHECKPOINT_BYTES_PER_PARAMETER) * prepared.job.model.num_parameters
    return Derived(
        name="checkpoint_write_s",
        value=size / float(checkpoint.bandwidth),
        unit="s",
        formula="weights x bytes per weight / bandwidth of the store",
        inputs=(
            shape_input(prepared),
            Input("checkpoint bytes per weight", CHECKPOINT_BYTES_PER_PARAMETER),
            Input("reliability.checkpoint.bandwidth", checkpoint.bandwidth),
        ),
    )


def _pause(reliability: Reliability, prepared: Prepared) -> Derived:
    """For how long saving stops the job: all of the writing, or the stall of an asynchronous one."""
    write, stall = _write(reliability, prepared), reliability.checkpoint.stall
    if stall is None:
        return write
    return Derived(
        name="checkpoint_stall_s",
        value=float(stall),
        unit="s",
        formula="as the scenario writes it; the writing goes on beside training",
        inputs=(Input("reliability.checkpoint.stall", stall),),
    )


def _interval(
    reliability: Reliability, rate_per_s: float, rates: tuple[Input, ...], pause: Derived
) -> Derived | None:
    """Work between two checkpoints; None where nothing fails and no time is fixed."""
    written = reliability.checkpoint.interval
    if isinstance(written, Sourced):
        return Derived(
            name="checkpoint_interval_s",
            value=float(written),
            unit="s",
            formula="as the scenario fixes it",
            inputs=(Input("reliability.checkpoint.interval", written),),
        )
    if rate_per_s == 0.0:
        return None
    mtbf_s = 1.0 / rate_per_s
    formula = {"daly": daly_interval_s, "young": young_interval_s}[written]
    return Derived(
        name="checkpoint_interval_s",
        value=float(formula(pause.value, mtbf_s)),
        unit="s",
        formula=f"{written.capitalize()}'s optimum for a pause of {pause.value:g} s and a failure every "
        f"{mtbf_s:.0f} s",
        inputs=(*rates, pause),
    )
