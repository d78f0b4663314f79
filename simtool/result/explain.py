"""How a step's time came about, as a tree that ends in sourced numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from simtool.provenance import Derived, Input
from simtool.result.leaves import COMPUTE, flop_of_step, model_flop_of_step, part_inputs
from simtool.result.prepare import Prepared
from simtool.result.result import PhaseEstimate
from simtool.step.estimate import STEP_PARTS

WAITING = ("bubble", "straggler")
"""Parts in which the time of those before them comes back."""
PART_FORMULAS = {
    "forward": "sum over operations of roofline time / efficiency, on the fullest stage, x micro-batches",
    "backward_input": "likewise, gradients of activations",
    "backward_weight": "likewise, gradients of weights",
    "recompute": "forward operations repeated in the backward pass",
    "optimizer": "bytes of the optimizer / memory bandwidth",
    "data": "bytes of the tokens / memory bandwidth",
    "launch": "(device^4 + host floor^4)^(1/4) - device, per layer and micro-batch",
    "tensor_communication": "collectives between shards x exposed share",
    "context_communication": "keys and values from other ranks, less what attention hides",
    "expert_communication": "tokens to their experts and back x exposed share",
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
        return _one_step("step_time_s", phases[0], prepared)
    num_steps = sum(phase.num_steps for phase in phases)
    return Derived(
        name="step_time_s",
        value=sum(phase.num_steps * float(phase.estimate.step_time_s) for phase in phases) / num_steps,
        unit="s",
        formula="mean over steps of the stretches of progress",
        inputs=tuple(_one_step(_stretch(phase), phase, prepared) for phase in phases),
    )


def explain_flop(prepared: Prepared, kind: Literal["model", "hardware"]) -> Derived:
    """The mean over steps of the work that the model needs, or that is executed [FLOP]."""
    one = model_flop_of_step if kind == "model" else flop_of_step
    phases = prepared.phases
    parts = tuple(one(prepared, phase) for phase in phases)
    if len(parts) == 1:
        return parts[0]
    num_steps = sum(phase.num_steps for phase in phases)
    value = sum(phase.num_steps * part.value for phase, part in zip(phases, parts, strict=True)) / num_steps
    return Derived(
        name=f"{kind}_flop_per_step_mean",
        value=value,
        unit="FLOP",
        formula="mean over steps of the stretches of progress",
        inputs=parts,
    )


def rooted(tree: Derived, roots: Mapping[str, tuple[Derived | Input, ...]]) -> Derived:
    """The tree with what other rooms left open: inputs for numbers without any, by their name."""
    inputs = tuple(rooted(below, roots) if isinstance(below, Derived) else below for below in tree.inputs)
    return replace(tree, inputs=inputs or roots.get(tree.name, ()))


def _stretch(phase: PhaseEstimate) -> str:
    return f"step_time_s, progress {phase.progress[0]:g} to {phase.progress[1]:g}"


def _one_step(name: str, phase: PhaseEstimate, prepared: Prepared) -> Derived:
    estimate = phase.estimate
    flop = flop_of_step(prepared, phase)
    parts: list[Derived] = []
    for part in STEP_PARTS:
        if (seconds := float(estimate.seconds[part])) <= 0.0:
            continue
        before = tuple(parts) if part in WAITING else ()
        work = (flop,) if part in COMPUTE else ()
        parts.append(
            Derived(
                name=f"{part}_s",
                value=seconds,
                unit="s",
                formula=PART_FORMULAS[part],
                inputs=(*work, *part_inputs(part, prepared, phase), *before),
            )
        )
    return Derived(
        name=name,
        value=float(estimate.step_time_s),
        unit="s",
        formula=" + ".join(part.name for part in parts),
        inputs=tuple(parts),
    )
