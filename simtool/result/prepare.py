"""Everything before the simulation: profiles, model, layout, and the estimate of every kind of step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from simtool.config.load import LoadedScenario
from simtool.config.scenario import Layout, MethodUse, Scenario
from simtool.errors import InfeasibleError
from simtool.layout.layouts import Layouts
from simtool.layout.search import enumerate_layouts, pick
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.methods.effect import Effect
from simtool.profiles.find import ProfileLibrary
from simtool.profiles.reliability import ReliabilityProfile
from simtool.result.digests import referenced_digests
from simtool.result.references import assumed_power_w, references, sequences_per_step
from simtool.result.result import PhaseEstimate
from simtool.result.site import located_signals
from simtool.result.stretches import check_ramp, stretches
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, estimate_step, pace_of
from simtool.units import display

NUM_ALTERNATIVES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A scenario with its names resolved and its steps priced."""

    loaded: LoadedScenario
    job: Job
    model_source: str
    machine: Machine
    layouts: Layouts
    """As executed, scalars."""
    effect: Effect | None
    plain: StepEstimate
    """The step without a method."""
    phases: tuple[PhaseEstimate, ...]
    """The steps with the method, by stretch of progress; one stretch without a method."""
    notes: tuple[str, ...]
    profile_digests: dict[str, str]
    failures: ReliabilityProfile | None = None
    """The preset that ``reliability`` names."""

    @property
    def scenario(self) -> Scenario:
        """The scenario."""
        return self.loaded.scenario

    @property
    def layout(self) -> Layout:
        """The executed layout in the scenario's own words."""
        executed = self.layouts
        return Layout(
            tp=int(executed.tp),
            pp=int(executed.pp),
            vpp=int(executed.vpp),
            dp=int(executed.dp),
            zero=cast("Literal[0, 1, 2, 3]", int(executed.zero)),
            micro_batch=int(executed.micro_batch),
            sequence_parallel=bool(executed.sequence_parallel),
            cp=int(executed.cp),
            cp_kind=executed.context_kind,
            ep=int(executed.ep),
            etp=int(executed.etp),
            dp_shard=int(executed.dp_shard),
        )

    @property
    def num_steps(self) -> int:
        """Optimizer steps in all."""
        return sum(phase.num_steps for phase in self.phases)


def prepare(
    loaded: LoadedScenario,
    library: ProfileLibrary,
    *,
    with_method: bool = True,
    assumed_power: int | None = None,
    layouts: Layouts | None = None,
) -> Prepared:
    """Resolve, check and price a scenario; nothing is simulated yet.

    Args:
        loaded: the scenario with the places of its fields.
        library: where profiles are found.
        with_method: False leaves the scenario's method out.
        assumed_power: which end (0 or 1) of ``cluster.assume.power_limit`` to use; its middle if None.
        layouts: the layout to execute, instead of the scenario's.

    Raises:
        InputError: something in the scenario does not fit together.
        InfeasibleError: the model does not fit in memory, or no layout exists.
    """
    scenario = loaded.scenario
    notes: list[str] = []
    named = references(loaded, library)
    digests = dict(named.model.digests)
    machine = build_machine(
        library,
        scenario.cluster,
        scenario.software.framework,
        attention=scenario.workload.attention,
        power_limit_w=assumed_power_w(scenario.cluster.assume.power_limit, assumed_power),
        locate=loaded.locate,
        release=scenario.software.release,
    )
    notes += machine.notes
    job = Job(
        model=named.model.model,
        seq_len=scenario.workload.seq_len,
        precision=scenario.workload.precision,
        recompute=scenario.workload.recompute,
        attention=scenario.workload.attention or machine.software.attention,
        preset=scenario.workload.model if isinstance(scenario.workload.model, str) else "",
    )
    if (pace := pace_of(job, machine)) != 1.0:
        notes.append(
            f"{machine.software.name}: its release or its recipe for the model takes {pace:.2f} of the step time"
        )
    use = scenario.method
    effect = None
    if with_method and named.effect is not None and not isinstance(use, str):
        effect = _overridden(named.effect, use)
    executed = layouts or named.layouts or _fastest(loaded, job, machine, notes)
    notes += check_ramp(loaded.locate, scenario.workload, executed)
    plain = estimate_step(job, executed, machine)
    if not bool(plain.memory.fits):
        raise _does_not_fit(loaded, job, machine, executed, plain)
    for kind, name in (
        ("accelerator", machine.accelerator.name),
        ("node", machine.node.name),
        ("network", machine.network.name),
        ("software", machine.software.name),
    ):
        digests[f"{kind}/{name}"] = library.digest(kind, name)
    digests |= referenced_digests(loaded, library)
    located_signals(loaded, float(plain.step_time_s))  # wrong from the first step on
    return Prepared(
        loaded=loaded,
        job=job,
        model_source=named.model.source,
        machine=machine,
        layouts=executed,
        effect=effect,
        plain=plain,
        phases=stretches(scenario, job, executed, machine, effect, plain),
        notes=tuple(notes),
        profile_digests=digests,
        failures=named.failures,
    )


