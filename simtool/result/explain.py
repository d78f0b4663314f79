"""How a step's time came about, as a tree that ends in sourced numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from simtool.machine.machine import Machine
from simtool.provenance import Derived, Input, Sourced
from simtool.result.prepare import Prepared
from simtool.result.result import PhaseEstimate
from simtool.step.estimate import STEP_PARTS, StepEstimate

PART_FORMULAS = {
    "forward": "sum over operations of roofline time / efficiency, on the fullest stage, x micro-batches",
    "backward_input": "likewise, gradients of activations",
    "backward_weight": "likewise, gradients of weights",
    "recompute": "forward operations repeated in the backward pass",
    "optimizer": "bytes of the optimizer / memory bandwidth",
    "data": "bytes of the tokens / memory bandwidth",
    "launch": "(device^4 + host floor^4)^(1/4) - device, per layer and micro-batch",
    "tensor_communication": "collectives between shards x exposed share",
    "pipeline_communication": "messages between stages x exposed share",
    "data_communication": "gradient and weight exchange x exposed share",
    "bubble": "other stages' time of one micro-batch / virtual stages x bubble",
    "host": "host work once a step",
    "straggler": "all the above x share x log2(nodes)",
}


def explain_step_time(prepared: Prepared) -> Derived:
    """The mean step time over the run, down to its sources."""
    phases = prepared.phases
    if len(phases) == 1:
        return _one_step("step_time_s", phases[0].estimate, prepared)
    num_steps = sum(phase.num_steps for phase in phases)
    return Derived(
        name="step_time_s",
        value=sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in phases) / num_steps,
        unit="s",
        formula="mean over steps of the stretches of progress",
        inputs=tuple(_one_step(_stretch(phase), phase.estimate, prepared) for phase in phases),
    )


def rooted(tree: Derived, roots: Mapping[str, tuple[Derived | Input, ...]]) -> Derived:
    """The tree with what other rooms left open: inputs for numbers without any, by their name."""
    inputs = tuple(rooted(below, roots) if isinstance(below, Derived) else below for below in tree.inputs)
    return replace(tree, inputs=inputs or roots.get(tree.name, ()))


def _stretch(phase: PhaseEstimate) -> str:
    return f"step_time_s, progress {phase.progress[0]:g} to {phase.progress[1]:g}"


def _one_step(name: str, estimate: StepEstimate, prepared: Prepared) -> Derived:
    parts = tuple(
        Derived(
            name=f"{part}_s",
            value=float(estimate.seconds[part]),
            unit="s",
            formula=PART_FORMULAS[part],
            inputs=_sources(part, prepared),
        )
        for part in STEP_PARTS
        if float(estimate.seconds[part]) > 0.0
    )
    return Derived(
        name=name,
        value=float(estimate.step_time_s),
        unit="s",
        formula=" + ".join(part.name for part in parts),
        inputs=parts,
    )


def peak_input(prepared: Prepared) -> Input:
    """The dense peak rate that the step was priced with."""
    accelerator, precision = prepared.machine.accelerator, prepared.job.precision
    rates: dict[str, Sourced] = {**accelerator.peak}
    return Input(f"{accelerator.name} peak {precision}", rates[precision])


def _sources(part: str, prepared: Prepared) -> tuple[Input, ...]:
    machine = prepared.machine
    software, name = machine.software, machine.software.name
    match part:
        case "forward" | "backward_input" | "backward_weight" | "recompute":
            return (peak_input(prepared), *_efficiency(machine))
        case "optimizer" | "data":
            return (
                _bandwidth(machine),
                _named(
                    machine, "memory.bandwidth_frac", machine.accelerator.efficiency.memory.bandwidth_frac
                ),
            )
        case "launch":
            return (Input(f"{name} launch_floor", software.launch_floor),)
        case "tensor_communication":
            scale_up = machine.accelerator.scale_up
            link = (Input("scale-up bandwidth", scale_up.bandwidth),) if scale_up is not None else ()
            return (*link, Input(f"{name} tp_exposed", software.tp_exposed))
        case "pipeline_communication":
            return (_scale_out(prepared), Input(f"{name} pp_exposed", software.pp_exposed))
        case "data_communication":
            return (_scale_out(prepared), Input(f"{name} dp_exposed", software.dp_exposed))
        case "bubble":
            return (Input(f"{name} bubble", software.bubble),)
        case "host":
            return (Input(f"{name} step_constant", software.step_constant),)
        case _:
            return (Input(f"{name} straggler", software.straggler),)


def _efficiency(machine: Machine) -> tuple[Input, ...]:
    efficiency = machine.accelerator.efficiency
    return (
        _named(machine, "gemm.peak_frac", efficiency.gemm.peak_frac),
        _named(machine, "attention.peak_frac", efficiency.attention.peak_frac),
        _named(machine, "training_ratio", efficiency.training_ratio),
        _bandwidth(machine),
    )


def _bandwidth(machine: Machine) -> Input:
    return _named(machine, "memory.bandwidth", machine.accelerator.memory.bandwidth)


def _named(machine: Machine, name: str, number: Sourced) -> Input:
    return Input(f"{machine.accelerator.name} {name}", number)


def _scale_out(prepared: Prepared) -> Input:
    written = prepared.loaded.scenario.cluster.network_bandwidth_per_node
    if written is not None:
        return Input("cluster.network_bandwidth_per_node", written)
    return Input("network bandwidth of a node", prepared.machine.node.scale_out_bandwidth)
