"""Batches that grow while training goes on: how many tokens are trained at which batch.

A small batch fills a pipeline badly and exchanges gradients more often, so its tokens cost more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

MAX_STEPS_OF_RAMP = 16
"""A linear ramp is priced in at most so many steps of equal length; more change nothing that can be seen."""


@dataclass(frozen=True, slots=True)
class BatchStage:
    """A stretch of training at one batch."""

    num_tokens: float
    global_batch: int
    """Sequences in one step."""


def linear_ramp(
    *, start: int, final: int, increment: int, over_tokens: float, multiple: int
) -> tuple[BatchStage, ...]:
    """A batch that grows by `increment` in equal stretches of tokens, as Megatron's ramp-up does.

    Batches are rounded down to what the layout can execute, `multiple` sequences, and neighbouring
    increments are taken together where there are more than `MAX_STEPS_OF_RAMP`.

    >>> [(stage.num_tokens, stage.global_batch) for stage in
    ...  linear_ramp(start=8, final=32, increment=8, over_tokens=300.0, multiple=8)]
    [(100.0, 8), (100.0, 16), (100.0, 24)]
    """
    num_increments = math.ceil((final - start) / increment)
    num_stages = min(num_increments, MAX_STEPS_OF_RAMP)
    stages = []
    for index in range(num_stages):
        first, last = index * num_increments / num_stages, (index + 1) * num_increments / num_stages
        middle = start + increment * (first + last - 1.0) / 2.0
        batch = max(multiple, int(middle // multiple) * multiple)
        stages.append(BatchStage(over_tokens / num_stages, min(batch, final)))
    return tuple(stages)
