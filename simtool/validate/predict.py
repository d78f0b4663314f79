"""From expressed rows to predicted step times with their intervals, by configuration alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from simtool.profiles.find import ProfileLibrary
from simtool.step.estimate import STEP_STATES
from simtool.step.step import estimate_step
from simtool.units import GIGA, TERA
from simtool.validate.case import Case
from simtool.validate.fit.stored import Stored
from simtool.validate.memory_rows import stated_unit_gb


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One published row beside its prediction."""

    row_id: str
    family: str
    source: str
    quality: str
    accelerator: str
    software: str
    precision: str
    num_devices: float
    seq_len: float
    has_experts: bool
    is_evidence: bool
    """Whether the row is scored."""
    states_layout: bool
    """Whether the row says how the model was laid out."""
    measured_s: float | None
    predicted_s: float
    low_s: float
    """Tenth percentile of the step time."""
    high_s: float
    """Ninetieth."""
    tokens: float
    """Of one step."""
    model_flop: float
    """Work of one step as the model counts it [FLOP]."""
    token_flop: float
    """Work of a token by the row's own way of counting [FLOP]."""
    peak_flop_per_s: float
    """Dense rate of one accelerator at the row's precision."""
    memory_gb: float
    """On one accelerator, as the source counts it [GB or GiB]."""
    node_power_w: float | None
    """Accelerators and host of one node; None where no power is known."""
    rules: tuple[str, ...]
    stack_seen: bool
    """Whether rows of this framework on this architecture were fitted to."""

    @property
    def ratio(self) -> float:
        """Predicted over measured; NaN where nothing was measured."""
        return self.predicted_s / self.measured_s if self.measured_s else math.nan

    @property
    def mfu(self) -> float:
        """As measured: model FLOP over time, devices and peak; NaN where nothing was measured."""
        return self.at_peak_s / self.measured_s if self.measured_s else math.nan

    @property
    def at_peak_s(self) -> float:
        """Time of the step at the peak rate."""
        return self.model_flop / (self.num_devices * self.peak_flop_per_s)

    @property
    def tokens_per_s(self) -> float:
        """Predicted, of one accelerator."""
        return self.tokens / (self.predicted_s * self.num_devices)

    @property
    def samples_per_s(self) -> float:
        """Predicted, of the whole job."""
        return self.tokens / self.seq_len / self.predicted_s

    @property
    def tflop_per_s(self) -> float:
        """Predicted, of one accelerator, by the row's own way of counting [TFLOP/s]."""
        return self.tokens_per_s * self.token_flop / TERA


def predict_cases(
    cases: Sequence[Case], stored: Stored, evidence: Sequence[bool], library: ProfileLibrary
) -> list[Prediction]:
    """Predictions of expressed rows; none is made with constants that saw the row's family."""
    times = stored.step_time_s(cases)
    return [
        _prediction(case, float(seconds), stored, is_evidence, library)
        for case, seconds, is_evidence in zip(cases, times, evidence, strict=True)
    ]


def _prediction(
    case: Case, seconds: float, stored: Stored, is_evidence: bool, library: ProfileLibrary
) -> Prediction:
    row, machine = case.row, case.machine
    seen = stored.has_seen(case)
    interval = stored.seen if seen else stored.unseen
    model_flop = case.tokens * float(case.model.model_flop_per_token(case.job.seq_len))
    return Prediction(
        row_id=row["id"],
        family=row["family"] or row["id"],
        source=row["source"],
        quality=row["quality"],
        accelerator=machine.accelerator.name,
        software=machine.software.name,
        precision=case.job.precision,
        num_devices=case.num_devices,
        seq_len=float(case.job.seq_len),
        has_experts=case.model.expert_layer_frac > 0.0,
        is_evidence=is_evidence,
        states_layout=bool(row["tp"].strip()) and row["tp"] != "nan",
        measured_s=case.measured_s,
        predicted_s=seconds,
        low_s=seconds * math.exp(-interval.high),
        high_s=seconds * math.exp(-interval.low),
        tokens=case.tokens,
        model_flop=model_flop,
        token_flop=case.token_flop,
        peak_flop_per_s=machine.device.peak_flop_per_s(case.job.precision),
        memory_gb=stated_unit_gb(row, library) or float(case.memory.total_bytes) / GIGA,
        node_power_w=_node_power_w(case),
        rules=case.rules,
        stack_seen=seen,
    )


def _node_power_w(case: Case) -> float | None:
    machine = case.machine
    if not machine.knows_power:
        return None
    estimate = estimate_step(case.job, case.layouts, machine, case.method)
    watts = sum(
        float(estimate.state_frac(state))
        * float(estimate.power[state].accelerator_w + estimate.power[state].host_w)
        for state in STEP_STATES
    )
    return watts * min(float(machine.accelerators_per_node), case.num_devices)
