"""Everything before the simulation: profiles, model, layout, and the estimate of every kind of step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np

from simtool.config.load import LoadedScenario, load_document
from simtool.config.scenario import Layout, MethodUse, Scenario
from simtool.config.validate import validate
from simtool.errors import InfeasibleError, InputError, Problem, did_you_mean
from simtool.layout.check import resolve_layout
from simtool.layout.layouts import Layouts
from simtool.layout.search import enumerate_layouts, pick
from simtool.machine.build import build_machine, located
from simtool.machine.machine import Machine
from simtool.methods.effect import Effect
from simtool.methods.rewrite import METHODS
from simtool.profiles.find import ProfileLibrary
from simtool.result.digests import referenced_digests
from simtool.result.result import PhaseEstimate
from simtool.result.site import located_signals
from simtool.result.stretches import check_ramp, stretches
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, estimate_step, pace_of
from simtool.units import display
from simtool.workload.captured_graph import read_model
from simtool.workload.families import PRESET_KINDS, family_of
from simtool.workload.huggingface import read_config
from simtool.workload.model import Model
from simtool.workload.preset import PRESETS
from simtool.workload.transformer import Transformer

NUM_ALTERNATIVES = 3
MAX_NODES = 10_000_000
MAX_SPARE_NODES = 1_000_000


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
    _bounded(loaded)
    model, model_source, digests = _model(loaded, library)
    _within_positions(loaded, model)
    _of_its_length(loaded, model)
    machine = build_machine(
        library,
        scenario.cluster,
        scenario.software.framework,
        attention=scenario.workload.attention,
        power_limit_w=_assumed_power(scenario, assumed_power),
        locate=loaded.locate,
        release=scenario.software.release,
    )
    notes += machine.notes
    job = Job(
        model=model,
        seq_len=scenario.workload.seq_len,
        precision=scenario.workload.precision,
        recompute=scenario.workload.recompute,
        attention=scenario.workload.attention or machine.software.attention,
        preset=scenario.workload.model if isinstance(scenario.workload.model, str) else "",
    )
    machine.device.peak_flop_per_s(job.precision)
    if (pace := pace_of(job, machine)) != 1.0:
        notes.append(
            f"{machine.software.name}: its release or its recipe for the model takes {pace:.2f} of the step time"
        )
    effect = _effect(loaded, library) if with_method else None
    executed = layouts or _layout(loaded, job, machine, notes)
    notes += check_ramp(loaded, executed)
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
        model_source=model_source,
        machine=machine,
        layouts=executed,
        effect=effect,
        plain=plain,
        phases=stretches(scenario, job, executed, machine, effect, plain),
        notes=tuple(notes),
        profile_digests=digests,
    )


def _bounded(loaded: LoadedScenario) -> None:
    """Refuse clusters beyond anything that will be built, before they cost time and memory here."""
    cluster = loaded.scenario.cluster
    for field, number, limit in (
        ("num_nodes", cluster.num_nodes, MAX_NODES),
        ("spare_nodes", cluster.spare_nodes, MAX_SPARE_NODES),
    ):
        if number > limit:
            place = loaded.locate(f"cluster.{field}")
            found = f"found {number:.4g}" if number < 10**300 else "found too many"
            mend = "write a smaller number"
            raise InputError(Problem(place, f"cluster.{field}", found, f"at most {limit:,}", mend))


def _within_positions(loaded: LoadedScenario, model: Model) -> None:
    """Refuse sequences that are longer than the table of learned positions."""
    seq_len, field = loaded.scenario.workload.seq_len, "workload.seq_len"
    if not isinstance(model, Transformer) or model.positions != "learned" or seq_len <= model.max_positions:
        return
    found = f"found {seq_len:,} tokens"
    allowed = f"at most {model.max_positions:,}, the model's learned positions"
    mend = "shorten the sequences, or write the model with a larger max_positions"
    raise InputError(Problem(loaded.locate(field), field, found, allowed, mend))


def _model(loaded: LoadedScenario, library: ProfileLibrary) -> tuple[Model, str, dict[str, str]]:
    written = loaded.scenario.workload.model
    if isinstance(written, dict):
        family = family_of(written, loaded.locate("workload.model"))
        origins = (loaded.origins.get(f"workload.model.{field}") for field in written)
        source = next((origin for origin in origins if origin), "the scenario")
        return validate(loaded.section("workload.model"), family), source, {}
    if written.endswith(".json"):
        path = Path(written)
        path = path if path.is_absolute() else loaded.path.parent / path
        return read_config(path, loaded.scenario.workload.seq_len), str(written), {}
    if written.endswith((".yaml", ".yml")):
        captured = read_model(loaded.path.parent / written)
        return captured, captured.workload.source, {}
    kinds = {name: kind for kind in PRESET_KINDS for name in library.names(kind)}
    if written not in kinds:
        raise InputError(
            Problem(
                loaded.locate("workload.model"),
                "workload.model",
                f"found {written!r}, which is no preset",
                "a preset, the path of a config.json or a captured workload, or the model's fields",
                did_you_mean(written, kinds),
            )
        )
    kind = kinds[written]
    preset = library.get(kind, written)
    if not isinstance(preset, PRESETS):
        raise TypeError(f"library returned {type(preset).__name__} for {kind} {written}")
    return preset.shape(), preset.source, {f"{kind}/{written}": library.digest(kind, written)}


def _of_its_length(loaded: LoadedScenario, model: Model) -> None:
    """Refuse sequences that the model's family has not: samples count as one token each."""
    field = "workload.seq_len"
    if problem := model.sequence_problem(loaded.scenario.workload.seq_len):
        found, mend = problem
        raise InputError(Problem(loaded.locate(field), field, found, "", mend))


