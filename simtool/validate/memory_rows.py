"""From a published row to predicted device memory, by its configuration alone.

What a source prints differs: bytes that tensors take (allocated), blocks that the framework took from the device
for them (reserved), or the device's own count, context included. One written rule per framework says which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from simtool.errors import InputError
from simtool.layout.habits import (
    DEEPSPEED_ZERO,
    EAGER,
    FUSED_LOGIT_BYTES,
    IDEAL,
    NANOTRON,
    MemoryHabits,
    habits_of,
)
from simtool.layout.layouts import Layouts, divides
from simtool.layout.memory import Stage, estimate_memory
from simtool.profiles.find import ProfileLibrary
from simtool.units import BYTES_PER_GIB, GIGA
from simtool.validate.predict import Skipped
from simtool.validate.rules import (
    ACCELERATORS,
    MEGATRON_LIKE,
    Filled,
    Row,
    attention_of,
    precision_of,
    recompute_of,
    shape_of,
    software_of,
    zero_of,
)
from simtool.workload.precision import LOW_PRECISIONS
from simtool.workload.transformer import Transformer

Reading = Literal["computed", "allocated", "reserved", "device"]
"""What a source prints: a formula's sum, or what PyTorch or the driver counts."""


BASELINE_BYTES = 18.0
"""A weight in mixed precision with Adam, split evenly over all devices: the trivial estimate."""
SIZE_TOLERANCE = 0.005
COMPILED_LOSS_SINCE = (2, 8)
"""PyTorch release of mid-2025, from which on torchtitan's compilation covers the loss by default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPrediction:
    """One published row beside what tensors are predicted to take."""

    row_id: str
    family: str
    quality: str
    measured_bytes: float
    tensors_bytes: float
    workspace_bytes: float
    """Context, libraries and allocator slack of the framework, for readings of the device."""
    baseline_bytes: float
    reading: Reading
    rules: tuple[str, ...]

    def predicted_bytes(self, slack: float) -> float:
        """What the source should print, if reserved blocks are `slack` times what is in them."""
        match self.reading:
            case "reserved":
                return self.tensors_bytes * slack
            case "device":
                return self.tensors_bytes + self.workspace_bytes
        return self.tensors_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """What a framework does with memory, and how its numbers are read."""

    habits: MemoryHabits
    reading: Reading
    stage: Stage = "fullest"
    unit_bytes: float = BYTES_PER_GIB
    offloaded: bool = False


def predict_memory(row: Row, library: ProfileLibrary) -> MemoryPrediction | Skipped:
    """Predict the memory that one row of the table states."""

    def skip(reason: str) -> Skipped:
        return Skipped(row["id"], reason)

    if row["moe"] == "True":
        return skip("mixture of experts")
    if "finetune" in row["task"] or "LoRA" in row["task"]:
        return skip(f"task {row['task']}")
    filled = Filled(row)
    shape = shape_of(filled)
    num_devices, seq_len = filled.number("n_accel"), filled.number("seq_len")
    if shape is None or num_devices is None or seq_len is None:
        return skip("shape, accelerators or sequence not stated")
    software = software_of(filled, ACCELERATORS.get(row["accelerator"], row["accelerator"].lower()))
    stack = _stack(filled, software)
    try:
        model = _sized(filled, Transformer.model_validate(shape))
        layouts = _layouts(filled, model, software, num_devices)
        if isinstance(layouts, str):
            return skip(layouts)
        estimate = estimate_memory(
            model,
            layouts,
            seq_len=int(seq_len),
            precision=_precision(row),
            recompute=recompute_of(filled) or filled_with(filled, "R-none", "none"),
            attention=_attention(filled, software),
            capacity_bytes=0.0,
            workspace_bytes=0.0,
            habits=stack.habits,
            stage=stack.stage,
            offloaded_optimizer=stack.offloaded,
        )
    except (ValueError, InputError) as error:
        return skip(f"cannot be expressed: {error}")
    return MemoryPrediction(
        row_id=row["id"],
        family=row["family"],
        quality=row["quality"],
        measured_bytes=float(row["mem_gb"]) * stack.unit_bytes,
        tensors_bytes=float(estimate.tensors_bytes),
        workspace_bytes=float(library.get("software", software).workspace),
        baseline_bytes=BASELINE_BYTES * model.num_parameters / num_devices,
        reading=stack.reading,
        rules=(stack.habits.rule, *sorted(set(filled.rules))),
    )


def filled_with(filled: Filled, rule: str, value: str) -> str:
    """`value`, under the id of the rule that says so."""
    filled.rules.append(rule)
    return value


def _stack(filled: Filled, software: str) -> _Stack:
    """Habits and reading.

    R-computed: the rows of Korthikanti et al. are sums of their formulas, in decimal GB. R-expandable: long
    sequences with DeepSpeed use expandable segments, so that reserved is allocated. R-litgpt: weights, gradients
    and optimizer at half precision, allocated, in decimal GB. R-inductor: a graph compiled whole keeps what fused
    kernels need; nvFuser keeps what autograd does. R-compiled-loss: torchtitan compiles the loss. R-rank0:
    DeepSpeed's log and its users report rank 0, by the driver's count. R-reserved: all others print reserved
    blocks. R-offload: the optimizer is in the host's memory.
    """
    framework, rules = filled.text("framework"), filled.rules
    offloaded = "offload" in filled.text("zero_stage") or "offload" in filled.text("task")
    if offloaded:
        rules.append("R-offload")
    if filled.text("task") == "memory":
        rules.append("R-computed")
        return _Stack(
            habits=replace(habits_of(software), counts_backward=False, logit_bytes=IDEAL.logit_bytes),
            reading="computed",
            unit_bytes=GIGA,
        )
    if framework.startswith("DeepSpeed"):
        rules.append("R-expandable")
        return _Stack(habits=DEEPSPEED_ZERO, reading="allocated", offloaded=offloaded)
    if framework.startswith("litgpt"):
        rules.append("R-litgpt")
        habits = replace(EAGER, has_master=False, moments_frac=0.5)
        if "thunder" in framework:
            habits = replace(habits, bucket_copy=False)
            if "nvfuser" not in framework:
                rules.append("R-inductor")
                habits = replace(habits, fused_norm=True, fused_gate=True, repeats_keys=False)
        return _Stack(habits=habits, reading="allocated", unit_bytes=GIGA, offloaded=offloaded)
    if framework.startswith("nanotron"):
        rules.append("R-reserved")
        return _Stack(habits=NANOTRON, reading="reserved", offloaded=offloaded)
    habits = habits_of(software)
    if software == "megatron-deepspeed":
        rules.append("R-rank0")
        return _Stack(habits=habits, reading="device", stage="first", offloaded=offloaded)
    if software == "torchtitan" and _torch_release(filled) >= COMPILED_LOSS_SINCE:
        rules.append("R-compiled-loss")
        habits = replace(habits, logit_bytes=FUSED_LOGIT_BYTES, sharded_logit_bytes=None)
    rules.append("R-reserved")
    return _Stack(habits=habits, reading="reserved", offloaded=offloaded)


def _torch_release(filled: Filled) -> tuple[int, int]:
    """PyTorch's release where the row states it, (0, 0) where not."""
    found = re.search(r"torch (\d+)\.(\d+)", filled.text("notes") + " " + filled.text("framework"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _sized(filled: Filled, model: Transformer) -> Transformer:
    """R-vocab-size: where the vocabulary is blank and the size is stated, it is what the layers leave of it.

    As one table or two, whichever comes nearer to 131,072, the next power of two above common vocabularies.
    """
    stated = filled.number("params_b")
    if "R-vocab" not in filled.rules or stated is None:
        return model
    rest = stated * GIGA - model.num_layers * model.parameters_per_layer
    if rest <= SIZE_TOLERANCE * stated * GIGA:
        return model
    filled.rules[:] = [rule for rule in filled.rules if rule != "R-vocab"] + ["R-vocab-size"]
    rows = rest / model.hidden_size
    tables = min((1, 2), key=lambda number: abs(rows / number - 131_072))
    return model.model_copy(update={"vocab_size": round(rows / tables), "tied_embeddings": tables == 1})


def _layouts(filled: Filled, model: Transformer, software: str, num_devices: float) -> Layouts | str:
    """The layout with blanks filled.

    R-tp, R-pp, R-cp: 1. R-zero1: DeepSpeed's pipelines split the optimizer. R-sequence: torchtitan and
    Megatron-Core split activations along the sequence wherever tp is above 1.
    """
    tp, pp = filled.number("tp", "R-tp", 1.0) or 1.0, filled.number("pp", "R-pp", 1.0) or 1.0
    cp, vpp = filled.number("cp", "R-cp", 1.0) or 1.0, filled.number("vpp", "R-vpp", 1.0) or 1.0
    dp = num_devices / (tp * pp * cp)
    if dp != int(dp):
        return "tp x pp x cp does not divide the accelerators"
    if vpp > 1.0 and not bool(divides(model, pp, vpp)):
        return "layers do not divide into pp x vpp stages"
    micro_batch = filled.number("micro_batch", "R-mbs", 1.0) or 1.0
    batch = filled.number("global_batch", "R-batch", dp * micro_batch) or dp * micro_batch
    zero = float(zero_of(filled, software))
    if software == "megatron-deepspeed" and "R-zero" in filled.rules:
        filled.rules.append("R-zero1")
        zero = 1.0
    splits = software in (*MEGATRON_LIKE, "torchtitan")
    if splits and tp > 1.0:
        filled.rules.append("R-sequence")
    return Layouts(
        tp=tp,
        pp=pp,
        vpp=vpp,
        dp=dp,
        cp=cp,
        zero=zero,
        micro_batch=micro_batch,
        sequence_parallel=tp > 1.0 and (splits or "sequence parallel" in filled.text("recompute")),
        num_micro_batches=max(1.0, round(batch / (dp * micro_batch))),
    )


def _attention(filled: Filled, software: str) -> str:
    """R-unfused: Megatron of 2021 and 2022 had no flash attention; else as `attention_of`."""
    if not filled.text("attention_impl") and software in ("megatron-lm", "megatron-deepspeed"):
        return filled_with(filled, "R-unfused", "unfused")
    return attention_of(filled)


def _precision(row: Row) -> str:
    """As `precision_of`; formats of 8 and 4 bits by the begin of their names, mixtures of fp32 as bf16."""
    written = row.get("precision", "").removeprefix("te-")
    low = next((name for name in LOW_PRECISIONS if written.startswith(name)), None)
    return low or precision_of(row) or "bf16"
