"""The stretches of a run in which every step is alike: where the batch changes, and where the method does."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

from simtool.config.batches import BatchRamp
from simtool.config.scenario import Scenario, Workload
from simtool.errors import InputError, Problem
from simtool.layout.layouts import Layouts
from simtool.machine.machine import Machine
from simtool.methods.effect import Effect
from simtool.result.result import PhaseEstimate
from simtool.step.estimate import StepEstimate
from simtool.step.step import Job, MethodPhase, estimate_step
from simtool.units import display
from simtool.workload.batch_ramp import BatchStage, linear_ramp

ROUNDING = 1e-9
"""Of a step: a number of tokens that is whole but for the last bit takes no further step."""


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
    batch_edges = _step_edges(stages, scenario.workload.seq_len, steps_frac)
    num_steps = batch_edges[-1]
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


def _step_edges(stages: Sequence[BatchStage], seq_len: int, steps_frac: float) -> list[int]:
    """First step of every stage, and the number of all steps.

    A stage takes the steps that come nearest to its end, the last one as many as it takes to have
    trained every token: so a ramp trains less than a step more than was asked for, as a flat run does.
    """
    edges, wanted, trained = [0], 0.0, 0.0
    for index, stage in enumerate(stages):
        per_step = float(stage.global_batch) * seq_len
        wanted += stage.num_tokens * steps_frac
        missing = (wanted - trained) / per_step
        is_last = index == len(stages) - 1
        steps = math.ceil(missing - ROUNDING) if is_last else round(missing)
        steps = max(0, steps)
        trained += steps * per_step
        edges.append(edges[-1] + steps)
    edges[-1] = max(1, edges[-1])
    return edges


def _merged(stages: Sequence[BatchStage]) -> tuple[BatchStage, ...]:
    """Neighbours with the same batch become one."""
    merged: list[BatchStage] = []
    for stage in stages:
        if merged and merged[-1].global_batch == stage.global_batch:
            merged[-1] = BatchStage(merged[-1].num_tokens + stage.num_tokens, stage.global_batch)
        else:
            merged.append(stage)
    return tuple(merged)


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
    return _merged((*stages, BatchStage(rest, full)))


def check_ramp(locate: Callable[[str], str], workload: Workload, layouts: Layouts) -> tuple[str, ...]:
    """Refuse a ramp that is none, or that the layout cannot execute; what the run shall say of it.

    Raises:
        InputError: with every problem.
    """
    ramp, full = workload.batch_ramp, int(layouts.global_batch)
    if ramp is None:
        return ()
    multiple = int(layouts.dp * layouts.micro_batch)
    if isinstance(ramp, BatchRamp):
        listed = [("start", ramp.start, float(ramp.over))]
        over = float(ramp.over)
    else:
        ends = [0.0, *(float(stage.until) for stage in ramp)]
        listed = [
            (f"{index}.global_batch", stage.global_batch, after - before)
            for index, (stage, (before, after)) in enumerate(zip(ramp, pairwise(ends), strict=True))
        ]
        over = ends[-1]
    problems = []
    before = 0
    for field, batch, tokens in listed:
        place = f"workload.batch_ramp.{field}"
        found = f"found {batch:.4g} sequences" if batch >= 10**9 else f"found {batch} sequences"
        per_step = float(batch) * workload.seq_len if batch < full else 0.0
        is_list = not isinstance(ramp, BatchRamp)
        if batch > full or (batch == full and not is_list) or batch < before:
            allowed, mend = f"rising, up to global_batch = {full}", "let the batch grow"
        elif batch < multiple or (is_list and batch % multiple):
            allowed, mend = (
                f"multiples of dp x micro_batch = {multiple}",
                "use such a multiple, or another layout",
            )
        elif tokens < per_step:
            allowed, mend = f"stages of at least one step, {per_step:g} tokens", "make the stage longer"
        else:
            before = batch
            continue
        problems.append(Problem(locate(place), place, found, allowed, mend))
    if problems:
        raise InputError(problems)
    first = listed[0][1] // multiple * multiple
    return (
        f"the batch grows from {first:,} to {full:,} sequences over {display(over, 'token')}; step time is a mean",
    )
