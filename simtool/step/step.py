"""One training step: a model, a layout and a machine become seconds, joules and bytes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simtool.layout.habits import habits_of
from simtool.layout.layouts import Layouts, held_by_fullest
from simtool.layout.memory import estimate_memory
from simtool.layout.shard import shard
from simtool.machine.build import or_one
from simtool.machine.device import COMPUTE, MEMORY
from simtool.machine.machine import Machine, StatePower
from simtool.methods.effect import EffectPhase
from simtool.methods.rewrite import METHODS
from simtool.step.communication import Communication, communication
from simtool.step.estimate import StepEstimate
from simtool.step.pipeline import step_parts
from simtool.step.price import Seconds, price
from simtool.step.stack import Passes, stack_numbers
from simtool.stepgraph import Number, Scope, StepGraph
from simtool.workload.graphs import step_graph
from simtool.workload.model import Model
from simtool.workload.recompute import with_recompute


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a step computes, whatever it runs on."""

    model: Model
    """Of any family; its module registers how it becomes a step graph."""
    seq_len: int
    """Tokens in a sequence; 1 for models of samples, where a sample counts as a token."""
    precision: str
    recompute: str
    attention: str
    recompute_frac: float = 1.0
    """Share of the layers that recompute."""
    preset: str = ""
    """Name of the model, by which a framework's own recipe is found; empty for a model of no name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodPhase:
    """A method in one stretch of training: its registry name and its multipliers."""

    method: str
    effect: EffectPhase


@dataclass(frozen=True, slots=True)
class StepInputs:
    """What one rank computes and sends, before a stack hides or stretches any of it."""

    device: dict[Scope, Seconds]
    messages: Communication
    needed_frac: Number
    """Work that a method leaves, of the plain work without recomputation."""
    executed_frac: Number
    """The same with recomputation."""
    input_core_bytes: Number
    """Samples of a step that one core of the host prepares for one accelerator [byte]."""


def step_inputs(
    job: Job, layouts: Layouts, machine: Machine, method: MethodPhase | None = None
) -> StepInputs:
    """Seconds of every operation and message of one rank; arguments as `estimate_step`."""
    plain = _graph(job, layouts, machine.software.gradient_sum)
    needed = _remaining(plain, method)
    graph = _remaining(with_recompute(plain, job.recompute, job.recompute_frac), method)
    load = or_one(machine.software.expert_load)
    return StepInputs(
        device=price(shard(graph, job.model, layouts, load), machine.device),
        messages=communication(
            job.model,
            layouts,
            held_by_fullest(job.model, layouts),
            machine.fabric,
            seq_len=job.seq_len,
            precision=job.precision,
            gradient_exchange=machine.software.gradient_exchange,
            expert_load=load,
        ),
        needed_frac=needed.flop() / plain.flop(),
        executed_frac=graph.flop() / plain.flop(),
        input_core_bytes=_input_core_bytes(job, layouts, machine),
    )


def _input_core_bytes(job: Job, layouts: Layouts, machine: Machine) -> Number:
    """A node's cores serve the accelerators of the job: fewer of them have more each."""
    per_token = job.model.input_bytes_per_token
    if machine.node.host_cores is None or per_token == 0.0:
        return 0.0
    busy = np.minimum(layouts.num_devices, machine.accelerators_per_node)
    cores = float(machine.node.host_cores) / busy
    samples = layouts.micro_batch * layouts.num_micro_batches * job.seq_len
    return samples * per_token / cores


def estimate_step(
    job: Job, layouts: Layouts, machine: Machine, method: MethodPhase | None = None
) -> StepEstimate:
    """Price one optimizer step.

    Args:
        job: model, sequence length, precision, recomputation and attention kernel.
        layouts: one layout, or arrays of candidates.
        machine: accelerator, node, network and software.
        method: what an efficiency method leaves of the work; None for plain training.

    Returns:
        A `StepEstimate` whose numbers are scalars or arrays as `layouts` is.
    """
    inputs = step_inputs(job, layouts, machine, method)
    seconds = step_parts(
        job.model,
        layouts,
        inputs.device,
        inputs.messages,
        stack_numbers(machine.software),
        passes=Passes.of(job.recompute, job.recompute_frac),
        gradient_frac=1.0 if method is None else method.effect.communication_frac,
        num_nodes=layouts.num_devices / machine.accelerators_per_node,
        input_core_bytes=inputs.input_core_bytes,
    )
    pace = pace_of(job, machine)
    seconds = {part: pace * value for part, value in seconds.items()}
    tokens = layouts.global_batch * job.seq_len
    model_flop = tokens * job.model.model_flop_per_token(job.seq_len)
    return StepEstimate(
        seconds=seconds,
        power=_power(inputs.device, machine, job.model),
        memory=estimate_memory(
            job.model,
            layouts,
            seq_len=job.seq_len,
            precision=job.precision,
            recompute=job.recompute,
            attention=job.attention,
            capacity_bytes=machine.memory_bytes,
            workspace_bytes=machine.workspace_bytes,
            expert_load=or_one(machine.software.expert_load),
            habits=habits_of(machine.software.name),
        ),
        num_devices=layouts.num_devices,
        tokens_per_step=tokens,
        model_flop_per_step=model_flop * inputs.needed_frac,
        hardware_flop_per_step=model_flop * inputs.executed_frac,
        peak_flop_per_s=machine.device.peak_flop_per_s(job.precision),
        power_peak_w=machine.power_w("compute"),
        notes=machine.notes,
    )


def pace_of(job: Job, machine: Machine) -> float:
    """Step time of the software's release, and of its own recipe for the model, over what operations take."""
    experts = machine.release_expert_ratio if job.model.expert_layer_frac > 0.0 else 1.0
    return machine.release_ratio * experts * or_one(machine.software.recipe_ratio.get(job.preset))


def _remaining(graph: StepGraph, method: MethodPhase | None) -> StepGraph:
    return graph if method is None else METHODS[method.method](graph, method.effect)


def _graph(job: Job, layouts: Layouts, gradient_sum: str) -> StepGraph:
    return step_graph(
        job.model,
        seq_len=job.seq_len,
        micro_batch=layouts.micro_batch,
        precision=job.precision,
        attention=job.attention,
        gradient_sum=gradient_sum,
    )


def _power(device: dict[Scope, Seconds], machine: Machine, model: Model) -> dict[str, StatePower]:
    """Power of one accelerator's share of the cluster by state.

    Within `compute`, the accelerator draws its compute-bound and its memory-bound power in
    proportion to the time that either kind of operation takes in a layer and at the edges.
    """

    def bound_by(bound: str) -> Number:
        layers = model.num_layers * device[Scope.LAYER].bound_by(bound)
        return layers + device[Scope.EMBEDDING].bound_by(bound) + device[Scope.HEAD].bound_by(bound)

    by_compute, by_memory = bound_by(COMPUTE), bound_by(MEMORY)
    watts = by_compute * machine.power_w("compute") + by_memory * machine.power_w("memory")
    compute = watts / np.maximum(by_compute + by_memory, np.finfo(float).tiny)
    return {
        "compute": machine.state_power(compute),
        "exposed_communication": machine.state_power(machine.power_w("communication")),
        "bubble": machine.state_power(machine.power_w("waiting")),
        "idle": machine.state_power(machine.power_w("idle"), loaded=False),
    }
