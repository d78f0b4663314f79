"""From a published row to a predicted step time, by its configuration alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from simtool.config.scenario import Cluster
from simtool.errors import InputError
from simtool.layout.layouts import Layouts, divides
from simtool.machine.build import build_machine
from simtool.machine.machine import Machine
from simtool.profiles.find import ProfileLibrary
from simtool.provenance import Sourced
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, estimate_step
from simtool.validate.rules import (
    ACCELERATORS,
    MEGATRON_LIKE,
    Filled,
    Row,
    attention_of,
    node_bandwidth_of,
    precision_of,
    recompute_of,
    shape_of,
    software_of,
    zero_of,
)
from simtool.workload.transformer import Transformer


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One published row beside its prediction."""

    row_id: str
    family: str
    accelerator: str
    software: str
    quality: str
    precision: str
    measured_s: float
    predicted_s: float
    mfu: float
    """As measured: model FLOP over time, devices and peak."""
    model_flop_s: float
    """Time that the step would take at the peak rate: step time x MFU."""
    num_devices: int
    rules: tuple[str, ...]
    stack_seen: bool
    """Whether the software profile was fitted on this architecture."""

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted_s / self.measured_s


@dataclass(frozen=True, slots=True)
class Skipped:
    """A row that the model cannot express, and why."""

    row_id: str
    reason: str


def predict_row(row: Row, library: ProfileLibrary) -> Prediction | Skipped:
    """Predict the step time of one row of the table."""

    def skip(reason: str) -> Skipped:
        return Skipped(row["id"], reason)

    if row["moe"] == "True":
        return skip("mixture of experts")
    if row["task"] != "pretrain":
        return skip(f"task {row['task']}")
    precision = precision_of(row)
    if precision is None:
        return skip("precision other than bf16 and fp16")
    accelerator = ACCELERATORS.get(row["accelerator"])
    if accelerator is None:
        return skip(f"no profile of {row['accelerator']}")
    filled = Filled(row)
    if (filled.number("cp") or 1.0) > 1 or (filled.number("ep") or 1.0) > 1:
        return skip("context or expert parallelism")
    shape = shape_of(filled)
    num_devices, seq_len, batch = (
        filled.number("n_accel"),
        filled.number("seq_len"),
        filled.number("global_batch"),
    )
    if shape is None or num_devices is None or seq_len is None or filled.number("tp") is None:
        return skip("shape, accelerators or layout not stated")
    throughput = filled.number("tokens_per_s_per_accel")
    step_time = filled.number("step_time_s")
    if throughput is None and step_time is None:
        return skip("no step time or throughput")
    try:
        model = Transformer.model_validate(shape)
        software = software_of(filled, accelerator)
        machine = _machine(library, accelerator, software, node_bandwidth_of(row), int(num_devices))
        layouts = _layouts(filled, model, software, num_devices, batch)
        if isinstance(layouts, str):
            return skip(layouts)
        estimate, _ = _estimate(filled, model, int(seq_len), precision, layouts, machine)
    except (ValueError, InputError) as error:
        return skip(f"cannot be expressed: {error}")
    if throughput is not None:
        measured = float(layouts.global_batch) * seq_len / (throughput * num_devices)
    else:
        measured = step_time or 0.0
    at_peak = float(estimate.model_flop_per_step) / (num_devices * float(estimate.peak_flop_per_s))
    return Prediction(
        row_id=row["id"],
        family=row["family"],
        accelerator=accelerator,
        software=software,
        quality=row["quality"],
        precision=precision,
        measured_s=measured,
        predicted_s=float(estimate.step_time_s),
        mfu=at_peak / measured,
        model_flop_s=at_peak,
        num_devices=int(num_devices),
        rules=tuple(sorted(set(filled.rules))),
        stack_seen=machine.accelerator.architecture in machine.software.seen,
    )


def _layouts(
    filled: Filled, model: Transformer, software: str, num_devices: float, batch: float | None
) -> Layouts | str:
    tp, pp = filled.number("tp") or 1.0, filled.number("pp", "R-pp", 1.0) or 1.0
    dp = num_devices / (tp * pp)
    if dp != int(dp):
        return "tp x pp does not divide the accelerators"
    vpp = filled.number("vpp", "R-vpp", 1.0) or 1.0
    if not bool(divides(model, pp, vpp)):
        return "layers do not divide into pp x vpp stages"
    if model.num_heads % tp:
        return "heads do not divide by tp"
    micro_batch = filled.number("micro_batch", "R-mbs", 1.0) or 1.0
    batch = batch if batch is not None else dp * micro_batch
    count = max(1.0, round(batch / (dp * micro_batch)))
    stated = "sequence parallel" in filled.text("recompute")
    return Layouts(
        tp=tp,
        pp=pp,
        vpp=vpp,
        dp=dp,
        zero=float(zero_of(filled, software)),
        micro_batch=micro_batch,
        sequence_parallel=tp > 1 and (stated or software in MEGATRON_LIKE),
        num_micro_batches=count,
    )


def _estimate(
    filled: Filled, model: Transformer, seq_len: int, precision: str, layouts: Layouts, machine: Machine
) -> tuple[StepEstimate, str]:
    """The estimate with the stated recomputation; R-fit: the least that fits, where none is stated."""
    attention = attention_of(filled)
    stated = recompute_of(filled)
    if stated is None:
        filled.rules.append("R-fit")
    kinds = (stated,) if stated is not None else ("none", "selective", "full")
    for kind in kinds:
        job = Job(model=model, seq_len=seq_len, precision=precision, recompute=kind, attention=attention)
        estimate = estimate_step(job, layouts, machine)
        if bool(estimate.memory.fits):
            break
    return estimate, kind


@cache
def _machine(
    library: ProfileLibrary, accelerator: str, software: str, node_bandwidth: float | None, num_devices: int
) -> Machine:
    written = (
        None
        if node_bandwidth is None
        else Sourced(value=node_bandwidth, unit="byte/s", kind="published", source="interconnect column")
    )
    per_node = library.get("node", library.get("accelerator", accelerator).node).num_accelerators
    cluster = Cluster(
        accelerator=accelerator,
        num_nodes=max(1, num_devices // per_node),
        network_bandwidth_per_node=written,
    )
    return build_machine(
        library, cluster, software, attention=None, power_limit_w=None, locate=lambda field: field
    )
