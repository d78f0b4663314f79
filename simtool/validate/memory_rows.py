"""From a published row to predicted device memory, by its configuration alone.

What a source prints differs: bytes that tensors take (allocated), blocks that the framework took from the device
for them (reserved), or the device's own count, context included. One written rule per framework says which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from simtool.errors import InputError
from simtool.layout.habits import EAGER, FUSED_LOGIT_BYTES, IDEAL, MemoryHabits, habits_of
from simtool.layout.layouts import Layouts, divides
from simtool.layout.memory import Stage, estimate_memory
from simtool.profiles.find import ProfileLibrary
from simtool.units import BYTES_PER_GIB, GIGA
from simtool.validate.case import Skipped
from simtool.validate.models import Expressed, model_of
from simtool.validate.stacks import (
    MEGATRON_LIKE,
    accelerator_of,
    attention_of,
    offloads_optimizer,
    precision_of,
    recompute_of,
    software_of,
    zero_of,
)
from simtool.validate.table import Filled, Row
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


RESERVED_RATIO = 1.07
"""Reserved blocks over the tensors in them: median over the public rows, by family 1.06 to 1.08 without the own."""


def stated_unit_gb(row: Row, library: ProfileLibrary) -> float | None:
    """Predicted memory as the row's source would print it; None where it cannot be told [GB or GiB, as the source]."""
    found = predict_memory(row | {"mem_gb": "1"}, library)
    if isinstance(found, Skipped):
        return None
    return found.predicted_bytes(RESERVED_RATIO) / found.measured_bytes


def predict_memory(row: Row, library: ProfileLibrary) -> MemoryPrediction | Skipped:
    """Predict the memory that one row of the table states."""
    filled = Filled(row)
    try:
        return _predict(filled, library)
    except InputError as error:
        problem = error.problems[0]
        return Skipped(row["id"], f"cannot be expressed: {problem.found or problem.field}")
    except ValueError as error:
        return Skipped(row["id"], f"cannot be expressed: {str(error).splitlines()[0]}")


def _predict(filled: Filled, library: ProfileLibrary) -> MemoryPrediction | Skipped:
    row = filled.row
    task = filled.text("task")
    if "finetune" in task or "LoRA" in task:
        return Skipped(row["id"], f"task {task}")
    num_devices, seq_len, stated = (filled.number(name) for name in ("n_accel", "seq_len", "mem_gb"))
    model = model_of(filled, library)
    if model is None or not num_devices or not seq_len or not stated:
        return Skipped(row["id"], "shape, accelerators, sequence or memory not stated")
    software = software_of(filled, accelerator_of(row) or row["accelerator"].lower())
    stack = _stack(filled, software)
    model = _sized(filled, model)
    layouts = _layouts(filled, model, software, num_devices)
    if isinstance(layouts, str):
        return Skipped(row["id"], layouts)
    offloaded = offloads_optimizer(row)
    if offloaded:
        filled.rules.append("R-offload")
    recompute = recompute_of(filled)
    if recompute is None:
        filled.rules.append("R-none")
    estimate = estimate_memory(
        model,
        layouts,
        seq_len=int(seq_len),
        precision=precision_of(filled),
        recompute=recompute or "none",
        attention=attention_of(filled, software),
        capacity_bytes=0.0,
        workspace_bytes=0.0,
        habits=stack.habits,
        stage=stack.stage,
        offloaded_optimizer=offloaded,
    )
    return MemoryPrediction(
        row_id=row["id"],
        family=row["family"],
        quality=row["quality"],
        measured_bytes=stated * stack.unit_bytes,
        tensors_bytes=float(estimate.tensors_bytes),
        workspace_bytes=float(library.get("software", software).workspace),
        baseline_bytes=BASELINE_BYTES * model.num_parameters / num_devices,
        reading=stack.reading,
        rules=(stack.habits.rule, *sorted(set(filled.rules))),
    )


