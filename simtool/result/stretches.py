"""The stretches of a run in which every step is alike: where the batch changes, and where the method does."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import replace
from itertools import accumulate, pairwise

from simtool.config.load import LoadedScenario
from simtool.config.scenario import BatchRamp, Scenario
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts
from simtool.machine.machine import Machine
from simtool.methods.effect import Effect
from simtool.result.result import PhaseEstimate
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, MethodPhase, estimate_step
from simtool.workload.batch_ramp import BatchStage, linear_ramp


def stretches(
    scenario: Scenario,
    job: Job,
    layouts: Layouts,
    machine: Machine,
    effect: Effect | None,
    plain: StepEstimate,
) -> tuple[PhaseEstimate, ...]:
    """Stretches of equal steps: where the batch changes, and where the method does."""
    steps_frac = 1.0 if effect is None else effect.steps_frac.value
    stages = _batch_stages(scenario, layouts)
    counts = [
        math.ceil(stage.num_tokens / (stage.global_batch * scenario.workload.seq_len) * steps_frac)
        for stage in stages
    ]
    num_steps = max(1, sum(counts))
    batch_edges = [0, *accumulate(counts[:-1]), num_steps]
    parts = (None,) if effect is None else effect.phases
    method_edges = [round((1.0 if part is None else part.progress[1]) * num_steps) for part in parts]
    phases = []
    for begin, end in pairwise(sorted({*batch_edges, *method_edges})):
        stage = stages[bisect_right(batch_edges, begin) - 1]
        stretch = parts[bisect_right(method_edges, begin)]
        sized = replace(layouts, num_micro_batches=stage.global_batch / (layouts.dp * layouts.micro_batch))
        method = (
            None if effect is None or stretch is None else MethodPhase(method=effect.method, effect=stretch)
        )
        is_plain = method is None and stage.global_batch == layouts.global_batch
        estimate = plain if is_plain else estimate_step(job, sized, machine, method)
        progress = (begin / num_steps, end / num_steps)
        phases.append(PhaseEstimate(progress=progress, num_steps=end - begin, estimate=estimate))
    return tuple(phases)


def _batch_stages(scenario: Scenario, layouts: Layouts) -> tuple[BatchStage, ...]:
    """Tokens at every batch, in order; the last stage has the full batch."""
    ramp, full = scenario.workload.batch_ramp, int(layouts.global_batch)
    multiple = int(layouts.dp * layouts.micro_batch)
    if ramp is None:
        stages: tuple[BatchStage, ...] = ()
    elif isinstance(ramp, BatchRamp):
        stages = linear_ramp(
            start=ramp.start,
            final=full,
            increment=ramp.increment,
            over_tokens=float(ramp.over),
            multiple=multiple,
        )
    else:
        ends = [0.0, *(float(stage.until) for stage in ramp)]
        stages = tuple(
            BatchStage(after - before, stage.global_batch)
            for stage, (before, after) in zip(ramp, pairwise(ends), strict=True)
        )
    rest = float(scenario.workload.tokens) - sum(stage.num_tokens for stage in stages)
    return (*stages, BatchStage(rest, full))


def check_ramp(loaded: LoadedScenario, layouts: Layouts) -> None:
    """Refuse stages that the layout cannot execute."""
    ramp = loaded.scenario.workload.batch_ramp
    if ramp is None or isinstance(ramp, BatchRamp):
        return
    multiple = int(layouts.dp * layouts.micro_batch)
    problems = [
        Problem(
            loaded.locate(f"workload.batch_ramp.{index}.global_batch"),
            f"workload.batch_ramp.{index}.global_batch",
            f"found {stage.global_batch} sequences",
            f"multiples of dp x micro_batch = {multiple}",
            "use such a multiple, or another layout",
        )
        for index, stage in enumerate(ramp)
        if stage.global_batch % multiple
    ]
    if problems:
        raise InputError(problems)
