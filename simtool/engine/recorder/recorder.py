"""Writes down a run as a trace: every step, and of some steps every operation.

A step that is not sampled pays for two readings of the clock and one row in a list. A sampled one is
slowed by the profiler, and its time is therefore no price: the cost table leaves it out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import torch

from simtool.engine.costs import CostTable, SignatureCost
from simtool.engine.plan import StepPlan
from simtool.engine.recorder.join import Sample, join
from simtool.engine.recorder.profile import profiler, spans
from simtool.engine.recorder.rows import op_rows, outside_rows, phase_rows, signature_row
from simtool.trace.writer import TraceWriter

FIRST_SAMPLED = 3
"""The first step of a signature is counted, the second is timed, so that there is a price at once."""
MAX_SAMPLES = 64
"""Profiled steps of a signature that are kept; more would not make a median better."""


class Ended(Protocol):
    """What a run came to, as far as its trace must tell."""

    @property
    def costs(self) -> CostTable: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...


@dataclass(slots=True)
class _Watched:
    """One kind of step, as far as this process has seen it."""

    num_seen: int = 0
    plan: StepPlan | None = None
    cost: SignatureCost | None = None
    samples: list[Sample] = field(default_factory=list)


class TraceRecorder:
    """A `watch.Recorder` that writes a trace.

    Args:
        writer: where it goes.
        sample_every: steps of one signature between two that are profiled, after the first ones; 0 is never.
        num_samples: how many of the first steps of a signature are profiled, from the third on.
        tokens_per_sample: tokens of a sample, where samples have tokens.
        device: where the run computes.
    """

    def __init__(
        self,
        writer: TraceWriter,
        *,
        sample_every: int = 200,
        num_samples: int = 5,
        tokens_per_sample: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.writer = writer
        self.sample_every, self.num_samples = sample_every, num_samples
        self._tokens, self._device = tokens_per_sample, torch.device(device)
        self._watched: dict[str, _Watched] = {}
        self._knows_energy = writer.manifest.power.kind != "none"
        self._step = _Step(self)

    def sampling(self, step: int, signature: str) -> _Step:
        """The context of one step; `is_sampled` says whether it is profiled."""
        watched = self._watched.get(signature)
        if watched is None:
            watched = self._watched[signature] = _Watched()
        watched.num_seen += 1
        self._step.watched = watched
        self._step.is_sampled = self._is_due(watched)
        return self._step

    def step(self, row: Mapping[str, Any]) -> None:
        """One finished step."""
        span = self._step
        full = {**row, "begin_s": span.begin_s, "end_s": span.end_s, "is_sampled": span.is_sampled}
        if not self._knows_energy:
            full["energy_j"] = None
        if self._tokens is not None:
            full["num_tokens"] = row["num_samples"] * self._tokens
        self.writer.step(full)

    def evaluation(self, row: Mapping[str, Any]) -> None:
        """One evaluation: `step`, `progress_frac`, `part`, and a figure for every other name."""
        place = {name: row[name] for name in ("step", "progress_frac", "part")} | {"time_s": time.monotonic()}
        for name, value in row.items():
            if name not in place:
                self.writer.evaluation({**place, "metric": name, "value": value})

    def event(self, kind: str, detail: Mapping[str, Any]) -> None:
        """A rare event; a number called `step` in its detail is its place in the run."""
        facts = dict(detail)
        step = facts.pop("step", None)
        self.writer.event({"time_s": time.monotonic(), "step": step, "kind": kind, "detail": facts})

    def flush(self) -> None:
        """Write every row that waits."""
        self.writer.flush()

    def signature(self, plan: StepPlan, cost: SignatureCost) -> None:
        """A kind of step that is new to this process: its operations are written at once, as counted."""
        watched = self._watched.setdefault(cost.signature, _Watched())
        watched.plan, watched.cost = plan, cost
        self._write(watched, cost)

    def close(self, outcome: Ended | None = None, **facts: Any) -> None:
        """Write the final prices and end the trace.

        Args:
            outcome: what the run came to; without it the trace ends as interrupted.
            facts: fields of the manifest that are known only now, such as `power`.

        Raises:
            OutputError: if the trace cannot be written.
        """
        if outcome is None:
            self._write_all(CostTable())
            self.writer.close(status="interrupted", **facts)
            return
        self._write_all(outcome.costs)
        self.writer.close(status=outcome.status, reason=outcome.reason, **facts)

    # ------------------------------------------------------------------------------------ behind it

    def take(self, watched: _Watched, profiled: torch.profiler.profile) -> None:
        """Join the profile of a step with its counted operations."""
        if watched.cost is None:
            return
        sample = join(spans(profiled), watched.cost.counts, on_device=self._device.type != "cpu")
        watched.samples.append(sample)
        if len(watched.samples) == self.num_samples:  # from here on a kill leaves times, too
            self._write(watched, watched.cost)

    def _is_due(self, watched: _Watched) -> bool:
        if watched.cost is None or len(watched.samples) >= MAX_SAMPLES or torch.autograd._profiler_enabled():
            return False
        nth = watched.num_seen
        is_early = FIRST_SAMPLED <= nth < FIRST_SAMPLED + self.num_samples
        return is_early or (self.sample_every > 0 and nth % self.sample_every == 0)

    def _write(self, watched: _Watched, cost: SignatureCost) -> None:
        samples = watched.samples
        self.writer.signatures([signature_row(cost, watched.plan, len(samples))])
        self.writer.phases(phase_rows(cost, samples))
        self.writer.ops(op_rows(cost.signature, cost.counts, samples))

    def _write_all(self, costs: CostTable) -> None:
        """Everything at its final state; of a resumed run also what only the checkpoint knew."""
        known = {name: watched.cost for name, watched in self._watched.items() if watched.cost is not None}
        for name, cost in {**known, **costs.by_signature}.items():
            self._write(self._watched.get(name, _Watched()), cost)
        signatures, phases, ops = outside_rows(costs)
        self.writer.signatures(signatures)
        self.writer.phases(phases)
        self.writer.ops(ops)


class _Step:
    """The context of the present step: when it began and ended, and its profile if it has one."""

    def __init__(self, recorder: TraceRecorder) -> None:
        self._recorder = recorder
        self.watched = _Watched()
        self.is_sampled = False
        self.begin_s = self.end_s = 0.0
        self._profile: torch.profiler.profile | None = None

    def __enter__(self) -> _Step:
        if self.is_sampled:
            self._profile = profiler(self._recorder._device)
            self._profile.__enter__()
        self.begin_s = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_s = time.monotonic()
        if self._profile is None:
            return
        profiled, self._profile = self._profile, None
        profiled.__exit__(kind, error, trace)
        if error is None:
            self._recorder.take(self.watched, profiled)
