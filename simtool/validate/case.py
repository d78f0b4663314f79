"""A published row as the step model sees it: model, job, layout, machine; or the reason why it cannot be one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from pydantic import ValidationError

from simtool.config.scenario import Cluster
from simtool.errors import InputError
from simtool.layout.habits import habits_of
from simtool.layout.layouts import Layouts
from simtool.layout.memory import MemoryEstimate, estimate_memory
from simtool.layout.search import enumerate_layouts, pick
from simtool.machine.build import build_machine, or_one
from simtool.machine.machine import Machine
from simtool.methods.effect import EffectPhase
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.step.step import Job, MethodPhase, estimate_step
from simtool.validate.measured import flop_per_token, measured_step_s
from simtool.validate.models import Expressed, model_of
from simtool.validate.stacks import (
    MEGATRON_LIKE,
    SHARDED,
    accelerator_of,
    attention_of,
    network_of,
    node_bandwidth_of,
    offloads_optimizer,
    precision_of,
    recompute_of,
    software_of,
    zero_of,
)
from simtool.validate.table import Filled, Row
from simtool.workload.transformer import Transformer

NEAR_FULL = 0.95
"""Share of the memory that is used before anything is recomputed, or that a layout of our own choice may take."""
END_TO_END_DEVICES = 2048.0
"""Accelerators of a run of which only accelerator-hours are known (Llama 2 and 3 and LLaMA: about 2,000)."""
TOKENS_PER_DEVICE = 8192
"""In a micro-batch of a sharded model whose batch nobody states (MaxText's guides: 8k tokens on a device)."""
TOKENS_PER_STEP = 4.0e6
"""Of a pre-training run that does not state its batch (Llama 2, GPT-3 and Llama 3: 3.2 to 4 million)."""

ADAPTERS = MethodPhase(
    method="fewer-operations",
    effect=EffectPhase(backward_weight_frac=0.0, optimizer_frac=0.0, communication_frac=0.0),
)
"""Low-rank adapters: frozen weights have no gradient, no optimizer and nothing to exchange."""
NO_UPDATE = MethodPhase(
    method="fewer-operations", effect=EffectPhase(optimizer_frac=0.0, communication_frac=0.0)
)
"""Forward and backward alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One published row, expressed."""

    row: Row
    model: Expressed
    job: Job
    layouts: Layouts
    machine: Machine
    method: MethodPhase | None
    memory: MemoryEstimate
    measured_s: float | None
    """Time of one step as published; None where the row states memory alone."""
    token_flop: float
    """Work of a token by the row's own way of counting [FLOP]."""
    rules: tuple[str, ...]

    @property
    def tokens(self) -> float:
        """Tokens of one step."""
        return float(self.layouts.global_batch) * self.job.seq_len

    @property
    def num_devices(self) -> float:
        """Accelerators."""
        return float(self.layouts.num_devices)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that the model cannot express, and why."""

    row_id: str
    reason: str


def express(row: Row, library: ProfileLibrary) -> Case | Skipped:
    """A row as a case, its blank fields filled by rules."""
    filled = Filled(row)
    try:
        return _express(filled, library)
    except InputError as error:
        return Skipped(
            row["id"], f"cannot be expressed: {error.problems[0].found or error.problems[0].field}"
        )
    except ValidationError as error:
        first = error.errors()[0]
        return Skipped(row["id"], f"cannot be expressed: {_said(first['loc'], first['msg'])}"[:160])
    except ValueError as error:
        return Skipped(row["id"], f"cannot be expressed: {str(error).splitlines()[0][:120]}")


def _said(place: Sequence[int | str], message: str) -> str:
    """What a model refuses of its fields, in a line."""
    message = message.removeprefix("Value error, ").splitlines()[0]
    return f"{place[0]}: {message}" if place else message


def _express(filled: Filled, library: ProfileLibrary) -> Case | Skipped:
    row = filled.row
    if "diffusion" in filled.text("task"):
        return Skipped(row["id"], f"task {filled.text('task')}")
    name = accelerator_of(row)
    if name is None or name not in library.names("accelerator"):
        return Skipped(row["id"], f"no profile of {row.get('accelerator') or 'a blank accelerator'}"[:80])
    software = software_of(filled, name)
    model = model_of(filled, library)
    if model is None:
        return Skipped(row["id"], f"shape of {filled.text('model') or 'the model'} not stated"[:80])
    num_devices = filled.number("n_accel", "R-devices", END_TO_END_DEVICES)
    seq_len = filled.number("seq_len", "R-seq", 8192.0)
    if not num_devices or not seq_len or num_devices != int(num_devices) or seq_len != int(seq_len):
        return Skipped(row["id"], "no whole number of accelerators or tokens in a sequence")
    precision = precision_of(filled)
    machine = _machine(library, name, software, network_of(row), node_bandwidth_of(row), int(num_devices))
    machine.device.peak_flop_per_s(precision)
    job = Job(
        model=model,
        seq_len=int(seq_len),
        precision=precision,
        recompute="none",
        attention=attention_of(filled, software),
    )
    method = _method(filled)
    layouts = _layouts(filled, job, machine, software, num_devices)
    if isinstance(layouts, str):
        return Skipped(row["id"], layouts)
    job, memory = _recomputation(filled, job, layouts, machine)
    token_flop = flop_per_token(filled, model, seq_len, repeats_forward=job.recompute == "full")
    peak = machine.device.peak_flop_per_s("bf16" if "bf16" in machine.accelerator.peak else precision)
    measured = measured_step_s(
        filled,
        tokens=float(layouts.global_batch) * seq_len,
        num_devices=num_devices,
        peak_flop_per_s=peak,
        token_flop=token_flop,
    )
    return Case(
        row=row,
        model=model,
        job=job,
        layouts=layouts,
        machine=machine,
        method=method,
        memory=memory,
        measured_s=measured,
        token_flop=token_flop,
        rules=tuple(sorted(set(filled.rules))),
    )


def _method(filled: Filled) -> MethodPhase | None:
    """R-lora: adapters train no other weights. R-fwdbwd: no optimizer. R-offload: it runs on the host."""
    task = filled.text("task").lower()
    if "lora" in task:
        filled.rules.append("R-lora")
        return ADAPTERS
    if task == "train-fwd+bwd":
        filled.rules.append("R-fwdbwd")
        return NO_UPDATE
    if offloads_optimizer(filled.row):
        filled.rules.append("R-offload")
        return replace(NO_UPDATE, effect=EffectPhase(optimizer_frac=0.0))
    return None


def _layouts(filled: Filled, job: Job, machine: Machine, software: str, num_devices: float) -> Layouts | str:
    stated = filled.count("tp", default=0.0)
    if not stated and software in MEGATRON_LIKE:
        return _searched(filled, job, machine, num_devices)
    if not stated:
        filled.rules.append("R-sharded")
    tp, cp = stated or 1.0, filled.count("cp", "R-cp")
    pp, vpp = filled.count("pp", "R-pp"), filled.count("vpp", "R-vpp")
    dp = num_devices / (tp * pp * cp)
    if dp != int(dp):
        dp, cp = num_devices / (tp * pp), 1.0
        filled.rules.append("R-nocp")
    if dp != int(dp) or dp < 1.0:
        return "tp x pp does not divide the accelerators"
    model = job.model
    if pp * vpp > model.num_layers + 2:
        return "more pipeline stages than layers"
    if pp == 1.0:
        vpp = 1.0
    problem = next(iter(model.tensor_problems(int(tp))), None)
    if problem is not None:
        return f"cannot be expressed: {problem[0]}"
    micro_batch = filled.count("micro_batch", "R-mbs", _default_micro_batch(filled, job, software, dp))
    batch = filled.number("global_batch", "R-batch", _default_batch(filled, job, dp, micro_batch, pp))
    count = max(1.0, round((batch or dp * micro_batch) / (dp * micro_batch)))
    ep = filled.count("ep", "R-ep", _expert_ranks(job, tp * cp * dp))
    if isinstance(model, Transformer) and model.num_experts == 1:
        ep = 1.0
    if (tp * cp * dp) % ep:
        return "ep does not divide the ranks of a stage"
    return Layouts(
        tp=tp,
        pp=pp,
        vpp=vpp,
        dp=dp,
        zero=float(zero_of(filled, software)),
        micro_batch=micro_batch,
        sequence_parallel=tp > 1
        and ("sequence parallel" in filled.text("recompute") or software in MEGATRON_LIKE),
        num_micro_batches=count,
        cp=cp,
        ep=ep,
    )


def _default_micro_batch(filled: Filled, job: Job, software: str, dp: float) -> float:
    """R-mbs: one sequence; where nothing but replicas shares the model, as many as make 8,192 tokens."""
    if software not in SHARDED:
        return 1.0
    whole = (filled.number("global_batch") or math.inf) / dp
    return float(max(1.0, min(TOKENS_PER_DEVICE // job.seq_len, whole)) // 1.0)


def _default_batch(filled: Filled, job: Job, dp: float, micro_batch: float, pp: float) -> float:
    """R-batch: 4 million tokens in a run known by its accelerator-hours, else 8 micro-batches a stage, one alone."""
    if filled.text("task") == "pretrain-end-to-end":
        return max(dp * micro_batch, TOKENS_PER_STEP / job.seq_len)
    return dp * micro_batch * (8.0 * pp if pp > 1.0 else 1.0)


def _expert_ranks(job: Job, ranks: float) -> float:
    """R-ep: experts over as many ranks as divide both, up to one each."""
    model = job.model
    if not isinstance(model, Transformer) or model.num_experts == 1:
        return 1.0
    ep = 1
    while ep * 2 <= model.num_experts and model.num_experts % (ep * 2) == 0 and ranks % (ep * 2) == 0:
        ep *= 2
    return float(ep)


def _searched(filled: Filled, job: Job, machine: Machine, num_devices: float) -> Layouts | str:
    """R-auto: the fastest layout that fits, as ``layout: auto`` finds it."""
    filled.rules.append("R-auto")
    batch = filled.number("global_batch") or TOKENS_PER_STEP / job.seq_len
    found = enumerate_layouts(
        job.model,
        num_devices=int(num_devices),
        max_tp=machine.fabric.accelerators_per_domain,
        seq_len=job.seq_len,
        global_batch=float(batch),
    )
    if found is None:
        return "no layout divides model and accelerators"
    estimate = estimate_step(job, found, machine)
    allowed = estimate.memory.total_bytes <= NEAR_FULL * machine.memory_bytes
    times = np.where(allowed, estimate.step_time_s * (batch / found.global_batch), np.inf)
    if not bool(np.any(np.isfinite(times))):
        return "no layout fits into the memory"
    return pick(found, int(np.argmin(times)))


def _recomputation(
    filled: Filled, job: Job, layouts: Layouts, machine: Machine
) -> tuple[Job, MemoryEstimate]:
    """The stated recomputation; R-fit: in as many layers as memory demands, where none is stated."""
    stated = recompute_of(filled)
    if stated is not None:
        job = replace(job, recompute=stated)
        return job, _memory(job, layouts, machine)
    filled.rules.append("R-fit")
    plain, full = (_memory(replace(job, recompute=kind), layouts, machine) for kind in ("none", "full"))
    whole, least = float(plain.total_bytes), float(full.total_bytes)
    allowed = NEAR_FULL * machine.memory_bytes
    if whole <= allowed:
        return job, plain
    frac = min(1.0, (whole - allowed) / max(whole - least, 1.0))
    return replace(job, recompute="full", recompute_frac=frac), (full if frac == 1.0 else plain)


def _memory(job: Job, layouts: Layouts, machine: Machine) -> MemoryEstimate:
    return estimate_memory(
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
    )


@cache
def _machine(
    library: ProfileLibrary,
    accelerator: str,
    software: str,
    network: str | None,
    node_bandwidth: float | None,
    num_devices: int,
) -> Machine:
    written = (
        None
        if node_bandwidth is None
        else Sourced(value=node_bandwidth, unit="byte/s", kind="published", source="interconnect column")
    )
    per_node = library.get("node", library.get("accelerator", accelerator).node).num_accelerators
    cluster = Cluster(
        accelerator=accelerator,
        network=network,
        num_nodes=max(1, num_devices // per_node),
        network_bandwidth_per_node=written,
    )
    return build_machine(
        library, cluster, software, attention=None, power_limit_w=None, locate=lambda field: field
    )