def _overridden(effect: Effect, use: MethodUse) -> Effect:
    changes: dict[str, float] = {}
    if use.forward_frac is not None:
        changes["forward_frac"] = float(use.forward_frac)
    if use.backward_frac is not None:
        changes["backward_input_frac"] = changes["backward_weight_frac"] = float(use.backward_frac)
    if use.optimizer_frac is not None:
        changes["optimizer_frac"] = float(use.optimizer_frac)
    if use.communication_frac is not None:
        changes["communication_frac"] = float(use.communication_frac)
    steps = effect.steps_frac
    if use.steps_frac is not None:
        steps = steps.model_copy(update={"value": float(use.steps_frac)})
    return effect.model_copy(
        update={
            "phases": tuple(phase.model_copy(update=changes) for phase in effect.phases),
            "steps_frac": steps,
            "evidence": use.evidence or ("assumed" if changes or use.steps_frac else effect.evidence),
        }
    )


def _fastest(loaded: LoadedScenario, job: Job, machine: Machine, notes: list[str]) -> Layouts:
    scenario = loaded.scenario
    num_devices = scenario.cluster.num_nodes * machine.accelerators_per_node
    global_batch = sequences_per_step(scenario.workload.global_batch, job.seq_len)
    found = _search(loaded, job, machine)
    if found is None:
        raise InfeasibleError(
            "layout",
            f"no tp x pp x dp on {num_devices} accelerators divides the model and a global batch of "
            f"{global_batch:g} sequences",
            ["another workload.global_batch or cluster.num_nodes"],
        )
    candidates, estimate = found
    fits = np.broadcast_to(estimate.memory.fits, np.shape(candidates.tp))
    if not fits.any():
        tightest = pick(candidates, int(np.argmin(np.broadcast_to(estimate.memory.total_bytes, fits.shape))))
        raise _does_not_fit(loaded, job, machine, tightest, estimate_step(job, tightest, machine))
    throughput = np.where(fits, estimate.tokens_per_s, 0.0)
    notes.append(f"layout: auto chose the fastest of {fits.sum()} that fit, out of {fits.size}")
    return pick(candidates, int(np.argmax(throughput)))


def _search(loaded: LoadedScenario, job: Job, machine: Machine) -> tuple[Layouts, StepEstimate] | None:
    workload = loaded.scenario.workload
    candidates = enumerate_layouts(
        job.model,
        num_devices=loaded.scenario.cluster.num_nodes * machine.accelerators_per_node,
        max_tp=machine.fabric.accelerators_per_domain,
        seq_len=job.seq_len,
        global_batch=sequences_per_step(workload.global_batch, job.seq_len),
    )
    return None if candidates is None else (candidates, estimate_step(job, candidates, machine))


def _does_not_fit(
    loaded: LoadedScenario, job: Job, machine: Machine, layouts: Layouts, estimate: StepEstimate
) -> InfeasibleError:
    """Which limit binds, by how much, and the fastest layouts that do fit."""
    memory = estimate.memory
    needed, capacity = float(memory.total_bytes), float(memory.capacity_bytes)
    parts = ", ".join(
        f"{name} {display(float(getattr(memory, f'{name}_bytes')), 'byte', 3)}"
        for name in ("weights", "gradients", "optimizer", "activations", "workspace")
    )
    detail = (
        f"tp {layouts.tp:g}, pp {layouts.pp:g}, vpp {layouts.vpp:g}, dp {layouts.dp:g}, zero {layouts.zero:g}, "
        f"micro_batch {layouts.micro_batch:g}{_more(layouts, '')}, recompute {job.recompute} "
        f"needs {display(needed, 'byte', 4)} of {display(capacity, 'byte', 4)} "
        f"({needed / capacity - 1.0:+.0%}): {parts}"
    )
    return InfeasibleError("accelerator memory", detail, _that_fit(loaded, job, machine))


def _that_fit(loaded: LoadedScenario, job: Job, machine: Machine) -> list[str]:
    alternatives: list[str] = []
    for recompute in dict.fromkeys((job.recompute, "selective", "full")):
        other = Job(
            model=job.model,
            seq_len=job.seq_len,
            precision=job.precision,
            recompute=recompute,
            attention=job.attention,
        )
        found = _search(loaded, other, machine)
        if found is None:
            continue
        candidates, estimate = found
        throughput = np.where(estimate.memory.fits, estimate.tokens_per_s, 0.0)
        for index in np.argsort(-throughput)[: NUM_ALTERNATIVES - len(alternatives)]:
            if throughput[index] > 0.0:
                one = pick(candidates, int(index))
                alternatives.append(
                    f"layout: {{tp: {one.tp:g}, pp: {one.pp:g}, vpp: {one.vpp:g}, dp: {one.dp:g}, "
                    f"zero: {one.zero:g}, micro_batch: {one.micro_batch:g}{_more(one, ':')}}}, "
                    f"recompute: {recompute}"
                )
    return alternatives or ["more nodes, or an accelerator with more memory"]


def _more(layouts: Layouts, mark: str) -> str:
    """Those dimensions that few layouts use."""
    numbers = {name: float(getattr(layouts, name)) for name in ("cp", "ep", "etp", "dp_shard")}
    return "".join(f", {name}{mark} {number:g}" for name, number in numbers.items() if number > 1)
