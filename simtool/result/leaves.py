"""Which sourced numbers stand behind each part of a step's time."""

from __future__ import annotations

from collections.abc import Iterator

from simtool.machine.machine import Machine
from simtool.methods.effect import EffectPhase, Evidence
from simtool.provenance import Derived, Input, Kind, Sourced
from simtool.result.prepare import Prepared
from simtool.result.result import PhaseEstimate
from simtool.stepgraph import Kind as OpKind
from simtool.workload.graphs import step_graph
from simtool.workload.precision import PEAK_RATE

COMPUTE = ("forward", "backward_input", "backward_weight", "recompute")
STREAMING = ("optimizer", "data")
SOFTWARE: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(COMPUTE, ("memory_ratio", "grouped_ratio", "convolution_ratio")),
    **dict.fromkeys(STREAMING, ("memory_ratio",)),
    "launch": ("launch_floor", "launch_floor_tp_ratio", "launch_floor_expert_ratio"),
    "tensor_communication": ("tp_exposed",),
    "context_communication": ("cp_exposed",),
    "expert_communication": ("ep_exposed", "ep_exposed_across", "expert_load"),
    "pipeline_communication": ("pp_exposed",),
    "data_communication": ("dp_exposed", "overlap_limit"),
    "bubble": ("bubble",),
    "host": ("step_constant",),
    "straggler": ("straggler",),
}
"""Numbers of the software profile that price a part, as far as it states them."""
EFFECT: dict[str, tuple[str, ...]] = {
    "optimizer": ("optimizer_frac",),
    "data_communication": ("communication_frac",),
}
"""Multipliers of a method's effect that change a part; the others change the work, `flop_of_step`."""
EVIDENCE: dict[Evidence, Kind] = {
    "measured": "calibrated",  # on another model or device than this run's
    "published claim": "published",
    "assumed": "assumed",
}
OF_EXPERTS = frozenset({"grouped_ratio", "launch_floor_expert_ratio", "expert_load"})
"""Numbers that only count where tokens are routed to experts."""


def part_inputs(part: str, prepared: Prepared, phase: PhaseEstimate) -> tuple[Input, ...]:
    """Every sourced number that the seconds of one part of the step rest on."""
    return (
        *_hardware(part, prepared),
        *_software(part, prepared),
        *(effect_inputs(prepared, phase, EFFECT[part]) if part in EFFECT else ()),
    )


def flop_of_step(prepared: Prepared, phase: PhaseEstimate) -> Derived:
    """Work that all accelerators execute in one step [FLOP]."""
    return Derived(
        name="hardware_flop_per_step",
        value=float(phase.estimate.hardware_flop_per_step),
        unit="FLOP",
        formula=f"{_model_flop(phase)}; recomputation added, what a method skips left out",
        inputs=(shape_input(prepared), *work_inputs(prepared, phase)),
    )


def model_flop_of_step(prepared: Prepared, phase: PhaseEstimate) -> Derived:
    """Work that the model needs for one step [FLOP]."""
    return Derived(
        name="model_flop_per_step",
        value=float(phase.estimate.model_flop_per_step),
        unit="FLOP",
        formula=f"{_model_flop(phase)}; no recomputation, what a method skips left out",
        inputs=(shape_input(prepared), *work_inputs(prepared, phase)),
    )


def _model_flop(phase: PhaseEstimate) -> str:
    return (
        f"{float(phase.estimate.tokens_per_step):,.0f} tokens x (6 x weights without the input embedding "
        "+ 12 x layers x attention width x sequence), full attention, all accelerators"
    )


def work_inputs(prepared: Prepared, phase: PhaseEstimate) -> tuple[Input, ...]:
    """What the method does to the model's operations."""
    return effect_inputs(
        prepared, phase, ("forward_frac", "score_frac", "backward_input_frac", "backward_weight_frac")
    )


def effect_inputs(prepared: Prepared, phase: PhaseEstimate, fields: tuple[str, ...]) -> tuple[Input, ...]:
    """Multipliers of the method over one stretch of the run, as far as they change anything."""
    effect, neutral = prepared.effect, EffectPhase()
    if effect is None:
        return ()
    middle = 0.5 * (phase.progress[0] + phase.progress[1])
    stretch = next(one for one in effect.phases if middle <= one.progress[1])
    return tuple(
        Input(
            f"{effect.name} {field}",
            Sourced(
                value=getattr(stretch, field),
                unit="",
                kind=EVIDENCE[effect.evidence],
                source=effect.source,
                spread=stretch.spread or None,
            ),
        )
        for field in fields
        if getattr(stretch, field) != getattr(neutral, field)
    )