def _assumed_power(scenario: Scenario, end: int | None) -> float | None:
    assumed = scenario.cluster.assume.power_limit
    if assumed is None:
        return None
    low, high = float(assumed[0]), float(assumed[1])
    return 0.5 * (low + high) if end is None else (low, high)[end]


def _effect(loaded: LoadedScenario, library: ProfileLibrary) -> Effect | None:
    use = loaded.scenario.method
    if isinstance(use, str):
        return None
    if use.profile.endswith((".yaml", ".yml")):
        path = Path(use.profile)
        path = path if path.is_absolute() else loaded.path.parent / path
        effect = validate(load_document(path), Effect)
    else:
        found = located(lambda: library.get("effect", use.profile), "method.profile", loaded.locate)
        if not isinstance(found, Effect):
            raise TypeError(f"library returned {type(found).__name__} for effect {use.profile}")
        effect = found
    if effect.method not in METHODS:
        raise InputError(
            Problem(
                loaded.locate("method.profile"),
                "method",
                f"found method {effect.method!r} in {use.profile}",
                "",
                did_you_mean(effect.method, METHODS),
            )
        )
    return _overridden(effect, use)


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


def _layout(loaded: LoadedScenario, job: Job, machine: Machine, notes: list[str]) -> Layouts:
    scenario = loaded.scenario
    num_devices = scenario.cluster.num_nodes * machine.accelerators_per_node
    global_batch = _global_batch(scenario)
    if isinstance(scenario.layout, Layout):
        return resolve_layout(
            scenario.layout,
            job.model,
            num_devices=num_devices,
            seq_len=job.seq_len,
            global_batch=global_batch,
            locate=loaded.locate,
        )
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
    candidates = enumerate_layouts(
        job.model,
        num_devices=loaded.scenario.cluster.num_nodes * machine.accelerators_per_node,
        max_tp=machine.fabric.accelerators_per_domain,
        seq_len=job.seq_len,
        global_batch=_global_batch(loaded.scenario),
    )
    return None if candidates is None else (candidates, estimate_step(job, candidates, machine))


def _global_batch(scenario: Scenario) -> int | float:
    """Sequences in a step: an int is exact, a float is a target."""
    written = scenario.workload.global_batch
    return written if isinstance(written, int) else float(written) / scenario.workload.seq_len


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