def _stack(filled: Filled, software: str) -> _Stack:
    """Habits and reading.

    R-computed: the rows of Korthikanti et al. are sums of their formulas, in decimal GB. R-expandable: long
    sequences with DeepSpeed use expandable segments, so that reserved is allocated. R-litgpt: weights, gradients
    and optimizer at half precision, allocated, in decimal GB. R-nvfuser: it keeps what autograd does, where a
    graph compiled whole keeps what fused kernels need. R-compiled-loss: torchtitan compiles the loss. R-device:
    users of DeepSpeed's pipelines report the driver's count. R-reserved: all others print reserved blocks.
    R-rank0: DeepSpeed's pipelines and nanotron log on rank 0, which is on the first stage.
    """
    framework, rules, habits = filled.text("framework"), filled.rules, habits_of(software)
    if filled.text("task") == "memory":
        rules.append("R-computed")
        formulas = replace(habits, counts_backward=False, logit_bytes=IDEAL.logit_bytes)
        return _Stack(habits=formulas, reading="computed", unit_bytes=GIGA)
    if software == "deepspeed-zero":
        rules.append("R-expandable")
        return _Stack(habits=habits, reading="allocated")
    if framework.startswith("litgpt"):
        rules.append("R-litgpt")
        if "nvfuser" in framework:
            rules.append("R-nvfuser")
            habits = replace(EAGER, bucket_copy=False)
        return _Stack(
            habits=replace(habits, has_master=False, moments_frac=0.5), reading="allocated", unit_bytes=GIGA
        )
    stage: Stage = "fullest"
    if software in ("megatron-deepspeed", "nanotron"):
        rules.append("R-rank0")
        stage = "first"
    if software == "megatron-deepspeed":
        rules.append("R-device")
        return _Stack(habits=habits, reading="device", stage=stage)
    if software == "torchtitan" and _torch_release(filled) >= COMPILED_LOSS_SINCE:
        rules.append("R-compiled-loss")
        habits = replace(habits, logit_bytes=FUSED_LOGIT_BYTES, sharded_logit_bytes=None)
    rules.append("R-reserved")
    return _Stack(habits=habits, reading="reserved", stage=stage)


def _torch_release(filled: Filled) -> tuple[int, int]:
    """PyTorch's release where the row states it, (0, 0) where not."""
    found = re.search(r"torch (\d+)\.(\d+)", filled.text("notes") + " " + filled.text("framework"))
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _sized(filled: Filled, model: Expressed) -> Expressed:
    """R-vocab-size: where the vocabulary is blank and the size is stated, it is what the layers leave of it.

    As one table or two, whichever comes nearer to 131,072, the next power of two above common vocabularies.
    """
    stated = filled.number("params_b")
    if "R-vocab" not in filled.rules or stated is None or not isinstance(model, Transformer):
        return model
    rest = stated * GIGA - model.num_layers * model.parameters_per_layer
    if rest <= SIZE_TOLERANCE * stated * GIGA:
        return model
    filled.rules[:] = [rule for rule in filled.rules if rule != "R-vocab"] + ["R-vocab-size"]
    rows = rest / model.hidden_size
    tables = min((1, 2), key=lambda number: abs(rows / number - 131_072))
    return model.model_copy(update={"vocab_size": round(rows / tables), "tied_embeddings": tables == 1})


def _layouts(filled: Filled, model: Expressed, software: str, num_devices: float) -> Layouts | str:
    """The layout with blanks filled.

    R-tp, R-pp, R-cp, R-ep: 1. R-zero1: DeepSpeed's pipelines split the optimizer. R-sequence: torchtitan and
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
        ep=(filled.number("ep", "R-ep", 1.0) or 1.0) if model.num_experts > 1 else 1.0,
        zero=zero,
        micro_batch=micro_batch,
        sequence_parallel=tp > 1.0 and (splits or "sequence parallel" in filled.text("recompute")),
        num_micro_batches=max(1.0, round(batch / (dp * micro_batch))),
    )