def steps_input(prepared: Prepared) -> tuple[Input, ...]:
    """By how much the method changes the number of steps; nothing where it does not."""
    effect = prepared.effect
    if effect is None or effect.steps_frac.value == 1.0:
        return ()
    steps = effect.steps_frac
    kind, spread = EVIDENCE[effect.evidence], steps.spread or None
    number = Sourced(value=steps.value, unit="", kind=kind, source=effect.source, spread=spread)
    return (Input(f"{effect.name} steps_frac", number),)


def shape_input(prepared: Prepared) -> Input:
    """The model's shape, by its number of layers."""
    layers = float(prepared.job.model.num_layers)
    number = Sourced(value=layers, unit="", kind="published", source=prepared.model_source)
    return Input("shape of the model, layers", number)


def peak_input(prepared: Prepared) -> Input:
    """The dense peak rate that the step was priced with."""
    accelerator, precision = prepared.machine.accelerator, prepared.job.precision
    rates: dict[str, Sourced] = {**accelerator.peak}
    return Input(f"{accelerator.name} peak {precision}", rates[PEAK_RATE.get(precision, precision)])


def cap_inputs(prepared: Prepared) -> tuple[Input, ...]:
    """The scenario's power cap, and how the clock follows it."""
    cap = prepared.scenario.cluster.power_cap
    if cap is None:
        return ()
    accelerator = prepared.machine.accelerator
    response = accelerator.power.cap
    stated = (
        () if response is None else (("static", response.static), ("voltage_floor", response.voltage_floor))
    )
    return (
        Input("cluster.power_cap", cap),
        Input(f"{accelerator.name} cap_exponent", accelerator.power.cap_exponent),
        *(Input(f"{accelerator.name} cap.{name}", number) for name, number in stated),
    )


def _hardware(part: str, prepared: Prepared) -> tuple[Input, ...]:
    machine = prepared.machine
    memory = machine.accelerator.efficiency.memory
    match part:
        case "forward" | "backward_input" | "backward_weight" | "recompute":
            return (peak_input(prepared), *_efficiency(machine), *cap_inputs(prepared))
        case "optimizer" | "data":
            return (_bandwidth(machine), _named(machine, "memory.bandwidth_frac", memory.bandwidth_frac))
        case "tensor_communication":
            return _scale_up(machine)
        case "expert_communication" | "context_communication":
            return (*_scale_up(machine), _scale_out(prepared))
        case "pipeline_communication" | "data_communication":
            return (_scale_out(prepared),)
        case _:
            return ()


def _software(part: str, prepared: Prepared) -> Iterator[Input]:
    software = prepared.machine.software
    if part in COMPUTE:
        yield from _by_hardware(prepared, "product_ratio")
        yield from _attention_ratio(prepared)
        if (ratio := software.low_precision_ratio.get(prepared.job.precision)) is not None:
            yield Input(f"{software.name} low_precision_ratio", ratio)
    for name in SOFTWARE.get(part, ()):
        number: Sourced | None = getattr(software, name)
        if number is not None and _counts(name, prepared):
            yield Input(f"{software.name} {name}", number)


def _counts(name: str, prepared: Prepared) -> bool:
    """Whether a number of the software profile touches this model at all."""
    job = prepared.job
    if name in OF_EXPERTS:
        return job.model.expert_layer_frac > 0.0
    if name != "convolution_ratio":
        return True
    graph = step_graph(
        job.model,
        seq_len=job.seq_len,
        micro_batch=1,
        precision=job.precision,
        attention=job.attention,
        gradient_sum=prepared.machine.software.gradient_sum,
    )
    return any(op.kind is OpKind.CONVOLUTION for op in graph.ops)


def _attention_ratio(prepared: Prepared) -> Iterator[Input]:
    software = prepared.machine.software
    if prepared.job.attention == "flash":
        yield from _by_hardware(prepared, "attention_ratio")
    elif software.unfused_ratio is not None:
        yield Input(f"{software.name} unfused_ratio", software.unfused_ratio)


def _by_hardware(prepared: Prepared, name: str) -> Iterator[Input]:
    """The entry of a table that the accelerator, its architecture or nothing else leads to."""
    machine = prepared.machine
    ratios: dict[str, Sourced] = getattr(machine.software, name)
    keys = (machine.accelerator.name, machine.accelerator.architecture, "default")
    yield from [Input(f"{machine.software.name} {name}", ratios[key]) for key in keys if key in ratios][:1]


def _scale_up(machine: Machine) -> tuple[Input, ...]:
    scale_up = machine.accelerator.scale_up
    return (Input("scale-up bandwidth", scale_up.bandwidth),) if scale_up is not None else ()


def _scale_out(prepared: Prepared) -> Input:
    written = prepared.loaded.scenario.cluster.network_bandwidth_per_node
    if written is not None:
        return Input("cluster.network_bandwidth_per_node", written)
    return Input("network bandwidth of a node", prepared.machine.node.scale_out_bandwidth)


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
